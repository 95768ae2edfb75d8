"""The bytes of an image's files, read where its layers lie: the engine's directories, or else what the engine sends.

Images are built by strangers: no symbolic link is followed, nothing but regular files is opened, and whatever is kept
in memory has a limit.
"""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import docker.errors
import numpy as np
import requests

from layerlab.engine import Engine, gone
from layerlab.errors import ArchiveError
from layerlab.image import Image, cache, sources
from layerlab.image.changeset import absolute
from layerlab.image.content import Content
from layerlab.image.layer import FILE, SYMLINK
from layerlab.image.tar import BLOCK, Hashed, Member, Stream, gunzip, is_tar, members
from layerlab.runs import labels

LARGEST: Final = 1_000_000
"""Bytes of a file that are read unless a caller asks for more."""

_PIECE: Final = 2**20
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GZIP: Final = b"\x1f\x8b"
_Found = TypeVar("_Found")


@dataclass(frozen=True, eq=False)
class Contents:
    """Reads the files of one image.

    Entries are named as in `layerlab.image.filesystem.Filesystem`: by layer and path, or by index.

    Attributes:
        engine: That has the image.
        image: The image.
        directories: Those of its layers, from the bottom; None where they cannot be read.
    """

    engine: Engine
    image: Image
    directories: tuple[str, ...] | None
    _digests: dict[int, dict[int, str]] = field(default_factory=dict, repr=False)  # by layer, by index within it

    @property
    def content(self) -> Content:
        """What the image holds."""
        return self.image.content

    def index(self, layer: int | None, path: str) -> int | None:
        """The index of a layer's entry at this path, or of the visible one (None); None if there is none."""
        if layer is None:
            return self.content.merged.find(path)
        if not 0 <= layer < len(self.content.layers):
            return None
        paths = self.content.layers[layer].paths
        at = bisect_left(paths, path)
        return int(self.content.merged.starts[layer]) + at if at < len(paths) and paths[at] == path else None

    def read(self, layer: int | None, path: str, limit: int = LARGEST) -> bytes | None:
        """The first bytes of a regular file; None if there is no such file, or if it cannot be read.

        Raises:
            EngineGone: the engine stopped answering.
        """
        index = self.index(layer, path)
        if index is None or self.content.merged.kinds[index] != FILE:
            return None
        if self.directories is not None:
            try:
                with os.fdopen(self._open(index), "rb") as file:
                    return file.read(limit)
            except OSError:
                return None
        if self.content.merged.find(path) != index:
            return None
        return self._from_container(
            path, lambda member, stream: _first(stream.pieces(member.size), limit) if _is_plain(member) else None
        )

    def target(self, layer: int | None, path: str) -> str | None:
        """What a symbolic link says that it leads to; None if there is no such link, or if it cannot be read.

        Raises:
            EngineGone: the engine stopped answering.
        """
        index = self.index(layer, path)
        if index is None or self.content.merged.kinds[index] != SYMLINK:
            return None
        if self.directories is not None:
            try:
                with self._folder(index) as (folder, name):
                    return os.readlink(name, dir_fd=folder)
            except OSError:
                return None
        if self.content.merged.find(path) != index:
            return None
        return self._from_container(path, lambda member, _: member.link if member.kind == "2" else None)

    def read_all(self, indexes: Iterable[int], limit: int) -> dict[int, bytes]:
        """The first bytes of several files, hidden ones too; those that cannot be read are left out."""
        if self.directories is None:
            return self._from_export(indexes, lambda pieces: _first(pieces, limit))
        merged = self.content.merged
        read = {index: self.read(int(merged.layers[index]), merged.paths[index], limit) for index in indexes}
        return {index: content for index, content in read.items() if content is not None}

    def digests(self, indexes: Iterable[int]) -> dict[int, str]:
        """Digests by which the contents of files can be told apart; of what cannot be read there is none.

        They are kept between runs, so nothing is read twice.
        """
        merged = self.content.merged
        wanted: dict[int, list[int]] = {}
        for index in indexes:
            wanted.setdefault(int(merged.layers[index]), []).append(index)
        found: dict[int, str] = {}
        missing: list[int] = []
        for layer, asked in wanted.items():
            known, start = self._known_digests(layer), int(merged.starts[layer])
            for index in asked:
                if index - start in known:
                    found[index] = known[index - start]
                else:
                    missing.append(index)
        if missing:
            new = self._compute(missing)
            found |= new
            self._remember(new)
        return found

    def _compute(self, indexes: list[int]) -> dict[int, str]:
        if self.directories is None:
            return self._from_export(indexes, _digest)
        new = {}
        for index in indexes:
            with suppress(OSError), os.fdopen(self._open(index), "rb", buffering=0) as file:
                new[index] = _digest(iter(lambda file=file: file.read(_PIECE), b""))  # type: ignore[misc]
        return new

    def _key(self, layer: int) -> str:
        """Of what is kept about a layer: where it lies, as `sources` names it, or the digest of what was read."""
        diff_id = self.content.diff_ids[layer]
        if self.directories is None:
            return cache.key("contents", diff_id)
        path = self.directories[layer]
        status = os.stat(path)  # noqa: PTH116
        return cache.key(
            "contents", path, diff_id, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        )

    def _known_digests(self, layer: int) -> dict[int, str]:
        if layer not in self._digests:
            known: dict[int, str] = {}
            with suppress(OSError, ValueError, KeyError, TypeError):
                document = cache.load_document(self._key(layer)) or {"indexes": [], "digests": []}
                known = dict(zip(map(int, document["indexes"]), map(str, document["digests"]), strict=True))
            self._digests[layer] = known
        return self._digests[layer]

    def _remember(self, new: Mapping[int, str]) -> None:
        merged = self.content.merged
        changed = set()
        for index, digest in new.items():
            layer = int(merged.layers[index])
            self._known_digests(layer)[index - int(merged.starts[layer])] = digest
            changed.add(layer)
        for layer in changed:
            known = self._digests[layer]
            with suppress(OSError):
                cache.store_document(self._key(layer), {"indexes": list(known), "digests": list(known.values())})

    # -- the engine's directories

    @contextmanager
    def _folder(self, index: int) -> Iterator[tuple[int, str]]:
        """Open the folder of an entry in its layer's directory, no matter what that holds; with the entry's name.

        Raises:
            OSError: there is none.
        """
        merged = self.content.merged
        *folders, name = merged.paths[index].strip("/").split("/")
        if self.directories is None or ".." in {*folders, name}:
            raise FileNotFoundError(index)
        at = os.open(self.directories[int(merged.layers[index])], _DIRECTORY)
        try:
            for folder in folders:
                below = os.open(folder, _DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            yield at, name
        finally:
            os.close(at)

    def _open(self, index: int) -> int:
        """Open a regular file in its layer's directory.

        Raises:
            OSError: there is none.
        """
        with self._folder(index) as (folder, name):
            handle = os.open(name, _FILE, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise FileNotFoundError(index)
        return handle

    # -- what the engine sends

    def _from_container(self, path: str, use: Callable[[Member, Stream], _Found | None]) -> _Found | None:
        """What `use` makes of a visible entry, as a container that is never started holds it."""
        api = self.engine.client.api
        container = None
        try:
            path.encode()
            created: dict[str, Any] = api.create_container(self.image.id, ["none"], labels=labels(self.engine))
            container = str(created["Id"])
            pieces, _ = api.get_archive(container, path, chunk_size=_PIECE)
            with closing(pieces):
                stream = Stream(pieces)
                for member in members(stream):
                    return use(member, stream)
        except (docker.errors.APIError, ArchiveError, UnicodeEncodeError):
            return None
        except requests.RequestException as error:
            raise gone(self.engine, error) from error
        finally:
            if container is not None:
                with suppress(docker.errors.APIError, requests.RequestException):
                    api.remove_container(container, v=True, force=True)
        return None

    def _from_export(self, indexes: Iterable[int], use: Callable[[Iterator[bytes]], _Found]) -> dict[int, _Found]:
        """What `use` makes of these files, in one pass over what ``docker save`` sends.

        Layers come in any order and are known by the digest of what was read.
        """
        names = self._names(indexes)
        paths = {path for wanted in names.values() for path in wanted}
        found: dict[int, _Found] = {}
        try:
            with closing(self.engine.client.api.get_image(self.image.id, chunk_size=_PIECE)) as sent:
                stream = Stream(sent)
                for member in members(stream):
                    if _is_plain(member) and member.size:
                        diff_id, read = _layer(stream, member.size, paths, use)
                        for path, index in names.get(diff_id, {}).items():
                            if path in read:
                                found.setdefault(index, read[path])
        except (docker.errors.APIError, ArchiveError):
            return {}
        except requests.RequestException as error:
            raise gone(self.engine, error) from error
        return found

    def _names(self, indexes: Iterable[int]) -> dict[str, dict[str, int]]:
        """By layer digest, all names of these files' inodes: an archive stores the data with any one of them."""
        merged = self.content.merged
        names: dict[str, dict[str, int]] = {}
        for index in indexes:
            layer = int(merged.layers[index])
            start, end = (int(merged.starts[number]) for number in (layer, layer + 1))
            of_inode = names.setdefault(self.content.diff_ids[layer], {})
            for other in np.flatnonzero(merged.inodes[start:end] == merged.inodes[index]):
                of_inode[merged.paths[start + int(other)]] = index
        return names


def of(engine: Engine, image: Image) -> Contents:
    """The files of an image that this engine has.

    Raises:
        ImageNotFound: it has none of that id.
        EngineGone: the engine stopped answering.
    """
    found = sources.directories(engine, image.id)
    usable = found is not None and len(found) == len(image.content.layers)
    return Contents(engine, image, tuple(found) if found is not None and usable else None)


def _layer(
    stream: Stream, size: int, paths: set[str], use: Callable[[Iterator[bytes]], _Found]
) -> tuple[str, dict[str, _Found]]:
    """A part of an export, if it is a layer: its digest, and what `use` makes of the files with these paths."""
    start = stream.peek(min(size, BLOCK))[:size]
    if is_tar(start):
        hashed = Hashed(stream.pieces(size))
    elif start.startswith(_GZIP):
        hashed = Hashed(gunzip(stream.pieces(size)))
    else:
        return "", {}
    inner = Stream(hashed)
    found = {}
    for member in members(inner):
        if _is_plain(member) and (path := absolute(member.name)) in paths:
            found[path] = use(inner.pieces(member.size))
    inner.drain()
    return hashed.digest, found


def _is_plain(member: Member) -> bool:
    """Whether the bytes that follow are those of a regular file; those of a sparse one are not all there."""
    return member.kind == "0" and member.size == member.apparent_size


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def _first(pieces: Iterable[bytes], limit: int) -> bytes:
    """The first bytes; the rest is left where it is."""
    found = b""
    for piece in pieces:
        found += piece[: limit - len(found)]
        if len(found) >= limit:
            break
    return found
