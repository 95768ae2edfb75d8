"""Where in the Dockerfile a finding belongs, and how its place is told."""

from __future__ import annotations

from collections.abc import Iterable

from layerlab.dockerfile import Instruction, Stage
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import final_chain, line_of


def from_line(evidence: Evidence) -> int | None:
    """The line of the final stage's FROM."""
    chain = final_chain(evidence)
    return chain[0].line if chain else None


def base_stage(evidence: Evidence) -> Stage | None:
    """The stage whose FROM names the external base of the final image (or scratch)."""
    chain = final_chain(evidence)
    return chain[-1] if chain else None


def final_instructions(evidence: Evidence) -> tuple[Instruction, ...]:
    """The instructions that make the final image, those of the stages that it is FROM first."""
    return tuple(each for stage in reversed(final_chain(evidence)) for each in stage.instructions)


def last(evidence: Evidence, *keywords: str) -> Instruction | None:
    """The last instruction of the final image with one of these keywords."""
    return next((each for each in reversed(final_instructions(evidence)) if each.keyword in keywords), None)


def gone_but_stored(snapshot: Snapshot, files: Iterable[File], size: str) -> str:
    """For files that a later layer hides, the sentence that says so; nothing if a container sees one of them."""
    hidden = list(files)
    if not hidden or any(file.visible for file in hidden):
        return ""
    first = hidden[0]
    remover = None if first.hidden_by is None else snapshot.layers[first.hidden_by].line
    who = f"line {remover}" if remover else "a later line"
    line = line_of(snapshot, first)
    where = f"the layer of line {line}" if line else "its own layer"
    return f" {who[0].upper()}{who[1:]} removes that later, but {where} still stores it: {size}."
