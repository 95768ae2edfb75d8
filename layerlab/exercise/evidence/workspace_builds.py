"""Builds a workspace for a check: the final image, each other stage that ran, and again after a change of the app.

What is built is a private copy: the context's files as they were when the check began, and the Dockerfile as
`adapted` makes it. Whatever goes wrong is no exception but a `Failure` that says whose fault it is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from layerlab import bases
from layerlab import dockerfile as dockerfiles
from layerlab.builder import Build, Trials, adapted
from layerlab.builder import context as contexts
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.errors import LabError, StepFailed
from layerlab.exercise.evidence.blame import explain
from layerlab.exercise.evidence.facts import Failure, RanStep
from layerlab.exercise.workspace import Workspace
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import one_line, plain

TIMEOUT: Final = 600.0  # seconds of one build
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
        trials: Where it is built.
    """

    dockerfile: Dockerfile
    context: contexts.Context = field(repr=False)
    adapted: Dockerfile = field(repr=False)
    trials: Trials = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of the build.

    Attributes:
        image_id: Of the final image; None if there is none.
        ran: The steps that came to their end, in the order of the Dockerfile.
        failure: Why there is no image.
    """

    image_id: str | None
    ran: tuple[RanStep, ...] = ()
    failure: Failure | None = None


def prepare(trials: Trials, workspace: Workspace) -> Prepared:
    """A private copy of a workspace that has no trouble.

    Args:
        trials: Where it will be built; the copy is gone with it.
        workspace: What to copy.

    Raises:
        ValueError: the workspace has a failure that keeps it from being built.
        OSError: there is no room for the copy.
    """
    if workspace.dockerfile is None or workspace.sent is None:
        raise ValueError("there is nothing to build")
    scratch = trials.scratch
    text = adapted.with_names(workspace.sent.text, workspace.dockerfile)
    found = adapted.frontend(text)
    if found and adapted.is_official(found[1]) and not bases.can_be_had(trials.engine, found[1], trials.report):
        text = adapted.without_frontend(text)
    name = SENT_NAME if workspace.dockerfile_is_ignored else workspace.sent.dockerfile
    entries = {
        entry.name: _copied(entry, scratch / str(number))
        for number, entry in enumerate(workspace.sent.entries)
        if entry.name != workspace.sent.dockerfile
    }
    mode = next(e.status.st_mode for e in workspace.sent.entries if e.name == workspace.sent.dockerfile)
    entries[name] = written(name, scratch / "Dockerfile", text.encode(), mode)
    context = contexts.Context(scratch, name, text, tuple(entries[key] for key in sorted(entries)))
    parsed = dockerfiles.parse(text, platform=trials.engine.platform)
    return Prepared(workspace.dockerfile, context, parsed, trials)


def build_final(prepared: Prepared, report: Report = silent, *, timeout: float = TIMEOUT) -> Outcome:
    """Build the final image; the lab's own bases are got first, if any is missing."""
    try:
        bases.ensure_for(prepared.trials.engine, prepared.dockerfile, report=report)
    except LabError as error:
        return Outcome(None, failure=explain(error, prepared.dockerfile, None))
    recorder = Recorder(prepared, report)
    built, failure, _ = attempt(prepared, prepared.context, recorder, timeout)
    if built is None:
        return Outcome(None, recorder.ran(), failure)
    return Outcome(built.image_id, recorder.ran())


def attempt(
    prepared: Prepared,
    context: contexts.Context,
    recorder: Recorder,
    timeout: float,
) -> tuple[Build | None, Failure | None, str]:
    """Build; where that does not succeed, whose fault it is, and what the step said that failed."""
    try:
        return prepared.trials.build(context, timeout=timeout, report=recorder), None, ""
    except LabError as error:
        said = f"{error.log}\n{error}" if isinstance(error, StepFailed) else ""
        return None, explain(error, prepared.dockerfile, recorder.running()), said


def build_stage(prepared: Prepared, stage: Stage, report: Report = silent, *, timeout: float = TIMEOUT) -> str:
    """The id of the image of one stage, whose steps are in the builder's cache by now, unless it had to make room.

    Raises:
        LabError: it cannot be built.
    """
    recorder = Recorder(prepared, report)
    target = prepared.adapted.stages[stage.index].label
    built = prepared.trials.build(prepared.context, target=target, timeout=timeout, report=recorder)
    return built.image_id


class Recorder:
    """Remembers the steps of a build as they are reported, under the learner's labels and lines."""

    def __init__(self, prepared: Prepared, report: Report) -> None:
        self._stages = {stage.label: stage.index for stage in prepared.adapted.stages}
        self._dockerfile = prepared.dockerfile
        self._report = report
        self._steps: dict[str, Step] = {}

    def __call__(self, step: Step) -> None:
        if step.stage:
            self._steps[step.key] = step
        self._report(step)

    def ran(self) -> tuple[RanStep, ...]:
        """The steps that came to their end, in the order of the Dockerfile."""
        ended = [step for step in self._steps.values() if step.state in {"done", "cached"}]
        return tuple(map(self.told, sorted(ended, key=self._position)))

    def told(self, step: Step) -> RanStep:
        """A step that has been reported, under the learner's label and line."""
        cached = step.state == "cached"
        seconds = None if cached else step.seconds
        return RanStep(self._label(step), self._line(step), self._instruction(step), cached, seconds)

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
    return contexts.Entry(name, path, os.stat_result((mode, *path.lstat()[1:])))
