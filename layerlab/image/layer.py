"""One layer: what it adds or changes, and what it takes away.

A layer is told by its entries alone, whatever it was read from, so two sources that hold the same layer give equal
`Layer` objects. The words are those of the OCI image specification (``layer.md``): a *whiteout* removes one path of
the layers below, an *opaque* directory removes all that they have in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import le
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FILE, DIRECTORY, SYMLINK, DEVICE, FIFO = range(5)
KINDS: Final = ("file", "directory", "symlink", "device", "fifo")
"""The kinds of entries, in the order of their codes. Sockets are none: no archive of a layer can hold one."""


class Claim(NamedTuple):
    """What one file of a package manager's database says: a package is installed, and which paths are its own."""

    source: str  # the database file's own path: the claim holds where this very file is visible
    manager: str  # ``dpkg``, ``apk`` or ``python``
    name: str  # the package's name; a Python distribution's is normalised (PEP 503)
    version: str  # its version; empty where this database file does not say
    paths: list[str]  # absolute paths, as the database has them


@dataclass(frozen=True, eq=False)
class Layer:
    """What one layer holds; the columns have one element per entry, in the order of their paths."""

    paths: list[str]  # absolute, sorted by code point, without the root; names that are not UTF-8 hold surrogates
    kinds: NDArray[np.uint8]  # codes, see `KINDS`
    sizes: NDArray[np.int64]  # a regular file's apparent bytes, the same for each of its names; 0 for anything else
    modes: NDArray[np.int64]  # permission bits with set-user-id, set-group-id and sticky bit
    uids: NDArray[np.int64]  # numeric owner
    gids: NDArray[np.int64]  # numeric group
    inodes: NDArray[np.int32]  # names of one inode share a number: the index of the first of them
    folders: NDArray[np.int32]  # index of the directory that an entry lies in; -1 for the root
    borrowed: tuple[tuple[int, str], ...] = ()  # index and target of each hard link to a path of the layers below
    whiteouts: tuple[str, ...] = ()  # paths that are removed from the layers below, sorted
    opaques: tuple[str, ...] = ()  # directories whose content in lower layers is removed, sorted; ``/`` is the root
    links: Mapping[str, str] = field(default_factory=dict)  # symbolic links, such as ``/bin`` to ``usr/bin``
    claims: tuple[Claim, ...] = ()  # what the package databases in this layer say

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def bytes(self) -> int:
        """Bytes of its regular files, each inode once."""
        return int(self.sizes[self.inodes == np.arange(len(self))].sum())

    @property
    def files(self) -> int:
        """How many names of regular files it has."""
        return int((self.kinds == FILE).sum())


def assemble(
    paths: Sequence[str],
    columns: Sequence[Sequence[int] | NDArray[Any]],
    *,
    borrowed: Mapping[str, str] | None = None,
    whiteouts: Sequence[str] = (),
    opaques: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    claims: Sequence[Claim] = (),
) -> Layer:
    """A layer from entries in any order; with each there are all the directories that it lies in.

    The columns are kinds, sizes, modes, uids, gids and inodes, each as long as `paths`; inodes are any numbers that
    are equal for the names of one inode and differ otherwise. `borrowed` are the targets of hard links to the layers
    below, by path. For the rest see `Layer`.
    """
    ordered, arrays = list(paths), [np.asarray(column) for column in columns]
    if not all(map(le, paths, islice(paths, 1, None))):
        order = np.array(sorted(range(len(paths)), key=paths.__getitem__), dtype=np.int64)
        ordered, arrays = [paths[index] for index in order.tolist()], [array[order] for array in arrays]
    kinds, sizes, modes, uids, gids, inodes = arrays
    _, firsts, numbers = np.unique(inodes, return_index=True, return_inverse=True)
    directories = {ordered[index]: index for index in np.flatnonzero(kinds == DIRECTORY).tolist()}
    directories[""] = -1
    folders = (directories[path[: path.rindex("/")]] for path in ordered)
    return Layer(
        paths=ordered,
        kinds=kinds.astype(np.uint8),
        sizes=np.where(kinds == FILE, sizes, 0).astype(np.int64),
        modes=modes.astype(np.int64),
        uids=uids.astype(np.int64),
        gids=gids.astype(np.int64),
        inodes=firsts[numbers].astype(np.int32),
        folders=np.fromiter(folders, np.int32, len(ordered)),
        borrowed=tuple(sorted((bisect_left(ordered, path), target) for path, target in (borrowed or {}).items())),
        whiteouts=tuple(sorted(whiteouts)),
        opaques=tuple(sorted(opaques)),
        links=dict(links or {}),
        claims=tuple(sorted(claims)),
    )
