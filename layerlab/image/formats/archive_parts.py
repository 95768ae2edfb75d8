"""The parts of an image's archive: descriptions and layers, by name, whichever way they are stored.

Those of a file or a directory are read when they are asked for, and only then: an archive for five platforms costs no
more than one for one. Those that an engine sends, or that come out of a compressed archive, come once, in any order,
before anybody knows which of them matter. Each is recognised by its first bytes. Nothing is ever written to disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from layerlab.errors import ArchiveError
from layerlab.image.formats.changeset import WantedFiles, absolute, scan
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.expansion_limits import Budget
from layerlab.image.formats.stream import Stream, Stretch, damaged
from layerlab.image.formats.tar import BLOCK, Member, is_tar, members
from layerlab.image.layer import Layer

LARGEST_JSON: Final = 4_000_000
"""Bytes of a description that is still read. Attestations, which list an image's software, are larger: not needed."""
LARGEST_TOTAL: Final = 64_000_000
"""Bytes of all descriptions."""
MOST_PARTS: Final = 10_000
MOST_LINKS: Final = 10
"""Links that lead from one name to the next."""
NO_IMAGE: Final = "write it with `docker save`, which keeps an image (`docker export` keeps a container's files)"
"""What to do about an archive that is none of an image."""

_HEADERS: Final = 2**16  # bytes read at once where only headers are wanted
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


Watch = Callable[[Iterator[bytes]], Iterator[bytes]]
"""Passes on the bytes that are read, so that somebody sees how far it is."""


@dataclass
class Parts:
    """The parts of an archive; names are as a manifest has them.

    Parts that come once, one after the other, are given to `add`; those that can be opened are read when they are
    asked for.

    Attributes:
        budget: What they may cost.
        is_compressed: Whether the archive is compressed as a whole.
        wanted: Files of the layers whose bytes are wanted, too.
        size: The bytes of a part that can be opened; None if there is none at this path.
        open: The bytes themselves.
        links: Where links within the archive lead, by path.
        read: The names of all parts that were opened.
    """

    budget: Budget
    is_compressed: bool = False
    wanted: WantedFiles | None = None
    size: Callable[[str], int | None] = field(default=lambda _: None)
    open: Callable[[str], Iterator[bytes]] = field(default=lambda _: iter(()))
    links: dict[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    _documents: dict[str, bytes] = field(default_factory=dict)
    _layers: dict[str, tuple[Layer, str]] = field(default_factory=dict)
    _refused: dict[str, ArchiveError] = field(default_factory=dict)
    _document_bytes: int = 0
    _count: int = 0

    def add(self, member: Member, stream: Stream) -> None:
        """Look at a part, whose bytes are the next in the stream. Whatever is not read here is left out.

        Raises:
            ArchiveError: it is one too many.
        """
        self._count += 1
        name = absolute(member.name)
        if self._count > MOST_PARTS:
            raise too_many_parts()
        if (target := link_of(member)) is not None:
            self.links[name] = target
        elif member.is_plain:
            self._look(name, member.size, stream)

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""
        path = follow(self.links, name)
        return path in self._layers or path in self._refused or self.size(path) is not None

    def document(self, name: str) -> bytes | None:
        """The bytes of a description; None if there is no such part, or if it is something else."""
        return self._documents.get(self._opened(name))

    def layer(self, name: str) -> tuple[Layer, str]:
        """A layer, and the digest of its uncompressed bytes.

        Raises:
            ArchiveError: it is not there, or cannot be read.
        """
        path = self._opened(name)
        if path in self._refused:
            raise self._refused[path]
        if path not in self._layers:
            raise damaged(f"the layer {name!r} is missing")
        return self._layers[path]

    def _opened(self, name: str) -> str:
        """The path of a part, which is read now if it can be and has not been."""
        path = follow(self.links, name)
        if path not in self._layers and path not in self._refused and (size := self.size(path)) is not None:
            self.read.add(path.lstrip("/"))
            self._look(path, size, Stream(self.open(path)))
        return path

    def _look(self, path: str, size: int, stream: Stream) -> None:
        start = stream.peek(min(size, BLOCK))[:size]
        if not is_tar(start) and start.lstrip()[:1] in {b"{", b"["}:
            self._refused[path] = damaged(f"the layer {path!r} is no layer")
            if size <= LARGEST_JSON:
                self._document_bytes += size
                if self._document_bytes > LARGEST_TOTAL:
                    raise damaged("its descriptions are larger than those of any image")
                self._documents[path] = stream.read(size)
        elif is_tar(start) or recognised(start) or not size:
            try:
                self._layers[path] = self._read_layer(stream.pieces(size))
            except ArchiveError as error:  # of a part that nobody may ask for
                self._refused[path] = error
        else:
            self._refused[path] = damaged(f"the layer {path!r} is no tar archive")

    def _read_layer(self, pieces: Iterator[bytes]) -> tuple[Layer, str]:
        """A layer, compressed or not, and the digest of its uncompressed bytes."""
        stream = Stream(pieces)
        known = recognised(stream.peek(BLOCK))
        if known:
            held = stream.rest() if self.is_compressed else self.budget.holding(stream.rest())
            stream = Stream(expanded(held, known, self.budget))
        start = stream.peek(BLOCK)
        if start and not is_tar(start):
            raise damaged(f"a layer that is {f'compressed with {known.name}, but ' if known else ''}no tar archive")
        return scan(stream.rest(), self.budget, self.wanted)


def read_json(parts: Parts, name: str) -> Any:
    """A description, which must have the digest that its name says, if it says one.

    Raises:
        ArchiveError: it is not there, or cannot be read, or is not what its name says.
    """
    text = parts.document(name)
    if text is None:
        raise damaged(f"{name!r} is {'no description of anything' if parts.has(name) else 'missing'}")
    _, blobs, named = absolute(name).rpartition("/blobs/")
    if blobs:
        algorithm, _, digest = named.partition("/")
        if algorithm not in {"sha256", "sha512"}:
            raise damaged(f"a digest of an unknown kind, {algorithm!r}")
        if hashlib.new(algorithm, text).hexdigest() != digest:
            raise damaged(f"{name!r} does not hold what its name says")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{name!r} is not valid JSON") from error


def in_file(handle: int, budget: Budget, watch: Watch = iter, wanted: WantedFiles | None = None) -> Parts:
    """The parts of a tar archive in a file that stays open.

    Raises:
        ArchiveError: it is damaged.
    """
    whole = Stretch(handle, 0, os.fstat(handle).st_size, _HEADERS)
    stream = Stream(whole, whole.jump)
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    for count, member in enumerate(members(stream)):
        if count >= MOST_PARTS:
            raise too_many_parts()
        name = absolute(member.name)
        if (target := link_of(member)) is not None:
            links[name] = target
        elif member.is_plain:
            places[name] = (stream.position, member.size)

    return Parts(
        budget,
        wanted=wanted,
        size=lambda path: places.get(path, (0, None))[1],
        open=lambda path: watch(Stretch(handle, *places[path])),
        links=links,
    )


def in_directory(path: Path, budget: Budget, watch: Watch = iter, wanted: WantedFiles | None = None) -> Parts:
    """The parts in a directory; no symbolic link is followed, and nothing but regular files is opened."""

    def size(name: str) -> int | None:
        try:
            with opened_below(path, name) as handle:
                status = os.fstat(handle)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def pieces(name: str) -> Iterator[bytes]:
        with opened_below(path, name) as handle:
            yield from watch(Stretch(handle, 0, os.fstat(handle).st_size))

    return Parts(budget, wanted=wanted, size=size, open=pieces)


@contextmanager
def opened_below(folder: Path | str, path: str) -> Iterator[int]:
    """Open a file below a directory.

    Args:
        folder: The directory.
        path: Of the file, from there.

    Raises:
        OSError: it cannot be opened, or a symbolic link is on the way.
    """
    *folders, name = path.strip("/").split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part, flags in [*((part, _DIRECTORY) for part in folders), (name, _FILE)]:
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def too_many_parts() -> ArchiveError:
    """The error for an archive of very many files, which is most often one of a container's."""
    return ArchiveError(
        f"the archive is none of an image: it has more than {MOST_PARTS:,} parts",
        remedy=NO_IMAGE,
    )


def link_of(member: Member) -> str | None:
    """Where a hard or symbolic link within an archive leads; None for anything else.

    Raises:
        ArchiveError: it leads outside.
    """
    if member.kind == "1":
        return absolute(member.link)
    if member.kind == "2":
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(absolute(member.name)), member.link))
        return absolute(joined)
    return None


def follow(links: dict[str, str], name: str) -> str:
    """The name of what a name leads to.

    Raises:
        ArchiveError: the links lead in a circle.
    """
    path = absolute(name)
    for _ in range(MOST_LINKS):
        if path not in links:
            return path
        path = links[path]
    raise damaged("links that lead in a circle")
