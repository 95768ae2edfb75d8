"""Reports a step from its beginning to its end, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from layerlab.ui.progress import Report, State, Step


class Ongoing:
    """A step that is under way; see `ongoing`."""

    def __init__(self, report: Report, key: str, title: str) -> None:
        self._report, self._key, self._title = report, key, title
        self._began = time.monotonic()
        self._detail = ""

    def say(self, detail: str) -> None:
        """Report how far it is."""
        self._detail = detail
        self.show("running")

    def show(self, state: State) -> None:
        """Report it in this state."""
        self._report(Step(self._key, self._title, state, time.monotonic() - self._began, self._detail))


@contextmanager
def ongoing(report: Report, key: str, title: str) -> Iterator[Ongoing]:
    """Report a step as running, and in the end that it is done or, on any exception, that it has failed."""
    step = Ongoing(report, key, title)
    step.show("running")
    try:
        yield step
    except BaseException:
        step.show("failed")
        raise
    step.show("done")
