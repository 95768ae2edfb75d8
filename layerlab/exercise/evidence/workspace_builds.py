"""Builds a workspace for a check: the final image, each other stage that ran, and again after a change of the app.

What is built is a private copy: the context's files as they were when the check began, and the Dockerfile as
`adapted` makes it. Whatever goes wrong is no exception but a `Failure` that says whose fault it is.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from layerlab import bases
from layerlab import dockerfile as dockerfiles
from layerlab.builder import Trials, adapted
from layerlab.builder import context as contexts
from layerlab.builder.trials import TIMEOUT
from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.engine import Engine
from layerlab.errors import Failure, LabError, StepFailed
from layerlab.exercise.evidence.blame import explain
from layerlab.exercise.evidence.facts import RanStep
from layerlab.exercise.workspace import Workspace
from layerlab.ui.progress import Report, Step
from layerlab.ui.text import one_line, plain

SENT_NAME: Final = ".layerlab-dockerfile"
"""The Dockerfile's name in the context where ``.dockerignore`` names it: the engine's API has no other way to get
it, so ``COPY . .`` ships it where `docker build` would not. Whoever looks at the image has to pass over it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a build."""

    image_id: str | None  # of its image; None if there is none
    ran: tuple[RanStep, ...] = ()  # the steps, in the order of the Dockerfile
    failure: Failure | None = None  # why there is no image
    said: str = ""  # what the step has said that failed


@dataclass(frozen=True)
class Prepared:
    """A private copy of a workspace, ready to be built, as it is or changed."""

    workspace: Workspace  # what it is a copy of; lines and labels that are told are those of its Dockerfile
    context: contexts.Context = field(repr=False)  # what is sent to the engine
    adapted: Dockerfile = field(repr=False)  # what is sent as Dockerfile, parsed
    trials: Trials = field(repr=False)  # where it is built, and what is told of each step

    @property
    def dockerfile(self) -> Dockerfile:
        """The learner's."""
        return self.workspace.dockerfile

    @property
    def engine(self) -> Engine:
        """Where it is built."""
        return self.trials.engine

    def build(self, context: contexts.Context, report: Report, *, timeout: float = TIMEOUT) -> Outcome:
        """Build a context; where that does not succeed, the outcome says whose fault it is."""
        steps: dict[str, Step] = {}

        def listen(step: Step) -> None:
            if step.stage:
                steps[step.key] = step
            report(step)

        try:
            built = self.trials.build(context, timeout=timeout, report=listen)
        except LabError as error:
            said = f"{error.log}\n{error}" if isinstance(error, StepFailed) else ""
            going_on = [each for each in steps.values() if each.state == "running" and not each.from_cache]
            running = next((each.line for each in reversed(going_on) if each.line is not None), None)
            return Outcome(None, failure=explain(error, self.dockerfile, running), said=said)
        ended = (each for each in steps.values() if each.state in {"done", "cached"})
        return Outcome(built.image_id, tuple(map(self.told, sorted(ended, key=lambda each: each.line or 0))))

    def experiment(
        self,
        called: str,  # in a few words
        context: contexts.Context,
        # Is given each step as it is reported, and as it is told of; what it raises ends the build.
        look: Callable[[Step, RanStep], None] = lambda _step, _told: None,
    ) -> Outcome:
        """Build a changed context."""

        def listen(step: Step) -> None:
            self.trials.report(replace(step, key=f"{called} {step.key}", title=f"{called}: {step.title}"))
            if step.stage:
                look(step, self.told(step))

        return self.build(context, listen)

    def told(self, step: Step) -> RanStep:
        """A step that has been reported, under the learner's label and line; what ONBUILD asks for has no line."""
        written = [each for each in self.dockerfile.instructions if each.line == step.line]
        words = plain(written[0].summary) if written else one_line(step.title.partition("] ")[2])
        line = None if any(each.keyword == "ONBUILD" for each in written) else step.line
        stage = next((each for each in self.adapted.stages if each.label == step.stage), None)
        label = self.dockerfile.stages[stage.index].label if stage else step.stage
        is_cached = step.state == "cached"
        return RanStep(label, line, words, is_cached, None if is_cached else step.seconds)

    def up_to(self, run: Instruction, mounts: str, without: Sequence[str] = ()) -> str:
        """The Dockerfile up to a RUN, which gets these options and loses those mounts."""
        lines = self.context.text.split("\n")[: run.end_line]
        for number in range(run.line - 1, run.end_line):
            for mount in without:
                lines[number] = lines[number].replace(f"--mount={mount}", "", 1)
        first = run.line - 1
        lines[first] = re.sub(r"^(\s*RUN)\b", rf"\g<1> {mounts}", lines[first], count=1, flags=re.IGNORECASE)
        return "\n".join(lines) + "\n"

    def changed(self, contents: Mapping[str, bytes], dockerfile: str = "") -> contexts.Context:
        """The context with other contents of some files, new ones included, and perhaps another Dockerfile."""
        context = self.context
        folder = Path(tempfile.mkdtemp(dir=self.trials.scratch))
        entries = {entry.name: entry for entry in context.entries}
        texts = {context.dockerfile: dockerfile.encode()} if dockerfile else {}
        for number, (name, content) in enumerate({**contents, **texts}.items()):
            mode = entries[name].status.st_mode if name in entries else stat.S_IFREG | 0o644
            entries[name] = written(name, folder / str(number), content, mode)
        ordered = tuple(entries[name] for name in sorted(entries))
        return replace(context, text=dockerfile or context.text, entries=ordered)


def prepare(trials: Trials, workspace: Workspace) -> Prepared:
    """A private copy of a workspace, gone with the place where it will be built.

    Raises:
        OSError: there is no room for the copy.
    """
    scratch = trials.scratch
    text = adapted.with_names(workspace.sent.text, workspace.dockerfile)
    _, image = adapted.frontend(text) or (0, "")
    if adapted.OFFICIAL.fullmatch(image) and not bases.can_be_had(trials.engine, image, trials.report):
        text = adapted.without_frontend(text)
    name = SENT_NAME if workspace.sent.dockerfile_is_ignored else workspace.sent.dockerfile
    entries = {
        entry.name: _copied(entry, scratch / str(number))
        for number, entry in enumerate(workspace.sent.entries)
        if entry.name != workspace.sent.dockerfile
    }
    mode = next(e.status.st_mode for e in workspace.sent.entries if e.name == workspace.sent.dockerfile)
    entries[name] = written(name, scratch / "Dockerfile", text.encode(), mode)
    context = contexts.Context(scratch, name, text, tuple(entries[key] for key in sorted(entries)))
    parsed = dockerfiles.parse(text, platform=trials.engine.platform)
    return Prepared(workspace, context, parsed, trials)


def build_final(prepared: Prepared, *, timeout: float = TIMEOUT) -> Outcome:
    """Build the final image; the lab's own bases are got first, if any is missing."""
    try:
        bases.ensure_for(prepared.engine, prepared.dockerfile, report=prepared.trials.report)
    except LabError as error:
        return Outcome(None, failure=explain(error, prepared.dockerfile, None))
    return prepared.build(prepared.context, prepared.trials.report, timeout=timeout)


def build_stage(prepared: Prepared, stage: Stage) -> str:
    """The id of the image of one stage, whose steps are in the builder's cache by now, unless it had to make room.

    Raises:
        LabError: it cannot be built.
    """
    return prepared.trials.build(prepared.context, target=prepared.adapted.stages[stage.index].label).image_id


def _copied(entry: contexts.Entry, target: Path) -> contexts.Entry:
    """An entry whose content is a copy's; one that cannot be read is left as it is, and fails when it is sent."""
    mode = entry.status.st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(entry.path.readlink())
        return replace(entry, path=target)
    if not stat.S_ISREG(mode):
        return entry
    try:
        source = contexts.opened(entry.path)
    except OSError:
        return entry
    with source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return written(entry.name, target, None, mode)


def written(name: str, path: Path, content: bytes | None, mode: int) -> contexts.Entry:
    """An entry for a file of ours, with the mode that it has in the workspace."""
    if content is not None:
        path.write_bytes(content)
    path.chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
    return contexts.Entry(name, path, os.stat_result((mode, *path.lstat()[1:])))
