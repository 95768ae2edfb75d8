"""The DataFrames of an image; see `layerlab.image.Image` for their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.image.filesystem import CAUSES
from layerlab.image.layer import FILE, KINDS
from layerlab.image.packages import MANAGERS, PARTS
from layerlab.image.stack import LayerStack
from layerlab.ui.text import shown


def layers(stack: LayerStack) -> pd.DataFrame:
    """The layers, from the bottom."""
    merged, inodes = stack.merged, stack.inodes
    count = len(stack.layers)
    live = _sums(_stored_in(stack, inodes.live), merged.sizes[inodes.live], count)
    wasted = _sums(_stored_in(stack, inodes.wasted), merged.sizes[inodes.wasted], count)
    change = live + wasted - _sums(merged.gone_by[inodes.wasted], merged.sizes[inodes.wasted], count)
    return pd.DataFrame(
        {
            "index": np.arange(count),
            "instruction": texts(stack.instructions),
            "line": pd.array(stack.lines, dtype="Int64"),
            "bytes": np.array(stack.layer_bytes, dtype=np.int64),
            "live_bytes": live,
            "wasted_bytes": wasted,
            "change_bytes": change,
            "running_bytes": np.cumsum(change, dtype=np.int64),
            "files": np.array([layer.files for layer in stack.layers], dtype=np.int64),
            "diff_id": texts(stack.diff_ids),
        }
    )


def files(stack: LayerStack) -> pd.DataFrame:
    """The merged filesystem."""
    merged, entries = stack.merged, stack.visible
    owners = np.array([*(package.owner for package in stack.ownership.packages), ""], dtype=object)
    return pd.DataFrame(
        {
            "path": texts(_paths(stack, entries)),
            "kind": _categories(merged.kinds[entries], KINDS),
            "bytes": stack.live_sizes[entries],
            "layer": merged.layers[entries],
            "mode": merged.modes[entries],
            "uid": merged.uids[entries],
            "gid": merged.gids[entries],
            "owner": pd.array(owners[stack.ownership.owners], dtype="str"),
            "part": _categories(stack.parts, PARTS),
        },
        copy=False,  # half a million rows need not be there twice
    )


def waste(stack: LayerStack) -> pd.DataFrame:
    """What is stored and not seen."""
    merged, lines = stack.merged, stack.lines
    wasted = stack.inodes.wasted
    wasted = wasted[np.argsort(-merged.sizes[wasted], kind="stable")]
    by_layer = merged.gone_by[wasted]
    return pd.DataFrame(
        {
            "path": texts(_paths(stack, wasted)),
            "bytes": merged.sizes[wasted],
            "layer": _stored_in(stack, wasted),
            "cause": _categories(merged.causes[wasted], CAUSES),
            "by_layer": by_layer,
            "by_line": pd.array([lines[layer] for layer in by_layer.tolist()], dtype="Int64"),
        }
    )


def packages(stack: LayerStack) -> pd.DataFrame:
    """The installed packages and what is theirs."""
    installed, owners = stack.ownership.packages, stack.ownership.owners
    mine, owners = stack.visible[owners >= 0], owners[owners >= 0]
    return pd.DataFrame(
        {
            "name": texts([package.name for package in installed]),
            "version": texts([package.version for package in installed]),
            "manager": pd.Categorical([package.manager for package in installed], list(MANAGERS)),
            "files": _sums(owners, (stack.merged.kinds[mine] == FILE).astype(np.int64), len(installed)),
            "bytes": _sums(owners, stack.live_sizes[mine], len(installed)),
        }
    )


def _paths(stack: LayerStack, entries: NDArray[np.int64]) -> list[str]:
    # The buffer makes one number at a time, where `tolist` would make half a million.
    return list(map(stack.merged.paths.__getitem__, entries.data))


def _stored_in(stack: LayerStack, names: NDArray[np.int64]) -> NDArray[np.int64]:
    """The layers that hold the data of the inodes with these names."""
    return stack.merged.layers[stack.merged.inodes[names]]


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
