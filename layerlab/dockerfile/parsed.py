"""What a Dockerfile says, as plain data."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from layerlab.errors import DockerfileError
from layerlab.ui.text import plain


@dataclass(frozen=True)
class Heredoc:
    """A file written within the Dockerfile."""

    name: str  # the word that ends it, without its quotes
    content: str  # its lines as they stand there, tabs included


@dataclass(frozen=True)
class Mount:
    """What a RUN has mounted while it runs."""

    text: str  # the value of ``--mount`` as it is written
    kind: str  # such as ``bind`` (which it is if nothing is said) or ``cache``
    origin: str  # the stage or image that it is of; empty for the build context and for what is of neither
    source: str  # the absolute path there
    target: str  # the path where the RUN has it; empty if none is said


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    line: int  # the line on which it begins, counted from 1
    end_line: int  # the line on which it ends, heredocs included
    keyword: str  # in capitals, such as ``RUN``
    # Name and value of each flag in their order, such as ``("from", "build")``; a flag that is only named, such as
    # ``--link``, has an empty value.
    flags: tuple[tuple[str, str], ...]
    value: str  # everything after keyword and flags, on one line
    # The value's parts: the strings of a JSON form, else the words of ADD, ARG (quotes kept), COPY and FROM, else the
    # value itself; none if there is nothing.
    arguments: tuple[str, ...]
    is_json: bool  # whether it has the JSON form, which docker calls exec form
    stage: int | None  # the index of its stage; None before the first FROM
    step: int | None  # the number that BuildKit gives it within its stage; None for one that makes no step
    heredocs: tuple[Heredoc, ...]  # the heredocs that belong to it
    text: str  # its lines as they stand in the file
    onbuild: int | None = None  # the line of the ONBUILD that asks for it; None for what a stage does of itself

    @property
    def written_on(self) -> int:
        """The line to look at: its own, or that of the ONBUILD that asks for it."""
        return self.onbuild or self.line

    def flag(self, name: str) -> str | None:
        """The value of a flag, the last one's if it is repeated; None if it is not there."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What it has mounted, in the order in which it says so; variables are not replaced."""
        return tuple(_mount(value) for name, value in self.flags if name == "mount")

    @property
    def summary(self) -> str:
        """The instruction on one line, spaces folded, heredocs left out."""
        flags = (f"--{name}={value}" if value else f"--{name}" for name, value in self.flags)
        return " ".join(" ".join([self.keyword, *flags, self.value]).split())


@dataclass(frozen=True)
class Stage:
    """One stage of a Dockerfile."""

    index: int  # its number, counted from 0
    name: str  # the name that ``AS`` gives it, in lower case as BuildKit has it; empty if it has none
    base: str  # what it is FROM, the ARGs before the first FROM expanded
    line: int  # the line of its FROM
    platform: str | None  # what ``--platform`` says, expanded likewise; None if it says nothing
    instructions: tuple[Instruction, ...]  # its instructions, FROM first
    # What the stage that it is FROM asks for by ONBUILD. It runs right after FROM and has its line. (What an image
    # from outside asks for is not known here.)
    triggered: tuple[Instruction, ...] = ()

    @property
    def label(self) -> str:
        """Its name, or its index where it has none."""
        return self.name or str(self.index)

    @property
    def executed(self) -> tuple[Instruction, ...]:
        """What is done in it, in this order: FROM, what ONBUILD asks for, its other instructions."""
        return (*self.instructions[:1], *self.triggered, *self.instructions[1:])


@dataclass(frozen=True)
class Dockerfile:
    """What a Dockerfile says."""

    text: str  # the file itself
    instructions: tuple[Instruction, ...]  # all of them in their order, those before the first FROM included
    stages: tuple[Stage, ...]  # the stages in their order; at least one
    # The values of the ARGs before the first FROM, and of those that BuildKit sets itself (TARGETARCH ...): what an
    # ARG of a stage takes up that gives none. None where the value is not known here.
    arguments: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def find_stage(self, reference: str) -> Stage | None:
        """The stage that a name, in any case, or an index stands for; None for anything else, such as an image."""
        for stage in reversed(self.stages):  # of two stages with one name, BuildKit takes the later
            if reference == str(stage.index) or (stage.name and reference.lower() == stage.name):
                return stage
        return None

    def base_stage(self, stage: Stage) -> Stage | None:
        """The earlier stage that this one is FROM; None if it is FROM an image or from scratch."""
        earlier = reversed(self.stages[: stage.index])
        return next((other for other in earlier if other.name and other.name == stage.base.lower()), None)

    def chain(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that are FROM one another down to this one, the one that is FROM an external base first."""
        below = self.base_stage(stage)
        return (*self.chain(below), stage) if below else (stage,)

    def dependencies(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that this one takes something from: by FROM, ``COPY --from`` or ``RUN --mount=from=``."""
        base = self.base_stage(stage)
        found = {base.index: base} if base else {}
        for instruction in stage.executed:
            for reference in copied_from(instruction):
                source = self.find_stage(reference)
                if source and source.index != stage.index:
                    found[source.index] = source
        return tuple(found[index] for index in sorted(found))

    def target(self, name: str | None = None) -> Stage:
        """The stage that is built: the one with this name or index, else the last.

        Raises:
            DockerfileError: there is no such stage.
        """
        if name is None:
            return self.stages[-1]
        stage = self.find_stage(name)
        if stage is None:
            known = ", ".join(other.label for other in self.stages)
            raise DockerfileError(
                f"the Dockerfile has no stage {name!r} (its stages: {known})",
                remedy="name one of these, or none for the last",
            )
        return stage

    def needed(self, target: Stage) -> tuple[Stage, ...]:
        """The stages that BuildKit builds for this target: itself and all that it depends on."""
        seen: dict[int, Stage] = {}
        todo = [target]
        while todo:
            stage = todo.pop()
            if stage.index not in seen:
                seen[stage.index] = stage
                todo.extend(self.dependencies(stage))
        return tuple(seen[index] for index in sorted(seen))


def copied_from(instruction: Instruction) -> tuple[str, ...]:
    r"""The stages or images that an instruction reads from (``--from``, ``--mount``'s ``from``), as it names them.

    >>> from layerlab.dockerfile import parse
    >>> copied_from(parse("FROM a\nCOPY --from=build /x /y\n").instructions[1])
    ('build',)
    """
    references = [value for name, value in instruction.flags if name == "from" and value]
    return (*references, *(mount.origin for mount in instruction.mounts if mount.origin))


def _mount(text: str) -> Mount:
    options = dict(option.partition("=")[::2] for option in text.split(","))
    source = options.get("source") or options.get("src") or ""
    target = options.get("target") or options.get("dst") or options.get("destination") or ""
    kind = options.get("type") or "bind"
    return Mount(text, kind, options.get("from", ""), posixpath.normpath(f"/{source.lstrip('/')}"), target)


def excerpt(text: str, line: int, context: int = 2) -> str:
    """The lines of a text around one line with their numbers, an arrow before that one."""
    lines = text.removesuffix("\n").split("\n")
    first, last = max(1, line - context), min(len(lines), line + context)
    width = len(str(last))
    return "\n".join(
        f"{'→' if number == line else ' '} {number:>{width}} │ {plain(lines[number - 1]).expandtabs(4)}".rstrip()
        for number in range(first, last + 1)
    )
