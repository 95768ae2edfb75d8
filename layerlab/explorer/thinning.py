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
    # What is put together takes rows, too: half as many again go as have to.
    small = movable[np.argsort(columns["sizes"][movable], kind="stable")][: surplus * 3 // 2]
    same = [columns[name][small] for name in columns if name not in _SUMS and name != "inodes"]
    _, first, group = np.unique(
        np.column_stack([merged.folders[small], *same]), axis=0, return_index=True, return_inverse=True
    )
    numbers = np.bincount(group)
    many = np.flatnonzero(numbers > 1)
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
