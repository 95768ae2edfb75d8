"""Layers put together from entries in any order."""

from __future__ import annotations

import random

import numpy as np

from layerlab.image.layer import DIRECTORY, FILE, SYMLINK, assemble

PATHS = ["/a", "/a/x", "/a/y", "/b", "/l"]
#         kind       size  mode   uid gid inode
ROWS = [
    (DIRECTORY, 4096, 0o755, 0, 0, 90),
    (FILE, 5, 0o644, 1, 2, 70),
    (FILE, 5, 0o644, 1, 2, 70),
    (FILE, 3, 0o600, 3, 4, -8),
    (SYMLINK, 7, 0o777, 0, 0, 12),
]


def test_the_order_of_entries_means_nothing() -> None:
    """Entries in any order make the same layer, sorted by path."""
    order = list(range(5))
    random.Random(1).shuffle(order)
    shuffled = assemble([PATHS[n] for n in order], list(zip(*(ROWS[n] for n in order), strict=True)))

    assert shuffled.paths == PATHS
    assert shuffled.kinds.tolist() == [row[0] for row in ROWS]
    assert shuffled.modes.tolist() == [row[2] for row in ROWS]
    assert shuffled.uids.tolist() == [row[3] for row in ROWS]
    assert shuffled.folders.tolist() == [-1, 0, 0, -1, -1]


def test_names_of_an_inode_share_the_index_of_the_first() -> None:
    """Whatever numbers tell inodes apart, they become indexes."""
    assert assemble(PATHS, list(zip(*ROWS, strict=True))).inodes.tolist() == [0, 1, 1, 3, 4]


def test_bytes_are_those_of_regular_files_once() -> None:
    """Directories and links have no bytes, and an inode's count once."""
    layer = assemble(PATHS, list(zip(*ROWS, strict=True)))

    assert layer.sizes.tolist() == [0, 5, 5, 3, 0]
    assert (layer.bytes, layer.files, len(layer)) == (8, 3, 5)


def test_nothing() -> None:
    """A layer may have no entries."""
    layer = assemble([], [[]] * 6)

    assert (layer.bytes, layer.files, len(layer)) == (0, 0, 0)
    assert layer.sizes.dtype == np.int64
