"""The DataFrames of an image; see `layerlab.image.Image` for their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.image.filesystem import CAUSES
from layerlab.image.index import Content
from layerlab.image.layer import FILE, KINDS
from layerlab.image.packages import MANAGERS, PARTS
from layerlab.ui.text import shown


def layers(content: Content) -> pd.DataFrame:
    """The layers, from the bottom."""
    merged, inodes = content.merged, content.inodes
    count = len(content.layers)
    live = _sums(_stored_in(content, inodes.live), merged.sizes[inodes.live], count)
    wasted = _sums(_stored_in(content, inodes.wasted), merged.sizes[inodes.wasted], count)
    change = live + wasted - _sums(merged.gone_by[inodes.wasted], merged.sizes[inodes.wasted], count)
    return pd.DataFrame(
        {
            "index": np.arange(count),
            "instruction": texts(content.instructions),
            "line": pd.array(content.lines, dtype="Int64"),
            "bytes": np.array(content.layer_bytes, dtype=np.int64),
            "live_bytes": live,
            "wasted_bytes": wasted,
            "change_bytes": change,
            "running_bytes": np.cumsum(change, dtype=np.int64),
            "files": np.array([layer.files for layer in content.layers], dtype=np.int64),
            "diff_id": texts(content.diff_ids),
        }
    )


def files(content: Content) -> pd.DataFrame:
    """The merged filesystem."""
    merged, entries = content.merged, content.visible
    owners = np.array([*(package.owner for package in content.ownership.packages), ""], dtype=object)
    return pd.DataFrame(
        {
            "path": texts(_paths(content, entries)),
            "kind": _categories(merged.kinds[entries], KINDS),
            "bytes": _live_sizes(content)[entries],
            "layer": merged.layers[entries],
            "mode": merged.modes[entries],
            "uid": merged.uids[entries],
            "gid": merged.gids[entries],
            "owner": pd.array(owners[content.ownership.owners], dtype="str"),
            "part": _categories(content.parts, PARTS),
        },
        copy=False,  # half a million rows need not be there twice
    )


def waste(content: Content) -> pd.DataFrame:
    """What is stored and not seen."""
    merged, lines = content.merged, content.lines
    wasted = content.inodes.wasted
    wasted = wasted[np.argsort(-merged.sizes[wasted], kind="stable")]
    by_layer = merged.gone_by[wasted]
    return pd.DataFrame(
        {
            "path": texts(_paths(content, wasted)),
            "bytes": merged.sizes[wasted],
            "layer": _stored_in(content, wasted),
            "cause": _categories(merged.causes[wasted], CAUSES),
            "by_layer": by_layer,
            "by_line": pd.array([lines[layer] for layer in by_layer.tolist()], dtype="Int64"),
        }
    )


def packages(content: Content) -> pd.DataFrame:
    """The installed packages and what is theirs."""
    installed, owners = content.ownership.packages, content.ownership.owners
    mine, owners = content.visible[owners >= 0], owners[owners >= 0]
    return pd.DataFrame(
        {
            "name": texts([package.name for package in installed]),
            "version": texts([package.version for package in installed]),
            "manager": pd.Categorical([package.manager for package in installed], list(MANAGERS)),
            "files": _sums(owners, (content.merged.kinds[mine] == FILE).astype(np.int64), len(installed)),
            "bytes": _sums(owners, _live_sizes(content)[mine], len(installed)),
        }
    )


def _paths(content: Content, entries: NDArray[np.int64]) -> list[str]:
    # The buffer makes one number at a time, where `tolist` would make half a million.
    return list(map(content.merged.paths.__getitem__, entries.data))


def _live_sizes(content: Content) -> NDArray[np.int64]:
    """Bytes by entry: an inode's first visible name has them all."""
    sizes = np.zeros_like(content.merged.sizes)
    sizes[content.inodes.live] = content.merged.sizes[content.inodes.live]
    return sizes


def _stored_in(content: Content, names: NDArray[np.int64]) -> NDArray[np.int64]:
    """The layers that hold the data of the inodes with these names."""
    return content.merged.layers[content.merged.inodes[names]]


def _sums(groups: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Sums by group, in whole numbers (`numpy.bincount` adds up floating-point ones)."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _categories(codes: NDArray[Any], names: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes.astype(np.int8), pd.Index(names))


def texts(values: Sequence[str]) -> pd.api.extensions.ExtensionArray:
    """A column of text; bytes that are not UTF-8 are shown as escapes."""
    if not all(map(str.isascii, values)):
        values = [value if value.isascii() else shown(value) for value in values]
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return pd.array(column, dtype="str")
