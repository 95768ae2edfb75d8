"""What a second image has that a first one has not, and the other way around: path by path.

A path is ``added``, ``removed`` or ``changed``. What has changed is said in words: ``kind``, ``size``, ``mode``,
``uid``, ``gid``; ``shares`` where only the name changed under which the bytes of several hard links are counted.
The same inode of the same layer is the same. Beyond that files are not opened, so one of the same size, mode and
owner counts as the same, also where another layer stores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerlab.image import Image
from layerlab.image.layer import KINDS

ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"
CHANGES: Final = (ADDED, REMOVED, CHANGED)
_LOOKS: Final = ("kinds", "sizes", "modes", "uids", "gids")
_WORDS: Final = ("kind", "size", "mode", "uid", "gid")


class PathChange(NamedTuple):
    """A path that is not the same in two images.

    Attributes:
        path: Absolute; names that are not UTF-8 hold surrogates.
        change: One of `CHANGES`.
        what: What has changed, in words; empty for what was added or removed.
        before: Index of the first image's visible entry, counted in `LayerStack.visible`; -1 if it has none.
        after: The same for the second image.
        bytes_before: As `Image.files` has them: 0 for what is no file, or a further name of one.
        bytes_after: The same for the second image.
    """

    path: str
    change: str
    what: str
    before: int
    after: int
    bytes_before: int
    bytes_after: int

    @property
    def difference(self) -> int:
        """How many bytes the second image has more."""
        return self.bytes_after - self.bytes_before


class Side:
    """The visible entries of an image, as columns in the order of their paths."""

    def __init__(self, image: Image) -> None:
        stack = image.stack
        merged, entries = stack.merged, stack.visible
        self.paths = [merged.paths[index] for index in entries.tolist()]
        self.columns = [getattr(merged, name)[entries].astype(np.int64) for name in _LOOKS]
        self.kinds = self.columns[0]
        bytes_of = np.zeros_like(merged.sizes)
        bytes_of[stack.inodes.live] = merged.sizes[stack.inodes.live]
        self.bytes = bytes_of[entries]
        self.owners = stack.ownership.owners
        self.parts = stack.parts

    def kind(self, index: int) -> str:
        """The kind of an entry, in a word."""
        return KINDS[int(self.kinds[index])]


def changes(before: Side, after: Side) -> list[PathChange]:
    """The paths that are not the same in both, in the order of their paths."""
    place = {path: index for index, path in enumerate(after.paths)}
    partner = np.fromiter((place.get(path, -1) for path in before.paths), np.int64, len(before.paths))
    found = [*_removed(before, partner), *_added(after, partner), *_changed(before, after, partner)]
    return sorted(found, key=lambda change: change.path)


def _removed(before: Side, partner: NDArray[np.int64]) -> Iterator[PathChange]:
    for index in np.flatnonzero(partner < 0).tolist():
        yield PathChange(before.paths[index], REMOVED, "", index, -1, int(before.bytes[index]), 0)


def _added(after: Side, partner: NDArray[np.int64]) -> Iterator[PathChange]:
    is_new = np.ones(len(after.paths), dtype=bool)
    is_new[partner[partner >= 0]] = False
    for index in np.flatnonzero(is_new).tolist():
        yield PathChange(after.paths[index], ADDED, "", -1, index, 0, int(after.bytes[index]))


def _changed(before: Side, after: Side, partner: NDArray[np.int64]) -> Iterator[PathChange]:
    old = np.flatnonzero(partner >= 0)
    new = partner[old]
    differs = [one[old] != other[new] for one, other in zip(before.columns, after.columns, strict=True)]
    moved = before.bytes[old] != after.bytes[new]
    for place in np.flatnonzero(np.any([*differs, moved], axis=0)).tolist():
        words = [word for word, column in zip(_WORDS, differs, strict=True) if column[place]]
        one, other = int(old[place]), int(new[place])
        bytes_before, bytes_after = int(before.bytes[one]), int(after.bytes[other])
        yield PathChange(
            before.paths[one], CHANGED, ", ".join(words) or "shares", one, other, bytes_before, bytes_after
        )
