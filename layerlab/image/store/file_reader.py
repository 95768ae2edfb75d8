"""The bytes of an image's files, read where its layers lie: the engine's directories, or else what the engine sends.

Images are built by strangers: no symbolic link is followed, nothing but regular files is opened, and whatever is kept
in memory has a limit.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import numpy as np

from layerlab.engine import Engine
from layerlab.errors import ArchiveError
from layerlab.image import Image
from layerlab.image.formats.tar import Member
from layerlab.image.layer import FILE, SYMLINK
from layerlab.image.stack import LayerStack
from layerlab.image.store import cache, exported, sources

LARGEST: Final = 1_000_000
"""Bytes of a file that are read unless a caller asks for more."""

_PIECE: Final = 2**20
_CAPABILITY: Final = struct.Struct("<5I")  # revision; permitted and inheritable, the lower bits and the higher
_ELF: Final = b"\x7fELF"
_IN_MEMORY: Final = 2**24
_LARGEST_PROGRAM: Final = 2**30
"""Bytes of a program that is copied out of an archive to be looked at."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_Found = TypeVar("_Found")
_Known = TypeVar("_Known", str, int)


@dataclass(frozen=True, eq=False)
class FileReader:
    """Reads the files of one image.

    Entries are named as in `layerlab.image.filesystem.Filesystem`: by layer and path, or by index.

    Attributes:
        engine: That has the image; None if it comes from a file.
        image: The image.
        directories: Those of its layers, from the bottom; None where they cannot be read.
        file: What the image was read from, if that was a file (or an OCI layout's directory).
    """

    engine: Engine | None
    image: Image
    directories: tuple[str, ...] | None
    file: Path | None = None
    _learnt: dict[tuple[str, int], dict[int, Any]] = field(default_factory=dict, repr=False)

    @property
    def stack(self) -> LayerStack:
        """What the image holds."""
        return self.image.stack

    def entry_at(self, layer: int | None, path: str) -> int | None:
        """The index of a layer's entry at this path, or of the visible one (None); None if there is none."""
        return self.stack.entry_at(layer, path)

    def read(self, layer: int | None, path: str, limit: int = LARGEST) -> bytes | None:
        """The first bytes of a regular file; None if there is no such file, or if it cannot be read.

        Raises:
            EngineGone: the engine stopped answering.
        """
        index = self.entry_at(layer, path)
        if index is None or self.stack.merged.kinds[index] != FILE:
            return None
        if self.directories is not None:
            try:
                with os.fdopen(self._open(index), "rb") as file:
                    return file.read(limit)
            except OSError:
                return None
        if self.engine is None or self.stack.merged.find(path) != index:
            return self.read_all([index], limit).get(index) if self.engine is None else None
        return exported.from_container(
            self.engine,
            self.image.id,
            path,
            lambda member, stream: (
                exported.first(stream.pieces(member.size), limit) if exported.is_plain(member) else None
            ),
        )

    def target(self, layer: int | None, path: str) -> str | None:
        """What a symbolic link says that it leads to; None if there is no such link, or if it cannot be read.

        Raises:
            EngineGone: the engine stopped answering.
        """
        index = self.entry_at(layer, path)
        if index is None or self.stack.merged.kinds[index] != SYMLINK:
            return None
        if self.directories is not None:
            try:
                with self._folder(index) as (folder, name):
                    return os.readlink(name, dir_fd=folder)
            except OSError:
                return None
        if self.engine is None or self.stack.merged.find(path) != index:
            return None
        return exported.from_container(
            self.engine, self.image.id, path, lambda member, _: member.link if member.kind == "2" else None
        )

    def read_all(self, indexes: Iterable[int], limit: int) -> dict[int, bytes]:
        """The first bytes of several files, hidden ones too; those that cannot be read are left out."""
        if self.directories is None:
            return self._from_export(indexes, lambda _, pieces: exported.first(pieces, limit))
        return self._from_directories(indexes, lambda file, _: file.read(limit))

    def digests(self, indexes: Iterable[int]) -> dict[int, str]:
        """Digests by which the contents of files can be told apart; of what cannot be read there is none.

        They are kept between runs, so nothing is read twice.
        """
        return self._learn("contents", indexes, self._compute_digests)

    def debug_bytes(self, indexes: Iterable[int]) -> dict[int, int]:
        """How many bytes of these files ``strip`` would take out, see `elf`; what cannot be read is left out.

        They are kept between runs, so nothing is read twice.
        """
        return self._learn("strip", indexes, self._compute_debug_bytes)

    def needed(self, indexes: Iterable[int]) -> dict[int, tuple[str, ...]]:
        """The shared libraries that programs and libraries ask for; of what cannot be read there is nothing."""
        found = self._learn("needed libraries", indexes, self._compute_needed)
        return {index: tuple(filter(None, names.split("\0"))) for index, names in found.items()}

    def capabilities(self, indexes: Iterable[int]) -> dict[int, int]:
        """What these programs permit whoever starts them, as the kernel's bits for capabilities.

        Those told by an archive are kept between runs, so nothing is read twice.
        """
        if self.directories is not None:
            return self._from_directories(indexes, lambda file, _: _permitted(_attribute(file.fileno())))
        found = self._learn("capabilities", indexes, self._compute_capabilities)
        return {index: int(bits) for index, bits in found.items()}

    def _learn(
        self, what: str, indexes: Iterable[int], compute: Callable[[list[int]], dict[int, _Known]]
    ) -> dict[int, _Known]:
        """What is known about files, or is computed and remembered."""
        merged = self.stack.merged
        wanted: dict[int, list[int]] = {}
        for index in indexes:
            wanted.setdefault(int(merged.layers[index]), []).append(index)
        found: dict[int, _Known] = {}
        missing: list[int] = []
        for layer, asked in wanted.items():
            known, start = self._known(what, layer), int(merged.starts[layer])
            for index in asked:
                if index - start in known:
                    found[index] = known[index - start]
                else:
                    missing.append(index)
        if missing:
            new = compute(missing)
            found |= new
            self._remember(what, new)
        return found

    def _compute_digests(self, indexes: list[int]) -> dict[int, str]:
        if self.directories is None:
            return self._from_export(indexes, lambda _, pieces: _digest(pieces))
        return self._from_directories(
            indexes, lambda file, _: _digest(iter(lambda: file.read(_PIECE), b"")), buffering=0
        )

    def _compute_debug_bytes(self, indexes: list[int]) -> dict[int, int]:
        from layerlab.image import elf  # noqa: PLC0415  # plain looks need none of it

        if self.directories is None:
            return self._from_export(indexes, lambda _, pieces: _as_file(pieces, elf.debug_bytes, 0))
        return self._from_directories(indexes, elf.debug_bytes)

    def _compute_needed(self, indexes: list[int]) -> dict[int, str]:
        from layerlab.image import elf  # noqa: PLC0415

        if self.directories is None:
            return self._from_export(indexes, lambda _, pieces: _as_file(pieces, elf.needed_libraries, ""))
        return self._from_directories(indexes, elf.needed_libraries)

    def _compute_capabilities(self, indexes: list[int]) -> dict[int, str]:
        def read(member: Member, _: Iterator[bytes]) -> str:
            return str(_permitted(member.capability.encode("utf-8", "surrogateescape")))

        return self._from_export(indexes, read)

    def _key(self, what: str, layer: int) -> str:
        """Of what is kept about a layer: where it lies, as `sources` names it, or the digest of what was read."""
        diff_id = self.stack.diff_ids[layer]
        if self.directories is None:
            return cache.key(what, diff_id)
        path = self.directories[layer]
        status = os.stat(path)  # noqa: PTH116
        return cache.key(what, path, diff_id, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)

    def _known(self, what: str, layer: int) -> dict[int, Any]:
        if (what, layer) not in self._learnt:
            known: dict[int, Any] = {}
            with suppress(OSError, ValueError, KeyError, TypeError):
                document = cache.load_document(self._key(what, layer)) or {"indexes": [], "known": []}
                kind: type = int if what == "strip" else str
                known = dict(zip(map(int, document["indexes"]), map(kind, document["known"]), strict=True))
            self._learnt[what, layer] = known
        return self._learnt[what, layer]

    def _remember(self, what: str, new: Mapping[int, str] | Mapping[int, int]) -> None:
        merged = self.stack.merged
        changed = set()
        for index, value in new.items():
            layer = int(merged.layers[index])
            self._known(what, layer)[index - int(merged.starts[layer])] = value
            changed.add(layer)
        for layer in changed:
            known = self._learnt[what, layer]
            with suppress(OSError):
                cache.store_document(self._key(what, layer), {"indexes": list(known), "known": list(known.values())})

    # -- the engine's directories

    def _open_folder(self, layer: int, folder: str) -> int:
        """Open a folder in its layer's directory, no matter what that holds.

        Raises:
            OSError: there is none.
        """
        folders = folder.strip("/").split("/") if folder.strip("/") else []
        if self.directories is None or ".." in folders:
            raise FileNotFoundError(folder)
        at = os.open(self.directories[layer], _DIRECTORY)
        try:
            for name in folders:
                below = os.open(name, _DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
        except OSError:
            os.close(at)
            raise
        return at

    @contextmanager
    def _folder(self, index: int) -> Iterator[tuple[int, str]]:
        """Open the folder of an entry; with the entry's name.

        Raises:
            OSError: there is none.
        """
        folder, _, name = self.stack.merged.paths[index].rpartition("/")
        at = self._open_folder(int(self.stack.merged.layers[index]), folder)
        try:
            yield at, name
        finally:
            os.close(at)

    def _open(self, index: int) -> int:
        """Open a regular file in its layer's directory.

        Raises:
            OSError: there is none.
        """
        with self._folder(index) as (folder, name):
            return _open_file(folder, name)

    def _from_directories(
        self, indexes: Iterable[int], use: Callable[[IO[bytes], int], _Found], buffering: int = -1
    ) -> dict[int, _Found]:
        """What `use` makes of these files and their sizes."""
        merged = self.stack.merged
        by_folder: dict[tuple[int, str], list[int]] = {}
        for index in indexes:
            by_folder.setdefault((int(merged.layers[index]), merged.paths[index].rpartition("/")[0]), []).append(
                index
            )
        found = {}
        for (layer, folder), inside in by_folder.items():
            with suppress(OSError):
                at = self._open_folder(layer, folder)
                try:
                    for index in inside:
                        with suppress(OSError):
                            handle = _open_file(at, merged.paths[index].rpartition("/")[2])
                            with os.fdopen(handle, "rb", buffering) as file:
                                found[index] = use(file, os.fstat(handle).st_size)
                finally:
                    os.close(at)
        return found

    # -- what the engine sends, or a file holds

    def _from_export(
        self, indexes: Iterable[int], use: Callable[[Member, Iterator[bytes]], _Found]
    ) -> dict[int, _Found]:
        """What `use` makes of these files, in one pass over an archive; nothing if there is none."""
        names = self._names(indexes)
        try:
            if self.file is not None:
                with exported.of_file(self.file) as parts:
                    return exported.collect(parts, names, use)
            if self.engine is not None:
                with exported.of_engine(self.engine, self.image.id) as parts:
                    return exported.collect(parts, names, use)
        except (ArchiveError, OSError):
            pass
        return {}

    def _names(self, indexes: Iterable[int]) -> dict[str, dict[str, int]]:
        """By layer digest, all names of these files' inodes: an archive stores the data with any one of them."""
        merged = self.stack.merged
        names: dict[str, dict[str, int]] = {}
        for index in indexes:
            layer = int(merged.layers[index])
            start, end = (int(merged.starts[number]) for number in (layer, layer + 1))
            of_inode = names.setdefault(self.stack.diff_ids[layer], {})
            for other in np.flatnonzero(merged.inodes[start:end] == merged.inodes[index]):
                of_inode[merged.paths[start + int(other)]] = index
        return names


def for_image(engine: Engine | None, image: Image) -> FileReader:
    """The files of an image that this engine has, or that was read from a file.

    Raises:
        ImageNotFound: it has none of that id.
        EngineGone: the engine stopped answering.
    """
    if sources.is_file(image.name):
        return FileReader(None, image, None, Path(image.name))
    if engine is None:
        return FileReader(None, image, None)
    found = sources.directories(engine, image.id)
    usable = found is not None and len(found) == len(image.stack.layers)
    return FileReader(engine, image, tuple(found) if found is not None and usable else None)


def _open_file(folder: int, name: str) -> int:
    """Open a regular file.

    Raises:
        OSError: there is none.
    """
    if name in {"", ".", ".."}:
        raise FileNotFoundError(name)
    handle = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(name)
    return handle


def _attribute(handle: int) -> bytes:
    try:
        return os.getxattr(handle, "security.capability")
    except OSError:  # it has none
        return b""


def _permitted(attribute: bytes) -> int:
    """The permitted set of ``struct vfs_cap_data``, in the kernel's include/uapi/linux/capability.h."""
    if len(attribute) < _CAPABILITY.size:
        return 0
    _, low, _, high, _ = _CAPABILITY.unpack_from(attribute)
    return int(low | high << 32)


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def _as_file(pieces: Iterator[bytes], use: Callable[[IO[bytes], int], _Known], otherwise: _Known) -> _Known:
    """What `use` makes of a program that comes in pieces."""
    start = next(pieces, b"")
    if not start.startswith(_ELF):
        return otherwise
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        size = file.write(start)
        for piece in pieces:
            size += file.write(piece)
            if size > _LARGEST_PROGRAM:
                return otherwise
        return use(file, size)
