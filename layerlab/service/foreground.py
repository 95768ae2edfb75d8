"""``./lab run``: the service in the foreground, until Ctrl-C."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Final, TextIO

from layerlab.engine import Engine
from layerlab.errors import PortInUse
from layerlab.service.containers import run
from layerlab.service.engine_calls import engine_errors
from layerlab.service.running_service import Service
from layerlab.ui.text import plain

DEFAULT_PORT: Final = 5000
STOP_TIMEOUT: Final = 10  # seconds from the stop signal to SIGKILL
LONGEST_LINE: Final = 65536  # characters; a longer one is shown in pieces


def run_foreground(
    engine: Engine,
    image: str,
    *,
    port: int | None = None,
    on_ready: Callable[[Service], None],
    output: TextIO,
) -> int:
    """Run an image of the service until Ctrl-C or its own end, showing what it prints.

    Args:
        engine: Where it runs.
        image: A name or an id.
        port: Where to publish it. By default 5000, or a free port where that is taken, which is said.
        on_ready: Called once, with the service that has answered.
        output: Gets what the service prints, from its start to its end, without terminal escapes, and what we do.

    Returns:
        0 if it was stopped here, its exit code if it ended by itself.

    Raises:
        PortInUse: the port that was asked for is taken.
        LabError: see `run`.

    >>> import io
    >>> printed = io.StringIO()
    >>> def ready(service):
    ...     print(service.get("/status").status_code)
    ...     raise KeyboardInterrupt
    >>> run_foreground(engine, "multi-stage-demo:optimized", on_ready=ready, output=printed)
    200
    0
    """
    serve = partial(_serve, engine, image, on_ready=on_ready, output=output)
    try:
        return serve(port=DEFAULT_PORT if port is None else port)
    except PortInUse as error:
        if port is not None:
            raise
        print(f"{error}: a free port is used instead", file=output, flush=True)
    return serve(port=None)


def _serve(
    engine: Engine,
    image: str,
    *,
    port: int | None,
    on_ready: Callable[[Service], None],
    output: TextIO,
) -> int:
    # The container goes first, which ends the log, which ends the thread.
    try:
        with ThreadPoolExecutor(1) as pool, run(engine, image, port=port) as service:
            on_ready(service)
            showing = pool.submit(_show, service, output)
            try:
                showing.result()
            except KeyboardInterrupt:
                print("stopping it", file=output, flush=True)
                if not service.stop(STOP_TIMEOUT).by_signal:
                    print(f"it did not heed the stop signal: killed after {STOP_TIMEOUT} s", file=output, flush=True)
                return 0
            with engine_errors(engine, "waiting for its end"):
                return int(engine.client.api.wait(service.container_id)["StatusCode"])
    except KeyboardInterrupt:  # before it was ready, or a second time
        return 0


def _show(service: Service, output: TextIO) -> None:
    with closing(service.log_stream()) as log:
        for line in lines(log):
            print(line, file=output, flush=True)


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a log that comes in pieces, fit to be shown.

    A piece may end within a line, a character or an escape sequence.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending = ""
    for chunk in chunks:
        *whole, pending = (pending + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield plain(line)
        if len(pending) > LONGEST_LINE:
            yield plain(pending)
            pending = ""
    if pending := pending + decoder.decode(b"", final=True):
        yield plain(pending)
