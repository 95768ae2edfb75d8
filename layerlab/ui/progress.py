"""What is reported while something long goes on, and who listens.

Whoever works (a build, the making of a base image, the installation of an engine) calls ``report`` with a
`Step` whenever something changes; a display (``layerlab.ui.displays``) shows it. Work knows nothing of displays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from layerlab.ui.units import so_far, tenths

EVERY: Final = 0.5  # seconds between two reports of what is read

State = Literal["running", "done", "cached", "failed"]


@dataclass(frozen=True)
class Step:
    """One step of something long, as it stands now."""

    key: str  # the same for every report about this step, unique within the work
    title: str  # what it does, such as ``[build 3/5] RUN pip install ...``
    state: State  # how it stands
    seconds: float | None = None  # how long it has taken so far, or took in all; None while it is unknown
    detail: str = ""  # the newest line that it printed, or how far it is
    # Of a build's steps alone:
    stage: str = field(default="", compare=False)  # the stage's name or index
    line: int | None = field(default=None, compare=False)  # of its instruction; None for what a base image adds
    from_cache: bool = field(default=False, compare=False)  # whether it only fetches a result that is there already


Report = Callable[[Step], None]


def silent(step: Step) -> None:
    """Listen to nothing."""


class Ongoing:
    """A step that is under way; see `ongoing`."""

    def __init__(self, report: Report, key: str, title: str) -> None:
        self._report, self._key, self._title = report, key, title
        self._began = time.monotonic()
        self._detail = ""
        self._is_shown = False

    def begin(self) -> None:
        """Report it for the first time."""
        self._is_shown = True
        self.show("running")

    def say(self, detail: str) -> None:
        """Report how far it is."""
        self._detail = detail
        self.show("running")

    def show(self, state: State) -> None:
        """Report it in this state."""
        if self._is_shown:
            self._report(Step(self._key, self._title, state, time.monotonic() - self._began, self._detail))

    def reading(self, pieces: Iterable[bytes], total: int = 0) -> Iterator[bytes]:
        """Pass pieces on, and report now and then how many bytes have come; of so many, more or less, if not 0."""
        read, said = 0, 0.0
        for piece in pieces:
            read += len(piece)
            if (now := time.monotonic()) - said >= EVERY:
                said = now
                self.say(f"{so_far(read, max(total, read)) if total else f'{tenths(read)} MB'} read")
            yield piece


@contextmanager
def ongoing(report: Report, title: str, *, key: str = "", patience: float = 0.0) -> Iterator[Ongoing]:
    """Report a step as running, and in the end that it is done or, on any exception, that it has failed.

    It is known by its `key`, or else its title. Nothing is said of one that ends before `patience` seconds are over.
    """
    step = Ongoing(report, key or title, title)
    timer = threading.Timer(patience, step.begin)
    timer.daemon = True
    if patience:
        timer.start()
    else:
        step.begin()
    state: State = "failed"
    try:
        yield step
        state = "done"
    finally:
        timer.cancel()
        if patience:
            timer.join()
        step.show(state)
