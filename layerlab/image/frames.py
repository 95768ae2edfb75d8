"""The DataFrames of an image; see `layerlab.image.Image` for their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerlab.image.filesystem import CAUSES, Filesystem, Inodes
from layerlab.image.layer import FILE, KINDS, Layer
from layerlab.image.packages import MANAGERS, PARTS, Ownership


def visible(merged: Filesystem) -> NDArray[np.int64]:
    """Indexes of the entries that a container sees, in the order of their paths."""
    indexes = np.flatnonzero(merged.gone_by < 0).tolist()
    indexes.sort(key=merged.paths.__getitem__)
    return np.array(indexes, dtype=np.int64)


def files(
    merged: Filesystem,
    entries: NDArray[np.int64],
    inodes: Inodes,
    ownership: Ownership,
    parts: NDArray[np.int8],
) -> pd.DataFrame:
    """The merged filesystem."""
    owners = np.array([*(package.owner for package in ownership.packages), ""], dtype=object)
    return pd.DataFrame(
        {
            "path": _texts([merged.paths[index] for index in entries.tolist()]),
            "kind": _categories(merged.kinds[entries], KINDS),
            "bytes": _live_sizes(merged, inodes)[entries],
            "layer": merged.layers[entries],
            "mode": merged.modes[entries],
            "uid": merged.uids[entries],
            "gid": merged.gids[entries],
            "owner": pd.array(owners[ownership.owners], dtype="str"),
            "part": _categories(parts, PARTS),
        }
    )


def waste(merged: Filesystem, inodes: Inodes, lines: Sequence[int | None]) -> pd.DataFrame:
    """What is stored and not seen."""
    wasted = inodes.wasted
    wasted = wasted[np.argsort(-merged.sizes[wasted], kind="stable")]
    by_layer = merged.gone_by[wasted]
    return pd.DataFrame(
        {
            "path": _texts([merged.paths[index] for index in wasted.tolist()]),
            "bytes": merged.sizes[wasted],
            "layer": _stored_in(merged, wasted),
            "cause": _categories(merged.causes[wasted], CAUSES),
            "by_layer": by_layer,
            "by_line": pd.array([lines[layer] for layer in by_layer.tolist()], dtype="Int64"),
        }
    )


def layers(
    merged: Filesystem,
    inodes: Inodes,
    layers: Sequence[Layer],
    *,
    diff_ids: Sequence[str],
    instructions: Sequence[str],
    lines: Sequence[int | None],
) -> pd.DataFrame:
    """The layers, from the bottom."""
    count = len(layers)
    live = _sums(_stored_in(merged, inodes.live), merged.sizes[inodes.live], count)
    wasted = _sums(_stored_in(merged, inodes.wasted), merged.sizes[inodes.wasted], count)
    change = live + wasted - _sums(merged.gone_by[inodes.wasted], merged.sizes[inodes.wasted], count)
    return pd.DataFrame(
        {
            "index": np.arange(count),
            "instruction": _texts(instructions),
            "line": pd.array(list(lines), dtype="Int64"),
            "bytes": np.array([layer.bytes for layer in layers], dtype=np.int64),
            "live_bytes": live,
            "wasted_bytes": wasted,
            "change_bytes": change,
            "running_bytes": np.cumsum(change, dtype=np.int64),
            "files": np.array([layer.files for layer in layers], dtype=np.int64),
            "diff_id": _texts(diff_ids),
        }
    )


def packages(merged: Filesystem, entries: NDArray[np.int64], inodes: Inodes, ownership: Ownership) -> pd.DataFrame:
    """The installed packages and what is theirs."""
    count = len(ownership.packages)
    owned = ownership.owners >= 0
    mine, owners = entries[owned], ownership.owners[owned]
    return pd.DataFrame(
        {
            "name": _texts([package.name for package in ownership.packages]),
            "version": _texts([package.version for package in ownership.packages]),
            "manager": pd.Categorical([package.manager for package in ownership.packages], list(MANAGERS)),
            "files": _sums(owners, (merged.kinds[mine] == FILE).astype(np.int64), count),
            "bytes": _sums(owners, _live_sizes(merged, inodes)[mine], count),
        }
    )


def _live_sizes(merged: Filesystem, inodes: Inodes) -> NDArray[np.int64]:
    """Bytes by entry: an inode's first visible name has them all."""
    sizes = np.zeros(len(merged.paths), dtype=np.int64)
    sizes[inodes.live] = merged.sizes[inodes.live]
    return sizes


def _stored_in(merged: Filesystem, names: NDArray[np.int64]) -> NDArray[np.int64]:
    """The layers that hold the data of the inodes with these names."""
    return merged.layers[merged.inodes[names]]


def _sums(groups: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Sums by group, in whole numbers (`numpy.bincount` adds up floating-point ones)."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _categories(codes: NDArray[Any], names: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes.astype(np.int8), pd.Index(names))


def _texts(texts: Sequence[str]) -> pd.api.extensions.ExtensionArray:
    """A column of text; bytes that are not UTF-8 are shown as escapes."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        texts = [text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for text in texts]
    return pd.array(np.array([*texts, None], dtype=object)[:-1], dtype="str")
