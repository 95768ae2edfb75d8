"""How much of the engine's disk the builds of a check may take, where that disk can be seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from layerlab.engine import Engine
from layerlab.exercise.evidence.model import Failure
from layerlab.ui.units import how_large

MAX_DISK: Final = 10_000_000_000  # bytes of it that a build may take
MIN_DISK: Final = 1_000_000_000  # bytes of it that have to stay free


class Full(Exception):
    """A build takes too much of the engine's disk.

    Args:
        at_first: Bytes that were free when it began.
    """

    def __init__(self, at_first: int) -> None:
        super().__init__()
        self.at_first = at_first


def guard(engine: Engine) -> Callable[[], None]:
    """To be called again and again during a build: raises `Full` when it has taken too much."""
    root = Path(engine.root_directory)
    if not engine.is_local or not root.is_dir():
        return lambda: None
    free = shutil.disk_usage(root).free
    least = max(free - MAX_DISK, min(free, MIN_DISK) // 2)

    def look() -> None:
        if shutil.disk_usage(root).free < least:
            raise Full(free)

    return look


def failure(full: Full, line: int | None) -> Failure:
    """What to tell of it: whether this build was too large, or the disk full before.

    Args:
        full: What was raised.
        line: That of the step that was running.
    """
    where = f" while line {line} was running" if line else ""
    if full.at_first < MIN_DISK:
        return Failure(
            "engine",
            f"The build was stopped{where}: the engine's disk had only {how_large(full.at_first)} left when it"
            " began. What to do: make room (`docker system df` shows what takes it) and check again.",
            line,
        )
    return Failure(
        "limit",
        f"The build was stopped{where}: it took more of the engine's disk than a check may ({MAX_DISK / 1e9:g} GB,"
        " or all that is left). What to do: see what that step writes.",
        line,
    )
