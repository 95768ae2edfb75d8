"""What a container answers: an answer may have no end, lead elsewhere, or drip for ever.

No redirect is followed and no proxy is asked.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from layerlab.errors import ServiceError
from layerlab.service import probe
from layerlab.ui.text import shorten
from layerlab.ui.units import how_large

LIMIT: Final = 1_000_000  # bytes of a body that `ask` reads
ANSWER_LIMIT: Final = 50_000_000  # bytes of a body that `fetch` reads; a longer one is refused
TIMEOUT: Final = 5.0  # seconds for a whole answer, however it comes
_LONGEST_HEADER: Final = 200

# GET requests that change nothing: Werkzeug's debugger serves its own files under any path.
_DEBUGGER: Final = (("/?__debugger__=yes&cmd=resource&f=style.css", b"div.debugger"), ("/console", b"__debugger__"))


@dataclass(frozen=True)
class Answer:
    """What a service answered to a request."""

    status: int | None = None  # of HTTP; None if no whole answer came in time
    server: str = ""  # the header of that name, empty if there is none
    document: Mapping[str, Any] | None = None  # the JSON object, if it is one


def ask(url: str, path: str, *, timeout: float = TIMEOUT) -> Answer:
    """What the service at this address answers to ``GET path`` in so many seconds; nothing good is expected of it."""
    if (found := _get(url, path, timeout)) is None:
        return Answer()
    status, server, body = found
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return Answer(status, server, document if isinstance(document, dict) else None)


def has_debugger(url: str) -> bool:
    """Whether Werkzeug's debugger, or its console, can be reached."""
    found = ((_get(url, path, TIMEOUT), mark) for path, mark in _DEBUGGER)
    return any(answer is not None and answer[0] == 200 and mark in answer[2] for answer, mark in found)


def is_http_server(url: str) -> bool:
    """Whether Python's ``http.server`` answers, whatever it calls itself: its page for errors tells.

    Werkzeug's development server and wsgiref's are built on it, and of those for production only eventlet's.
    """
    return probe.ERROR_PAGE in probe.said(*_place(url), probe.REQUEST % b"9.9", TIMEOUT)


def fetch(url: str, timeout: tuple[float, float], query: Mapping[str, Any] | None = None) -> requests.Response:
    """What a service of one's own answers to ``GET url``, in full; the timeout is that of `requests`.

    Raises:
        ServiceError: the answer has more than `ANSWER_LIMIT` bytes.
        requests.RequestException: there is none.
    """
    with requests.Session() as session:
        session.trust_env = False  # the environment's proxies would be asked for 127.0.0.1
        with session.get(url, params=query, timeout=timeout, allow_redirects=False, stream=True) as response:
            body = bytearray()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise ServiceError(
                        f"the service answered GET {urlsplit(url).path} with more than {how_large(ANSWER_LIMIT)}",
                        remedy="ask for less at once",
                    )
            response._content = bytes(body)  # where `content`, `text` and `json()` look for it
        return response


def _get(url: str, path: str, timeout: float) -> tuple[int, str, bytes] | None:
    """The status, the ``Server`` header, and the body up to `LIMIT`."""
    with closing(HTTPConnection(*_place(url), timeout=timeout)) as connection:
        try:
            connection.connect()
            with _at_most(timeout, connection.sock):
                connection.request("GET", path, headers={"Connection": "close"})
                response = connection.getresponse()
                body = response.read(LIMIT)
        except (OSError, HTTPException, ValueError):
            return None
        return response.status, shorten(response.getheader("Server") or "", _LONGEST_HEADER), body


@contextmanager
def _at_most(seconds: float, connection: socket.socket) -> Iterator[None]:
    """End a connection after this time: a socket's own limit begins anew with each byte that comes."""

    def end() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
