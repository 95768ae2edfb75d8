"""Causes by place, as plain data: no pandas, which takes longer to import than an image takes to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from layerlab.image.stack import LayerStack
from layerlab.ui.text import shown
from layerlab.xray.waste.bytes_by_cause import CAUSES, Needless

EXAMPLES: Final = 3
SMALLEST_REMARK: Final = 100_000
"""Bytes that are worth doing something about."""


@dataclass(frozen=True)
class Cause:
    """The bytes of one cause in one layer.

    Attributes:
        cause: One of `bytes_by_cause.CAUSES`.
        is_fact: Whether it is one; a judgement otherwise.
        bytes: Of its files.
        files: How many.
        layer: The layer that stores them.
        line: The line of the Dockerfile that made it, where it is known.
        by_layer: For a fact, the layer that took the files away.
        by_line: Its line.
        details: What they are, the most bytes first.
        examples: Paths of the largest.
    """

    cause: str
    is_fact: bool
    bytes: int
    files: int
    layer: int
    line: int | None
    by_layer: int | None
    by_line: int | None
    details: tuple[str, ...]
    examples: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "details": list(self.details), "examples": list(self.examples)}


@dataclass(frozen=True)
class Remark:
    """What a cause asks for, as far as can be said without the Dockerfile.

    Attributes:
        title: What to do.
        why: What was seen.
        line: The line of the Dockerfile, where it is known.
        bytes: What that would save.
        cause: What it is about.
    """

    title: str
    why: str
    line: int | None
    bytes: int
    cause: Cause

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"title": self.title, "why": self.why, "line": self.line, "bytes": self.bytes, "mechanical": False}


def remarks(stack: LayerStack, causes: list[Cause]) -> list[Remark]:
    """What to do about the causes of 0.1 MB or more, the most bytes first."""
    found = []
    for cause in causes:
        if cause.bytes < SMALLEST_REMARK:
            continue
        stored = _place(stack, cause.layer, cause.line)
        if cause.by_layer is not None:
            takes = _place(stack, cause.by_layer, cause.by_line)
            title = f"{takes} takes away what {stored} stores: do both in one step"
            why = f"{cause.cause}: no container sees these files, and every layer keeps what it stores"
        else:
            title = f"{stored} leaves {cause.cause}: leave them out in the same step"
            why = f"by the look of it, nothing that runs needs {cause.examples[0]} and the like"
        found.append(Remark(title, why, cause.line, cause.bytes, cause))
    return sorted(found, key=lambda remark: -remark.bytes)


def _place(stack: LayerStack, layer: int, line: int | None) -> str:
    if line is not None:
        return f"line {line}"
    words = " ".join(stack.instructions[layer].split())
    return f"layer {layer} ({words[:50]}{'…' * (len(words) > 50)})"


def grouped(stack: LayerStack, rows: list[Needless]) -> list[Cause]:
    """The causes: facts first, then judgements; within each the most bytes first."""
    places: dict[tuple[str, int, int | None], list[Needless]] = {}
    for row in rows:
        places.setdefault((row.cause, row.layer, row.by_layer), []).append(row)
    found = [_cause(stack, key, inside) for key, inside in places.items()]
    return sorted(found, key=lambda cause: (not cause.is_fact, -cause.bytes, CAUSES.index(cause.cause), cause.layer))


def _cause(stack: LayerStack, key: tuple[str, int, int | None], rows: list[Needless]) -> Cause:
    cause, layer, by_layer = key
    details: dict[str, int] = {}
    for row in rows:
        if row.detail:
            details[row.detail] = details.get(row.detail, 0) + row.bytes
    largest = sorted(rows, key=lambda row: (-row.bytes, row.entry))[:EXAMPLES]
    lines = stack.lines
    return Cause(
        cause=cause,
        is_fact=by_layer is not None,
        bytes=sum(row.bytes for row in rows),
        files=len(rows),
        layer=layer,
        line=lines[layer],
        by_layer=by_layer,
        by_line=None if by_layer is None else lines[by_layer],
        details=tuple(sorted(details, key=lambda detail: -details[detail])),
        examples=tuple(shown(stack.merged.paths[row.entry]) for row in largest),
    )
