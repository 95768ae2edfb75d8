"""Builds that are only looked at: limited, marked as the lab's, and gone when all is seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layerlab.builder.building import Build, build
from layerlab.builder.context import Context
from layerlab.engine import Engine, runs
from layerlab.engine.limits import limited_builder
from layerlab.errors import BuildError
from layerlab.ui.progress import Report, silent

TIMEOUT: Final = 600.0  # seconds of one build
MAX_DISK: Final = 10_000_000_000  # bytes of the engine's disk that a build may take
MIN_DISK: Final = 1_000_000_000  # bytes of it that have to stay free
_CACHES: Final = "BUILDKIT_CACHE_MOUNT_NS"
"""The build argument by which BuildKit keeps cache mounts apart."""


class TooMuchDisk(BuildError):
    """A trial build took too much of the engine's disk, of which `free` bytes were free when it began."""

    def __init__(self, free: int) -> None:
        super().__init__(
            f"the build was stopped: it took more of the engine's disk than a trial may ({MAX_DISK / 1e9:g} GB)",
            remedy="see what its steps write, or make room",
        )
        self.free = free


@dataclass(frozen=True)
class Trials:
    """Where trial builds are made."""

    engine: Engine
    labels: Mapping[str, str]  # of the images; by them they are removed
    scratch: Path  # a folder for files, gone with them
    report: Report = field(repr=False)  # is told of the builds' steps
    caches: str = ""  # whose cache mounts (``RUN --mount=type=cache``) they use; empty for those of everybody
    watch: Callable[[], None] = field(default=lambda: None, repr=False)  # is called again and again; may end them

    def build(
        self,
        context: Context,
        *,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        report: Report | None = None,
    ) -> Build:
        """Build a context; see `layerlab.builder.build`.

        Raises:
            TooMuchDisk: it took too much of the engine's disk, where that can be seen.
        """
        return build(
            self.engine,
            context,
            target=target,
            build_args={**(build_args or {}), **({_CACHES: self.caches} if self.caches else {})},
            labels=self.labels,
            timeout=timeout,
            report=report or self.report,
            watch=_disk_guard(self.engine, self.watch),
        )


@contextmanager
def trial_builds(
    engine: Engine, report: Report = silent, *, caches: str = "", watch: Callable[[], None] = lambda: None
) -> Iterator[Trials]:
    """A place for trial builds; all images that are built in this block are removed at its end. See `Trials`."""
    with runs.temporary(engine) as (labels, folder), limited_builder(engine):
        yield Trials(engine, labels, folder, report, caches, watch)


def _disk_guard(engine: Engine, watch: Callable[[], None]) -> Callable[[], None]:
    """To be called again and again during a build: raises `TooMuchDisk` when that took too much; calls `watch`."""
    root = Path(engine.root_directory)
    if not engine.is_local or not root.is_dir():
        return watch
    free = shutil.disk_usage(root).free
    least = max(free - MAX_DISK, min(free, MIN_DISK) // 2)

    def guard() -> None:
        watch()
        if shutil.disk_usage(root).free < least:
            raise TooMuchDisk(free)

    return guard
