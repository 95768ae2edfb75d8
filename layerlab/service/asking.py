"""Asks a learner's service: what it answers may have no end, lead elsewhere, or drip for ever."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from layerlab.exercise.evidence.model import Answer
from layerlab.ui.text import shorten

LIMIT: Final = 1_000_000  # bytes of a body; the rest is not read
TIMEOUT: Final = 5.0  # seconds for a whole answer, however it comes
_LONGEST_HEADER: Final = 200

# GET requests that change nothing: Werkzeug's debugger serves its own files under any path.
_DEBUGGER: Final = (
    ("/?__debugger__=yes&cmd=resource&f=style.css", b"div.debugger"),
    ("/console", b"__debugger__"),
)
# A version of HTTP that does not exist: a server answers it by itself, before any code of the application.
_NONSENSE: Final = b"GET /status HTTP/9.9\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Reply:
    """An answer that came: its status, its ``Server`` header, and its body up to `LIMIT`."""

    status: int
    server: str
    body: bytes

    @property
    def answer(self) -> Answer:
        """As evidence."""
        return Answer(self.status, self.server, _json_object(self.body))


def ask(url: str, path: str, *, timeout: float = TIMEOUT) -> Reply | None:
    """What the service answers to ``GET path``; None if no whole answer comes in this time.

    No redirect is followed and no proxy is asked.
    """
    host, port = _host_and_port(url)
    with closing(HTTPConnection(host, port, timeout=timeout)) as connection:
        try:
            connection.connect()
            with _at_most(timeout, connection.sock):
                connection.request("GET", path, headers={"Connection": "close"})
                response = connection.getresponse()
                body = response.read(LIMIT)
        except (OSError, HTTPException, ValueError):
            return None
        return Reply(response.status, shorten(response.getheader("Server") or "", _LONGEST_HEADER), body)


def has_debugger(url: str) -> bool:
    """Whether Werkzeug's debugger, or its console, can be reached."""
    replies = ((ask(url, path), mark) for path, mark in _DEBUGGER)
    return any(reply is not None and reply.status == 200 and mark in reply.body for reply, mark in replies)


def is_http_server(url: str) -> bool:
    """Whether Python's ``http.server`` answers, whatever it calls itself: its page for errors tells.

    Werkzeug's development server and wsgiref's are built on it, and of those for production only eventlet's.
    """
    host, port = _host_and_port(url)
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT) as connection, _at_most(TIMEOUT, connection):
            connection.sendall(_NONSENSE)
            said = b""
            while len(said) < 4096 and (more := connection.recv(4096)):
                said += more
    except OSError:
        return False
    return b"Error code explanation: 505" in said


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


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
