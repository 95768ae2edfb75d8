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
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import numpy as np
import requests

from layerlab.engine import Engine, answering
from layerlab.engine.runs import container_labels
from layerlab.errors import ArchiveError, EngineError, EngineGone, LabError
from layerlab.image import Image
from layerlab.image.formats import archive, platforms
from layerlab.image.formats.archive import opened_below
from layerlab.image.formats.changeset import WantedFiles
from layerlab.image.formats.stream import PIECE, Stream
from layerlab.image.formats.tar import Member, members
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.image.store import cache, sources

LARGEST: Final = 1_000_000  # bytes of a file that are read unless a caller asks for more

_CAPABILITY: Final = struct.Struct("<5I")  # revision; permitted and inheritable, the lower bits and the higher
_ELF: Final = b"\x7fELF"
_IN_MEMORY: Final = 2**24
_LARGEST_PROGRAM: Final = 2**30  # bytes of a program that is copied out of an archive to be looked at
_Found = TypeVar("_Found")
_Known = TypeVar("_Known", str, int)


@dataclass(frozen=True, eq=False)
class FileReader:
    """Reads the files of one image, named as in `image.filesystem.Filesystem`: by layer and path, or by index."""

    engine: Engine | None  # that has the image; None if it comes from a file
    image: Image
    directories: tuple[str, ...] | None  # those of its layers, from the bottom; None where they cannot be read
    file: Path | None = None  # what the image was read from, if that was a file (or an OCI layout's directory)

    @property
    def stack(self) -> LayerStack:
        """What the image holds."""
        return self.image.stack

    def read(self, layer: int | None, path: str, limit: int = LARGEST) -> bytes | None:
        """The first bytes of a regular file; None if there is no such file, or if it cannot be read.

        Raises:
            EngineGone: the engine stopped answering.
        """
        index = self.stack.entry_at(layer, path)
        if index is None or self.stack.merged.kinds[index] != FILE:
            return None
        if self.directories is not None or self.engine is None:
            return self.read_all([index], limit).get(index)
        return self._from_container(index, limit)

    def read_all(self, indexes: Iterable[int], limit: int) -> dict[int, bytes]:
        """The first bytes of several files, hidden ones too; those that cannot be read are left out."""
        return self._use(indexes, lambda _, pieces: _first(pieces, limit), lambda file, _: file.read(limit))

    def digests(self, indexes: Iterable[int]) -> dict[int, str]:
        """Digests by which the contents of files can be told apart; of what cannot be read there is none.

        They are kept between runs, so nothing is read twice.
        """
        return self._learn(
            "contents", indexes,
            lambda _, pieces: _digest(pieces), lambda file, _: _digest(iter(lambda: file.read(PIECE), b"")),
        )  # fmt: skip

    def debug_bytes(self, indexes: Iterable[int]) -> dict[int, int]:
        """How many bytes of these files ``strip`` would take out, see `elf`; kept between runs, too."""
        from layerlab.image import elf  # noqa: PLC0415  # plain looks need none of it

        look = elf.debug_bytes
        return self._learn("strip", indexes, lambda _, pieces: _of_program(pieces, look), look)

    def capabilities(self, indexes: Iterable[int]) -> dict[int, int]:
        """What these programs permit whoever starts them, as the kernel's bits for capabilities; kept, too."""
        return self._learn(
            "capabilities", indexes,
            lambda member, _: _permitted(member.capability.encode("utf-8", "surrogateescape")),
            lambda file, _: _permitted(file.fileno()),
        )  # fmt: skip

    def _learn(
        self,
        what: str,
        indexes: Iterable[int],
        use_pieces: Callable[[Member, Iterator[bytes]], _Known],
        use_file: Callable[[IO[bytes], int], _Known],
    ) -> dict[int, _Known]:
        """What is known about files, or is found out and remembered."""
        merged, wanted = self.stack.merged, np.array(sorted(set(indexes)), dtype=np.int64)
        found: dict[int, _Known] = {}
        known: dict[int, dict[str, _Known]] = {}
        for layer in np.unique(merged.layers[wanted]).tolist():
            known[layer] = cache.load_document(self._key(what, layer)) or {}
            found |= {int(merged.starts[layer]) + int(place): value for place, value in known[layer].items()}
        missing = [index for index in wanted.tolist() if index not in found]
        new = self._use(missing, use_pieces, use_file) if missing else {}
        for layer in np.unique(merged.layers[list(new)]).tolist() if new else ():
            start, end = merged.starts[layer : layer + 2].tolist()
            known[layer] |= {str(index - start): value for index, value in new.items() if start <= index < end}
            cache.store_document(self._key(what, layer), known[layer])
        found |= new
        return {index: found[index] for index in wanted.tolist() if index in found}

    def _key(self, what: str, layer: int) -> str:
        """Of what is kept about a layer: where it lies, as `sources` names it, or the digest of what was read."""
        diff_id = self.stack.diff_ids[layer]
        if self.directories is None:
            return cache.key(what, diff_id)
        with suppress(OSError):
            return cache.directory_key(what, self.directories[layer], diff_id)
        return cache.key(what, diff_id, "not there")

    def _use(
        self,
        indexes: Iterable[int],
        use_pieces: Callable[[Member, Iterator[bytes]], _Found],
        use_file: Callable[[IO[bytes], int], _Found],
    ) -> dict[int, _Found]:
        """What one of these makes of files: of their pieces in an archive, or of the open files and their sizes."""
        if self.directories is None:
            return self._from_archive(indexes, use_pieces)
        merged = self.stack.merged
        found = {}
        for index in indexes:
            directory = self.directories[merged.layers[index]]
            with suppress(OSError), opened_below(directory, merged.paths[index]) as handle:
                status = os.fstat(handle)
                if stat.S_ISREG(status.st_mode):
                    with open(handle, "rb", closefd=False) as file:
                        found[index] = use_file(file, status.st_size)
        return found

    def _from_archive(
        self, indexes: Iterable[int], use: Callable[[Member, Iterator[bytes]], _Found]
    ) -> dict[int, _Found]:
        """What `use` makes of these files, in one pass over an archive; nothing if that fails."""
        names = self._names(indexes)
        wanted = WantedFiles({path for _, path in names}, use)
        platform = platforms.described(self.image.config)
        try:
            if self.file is not None:
                archive.read_path(self.file, platform=platform, wanted=wanted)
            elif self.engine is not None:
                with sources.exported(self.engine, self.image.id) as pieces:
                    archive.read_stream(pieces, platform=platform, wanted=wanted)
        except EngineGone:
            raise
        except (LabError, OSError):
            return {}
        return {names[place]: value for place, value in wanted.found.items() if place in names}

    def _names(self, indexes: Iterable[int]) -> dict[tuple[str, str], int]:
        """By diff id and path, all names of these files' inodes: an archive stores the data with any one of them."""
        merged = self.stack.merged
        names: dict[tuple[str, str], int] = {}
        for index in indexes:
            layer = int(merged.layers[index])
            start, end = (int(merged.starts[number]) for number in (layer, layer + 1))
            for other in np.flatnonzero(merged.inodes[start:end] == merged.inodes[index]).tolist():
                names[self.stack.diff_ids[layer], merged.paths[start + other]] = index
        return names

    def _from_container(self, index: int, limit: int) -> bytes | None:
        """The first bytes of a visible file, as a container that is never started holds it."""
        path = self.stack.merged.paths[index]
        if self.engine is None or self.stack.merged.find(path) != index:
            return None
        api = self.engine.client.api
        container = None
        try:
            path.encode()
            with answering(self.engine):
                created = api.create_container(self.image.id, ["none"], labels=container_labels(self.engine))
                container = str(created["Id"])
                pieces, _ = api.get_archive(container, path, chunk_size=PIECE)
                with closing(pieces):
                    stream = Stream(pieces)
                    found = next(members(stream), None)
                    return _first(stream.pieces(found.size), limit) if found and found.is_plain else None
        except EngineGone:
            raise
        except (EngineError, ArchiveError, UnicodeEncodeError):
            return None
        finally:
            if container is not None:
                with suppress(requests.RequestException):
                    api.remove_container(container, v=True, force=True)


def for_image(engine: Engine | None, image: Image) -> FileReader:
    """The files of an image that this engine has, or that was read from a file.

    Raises:
        ImageNotFound: it has none of that id.
        EngineGone: the engine stopped answering.
    """
    if sources.is_file(image.name):
        return FileReader(None, image, None, Path(image.name))
    found = sources.directories(engine, image.id) if engine is not None else None
    usable = found is not None and len(found) == len(image.stack.layers)
    return FileReader(engine, image, tuple(found) if found is not None and usable else None)


def _first(pieces: Iterable[bytes], limit: int) -> bytes:
    """The first bytes; the rest is left where it is."""
    found = b""
    for piece in pieces:
        found += piece[: limit - len(found)]
        if len(found) >= limit:
            break
    return found


def _permitted(attribute: bytes | int) -> int:
    """The permitted set of ``struct vfs_cap_data`` (include/uapi/linux/capability.h), given or of an open file."""
    with suppress(OSError, struct.error):  # it has none
        given = os.getxattr(attribute, "security.capability") if isinstance(attribute, int) else attribute
        _, low, _, high, _ = _CAPABILITY.unpack_from(given)
        return int(low | high << 32)
    return 0


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def _of_program(pieces: Iterator[bytes], use: Callable[[IO[bytes], int], int]) -> int:
    """What `use` makes of a program that comes in pieces; 0 of anything else."""
    start = next(pieces, b"")
    if not start.startswith(_ELF):
        return 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        size = file.write(start)
        for piece in pieces:
            size += file.write(piece)
            if size > _LARGEST_PROGRAM:
                return 0
        return use(file, size)
