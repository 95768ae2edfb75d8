"""Entries by path, for hundreds of thousands of them: a dict would take as much memory as the paths themselves."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Lookup:
    """Finds the index of what is at a path.

    It keeps the hashes of paths in order, and beside each the index that it stands for; the paths themselves are
    those that the indexes lead to.

    Args:
        paths: Those of all entries there will be, by index.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._hashes: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._indexes: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._hashes)

    def __getitem__(self, path: str) -> int:
        """The index of what is at this path.

        Raises:
            KeyError: there is nothing.
        """
        found = self.get(path)
        if found is None:
            raise KeyError(path)
        return found

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    @overload
    def get(self, path: str) -> int | None: ...
    @overload
    def get(self, path: str, default: int) -> int: ...
    def get(self, path: str, default: int | None = None) -> int | None:
        """The index of what is at this path, or else the default."""
        slot = self._slot(hash(path), path)
        return default if slot < 0 else int(self._indexes[slot])

    def find(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """The index of what is at each of these paths; -1 where there is nothing."""
        slots = self._slots(_hashes(paths), paths)
        found = np.full(len(paths), -1, dtype=np.int64)
        found[slots >= 0] = self._indexes[slots[slots >= 0]]
        return found

    def put(self, start: int, paths: Sequence[str], left_out: NDArray[np.int64]) -> None:
        """Put entries at their paths, in the place of what was there.

        Args:
            start: The index of the first; the others follow.
            paths: Their paths, each once.
            left_out: Positions in these of entries that are not to be put.
        """
        hashes = _hashes(paths)
        slots = self._slots(hashes, paths)
        indexes = np.arange(start, start + len(paths), dtype=np.int32)
        wanted = np.ones(len(paths), dtype=bool)
        wanted[left_out] = False
        known, new = wanted & (slots >= 0), np.flatnonzero(wanted & (slots < 0))
        self._indexes[slots[known]] = indexes[known]
        if len(new):
            new = new[np.argsort(hashes[new])]
            places = np.searchsorted(self._hashes, hashes[new])
            self._hashes = np.insert(self._hashes, places, hashes[new])
            self._indexes = np.insert(self._indexes, places, indexes[new])

    def _slots(self, hashes: NDArray[np.int64], paths: Sequence[str]) -> NDArray[np.int64]:
        """Where the entries at these paths are kept; -1 where there are none."""
        slots = np.full(len(paths), -1, dtype=np.int64)
        if not len(self._hashes) or not len(paths):
            return slots
        places = np.searchsorted(self._hashes, hashes)
        places[places == len(self._hashes)] = 0
        there = np.flatnonzero(self._hashes[places] == hashes)
        slots[there] = places[there]
        kept = map(self._paths.__getitem__, self._indexes[slots[there]].data)
        wanted = map(paths.__getitem__, there.data)
        same = np.fromiter(map(eq, kept, wanted), bool, len(there))
        for place in there[~same].tolist():  # two paths of one hash: once in a lifetime
            slots[place] = self._slot(int(hashes[place]), paths[place])
        return slots

    def _slot(self, hashed: int, path: str) -> int:
        """Where the entry at this path is kept; -1 if there is none."""
        slot = int(self._hashes.searchsorted(hashed))
        while slot < len(self._hashes) and self._hashes[slot] == hashed:
            if self._paths[self._indexes[slot]] == path:
                return slot
            slot += 1
        return -1


def _hashes(paths: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, paths), np.int64, len(paths))
