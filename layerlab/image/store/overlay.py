"""Layers as overlay2 keeps them: a directory for each, which holds what the layer adds or changes.

How a directory says what it takes away is the kernel's format (``Documentation/filesystems/overlayfs.rst``): a
character device 0/0 is a whiteout, the extended attribute ``trusted.overlay.opaque`` makes a directory opaque.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import tempfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from layerlab.image.databases import LARGEST_DATABASE, is_database, read_databases
from layerlab.image.formats.changeset import AUFS, WHITEOUT, absolute
from layerlab.image.layer import DEVICE, DIRECTORY, FIFO, FILE, SYMLINK, Layer, assemble

_KINDS: Final = {
    stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFCHR: DEVICE, stat.S_IFBLK: DEVICE,
    stat.S_IFIFO: FIFO,
}  # fmt: skip
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPAQUE: Final = "trusted.overlay.opaque"
_REDIRECT: Final = "trusted.overlay.redirect"


class UnusualLayerError(Exception):
    """The directory holds something that only the kernel's overlayfs can put together."""


def can_read() -> bool:
    """Whether this process sees a layer's directory as the kernel does.

    Outside of any user namespace and with CAP_SYS_ADMIN it may give a file a ``trusted.*`` attribute. Without, such
    attributes are not refused but hidden, and an opaque directory looks like any other.
    """
    try:
        with tempfile.NamedTemporaryFile() as file:
            os.setxattr(file.fileno(), "trusted.layerlab", b"")
    except (OSError, AttributeError):  # or this is not Linux
        return False
    return True


def scan(directory: str, archive: Path | None = None) -> Layer:
    """Walk the directory of one layer. No symbolic link is followed, and no file is opened but package databases.

    One thing only the archive tells that a layer was unpacked from: where it has a whiteout beside a directory of
    that name, unpacking puts the directory in the whiteout's place. The kernel then shows what the layers below have
    in it, which the OCI image specification says is gone.

    `archive` is what the engine keeps to write the archive anew, ``tar-split.json.gz``, if there is any.

    Raises:
        OSError: something cannot be read, or goes away meanwhile.
        UnusualLayerError: it holds what only the kernel or the archive can put together.
        ArchiveError: the archive takes away what lies outside.
    """
    paths: list[str] = []
    opaques: list[str] = []
    stats: list[os.stat_result] = []
    todo = [""]
    root = os.open(directory, _DIRECTORY)
    try:
        while todo:
            folder = todo.pop()
            handle = os.open(f".{folder}", _DIRECTORY, dir_fd=root)
            try:
                attributes = os.listxattr(handle)
                if attributes and _is_opaque(handle, attributes):
                    opaques.append(folder or "/")
                with os.scandir(handle) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}"
                        paths.append(path)
                        stats.append(entry.stat(follow_symlinks=False))
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(path)
            finally:
                os.close(handle)
        return _layer(root, paths, stats, opaques, archive)
    finally:
        os.close(root)


def _is_opaque(handle: int, attributes: list[str]) -> bool:
    if _REDIRECT in attributes:
        raise UnusualLayerError("a renamed directory")
    if _OPAQUE in attributes and os.getxattr(handle, _OPAQUE) != b"y":
        raise UnusualLayerError("whiteouts in extended attributes")
    return _OPAQUE in attributes


def _layer(
    root: int, paths: list[str], stats: list[os.stat_result], opaques: list[str], archive: Path | None
) -> Layer:
    # A stat_result is a tuple: mode, inode, device, links, uid, gid, size, and times.
    columns = list(zip(*stats, strict=True)) or [()] * 7
    modes, inodes, links, uids, gids, sizes = (np.array(columns[n], dtype=np.int64) for n in (0, 1, 3, 4, 5, 6))
    formats = modes & 0o170000
    kinds = np.full(len(paths), -1, dtype=np.int64)
    for code, kind in _KINDS.items():
        kinds[formats == code] = kind
    devices = np.flatnonzero(formats == stat.S_IFCHR).tolist()
    marks = [index for index in devices if stats[index].st_rdev == 0]
    kinds[marks] = -1
    whiteouts = [paths[index] for index in marks]
    if archive is not None and _marked(archive) != set(whiteouts):
        raise UnusualLayerError("a whiteout beside what it is about")
    if (kinds < 0).any():  # whiteouts and sockets are no entries
        kept = np.flatnonzero(kinds >= 0)
        paths = [paths[index] for index in kept]
        modes, inodes, links, uids, gids, sizes, kinds = (
            column[kept] for column in (modes, inodes, links, uids, gids, sizes, kinds)
        )
    # Only a file with several names can share its inode within the layer; numbers below zero are free for the rest.
    single = (links == 1) | (kinds == DIRECTORY)
    inodes = np.where(single, -1 - np.arange(len(paths)), inodes)
    linking = [paths[index] for index in np.flatnonzero(kinds == SYMLINK).tolist()]
    return assemble(
        paths,
        [kinds, sizes, modes & 0o7777, uids, gids, inodes],
        whiteouts=whiteouts,
        opaques=opaques,
        links={path: os.readlink(f".{path}", dir_fd=root) for path in linking},
        claims=read_databases(_texts(root, paths)),
    )


def _marked(archive: Path) -> set[str]:
    """The paths that an archive has whiteouts for: JSON objects, one a line, of which some have a name."""
    found = set()
    try:
        with gzip.open(archive) as lines:
            for line in lines:
                if b".wh." in line:
                    folder, _, base = absolute(json.loads(line).get("name", "")).rpartition("/")
                    if base.startswith(WHITEOUT) and not base.startswith(AUFS):
                        found.add(f"{folder}/{base.removeprefix(WHITEOUT)}")
    except (EOFError, ValueError, zlib.error) as error:
        raise UnusualLayerError("notes about its archive that cannot be read") from error
    return found


def _texts(root: int, paths: list[str]) -> dict[str, bytes]:
    """The package databases. The walk has seen each component of these paths, and none was a symbolic link."""
    texts = {}
    for path in filter(is_database, paths):
        try:
            handle = os.open(f".{path}", _FILE, dir_fd=root)
        except OSError:  # a symbolic link or a socket of that name
            continue
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_DATABASE:
                texts[path] = file.read(LARGEST_DATABASE)
    return texts
