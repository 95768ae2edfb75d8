"""Builds a workspace for a check: the final image, each other stage that ran, and again after a change of the app.

What is built is a private copy: the context's files as they were when the check began, and the Dockerfile as
`adapted` makes it. Whatever goes wrong is no exception but a `Failure` that says whose fault it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import docker.errors
import requests

from layerlab import bases
from layerlab import dockerfile as dockerfiles
from layerlab.bases import registry
from layerlab.builder import Build, adapted, build, cache, disk
from layerlab.builder import context as contexts
from layerlab.dockerfile import Dockerfile, Stage, copied_from
from layerlab.engine import Engine, answering, gone
from layerlab.engine.docker_settings import tell_of_logins
from layerlab.engine.leftovers import removing_images, scratch_folder
from layerlab.errors import BaseImageError, LabError
from layerlab.exercise.evidence.blame import base_missing, explain
from layerlab.exercise.evidence.model import Failure, RanStep
from layerlab.exercise.workspace import Workspace
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import one_line, plain

__all__ = ["SENT_NAME", "Outcome", "Prepared", "build_final", "build_stage", "prepare", "removing_images"]

FINAL_TIMEOUT: Final = 600.0  # seconds
STAGE_TIMEOUT: Final = 120.0
SENT_NAME: Final = ".layerlab-dockerfile"
"""The Dockerfile's name in the context where ``.dockerignore`` names it: the engine's API has no other way to get
it, so ``COPY . .`` ships it where `docker build` would not. Whoever looks at the image has to pass over it."""


@dataclass(frozen=True)
class Prepared:
    """A private copy of a workspace, ready to be built.

    Attributes:
        dockerfile: The learner's; lines and labels that are told are those of it.
        context: What is sent to the engine.
        adapted: What is sent as Dockerfile, parsed.
        labels: For the images.
        scratch: A folder for what is made on the way.
    """

    dockerfile: Dockerfile
    context: contexts.Context = field(repr=False)
    adapted: Dockerfile = field(repr=False)
    labels: Mapping[str, str]
    scratch: Path


@dataclass(frozen=True)
class Outcome:
    """What came of the build.

    Attributes:
        image_id: Of the final image; None if there is none.
        ran: The steps that came to their end, in the order of the Dockerfile.
        ran_stages: The labels of the stages that were run.
        seconds: How long it took.
        failure: Why there is no image.
    """

    image_id: str | None
    ran: tuple[RanStep, ...] = ()
    ran_stages: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: Failure | None = None


@contextmanager
def prepare(
    engine: Engine, workspace: Workspace, labels: Mapping[str, str], report: Report = silent
) -> Iterator[Prepared]:
    """A private copy of a workspace that has no trouble; it is gone after the block.

    Args:
        engine: Where it will be built.
        workspace: What to copy.
        labels: For the images, from `removing_images`.
        report: Is told of a credential helper that fails.

    Raises:
        ValueError: the workspace has a failure that keeps it from being built.
        OSError: there is no room for the copy.
    """
    if workspace.dockerfile is None or workspace.sent is None:
        raise ValueError("there is nothing to build")
    with scratch_folder(labels) as scratch:
        text = adapted.with_names(workspace.text, workspace.dockerfile)
        text = adapted.without_secrets(text, workspace.dockerfile)
        found = adapted.frontend(text)
        if found and adapted.is_official(found[1]) and not _can_be_had(engine, found[1], report):
            text = adapted.without_frontend(text)
        name = SENT_NAME if workspace.dockerfile_is_ignored else workspace.dockerfile_name
        entries = {
            entry.name: _copied(entry, scratch / str(number))
            for number, entry in enumerate(workspace.sent.entries)
            if entry.name != workspace.dockerfile_name
        }
        mode = next(e.status.st_mode for e in workspace.sent.entries if e.name == workspace.sent.dockerfile)
        entries[name] = written(name, scratch / "Dockerfile", text.encode(), mode)
        context = contexts.Context(scratch, name, text, tuple(entries[key] for key in sorted(entries)))
        yield Prepared(
            workspace.dockerfile, context, dockerfiles.parse(text, platform=engine.platform), labels, scratch
        )


def build_final(
    engine: Engine, prepared: Prepared, report: Report = silent, *, timeout: float = FINAL_TIMEOUT
) -> Outcome:
    """Build the final image; the lab's own bases are got first, if any is missing."""
    if failure := _ensure_bases(engine, prepared.dockerfile, report):
        return Outcome(None, failure=failure)
    recorder = Recorder(prepared, report)
    try:
        built = run(engine, prepared, recorder, timeout)
    except disk.Full as full:
        return Outcome(None, recorder.ran(), recorder.stages(), failure=disk.failure(full, recorder.running()))
    except LabError as error:
        failure = explain(error, prepared.dockerfile, recorder.running())
        return Outcome(None, recorder.ran(), recorder.stages(), failure=failure)
    labels = tuple(prepared.dockerfile.stages[i].label for i, ran in enumerate(built.stages.ran) if ran)
    return Outcome(built.image_id, recorder.ran(), labels, built.seconds)


def build_stage(
    engine: Engine,
    prepared: Prepared,
    stage: Stage,
    report: Report = silent,
    *,
    timeout: float = STAGE_TIMEOUT,
) -> str:
    """The id of the image of one stage, whose steps are in the builder's cache by now.

    Raises:
        LabError: it cannot be built.
    """
    recorder = Recorder(prepared, report)
    target = prepared.adapted.stages[stage.index].label
    return run(engine, prepared, recorder, timeout, target=target).image_id


class Recorder:
    """Remembers the steps of a build as they are reported, under the learner's labels and lines."""

    def __init__(self, prepared: Prepared, report: Report, look: Report = silent) -> None:
        self._stages = {stage.label: stage.index for stage in prepared.adapted.stages}
        self._dockerfile = prepared.dockerfile
        self._report = report
        self._look = look
        self._steps: dict[str, Step] = {}

    def __call__(self, step: Step) -> None:
        if step.stage:
            self._steps[step.key] = step
        self._report(step)
        self._look(step)

    def ran(self, *, and_running: bool = False) -> tuple[RanStep, ...]:
        """The steps that came to their end, in the order of the Dockerfile; those that run last, if asked for."""
        ended = [step for step in self._steps.values() if step.state in {"done", "cached"}]
        steps = sorted(ended, key=self._position)
        if and_running:
            steps += [step for step in self._steps.values() if step.state in {"running", "failed"}]
            steps.sort(key=lambda step: step.state not in {"done", "cached"})
        return tuple(
            RanStep(self._label(step), self._line(step), self._instruction(step), cached=step.state == "cached")
            for step in steps
        )

    def stages(self) -> tuple[str, ...]:
        """The labels of the stages of which a step began."""
        begun = {self._stages[step.stage] for step in self._steps.values() if step.stage in self._stages}
        return tuple(self._dockerfile.stages[index].label for index in sorted(begun))

    def running(self) -> int | None:
        """The line of the step that runs."""
        lines = [step.line for step in self._steps.values() if step.state == "running" and not step.from_cache]
        return next((line for line in reversed(lines) if line is not None), None)

    def _position(self, step: Step) -> tuple[int, int]:
        return self._stages.get(step.stage, len(self._stages)), int(step.key.rpartition(" ")[2])

    def _label(self, step: Step) -> str:
        index = self._stages.get(step.stage)
        return step.stage if index is None else self._dockerfile.stages[index].label

    def _line(self, step: Step) -> int | None:
        """Its line; none if an ONBUILD asks for it, which stands in another stage."""
        asks = any(each.keyword == "ONBUILD" and each.line == step.line for each in self._dockerfile.instructions)
        return None if asks else step.line

    def _instruction(self, step: Step) -> str:
        written = next((i.summary for i in self._dockerfile.instructions if i.line == step.line), None)
        return plain(written) if written else one_line(step.title.partition("] ")[2])


def run(
    engine: Engine,
    prepared: Prepared,
    recorder: Recorder,
    timeout: float,
    *,
    target: str | None = None,
    ran: list[cache.Ran] | None = None,
) -> Build:
    return build(
        engine,
        prepared.context,
        target=target,
        labels=prepared.labels,
        timeout=timeout,
        report=recorder,
        watch=disk.guard(engine),
        ran=ran,
    )


def _can_be_had(engine: Engine, name: str, report: Report) -> bool:
    """Whether the engine has an image or its registry says anything about it; only silence is a no."""
    try:
        with answering(engine):
            engine.client.images.get(name)
    except LabError:
        pass
    else:
        return True
    try:
        engine.client.api.inspect_distribution(name)  # type: ignore[no-untyped-call]
    except docker.errors.APIError as error:
        return registry.classify(str(error.explanation or error)) != "unreachable"
    except requests.RequestException as error:
        raise gone(engine, error) from error
    finally:
        tell_of_logins(engine.client, report)
    return True


def _ensure_bases(engine: Engine, dockerfile: Dockerfile, report: Report) -> Failure | None:
    """Get those of the lab's own bases that the build needs and that are missing."""
    wanted = set()
    for stage in dockerfile.needed(dockerfile.target()):
        for name in (stage.base, *(name for i in stage.executed for name in copied_from(i))):
            short = name.removeprefix("docker.io/").removeprefix("library/")
            if short in bases.TAGS:
                wanted.add(short)
    try:
        bases.ensure(engine, sorted(wanted), report=report)
    except BaseImageError as error:
        return base_missing(error, dockerfile)
    except LabError as error:
        return explain(error, dockerfile, None)
    return None


def _copied(entry: contexts.Entry, target: Path) -> contexts.Entry:
    """An entry whose content is a copy's; one that cannot be read is left as it is, and fails when it is sent."""
    mode = entry.status.st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(entry.path.readlink())
        return replace(entry, path=target)
    if not stat.S_ISREG(mode):
        return entry
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return entry
    with os.fdopen(descriptor, "rb") as source, target.open("wb") as copy:
        left = contexts.MAX_BYTES
        while left > 0 and (piece := source.read(min(left, 1 << 20))):
            left -= len(piece)
            copy.write(piece)
    return written(entry.name, target, None, mode)


def written(name: str, path: Path, content: bytes | None, mode: int) -> contexts.Entry:
    """An entry for a file of ours, with the mode that it has in the workspace."""
    if content is not None:
        path.write_bytes(content)
    path.chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
    return contexts.Entry(name, path, _with_mode(path.lstat(), mode))


def _with_mode(status: os.stat_result, mode: int) -> os.stat_result:
    return os.stat_result((mode, *status[1:]))
