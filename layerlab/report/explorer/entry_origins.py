"""Which line and which stage each entry comes from, and the text beside the tree that has those lines.

Where the image's table of files has columns of its own for that (`stage`, `line`, `cause`), they count. Where it has
none, what is known of the layer holds for all that it stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.dockerfile import Dockerfile
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
        entry_stages: For each entry of the merged filesystem an index into them, or `NONE`.
        judgements: What parts of the image are called waste that are not wasted as a fact.
        entry_judgements: For each entry an index into them, or `NONE`.
        entry_rows: For each entry the index of its row, or `NONE`.
    """

    rows: list[dict[str, Any]]
    layer_rows: list[int]
    stages: list[str]
    entry_stages: NDArray[np.int64]
    judgements: list[str]
    entry_judgements: NDArray[np.int64]
    entry_rows: NDArray[np.int64]


def origins(image: Image, dockerfile: Dockerfile | None) -> Origins:
    """Where the entries of an image come from.

    Args:
        image: The image.
        dockerfile: What it was built from; None if that is not known: then its history stands beside the tree.
    """
    stack, known = image.stack, image.files
    layers, visible = stack.merged.layers, stack.visible
    layer_stages = [""] * len(stack.layers)
    if dockerfile is None:
        rows, layer_rows = _history(stack)
    else:
        rows = _lines(dockerfile)
        layer_rows, layer_stages = _layer_origins(stack, dockerfile)
    entry_rows = np.array(layer_rows, dtype=np.int64)[layers]
    stages = np.array(layer_stages, dtype=object)[layers]
    judgements = np.full(len(layers), "", dtype=object)
    if dockerfile is not None and "line" in known:
        lines = known["line"].fillna(0).to_numpy(dtype=np.int64)
        entry_rows[visible[lines > 0]] = lines[lines > 0] - 1
    for column, told in (("stage", stages), ("cause", judgements)):
        if column in known:
            said = known[column].fillna("").to_numpy(dtype=object)
            told[visible[said != ""]] = said[said != ""]
    return Origins(rows, layer_rows, *_coded(stages), *_coded(judgements), entry_rows)


def _coded(texts: NDArray[np.object_]) -> tuple[list[str], NDArray[np.int64]]:
    """What is said of entries, each once, and for each entry its index there; `NONE` where nothing is said."""
    codes, names = pd.factorize(pd.Series(texts).where(texts != ""))
    return list(names), codes


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


def _layer_origins(stack: LayerStack, dockerfile: Dockerfile) -> tuple[list[int], list[str]]:
    """The row and the stage of each layer, as far as its instruction tells.

    What lies below all that the Dockerfile made came with the lowest FROM. What a COPY takes belongs to its source.
    """
    base = dockerfile.chain(dockerfile.stages[-1])[0]
    lowest = min(stack.origins, default=0)
    count = len(stack.layers)
    rows = [base.line - 1] * lowest + [NONE] * (count - lowest)
    stages = [f"base image {base.base}"] * lowest + [""] * (count - lowest)
    for index, instruction in stack.origins.items():
        source = instruction.flag("from")
        stage = dockerfile.find_stage(source) if source else dockerfile.stages[instruction.stage or 0]
        rows[index] = instruction.line - 1
        stages[index] = f"stage {stage.label}" if stage else f"base image {source}"
    return rows, stages
