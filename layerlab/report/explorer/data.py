r"""What the explorer shows of an image, as columns: every entry of every layer, in the order of a walk of the tree.

The document is JSON, deflated (RFC 1950); `assets/data.js` reads it. Names are made fit to be shown here, once:
what is not printable (line ends, escape codes, marks that turn text around) comes as an escape such as ``\u202e``.

``nodes``: a row per path that any layer has, folders before what is in them, the root first.

* ``names``: the last part of the path; of a row that stands for several files, how many
* ``depths``: 0 for the root
* ``counts``: how many entries there are at the path: one for each layer that has something there

``entries``: a row per entry, in the order of the nodes, lower layers first.

* ``kinds``: see `layerlab.image.layer.KINDS`
* ``sizes``: bytes of a file's inode
* ``files``: how many files a row stands for
* ``layers``: the layer that has it; ``gone``: the layer that took it away, -1 for what a container sees
* ``causes``, ``owners``, ``parts``, ``stages``, ``rows``, ``judged``: indexes into ``causes``, ``owners``, ``parts``,
  ``stages``, ``source.rows`` (a line of the Dockerfile or of the history) and ``judgements``; -1 for none

``source.rows``: the text beside the tree: ``number`` (the line, counted from 1; the layer's index, counted from 0, in
a history; None where there is none), ``text``, and ``first`` (the index of the row on which its instruction begins).

Where the image's table of files has columns of its own for origins (`stage`, `line`, `cause`), they count. Where it
has none, what is known of the layer holds for all that it stores.

``links``: groups of entries that are names of one inode. Of those that are there, the first has the bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.dockerfile import Dockerfile
from layerlab.image import Image
from layerlab.image import instructions as histories
from layerlab.image.filesystem import CAUSES, NEVER
from layerlab.image.layer import DIRECTORY, FILE
from layerlab.image.packages import PARTS
from layerlab.image.stack import LayerStack
from layerlab.plots.style import CAUSES as CAUSE_LOOKS
from layerlab.plots.style import PARTS as PART_LOOKS
from layerlab.ui.text import printable, shown

MOST: Final = 120_000  # entries that are sent; beyond it, the smallest files of a folder become one row
NAME: Final = "Dockerfile"
NONE: Final = -1
_NOBODY: Final = "no package"
_NOT_SENT: Final = frozenset({"inodes", "folders"})
_SUMS: Final = ["sizes", "files"]
_STANDS_FOR_MANY: Final = "//"
"""In the path of a row that stands for several files, before a number and words; no real path has an empty part."""

Columns = dict[str, NDArray[np.int64]]


def packed(image: Image, dockerfile: Dockerfile | None = None, *, name: str = NAME) -> bytes:
    """All that the explorer shows, deflated; see `document`."""
    text = json.dumps(document(image, dockerfile, name=name), ensure_ascii=True, separators=(",", ":"))
    return zlib.compress(text.encode("ascii"), 9)


def document(
    image: Image, dockerfile: Dockerfile | None = None, *, name: str = NAME, most: int = MOST
) -> dict[str, Any]:
    """All that the explorer shows, as plain data.

    The image's history stands in the place of a Dockerfile (called `name`) that is not known, or that none of the
    layers fits. Beyond so many entries at `most`, small files are put together.
    """
    stack, table = image.stack, image.files
    layers, visible = stack.merged.layers, stack.visible
    known = dockerfile if stack.origins else None
    layer_stages = [""] * len(stack.layers)
    if known is None:
        rows, layer_rows = _history(stack)
    else:
        rows = _lines(known)
        layer_rows, layer_stages = _layer_origins(stack, known)
    entry_rows = np.array(layer_rows, dtype=np.int64)[layers]
    if known and "line" in table:
        lines = table["line"].fillna(0).to_numpy(dtype=np.int64)
        entry_rows[visible[lines > 0]] = lines[lines > 0] - 1
    said = {"stage": np.array(layer_stages, dtype=object)[layers], "cause": np.full(len(layers), "", dtype=object)}
    for column in said.keys() & set(table):
        texts = table[column].fillna("").to_numpy(dtype=object)
        said[column][visible[texts != ""]] = texts[texts != ""]
    stages, entry_stages = _coded(said["stage"])
    judgements, judged = _coded(said["cause"])
    columns = {**_columns(image), "stages": entry_stages, "rows": entry_rows, "judged": judged}
    return {
        "name": _shown(image.name),
        "layers": [
            {"instruction": _shown(text), "row": row}
            for text, row in zip(stack.instructions, layer_rows, strict=True)
        ],
        "source": {"name": _shown(name) if known else "", "rows": rows},
        "owners": [*(_shown(package.owner) for package in stack.ownership.packages), _NOBODY],
        "parts": list(PARTS),
        "stages": [_shown(stage) for stage in stages],
        "causes": list(CAUSES),
        "judgements": [_shown(cause) for cause in judgements],
        "looks": {
            kind: {name: [looks[name].fill, looks[name].hatch, looks[name].hatch_colour] for name in names}
            for kind, names, looks in (("parts", PARTS, PART_LOOKS), ("causes", CAUSES, CAUSE_LOOKS))
        },
        **_tree(*_thinned(stack.merged.paths, columns, most)),
    }


def _shown(text: str) -> str:
    return printable(shown(text))


def _columns(image: Image) -> Columns:
    """What is said of each entry of the merged filesystem."""
    stack = image.stack
    merged, visible = stack.merged, stack.visible
    count = len(merged.paths)
    nobody = len(stack.ownership.packages)
    owners, parts = np.full(count, nobody, np.int64), np.full(count, -1, np.int64)
    owners[visible] = np.where(stack.ownership.owners < 0, nobody, stack.ownership.owners)
    parts[visible] = stack.parts
    # What is gone belongs to whom the path belongs to now; parts of what left no path are not known.
    gone = np.flatnonzero((merged.gone_by != NEVER) & (merged.kinds != DIRECTORY))
    at = np.array([merged.visible[merged.paths[index]] for index in gone.tolist()], dtype=np.int64)
    replaced = merged.gone_by[at] == NEVER
    owners[gone[replaced]], parts[gone[replaced]] = owners[at[replaced]], parts[at[replaced]]
    return {
        "kinds": merged.kinds.astype(np.int64),
        "sizes": np.where(merged.kinds == FILE, merged.sizes, 0),
        "layers": merged.layers,
        "gone": merged.gone_by,
        "causes": np.where(merged.gone_by == NEVER, -1, merged.causes.astype(np.int64)),
        "owners": owners,
        "parts": parts,
        "files": (merged.kinds == FILE).astype(np.int64),
        "inodes": merged.inodes,
        "folders": merged.folders,
    }


def _thinned(paths: Sequence[str], columns: Columns, most: int) -> tuple[Sequence[str], Columns]:
    """The entries, or fewer that have the same sums.

    Beyond `most` entries, the small files of one folder that agree in everything but their size become one row.
    Directories and inodes with several names stay what they are, so there may still be more than `most`.
    """
    surplus = len(paths) - most
    if surplus <= 0:
        return paths, columns
    table = pd.DataFrame(columns)
    movable = table[~table["inodes"].duplicated(keep=False) & (table["kinds"] != DIRECTORY)]
    group = movable.groupby([name for name in columns if name not in {*_SUMS, "inodes"}]).ngroup()
    small = group[movable["sizes"].nsmallest(surplus + group.nunique()).index]  # a row of each group is left
    small = small[small.duplicated(keep=False)]
    sums = table.loc[small.index, _SUMS].groupby(small).sum()
    counts, first = small.value_counts(), small.drop_duplicates().sort_values()
    kept = np.setdiff1d(np.arange(len(paths)), small.index)
    names = [paths[index] for index in kept.tolist()]
    for index, number in first.items():
        folder = paths[int(str(index))].rpartition("/")[0]
        names.append(f"{folder}{_STANDS_FOR_MANY}{number} {counts[number]:,} small files")
    fewer = {name: column[np.concatenate([kept, first.index])] for name, column in columns.items()}
    for name in _SUMS:
        fewer[name][len(kept) :] = sums[name]
    return names, fewer


def _tree(paths: Sequence[str], columns: Columns) -> dict[str, Any]:
    """The nodes, the entries and the links."""
    # In names there is what sorts before "/". With a NUL in its place, what is in a folder follows the folder.
    keys = [path.replace("/", "\0") for path in paths]
    order = sorted(range(len(paths)), key=keys.__getitem__)  # at one path, lower layers still come first
    names, depths, counts = [""], [0], [0]
    for key, group in groupby(order, key=keys.__getitem__):
        name = key.rpartition("\0")[2]
        names.append(_shown(name.partition(" ")[2] if "\0\0" in key else name))
        depths.append(key.replace("\0\0", "\0").count("\0"))
        counts.append(sum(1 for _ in group))
    at = np.array(order, dtype=np.int64)
    entries = {name: column[at].tolist() for name, column in columns.items() if name not in _NOT_SENT}
    return {
        "nodes": {"names": names, "depths": depths, "counts": counts},
        "entries": entries,
        "links": _links(columns["inodes"][at]),
    }


def _links(inodes: NDArray[np.int64]) -> list[list[int]]:
    """The entries that are names of one inode, where it has several."""
    order = np.argsort(inodes, kind="stable")
    starts = np.flatnonzero(np.diff(inodes[order], prepend=-1))
    return [group.tolist() for group in np.split(order, starts[1:]) if len(group) > 1]


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
    rows = [{"number": layer, "text": _shown(said), "first": place} for place, (said, layer) in enumerate(told)]
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
