"""Which line and which stage each entry comes from, and the text beside the tree that has those lines.

Where the image's table of files has columns of its own for that (`stage`, `line`, `cause`), they count. Where it has
none, what is known of the layer holds for all that it stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from layerlab.dockerfile import Dockerfile, Stage
from layerlab.image import Image
from layerlab.image import instructions as histories
from layerlab.image.stack import LayerStack
from layerlab.ui.text import printable, shown

NONE: Final = -1


@dataclass(frozen=True, eq=False)
class Origins:
    """Where entries come from.

    Attributes:
        rows: The text beside the tree: `number` (the line, counted from 1; the layer's index, counted from 0, in a
            history; None where there is none), `text`, and `first` (the index of the row on which its instruction
            begins).
        layer_rows: For each layer the index of its row, or `NONE`.
        stages: The names of stages.
        judgements: What parts of the image are called waste that are not wasted as a fact.
        entry_rows, entry_stages, entry_judgements: For each entry of the merged filesystem an index, or `NONE`.
    """

    rows: list[dict[str, Any]]
    layer_rows: list[int]
    stages: list[str]
    judgements: list[str]
    entry_rows: NDArray[np.int64]
    entry_stages: NDArray[np.int64]
    entry_judgements: NDArray[np.int64]


def origins(image: Image, dockerfile: Dockerfile | None) -> Origins:
    """Where the entries of an image come from.

    Args:
        image: The image.
        dockerfile: What it was built from; None if that is not known: then its history stands beside the tree.
    """
    stack, known = image.stack, image.files
    stages: dict[str, int] = {}
    judgements: dict[str, int] = {}
    rows, layer_rows = _history(stack) if dockerfile is None else (_lines(dockerfile), [])
    layer_stages = [NONE] * len(stack.layers)
    if dockerfile is not None:
        layer_rows, layer_stages = _layer_origins(stack, dockerfile, stages)
    entry_rows = np.array([*layer_rows, NONE], dtype=np.int64)[stack.merged.layers]
    entry_stages = np.array([*layer_stages, NONE], dtype=np.int64)[stack.merged.layers]
    entry_judgements = np.full(len(entry_rows), NONE, dtype=np.int64)
    if dockerfile is not None and "line" in known:
        lines = known["line"].astype("Int64").fillna(0).to_numpy(dtype=np.int64, na_value=0)
        told = (lines > 0) & (lines <= len(rows))
        entry_rows[stack.visible[told]] = lines[told] - 1
    if "stage" in known:
        names = known["stage"].tolist()
        if dockerfile is not None:
            rows_of = entry_rows[stack.visible].tolist()
            names = [_in_words(dockerfile, *told) for told in zip(names, rows_of, strict=True)]
        _take_texts(names, stack, stages, entry_stages)
    if "cause" in known:
        _take_texts(known["cause"].tolist(), stack, judgements, entry_judgements)
    return Origins(rows, layer_rows, list(stages), list(judgements), entry_rows, entry_stages, entry_judgements)


def _in_words(dockerfile: Dockerfile, stage: object, row: int) -> object:
    """A file's stage as the explorer calls it: what came with a stage's FROM is the base image's."""
    found = dockerfile.find_stage(stage) if isinstance(stage, str) and stage else None
    if found is None:
        return stage
    return f"base image {found.base}" if row == found.line - 1 else _name(dockerfile, found)


def _take_texts(column: list[object], stack: LayerStack, known: dict[str, int], codes: NDArray[np.int64]) -> None:
    """Let a column of the table of files say something of the visible entries; new ones join the known."""
    for entry, value in zip(stack.visible.tolist(), column, strict=True):
        if isinstance(value, str) and value:
            codes[entry] = known.setdefault(value, len(known))


def _history(stack: LayerStack) -> tuple[list[dict[str, Any]], list[int]]:
    """A row per entry of the history, also for those that made no layer."""
    entries = histories.entries(stack.config, len(stack.layers))
    told: Sequence[tuple[str, int | None]] = [(histories.instruction(one.raw), one.layer) for one in entries]
    if not told:
        told = [(f"layer {index}", index) for index in range(len(stack.layers))]
    rows = [
        {"number": layer, "text": printable(shown(said)), "first": place} for place, (said, layer) in enumerate(told)
    ]
    place_of = {layer: place for place, (_, layer) in enumerate(told) if layer is not None}
    return rows, [place_of.get(index, NONE) for index in range(len(stack.layers))]


def _lines(dockerfile: Dockerfile) -> list[dict[str, Any]]:
    """A row per line of the Dockerfile."""
    lines = [printable(line.expandtabs(4)) for line in dockerfile.text.removesuffix("\n").split("\n")]
    first = list(range(len(lines)))
    for instruction in dockerfile.instructions:
        for line in range(instruction.line, min(instruction.end_line, len(lines)) + 1):
            first[line - 1] = instruction.line - 1
    return [{"number": place + 1, "text": said, "first": first[place]} for place, said in enumerate(lines)]


def _layer_origins(stack: LayerStack, dockerfile: Dockerfile, stages: dict[str, int]) -> tuple[list[int], list[int]]:
    """The row and the stage of each layer, as far as its instruction tells; new stages join those that are known.

    What lies below all that the Dockerfile made came with the lowest FROM. What a COPY takes belongs to its source.
    """
    base = dockerfile.chain(dockerfile.stages[-1])[0]
    of_base = base.line - 1, stages.setdefault(f"base image {base.base}", len(stages))
    lowest = min(stack.origins, default=0)
    found = [of_base if index < lowest else (NONE, NONE) for index in range(len(stack.layers))]
    for index, instruction in sorted(stack.origins.items()):
        source = instruction.flag("from")
        stage = dockerfile.find_stage(source) if source else dockerfile.stages[instruction.stage or 0]
        name = _name(dockerfile, stage) if stage else f"image {source}"
        found[index] = instruction.line - 1, stages.setdefault(name, len(stages))
    return [row for row, _ in found], [stage for _, stage in found]


def _name(dockerfile: Dockerfile, stage: Stage) -> str:
    return "final stage" if stage is dockerfile.stages[-1] and not stage.name else f"stage {stage.label}"
