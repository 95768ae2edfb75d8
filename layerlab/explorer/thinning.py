"""Puts small files together where there are more entries than a browser should be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from layerlab.image.filesystem import Filesystem
from layerlab.image.layer import DIRECTORY

Columns = dict[str, NDArray[np.int64]]

STANDS_FOR_MANY: Final = "//"
"""In the path of a row that stands for several files, before a number and words; no real path has an empty part."""
_SUMS: Final = ("sizes", "files")


def thinned(merged: Filesystem, columns: Mapping[str, NDArray[np.int64]], most: int) -> tuple[list[str], Columns]:
    """The paths and columns of all entries, or of fewer that have the same sums.

    Beyond `most` entries, the small files of one folder that agree in everything but their size become one row.
    Directories and inodes with several names stay what they are, so there may still be more than `most`.

    Args:
        merged: The filesystem.
        columns: What is said of each entry; `sizes` and `files` are added up.
        most: How many entries to aim at.
    """
    count = len(merged.paths)
    alone = np.bincount(merged.inodes, minlength=count)[merged.inodes] == 1
    movable = np.flatnonzero(alone & (merged.kinds != DIRECTORY))
    surplus = count - most
    if surplus <= 0 or not len(movable):
        return merged.paths, dict(columns)
    small = movable[np.argsort(columns["sizes"][movable], kind="stable")]
    same = [columns[name][small] for name in columns if name not in _SUMS and name != "inodes"]
    alike = np.column_stack([merged.folders[small], *same])
    group = np.unique(alike, axis=0, return_inverse=True)[1].reshape(-1)
    small, group = _smallest(small, group, surplus)
    numbers = np.bincount(group)
    many = np.flatnonzero(numbers > 1)
    first = np.full(len(numbers), -1, dtype=np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    stays = np.ones(count, dtype=bool)
    stays[small[numbers[group] > 1]] = False
    kept, stand_ins = np.flatnonzero(stays), small[first[many]]
    paths = [merged.paths[index] for index in kept.tolist()]
    for number, index in zip(many.tolist(), stand_ins.tolist(), strict=True):
        folder = merged.paths[index].rpartition("/")[0]
        paths.append(f"{folder}{STANDS_FOR_MANY}{number} {numbers[number]:,} small files")
    fewer = {name: column[np.concatenate([kept, stand_ins])] for name, column in columns.items()}
    for name in _SUMS:
        sums = np.zeros(len(numbers), dtype=np.int64)
        np.add.at(sums, group, columns[name][small])
        fewer[name][len(kept) :] = sums[many]
    return paths, fewer


def _smallest(
    small: NDArray[np.int64], group: NDArray[np.int64], surplus: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As many of the smallest files, with their groups, as have to go together to save so many rows; or all."""

    def saved(count: int) -> int:
        numbers = np.bincount(group[:count])
        return int((numbers[numbers > 1] - 1).sum())

    low, high = 0, len(small)
    while low < high:
        middle = (low + high) // 2
        if saved(middle) < surplus:
            low = middle + 1
        else:
            high = middle
    return small[:low], group[:low]
