"""Leaves out what says nothing new, and puts small files together where a browser would be sent too many."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from layerlab.image.layer import DIRECTORY

Columns = dict[str, NDArray[np.int64]]

STANDS_FOR_MANY: Final = "//"
"""In the path of a row that stands for several files, before a number and words; no real path has an empty part."""
_SUMS: Final = ("sizes", "files")


def directories_once(paths: Sequence[str], columns: Columns) -> tuple[list[str], Columns]:
    """The entries without those of directories that layers only have again: the last one counts from the first on.

    Args:
        paths: The entries' paths, those of lower layers first.
        columns: What is said of each entry: `kinds`, `layers`, `gone`, and whatever else.
    """
    layers, gone = columns["layers"].copy(), columns["gone"]
    directories = np.flatnonzero(columns["kinds"] == DIRECTORY)
    stays = np.ones(len(paths), dtype=bool)
    stays[directories[gone[directories] == layers[directories]]] = False  # no entry tells of it, and it was there
    ordered = sorted(directories[stays[directories]].tolist(), key=paths.__getitem__)
    since = columns["layers"].tolist()
    for before, after in pairwise(ordered):
        if paths[before] == paths[after] and gone[before] == since[after]:
            stays[before] = False
            layers[after] = layers[before]
    kept = np.flatnonzero(stays)
    fewer = {name: column[kept] for name, column in {**columns, "layers": layers}.items()}
    return [paths[index] for index in kept.tolist()], fewer


def thinned(paths: Sequence[str], columns: Columns, most: int) -> tuple[list[str], Columns]:
    """The entries, or fewer that have the same sums.

    Beyond `most` entries, the small files of one folder that agree in everything but their size become one row.
    Directories and inodes with several names stay what they are, so there may still be more than `most`.

    Args:
        paths: The entries' paths.
        columns: What is said of each entry; `sizes` and `files` are added up. Files with the same number in `folders`
            lie in the same folder, those with the same one in `inodes` are names of one inode.
        most: How many entries to aim at.
    """
    surplus = len(paths) - most
    alone = np.bincount(columns["inodes"])[columns["inodes"]] == 1
    movable = np.flatnonzero(alone & (columns["kinds"] != DIRECTORY))
    if surplus <= 0 or not len(movable):
        return list(paths), columns
    small = movable[np.argsort(columns["sizes"][movable], kind="stable")]
    group = _alike([columns[name][small] for name in columns if name not in {*_SUMS, "inodes"}])
    small, group = _smallest(small, group, surplus)
    numbers = np.bincount(group)
    many = np.flatnonzero(numbers > 1)
    first = np.zeros(len(numbers), dtype=np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]  # where an index comes again, numpy keeps the last value
    stays = np.ones(len(paths), dtype=bool)
    stays[small[numbers[group] > 1]] = False
    kept, stand_ins = np.flatnonzero(stays), small[first[many]]
    names = [paths[index] for index in kept.tolist()]
    for number, index in zip(many.tolist(), stand_ins.tolist(), strict=True):
        folder = paths[index].rpartition("/")[0]
        names.append(f"{folder}{STANDS_FOR_MANY}{number} {numbers[number]:,} small files")
    fewer = {name: column[np.concatenate([kept, stand_ins])] for name, column in columns.items()}
    for name in _SUMS:
        sums = np.zeros(len(numbers), dtype=np.int64)
        np.add.at(sums, group, columns[name][small])
        fewer[name][len(kept) :] = sums[many]
    return names, fewer


def _alike(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """A number for each row; rows that are equal in all columns have the same one."""
    order = np.lexsort(columns)
    differs = np.zeros(len(order), dtype=bool)
    for column in columns:
        differs[1:] |= column[order][1:] != column[order][:-1]
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(differs)
    return group


def _smallest(
    small: NDArray[np.int64], group: NDArray[np.int64], surplus: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As many of the smallest files, with their groups, as have to go together to save so many rows; or all."""

    def saved(count: int) -> int:
        numbers = np.bincount(group[:count])
        return int((numbers[numbers > 1] - 1).sum())

    count = bisect_left(range(len(small)), surplus, key=saved)
    return small[:count], group[:count]
