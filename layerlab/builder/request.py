"""The conversation with the engine about one build: ``POST /build?version=2`` and its answer, line by line.

The Docker SDK has no BuildKit (docker-py issue 2230), but its client is a `requests` session that knows how to
reach the engine, whatever the transport. The request runs in a thread of its own, so that a time limit, Ctrl-C and
an engine that says nothing are all noticed at once.
"""

from __future__ import annotations

import contextlib
import json
import math
import queue
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

import requests
import urllib3

from layerlab.builder import context as contexts
from layerlab.engine import Engine, gone
from layerlab.errors import BuildTimeout, LabError

PAUSE: Final = 0.5  # seconds between two looks at the clock
_SETTLED: Final = 1.0  # seconds after which a step that has begun can be ended
_CANCEL_TIMEOUT: Final = 5.0  # seconds for the engine to end what it was told to end


def run(
    engine: Engine, context: contexts.Context, parameters: Mapping[str, Any], timeout: float | None
) -> Generator[dict[str, Any] | None]:
    """Build, and give each line of the engine's answer; None where it has said nothing for `PAUSE` seconds.

    Whoever stops listening, by an exception or by closing the iterator, ends the build on the engine too. The
    parameters are those of ``POST /build`` in the Engine API.

    Raises:
        BuildTimeout: the limit was reached.
        EngineGone: the connection broke.
        ContextError: a file of the context could not be sent.
    """
    call = _Call(engine, context, {**parameters, "version": "2", "buildid": uuid.uuid4().hex})
    limit = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            if limit is not None and time.monotonic() >= limit:
                raise BuildTimeout(
                    f"the build took longer than its limit of {timeout:g} s and was stopped",
                    remedy="raise the limit, or see which step is slow",
                )
            try:
                item = call.lines.get(timeout=PAUSE)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, LabError):
                raise item
            if isinstance(item, Exception):
                raise gone(engine, item) from item
            yield item
    finally:
        call.end()


class _Call:
    """A request that is sent, and whose answer is read, in a thread."""

    def __init__(self, engine: Engine, context: contexts.Context, parameters: Mapping[str, Any]) -> None:
        self.lines: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()  # last what ended it
        self._api = engine.client.api
        self._url = f"{self._api.base_url}/v{self._api.api_version}/build"
        self._context = context
        self._parameters = parameters
        self._response: requests.Response | None = None
        self._cancelled = threading.Event()
        self._is_over = False
        self._heard = -math.inf  # when the last line came
        self._thread = threading.Thread(target=self._read, name="layerlab-build", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Tell the engine to stop, unless it has ended, wait until it has, and close the connection."""
        if not self._is_over:
            self._cancel()
        if self._response is not None:
            with contextlib.suppress(Exception):  # whatever is wrong with it, it is given up
                self._response.raw.shutdown()  # closing alone does not wake a thread that reads
            self._response.close()
        self._thread.join(_CANCEL_TIMEOUT)

    def _cancel(self) -> None:
        self._cancelled.set()
        # Engine 26.1, told to end a step that it is just beginning, loses it: what the step runs would go on.
        time.sleep(max(0.0, self._heard + _SETTLED - time.monotonic()))
        deadline = time.monotonic() + _CANCEL_TIMEOUT
        while self._thread.is_alive() and time.monotonic() < deadline:
            # Again and again: a build whose request has just been sent is not known by its id yet.
            with contextlib.suppress(requests.RequestException, urllib3.exceptions.HTTPError, OSError):
                self._api.post(
                    f"{self._url}/cancel", params={"id": self._parameters["buildid"]}, timeout=_CANCEL_TIMEOUT
                ).close()
            self._thread.join(PAUSE)

    def _body(self) -> Iterator[bytes]:
        for piece in contexts.stream(self._context):
            if self._cancelled.is_set():
                raise ConnectionAbortedError("cancelled")
            yield piece

    def _read(self) -> None:
        last: Exception | None = None
        try:
            self._response = self._api.post(
                self._url,
                params=self._parameters,
                data=self._body(),
                headers={"Content-Type": "application/x-tar"},
                stream=True,
            )
            if self._response.ok:
                for line in self._response.iter_lines(chunk_size=None):
                    if line:
                        self._heard = time.monotonic()
                        self.lines.put(json.loads(line))
            else:
                said = f"HTTP status {self._response.status_code}"
                with contextlib.suppress(ValueError, KeyError, TypeError):  # where it refuses the request as a whole
                    said = str(self._response.json()["message"])
                self.lines.put({"error": said})
        except Exception as error:  # it is raised again where the lines are read
            last = error
        self._is_over = True
        self.lines.put(last)
