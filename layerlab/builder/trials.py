"""Builds that are only looked at: under the limits of a check, marked as the lab's, and gone when all is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlab import bases
from layerlab.builder import Build, build, disk
from layerlab.builder import context as contexts
from layerlab.builder.limits import limited_builder
from layerlab.dockerfile import Dockerfile, copied_from
from layerlab.engine import Engine
from layerlab.engine.leftovers import removing_images, scratch_folder
from layerlab.errors import BuildError
from layerlab.ui.progress import Report, silent

TIMEOUT: Final = 600.0  # seconds of one build


@dataclass(frozen=True)
class Trials:
    """Where trial builds are made.

    Attributes:
        engine: The engine.
        labels: Of the images; by them they are removed.
        scratch: A folder for files, gone with them.
        report: Is told of the builds' steps.
    """

    engine: Engine
    labels: Mapping[str, str]
    scratch: Path
    report: Report

    def build(
        self,
        context: contexts.Context,
        parsed: Dockerfile,
        *,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> Build:
        """Build a context; the lab's own base images are got first, if one is missing.

        Raises:
            LabError: see `layerlab.builder.build` and `layerlab.bases.ensure`.
        """
        self.ensure_bases(parsed, target)
        return build(
            self.engine,
            context,
            target=target,
            build_args=build_args,
            labels=self.labels,
            timeout=TIMEOUT,
            report=self.report,
            watch=_disk_guard(self.engine),
        )

    def ensure_bases(self, parsed: Dockerfile, target: str | None = None) -> None:
        """Get those of the lab's own base images that a Dockerfile needs and that are missing."""
        wanted = set()
        for stage in parsed.needed(parsed.target(target)):
            for name in (stage.base, *(name for i in stage.executed for name in copied_from(i))):
                short = name.removeprefix("docker.io/").removeprefix("library/")
                if short in bases.TAGS:
                    wanted.add(short)
        if wanted:
            bases.ensure(self.engine, sorted(wanted), report=self.report)


@contextmanager
def trial_builds(engine: Engine, report: Report = silent) -> Iterator[Trials]:
    """A place for trial builds; all images that are built in this block are removed at its end."""
    with removing_images(engine) as labels, limited_builder(engine), scratch_folder(labels) as scratch:
        yield Trials(engine, labels, scratch, report)


def _disk_guard(engine: Engine) -> Callable[[], None]:
    """Ends a build that fills the engine's disk, where that disk can be seen."""
    look = disk.guard(engine)

    def guard() -> None:
        try:
            look()
        except disk.Full as full:
            limit = f"{disk.MAX_DISK / 1e9:g} GB"
            raise BuildError(
                f"the build was stopped: it took more of the engine's disk than a trial may ({limit})",
                remedy="see what its steps write, or make room",
            ) from full

    return guard
