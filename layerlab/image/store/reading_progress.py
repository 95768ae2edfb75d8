"""Says how far a look at an image is, where it takes long enough that somebody wonders."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from layerlab.ui.progress import Report, State, Step, silent
from layerlab.ui.units import so_far, tenths

PATIENCE: Final = 0.5
"""Seconds after which the first report comes; most looks end before."""
EVERY: Final = 0.5
"""Seconds between two reports."""


class Watch:
    """Counts what is read, and reports it.

    Attributes:
        total: Bytes that there are to be read, more or less; 0 if nobody knows.
    """

    def __init__(self, report: Report, title: str) -> None:
        self.total = 0
        self._report = report
        self._title = title
        self._begin = time.monotonic()
        self._said = 0.0
        self._read = 0
        self._detail = ""
        self._begun = False

    def pieces(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass pieces on, and count them."""
        for piece in pieces:
            self._read += len(piece)
            if self._begun and time.monotonic() - self._said >= EVERY:
                read = so_far(self._read, max(self.total, self._read)) if self.total else f"{tenths(self._read)} MB"
                self.say(f"{read} read")
            yield piece

    def say(self, detail: str) -> None:
        """Say how far it is."""
        self._detail = detail
        if self._begun:
            self._tell("running")

    def begin(self) -> None:
        """Say for the first time that it goes on."""
        self._begun = True
        self._tell("running")

    def end(self, state: State) -> None:
        """Say how it ended, if anything was said."""
        if self._begun:
            self._tell(state)

    def _tell(self, state: State) -> None:
        now = time.monotonic()
        self._said = now
        self._report(Step("look", self._title, state, now - self._begin, self._detail))


@contextmanager
def watching(report: Report, title: str) -> Iterator[Watch]:
    """Watch a look at an image, and report it if it takes longer than `PATIENCE`."""
    watch = Watch(report, title)
    timer = threading.Timer(PATIENCE, watch.begin)
    timer.daemon = True
    if report is not silent:
        timer.start()
    state: State = "failed"
    try:
        yield watch
        state = "done"
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()
        watch.end(state)
