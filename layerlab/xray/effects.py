"""What an edit of the Dockerfile would do to the bytes that an image stores, without building it.

The model is the layers themselves: of RUNs that become one, nothing is stored that a later one of them takes away;
what a step removes or does not download any more is not stored; another base image has other bytes. What the commands
of a RUN would write, the next time they are run, is taken to be what they have written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from layerlab.image.filesystem import NEVER
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.xray.edits import joined


@dataclass(frozen=True, eq=False)
class Rebased:
    """Another base image.

    Attributes:
        bytes: What its layers store.
        kept: The inodes that are stored above it, in the numbering of `Filesystem.inodes`.
    """

    bytes: int
    kept: frozenset[int]


@dataclass(frozen=True, eq=False)
class Effect:
    """What an edit does.

    Attributes:
        merged: Sets of layers that become one each.
        removed: Inodes that are not stored any more.
        reduced: Inodes that lose some of their bytes, and how many.
        rebased: The other base image, if there is one.
    """

    merged: tuple[frozenset[int], ...] = ()
    removed: frozenset[int] = frozenset()
    reduced: Mapping[int, int] = field(default_factory=dict)
    rebased: Rebased | None = None


@dataclass(frozen=True, eq=False)
class StoredBytes:
    """An image's stored bytes, by inode."""

    stack: LayerStack

    @cached_property
    def files(self) -> NDArray[np.int64]:
        """The inodes of regular files."""
        merged = self.stack.merged
        return np.unique(merged.inodes[merged.kinds == FILE])

    @cached_property
    def gone_by(self) -> NDArray[np.int64]:
        """By inode, the layer that takes its last name away; NEVER if it lives."""
        merged = self.stack.merged
        gone = np.full(len(merged.paths), NEVER, dtype=np.int64)
        wasted = self.stack.inodes.wasted
        gone[merged.inodes[wasted]] = merged.gone_by[wasted]
        return gone

    def inodes(self, entries: Iterable[int]) -> frozenset[int]:
        """The inodes of these entries."""
        return frozenset(self.stack.merged.inodes[list(entries)].tolist())

    def at(self, paths: Iterable[str]) -> frozenset[int]:
        """The inodes of all regular files that any layer has at these paths."""
        wanted = set(paths)
        merged = self.stack.merged
        files = np.flatnonzero(merged.kinds == FILE).tolist()
        return self.inodes(index for index in files if merged.paths[index] in wanted)

    def saved(self, effects: Iterable[Effect]) -> int:
        """How many bytes fewer an image would store if all these edits were made at once."""
        effects = list(effects)
        merged = self.stack.merged
        total = int(merged.sizes[self.files].sum())
        sizes = merged.sizes[self.files].copy()
        reduced: dict[int, int] = {}
        for effect in effects:
            reduced |= dict(effect.reduced)
        if reduced:
            sizes -= np.array([reduced.get(inode, 0) for inode in self.files.tolist()], dtype=np.int64)
        removed = frozenset().union(*(effect.removed for effect in effects))
        keeps = ~np.isin(self.files, np.array(sorted(removed), dtype=np.int64))
        layers, gone = merged.layers[self.files], self.gone_by[self.files]
        for group in joined(layers for effect in effects for layers in effect.merged):
            inside = np.isin(layers, list(group))
            keeps &= ~(inside & (gone != NEVER) & (gone <= max(group)))
        base = 0
        for rebased in (effect.rebased for effect in effects):
            if rebased is not None:
                keeps &= np.isin(self.files, np.array(sorted(rebased.kept), dtype=np.int64))
                base = rebased.bytes
        return total - base - int(sizes[keeps].sum())
