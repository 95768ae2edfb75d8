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
from layerlab.image import history as histories
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
    stack = image.stack
    rows, layer_rows = _rows(stack, dockerfile)
    stages, layer_stages = _stages(stack, dockerfile)
    entry_rows = np.array([*layer_rows, NONE], dtype=np.int64)[stack.merged.layers]
    entry_stages = np.array([*layer_stages, NONE], dtype=np.int64)[stack.merged.layers]
    known = image.files.columns
    if dockerfile is not None and "line" in known:
        lines = image.files["line"].astype("Int64").fillna(0).to_numpy(dtype=np.int64, na_value=0)
        told = (lines > 0) & (lines <= len(rows))
        entry_rows[stack.visible[told]] = lines[told] - 1
    if "stage" in known:
        told_stages = image.files["stage"].tolist()
        if dockerfile is not None:
            rows_of = entry_rows[stack.visible].tolist()
            told_stages = [_in_words(dockerfile, *told) for told in zip(told_stages, rows_of, strict=True)]
        _take_texts(told_stages, stack, stages, entry_stages)
    judgements: list[str] = []
    entry_judgements = np.full(len(entry_rows), NONE, dtype=np.int64)
    if "cause" in known:
        _take_texts(image.files["cause"].tolist(), stack, judgements, entry_judgements)
    return Origins(rows, layer_rows, stages, judgements, entry_rows, entry_stages, entry_judgements)


def _in_words(dockerfile: Dockerfile, stage: object, row: int) -> object:
    """A file's stage as the explorer calls it: what came with a stage's FROM is the base image's."""
    found = dockerfile.find_stage(stage) if isinstance(stage, str) and stage else None
    if found is None:
        return stage
    return f"base image {found.base}" if row == found.line - 1 else _name(dockerfile, found)


def _take_texts(column: Sequence[object], stack: LayerStack, names: list[str], codes: NDArray[np.int64]) -> None:
    """Let a column of the table of files say something of the visible entries; new names go to the end of `names`."""
    for entry, value in zip(stack.visible.tolist(), column, strict=True):
        if isinstance(value, str) and value:
            if value not in names:
                names.append(value)
            codes[entry] = names.index(value)


def _rows(stack: LayerStack, dockerfile: Dockerfile | None) -> tuple[list[dict[str, Any]], list[int]]:
    return _history(stack) if dockerfile is None else _lines(stack, dockerfile)


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


def _lines(stack: LayerStack, dockerfile: Dockerfile) -> tuple[list[dict[str, Any]], list[int]]:
    """A row per line of the Dockerfile. What lies below all that it made came with the FROM."""
    lines = [printable(line.expandtabs(4)) for line in dockerfile.text.removesuffix("\n").split("\n")]
    first = list(range(len(lines)))
    for instruction in dockerfile.instructions:
        for line in range(instruction.line, min(instruction.end_line, len(lines)) + 1):
            first[line - 1] = instruction.line - 1
    rows = [{"number": place + 1, "text": said, "first": first[place]} for place, said in enumerate(lines)]
    base = _chain(dockerfile)[0].line - 1
    lowest = min(stack.origins, default=0)
    found = []
    for index in range(len(stack.layers)):
        if index in stack.origins:
            found.append(stack.origins[index].line - 1)
        else:
            found.append(base if stack.origins and index < lowest else NONE)
    return rows, found


def _stages(stack: LayerStack, dockerfile: Dockerfile | None) -> tuple[list[str], list[int]]:
    """The stages, as far as a layer's instruction tells: the base, what a COPY takes from, or the stage itself."""
    if dockerfile is None or not stack.origins:
        return [], [NONE] * len(stack.layers)
    names: list[str] = []

    def number(name: str) -> int:
        if name not in names:
            names.append(name)
        return names.index(name)

    base = number(f"base image {_chain(dockerfile)[0].base}")
    lowest = min(stack.origins)
    found = []
    for index in range(len(stack.layers)):
        instruction = stack.origins.get(index)
        if instruction is None or instruction.stage is None:
            found.append(base if index < lowest else NONE)
        elif source := instruction.flag("from"):
            found.append(number(_named(dockerfile, source)))
        else:
            found.append(number(_name(dockerfile, dockerfile.stages[instruction.stage])))
    return names, found


def _chain(dockerfile: Dockerfile) -> list[Stage]:
    """The final stage and those that it is FROM, the lowest first."""
    chain = [dockerfile.stages[-1]]
    while base := dockerfile.base_stage(chain[0]):
        chain.insert(0, base)
    return chain


def _named(dockerfile: Dockerfile, source: str) -> str:
    """What a ``COPY --from`` takes from: a stage by its name or number, or an image."""
    stage = dockerfile.find_stage(source)
    return _name(dockerfile, stage) if stage else f"image {source}"


def _name(dockerfile: Dockerfile, stage: Stage) -> str:
    return "final stage" if stage is dockerfile.stages[-1] and not stage.name else f"stage {stage.label}"
