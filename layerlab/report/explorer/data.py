r"""What the explorer shows of an image, as columns: every entry of every layer, in the order of a walk of the tree.

The document is JSON, deflated (RFC 1950); `assets/data.js` reads it. Names are made fit to be shown here, once:
what is not printable (line ends, escape codes, marks that turn text around) comes as an escape such as ``\u202e``.

``nodes``: a row per path that any layer has, folders before what is in them, the root first.

* ``names``: the last part of the path; of a row that stands for several files, how many
* ``depths``: 0 for the root
* ``counts``: how many entries there are at the path: one for each layer that has something there

``entries``: a row per entry, in the order of the nodes, lower layers first. A directory that several layers have, one
after the other, has one.

* ``kinds``: see `layerlab.image.layer.KINDS`
* ``sizes``: bytes of a file's inode
* ``files``: how many files a row stands for
* ``layers``: the layer that has it; ``gone``: the layer that took it away, -1 for what a container sees
* ``causes``, ``owners``, ``parts``, ``stages``, ``rows``, ``judged``: indexes into ``causes``, ``owners``, ``parts``,
  ``stages``, ``source.rows`` (a line of the Dockerfile or of the history) and ``judgements``; -1 for none

``links``: groups of entries that are names of one inode. Of those that are there, the first has the bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from layerlab.dockerfile import Dockerfile
from layerlab.image import Image
from layerlab.image.filesystem import CAUSES, NEVER
from layerlab.image.layer import DIRECTORY, FILE
from layerlab.image.packages import PARTS
from layerlab.plots.style import CAUSES as CAUSE_LOOKS
from layerlab.plots.style import PARTS as PART_LOOKS
from layerlab.report.explorer.entry_origins import Origins, origins
from layerlab.report.explorer.thinning import Columns, directories_once, thinned
from layerlab.ui.text import printable, shown

FORMAT: Final = 1
MOST: Final = 120_000
"""Entries that are sent; beyond it, the smallest files of a folder become one row."""
NAME: Final = "Dockerfile"
_NOBODY: Final = "no package"
_NOT_SENT: Final = frozenset({"inodes", "folders"})


def packed(image: Image, dockerfile: Dockerfile | None = None, *, name: str = NAME, most: int = MOST) -> bytes:
    """All that the explorer shows, deflated; see `document`."""
    described = document(image, dockerfile, name=name, most=most)
    text = json.dumps(described, ensure_ascii=True, separators=(",", ":"))
    return zlib.compress(text.encode("ascii"), 9)


def document(
    image: Image, dockerfile: Dockerfile | None = None, *, name: str = NAME, most: int = MOST
) -> dict[str, Any]:
    """All that the explorer shows, as plain data.

    Args:
        image: The image.
        dockerfile: What it was built from, if that is known. Where none of the layers fits it, the image's history
            stands in its place.
        name: What the Dockerfile is called.
        most: How many entries to send; beyond it, small files are put together.
    """
    stack = image.stack
    known = dockerfile if stack.origins else None
    found = origins(image, known)
    paths, columns = thinned(*directories_once(stack.merged.paths, _columns(image, found)), most)
    return {
        "format": FORMAT,
        "name": _shown(image.name),
        "id": image.id,
        "bytes": image.total_bytes,
        "live": image.live_bytes,
        "layers": [
            {"instruction": _shown(text), "row": row, "bytes": size}
            for text, row, size in zip(stack.instructions, found.layer_rows, stack.layer_bytes, strict=True)
        ],
        "source": {"name": _shown(name) if known else "", "rows": found.rows},
        "owners": [*(_shown(package.owner) for package in stack.ownership.packages), _NOBODY],
        "parts": list(PARTS),
        "stages": [_shown(stage) for stage in found.stages],
        "causes": list(CAUSES),
        "judgements": [_shown(cause) for cause in found.judgements],
        "looks": {
            "parts": {name: _look(PART_LOOKS[name]) for name in PARTS},
            "causes": {name: _look(CAUSE_LOOKS[name]) for name in CAUSES},
        },
        **_tree(paths, columns),
    }


def _shown(text: str) -> str:
    return printable(shown(text))


def _look(look: Any) -> list[str]:
    return [look.fill, look.hatch, look.hatch_colour]


def _columns(image: Image, found: Origins) -> Columns:
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
        "stages": found.entry_stages,
        "rows": found.entry_rows,
        "judged": found.entry_judgements,
        "files": (merged.kinds == FILE).astype(np.int64),
        "inodes": merged.inodes,
        "folders": merged.folders,
    }


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
