"""Puts small files together where a browser would be sent too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.image.layer import DIRECTORY

Columns = dict[str, NDArray[np.int64]]

STANDS_FOR_MANY: Final = "//"
"""In the path of a row that stands for several files, before a number and words; no real path has an empty part."""
_SUMS: Final = ["sizes", "files"]


def thinned(paths: Sequence[str], columns: Columns, most: int) -> tuple[Sequence[str], Columns]:
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
        names.append(f"{folder}{STANDS_FOR_MANY}{number} {counts[number]:,} small files")
    fewer = {name: column[np.concatenate([kept, first.index])] for name, column in columns.items()}
    for name in _SUMS:
        fewer[name][len(kept) :] = sums[name]
    return names, fewer
