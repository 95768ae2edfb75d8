"""The filesystem that a container sees, put together from layers, and what is stored but not seen.

The rules are those of the OCI image specification (``layer.md``, "Applying Changesets"):

* an entry replaces what the layers below have at its path; only two directories merge, with the upper one's
  attributes. What is no directory hides all that was below that path;
* a whiteout removes its path, and all below it, from the lower layers only: beside a directory of the same name in
  the same layer, that directory's old content goes and its new content stays;
* an opaque directory hides all that lower layers have in it. That holds at the root, too, where the kernel's
  overlayfs would ignore the mark.

Waste is counted by inode. An inode lives while one of its names is visible, whichever of them carried the data; it
becomes waste in the layer that takes its last name away. That name says why:

* ``overwritten``: that layer has something else at its path (also the same content: after a chmod);
* ``deleted``: a whiteout removes it, or a directory above it;
* ``hidden``: a directory above it was made opaque, or was replaced by what is no directory.

Where one layer does several of these, the first that applies is the cause.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from layerlab.image.formats.stream import damaged
from layerlab.image.layer import DIRECTORY, FILE, Layer

OVERWRITTEN, DELETED, HIDDEN = range(3)
CAUSES: Final = ("overwritten", "deleted", "hidden")  # why an inode is waste, in the order of the codes
_MERGED: Final = 3  # a directory that a later layer has, too
NEVER: Final = -1  # in place of the layer that took an entry away, where none did


@dataclass(frozen=True, eq=False)
class Filesystem:
    """All entries of all layers, and what became of each; most columns are those of `layer.Layer`.

    The arrays have one element per entry: those of layer 0 in the order of their paths, then those of layer 1 ...
    """

    paths: list[str]
    layers: NDArray[np.int64]  # indexes of the layers
    kinds: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    modes: NDArray[np.int64]
    uids: NDArray[np.int64]
    gids: NDArray[np.int64]
    inodes: NDArray[np.int64]  # names of one inode share a number: the index of one of them
    folders: NDArray[np.int64]  # the index of the same layer's directory that an entry lies in; -1 for the root
    gone_by: NDArray[np.int64]  # the layer that took the entry away; -1 if it is visible
    causes: NDArray[np.uint8]  # why, see `CAUSES`; without meaning for visible entries and for merged directories
    starts: NDArray[np.int64]  # the index of each layer's first entry, and the number of all
    visible: dict[str, int]  # by path, the index of the visible entry, or of one that was there last

    def find_all(self, paths: Iterable[str]) -> NDArray[np.int64]:
        """The indexes of what is or was visible last at these paths; -1 where nothing ever was."""
        return np.fromiter(map(self.visible.get, paths, repeat(-1)), np.int64)

    def find(self, path: str) -> int | None:
        """The index of the entry that a container sees at this path; None if there is none."""
        index = self.visible.get(path)
        return index if index is not None and self.gone_by[index] == NEVER else None


def merge(layers: Sequence[Layer]) -> Filesystem:
    """Put layers together, the first one at the bottom.

    Raises:
        ArchiveError: a hard link leads to a path that no layer below has.
    """
    starts = np.concatenate([[0], np.cumsum([len(layer) for layer in layers], dtype=np.int64)]).astype(np.int64)
    count, counts = int(starts[-1]), np.diff(starts)
    paths = layers[0].paths if len(layers) == 1 else [path for layer in layers for path in layer.paths]
    offsets = np.repeat(starts[:-1], counts)
    inodes, folders = _column(layers, "inodes"), _column(layers, "folders")
    inodes += offsets
    folders[folders >= 0] += offsets[folders >= 0]
    merged = Filesystem(
        paths=paths,
        layers=np.repeat(np.arange(len(layers)), counts),
        kinds=_column(layers, "kinds").astype(np.uint8),
        **{name: _column(layers, name) for name in ("sizes", "modes", "uids", "gids")},
        inodes=inodes,
        folders=folders,
        gone_by=np.full(count, NEVER, dtype=np.int64),
        causes=np.zeros(count, dtype=np.uint8),
        starts=starts,
        visible={},
    )
    deeper = np.full(count, -1, dtype=np.int32)
    for number, layer in enumerate(layers):
        _apply(merged, deeper, number, layer)
    return merged


def _column(layers: Sequence[Layer], name: str) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(getattr(layer, name) for layer in layers)], dtype=np.int64)


def _apply(merged: Filesystem, deeper: NDArray[np.int32], number: int, layer: Layer) -> None:
    """Put the next layer on top.

    `deeper` leads from each directory that is visible to its entries in the other layers, and so to all that lies in
    it: a whiteout costs as much as it takes away, however many layers there are.
    """
    start = int(merged.starts[number])
    _borrow(merged, layer, start)
    if merged.visible:
        below = merged.find_all(layer.paths)
        new = np.flatnonzero(below >= 0)
        new = new[merged.gone_by[below[new]] == NEVER]
        old, new = below[new], new + start
        directories = (merged.kinds[old] == DIRECTORY) & (merged.kinds[new] == DIRECTORY)
        replaced = old[~directories]
        _take_away(merged, replaced, number, OVERWRITTEN)
        for index in replaced[merged.kinds[replaced] == DIRECTORY].tolist():
            _take_away_below(merged, deeper, index, number, HIDDEN)
        for path in layer.whiteouts:
            if (found := merged.find(path)) is not None:
                _take_away(merged, np.array([found]), number, DELETED)
                if merged.kinds[found] == DIRECTORY:
                    _take_away_below(merged, deeper, found, number, DELETED)
        for path in layer.opaques:
            # Engines mark each directory that is new, and most have nothing below.
            if path == "/":
                _take_away_range(merged, 0, start, number, HIDDEN)
            elif (found := merged.find(path)) is not None:
                _take_away_below(merged, deeper, found, number, HIDDEN)
        both = np.array([old[directories], new[directories]])
        both = both[:, merged.gone_by[both[0]] == NEVER]
        _take_away(merged, both[0], number, _MERGED)
        deeper[both[1]] = both[0]
    merged.visible.update(zip(layer.paths, range(start, start + len(layer)), strict=True))


def _borrow(merged: Filesystem, layer: Layer, start: int) -> None:
    """Make hard links to what the layers below have names of the same inodes."""
    for index, target in layer.borrowed:
        found = merged.find(target)
        if found is None or merged.kinds[found] == DIRECTORY:
            raise damaged(f"a hard link to {target!r}, which is no file in the layers below")
        for column in (merged.kinds, merged.sizes, merged.modes, merged.uids, merged.gids, merged.inodes):
            column[start + index] = column[found]


def _take_away(merged: Filesystem, indexes: NDArray[np.int64], number: int, cause: int) -> None:
    merged.gone_by[indexes] = number
    merged.causes[indexes] = cause


def _take_away_below(merged: Filesystem, deeper: NDArray[np.int32], index: int, number: int, cause: int) -> None:
    """Take away all that the layers so far have in a directory, which is visible, or was until now."""
    path, entry = merged.paths[index], index
    while entry >= 0:
        layer = merged.layers[entry]
        # In sorted paths all that begin with "PATH/" are neighbours, and "0" is what follows "/".
        low, high = int(merged.starts[layer]), int(merged.starts[layer + 1])
        first = bisect_left(merged.paths, f"{path}/", low, high)
        last = bisect_left(merged.paths, f"{path}0", first, high)
        _take_away_range(merged, first, last, number, cause)
        entry = int(deeper[entry])
    deeper[index] = -1


def _take_away_range(merged: Filesystem, first: int, last: int, number: int, cause: int) -> None:
    """Take away these entries, as far as they are visible."""
    if first < last:
        _take_away(merged, first + np.flatnonzero(merged.gone_by[first:last] == NEVER), number, cause)


@dataclass(frozen=True, eq=False)
class Inodes:
    """The regular files' inodes, by the index of the name that stands for each."""

    live: NDArray[np.int64]  # an inode's first visible name, for each that has one
    wasted: NDArray[np.int64]  # the name that was visible last, for each that has no visible one


def inodes(merged: Filesystem) -> Inodes:
    """Which inodes live and which are waste."""
    files = np.flatnonzero(merged.kinds == FILE)
    count = len(merged.paths)
    seen = files[merged.gone_by[files] == NEVER]
    first_live = _first(merged, seen, count)
    lost = files[first_live[merged.inodes[files]] < 0]
    last_gone = np.full(count, NEVER, dtype=np.int64)
    np.maximum.at(last_gone, merged.inodes[lost], merged.gone_by[lost])
    lost = lost[merged.gone_by[lost] == last_gone[merged.inodes[lost]]]
    first_lost = _first(merged, lost, count)
    return Inodes(live=first_live[first_live >= 0], wasted=first_lost[first_lost >= 0])


def _first(merged: Filesystem, indexes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """By inode, the first of these names in the order of the paths; -1 where there is none."""
    first = np.full(count, -1, dtype=np.int64)
    found = merged.inodes[indexes]
    shared = np.bincount(found, minlength=count)[found] > 1
    first[found[~shared]] = indexes[~shared]
    # Names of one inode in several layers are not in the order of their paths.
    for index in sorted(indexes[shared].tolist(), key=lambda i: (merged.paths[i], i), reverse=True):
        first[merged.inodes[index]] = index
    return first
