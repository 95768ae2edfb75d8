"""Bytes that layers store although the image had them already: after a ``chown -R``, or as second copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from layerlab.image.filesystem import OVERWRITTEN, Filesystem
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import FileReader

SMALLEST: Final = 1_000  # bytes of a file that is looked at
ANY_NAME: Final = 1_000_000  # bytes of a file that is looked for under any name; smaller ones only under their own


@dataclass(frozen=True)
class Copy:
    """Bytes that a layer above the base stores although the image had them already."""

    path: str  # what is stored again
    bytes: int  # its size
    layer: int  # the layer that stores it again
    of: str  # the path that had the same content (the same path after a chown or chmod; another after a second copy)
    of_layer: int  # its layer


def find(reader: FileReader, first: int) -> tuple[Copy, ...]:
    """What the layers from the one with the index `first` store again.

    Hard links are no copies. Contents are compared only where sizes are equal.
    """
    merged = reader.stack.merged
    start = int(merged.starts[min(first, len(merged.starts) - 1)])
    # A further name of an inode stores nothing.
    stored = (merged.kinds == FILE) & (merged.inodes == np.arange(len(merged.paths)))
    above = np.unique(merged.sizes[start:][stored[start:]])
    candidates = np.flatnonzero(stored & np.isin(merged.sizes, above)).tolist()
    found: dict[int, Copy] = {}
    for same in same_content(reader, (group for group in may_be_alike(merged, candidates) if group[-1] >= start)):
        for place, index in enumerate(same):
            path, layer = merged.paths[index], int(merged.layers[index])
            if place and layer >= first:
                of = next((other for other in same[place - 1 :: -1] if merged.paths[other] == path), same[0])
                found[index] = Copy(path, int(merged.sizes[index]), layer, merged.paths[of], int(merged.layers[of]))
    return tuple(found[index] for index in sorted(found))


def same_content(reader: FileReader, groups: Iterable[list[int]]) -> Iterator[list[int]]:
    """Of each group of files, those that have the same content as another one, in the order of the group."""
    groups = list(groups)
    digests = reader.digests(index for group in groups for index in group)
    for group in groups:
        same: dict[str, list[int]] = {}
        for index in group:
            if (digest := digests.get(index)) is not None:
                same.setdefault(digest, []).append(index)
        yield from (indexes for indexes in same.values() if len(indexes) > 1)


def unchanged(reader: FileReader, layers: list[int]) -> dict[int, int]:
    """The files that these layers store again with the same content at the same path, each with the earlier one."""
    merged = reader.stack.merged
    overwritten = (merged.kinds == FILE) & (merged.causes == OVERWRITTEN)
    gone = overwritten & np.isin(merged.gone_by, np.array(layers, dtype=np.int64))
    pairs = same_size_again(reader.stack, np.flatnonzero(gone).tolist())
    digests = reader.digests({index for pair in pairs.items() for index in pair if merged.sizes[index] > 0})
    return {
        new: old
        for old, new in pairs.items()
        if merged.sizes[new] == 0 or (new in digests and digests[new] == digests.get(old))
    }


def same_size_again(stack: LayerStack, overwritten: Iterable[int]) -> dict[int, int]:
    """The overwritten files in whose place there is one of the same size now, each with that one."""
    merged = stack.merged
    found = {}
    for old in overwritten:
        new = stack.entry_at(int(merged.gone_by[old]), merged.paths[old])
        if new is not None and merged.kinds[new] == FILE and merged.sizes[new] == merged.sizes[old]:
            found[old] = new
    return found


def may_be_alike(merged: Filesystem, indexes: Iterable[int]) -> list[list[int]]:
    """Groups of those of these files that may have the same content: same size, and small ones the same name, too."""
    groups: dict[tuple[int, str], list[int]] = {}
    for index in indexes:
        size = int(merged.sizes[index])
        if size >= SMALLEST:
            name = "" if size >= ANY_NAME else merged.paths[index].rpartition("/")[2]
            groups.setdefault((size, name), []).append(index)
    return [group for group in groups.values() if len(group) > 1]
