"""What a part of the benchmarks is given, and what it gives: rows, each beside what one would otherwise use.

::

    def rows(setting: Setting) -> Iterator[Row]:
        mine = setting.median("look into the image", lambda: image.read(setting.engine, "some:image"))
        theirs = setting.once("docker save", lambda: ...)
        yield Row("a look into some:image", mine, "s", instead="docker save", instead_value=theirs)

What a row compares is measured in one run, one after the other: times of another day or another machine say nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from layerlab.engine import Engine
from layerlab.ui.progress import Report, Step, silent


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured, such as ``rebuild after a change of the app, multi-stage``.
        value: What it takes or gives.
        unit: The unit of both values: ``s``, ``MB`` (10^6 bytes), ``requests/s``, or whatever was counted.
        instead: What one would otherwise use.
        instead_value: What that takes or gives.
    """

    what: str
    value: float
    unit: str
    instead: str
    instead_value: float

    @property
    def in_words(self) -> str:
        """How the value compares with the other one.

        >>> Row("ours", 2.0, "s", "theirs", 9.0).in_words
        '4.5 times less'
        >>> Row("ours", 300.0, "requests/s", "theirs", 100.0).in_words
        '3.0 times more'
        """
        if self.value == self.instead_value:
            return "the same"
        small, large = sorted((self.value, self.instead_value))
        if small <= 0:
            return "nothing" if self.value == small else "something, not nothing"
        times, word = large / small, "less" if self.value < self.instead_value else "more"
        return f"{times:.1f} times {word}" if times >= 1.05 else f"about the same ({word})"


@dataclass(frozen=True)
class Setting:
    """What a part works with.

    Attributes:
        engine: The Docker engine; bases and both images of the lab are there.
        folder: An empty folder of this part's own, removed afterwards however the part ends.
        repeat: How often what is quick is done; the median counts.
        report: Told what is going on.
    """

    engine: Engine
    folder: Path
    repeat: int = 3
    report: Report = field(default=silent, repr=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show this title, and how long it takes, while the block runs."""
        began = time.perf_counter()
        self.report(Step(title, title, "running"))
        try:
            yield
        except BaseException:
            self.report(Step(title, title, "failed", time.perf_counter() - began))
            raise
        self.report(Step(title, title, "done", time.perf_counter() - began))

    def once(self, title: str, way: Callable[[], object]) -> float:
        """The seconds that this takes, done once."""
        with self.step(title):
            began = time.perf_counter()
            way()
            return time.perf_counter() - began

    def median(self, title: str, way: Callable[[], object]) -> float:
        """The median of the seconds that this takes, done `repeat` times."""
        return statistics.median(self.once(f"{title} ({number + 1})", way) for number in range(self.repeat))
