"""What to change in a Dockerfile, and how many bytes that would save."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.dockerfile.commands import Command, commands
from layerlab.image import Image
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import FileReader
from layerlab.xray.edits import InstructionChange, edited
from layerlab.xray.effects import Effect, StoredBytes
from layerlab.xray.provenance.file_origins import Origin
from layerlab.xray.tracing import Trace
from layerlab.xray.waste import Needless

SMALLEST: Final = 100_000
"""Bytes that are worth an edit."""


@dataclass(frozen=True)
class Edit:
    """An edit that a program can make.

    Attributes:
        changes: Of the Dockerfile's instructions.
        merges: Lines of RUNs that become one.
        after: What is added to the Dockerfile's end.
        ignored: Lines that are added to ``.dockerignore``.
    """

    changes: tuple[InstructionChange, ...] = ()
    merges: tuple[frozenset[int], ...] = ()
    after: str = ""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
        title: What to do, in a few words.
        why: What was seen that it would save.
        line: The line of the Dockerfile that it is about; None where none is known.
        bytes: What the image would store less; a prediction.
        edit: How, for a program; None where it takes somebody who knows what the image is for.
        effect: What `bytes` was predicted from.
    """

    title: str
    why: str
    line: int | None
    bytes: int
    edit: Edit | None = None
    effect: Effect = field(default_factory=Effect, repr=False, compare=False)

    @property
    def is_mechanical(self) -> bool:
        """Whether a program can make the edit, and so prove what it saves."""
        return self.edit is not None

    def document(self, dockerfile: Dockerfile | None) -> dict[str, Any]:
        """As JSON has it; with the whole Dockerfile as it would be."""
        found: dict[str, Any] = {
            "title": self.title,
            "why": self.why,
            "line": self.line,
            "bytes": self.bytes,
            "mechanical": self.is_mechanical,
        }
        if self.edit is not None and dockerfile is not None:
            found["dockerfile"] = text(dockerfile, [self])
            found["dockerignore"] = list(self.edit.ignored)
        return found


@dataclass(frozen=True, eq=False)
class View:
    """An image as those look at it that find advice.

    Attributes:
        image: The image.
        reader: Its files' bytes.
        rows: What it could do without (`layerlab.xray.waste`).
        trace: Its stages; None if nobody knows its Dockerfile.
    """

    image: Image
    reader: FileReader
    rows: list[Needless]
    trace: Trace | None = None

    @property
    def stack(self) -> LayerStack:
        """What it holds."""
        return self.image.stack

    @property
    def traced(self) -> Trace:
        """Its stages, for advice that is given only where its Dockerfile is known."""
        if self.trace is None:
            raise ValueError("nobody knows the image's Dockerfile")
        return self.trace

    @property
    def dockerfile(self) -> Dockerfile:
        """Its Dockerfile, where that is known."""
        return self.traced.dockerfile

    @property
    def base_layers(self) -> int:
        """How many layers came with the base image, as far as that is known."""
        return self.trace.origins.layer_history.base_layers if self.trace else 0

    @cached_property
    def stored(self) -> StoredBytes:
        """Its stored bytes."""
        return StoredBytes(self.stack)

    @cached_property
    def instructions(self) -> dict[int, Instruction]:
        """What made its layers, where it is known; what a base asks for by ONBUILD is on the line of its FROM."""
        if self.trace is None:
            return self.stack.origins
        steps = self.trace.origins.layer_history.steps
        return {
            layer: replace(step.instruction, line=step.line)
            for layer, step in steps.items()
            if step.instruction is not None
        }

    @cached_property
    def by_line(self) -> dict[int, int]:
        """The layers that instructions of the Dockerfile made, by their lines."""
        own = {each.line for each in self.dockerfile.instructions if each.keyword != "FROM"}
        return {each.line: layer for layer, each in self.instructions.items() if each.line in own}

    def run_on(self, line: int | None) -> Instruction | None:
        """The RUN on a line."""
        return next(
            (each for each in self.dockerfile.instructions if (each.line, each.keyword) == (line, "RUN")), None
        )

    def commands(self, run: Instruction) -> tuple[Command, ...]:
        """The commands of a RUN."""
        return commands(self.dockerfile, run)

    def origin(self, entry: int) -> Origin:
        """Where a file came from."""
        return self.trace.origins.origin(entry) if self.trace else Origin("unknown")

    def source(self, entry: int) -> str:
        """The path of a file in the image of the stage in which it was at first."""
        origin = self.origin(entry)
        if origin.entry is None:
            return self.stack.merged.paths[entry]
        return self.traced.origins.first_stack(origin).merged.paths[origin.entry]

    def removing(self, entries: Iterable[int]) -> Effect:
        """What it does not to store these entries."""
        return Effect(removed=self.stored.inodes(entries))

    def removing_at(self, paths: Iterable[str]) -> Effect:
        """What it does to store nothing at these paths, in no layer."""
        return Effect(removed=self.stored.at(paths))

    def advise(
        self, title: str, why: str, line: int | None, edit: Edit | None, effect: Effect, *, smallest: int = SMALLEST
    ) -> list[Advice]:
        """An advice, if what it saves is worth an edit."""
        saved = self.stored.saved([effect])
        return [Advice(title, why, line, saved, edit, effect)] if saved >= smallest else []


def text(dockerfile: Dockerfile, advice: list[Advice]) -> str:
    """The Dockerfile after all these edits."""
    edits = [each.edit for each in advice if each.edit is not None]
    return edited(
        dockerfile,
        [change for edit in edits for change in edit.changes],
        [lines for edit in edits for lines in edit.merges],
        "\n".join(edit.after for edit in edits if edit.after),
    )
