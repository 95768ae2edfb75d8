"""The parts of an image's archive: descriptions and layers, by name, whichever way they are stored.

`Stored` parts (a file, a directory) are read when they are asked for, and only then: an archive for five platforms
costs no more than one for one. `Streamed` parts (what an engine sends, a compressed archive) come once, in any order,
before anybody knows which of them matter, so each is recognised by its first bytes and read as it comes. Nothing is
ever written to disk.
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
from typing import Any, Final, Protocol

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

_HEADERS: Final = 2**16  # bytes read at once where only headers are wanted
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


Watch = Callable[[Iterator[bytes]], Iterator[bytes]]
"""Passes on the bytes that are read, so that somebody sees how far it is."""


class Parts(Protocol):
    """The parts of an archive; names are as a manifest has them."""

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""

    def document(self, name: str) -> bytes | None:
        """The bytes of a description; None if there is no such part, or if it is something else."""

    def layer(self, name: str) -> tuple[Layer, str]:
        """A layer, and the digest of its uncompressed bytes.

        Raises:
            ArchiveError: it is not there, or cannot be read.
        """


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


@dataclass
class Streamed:
    """Parts that come once, one after the other: `add` takes each.

    Attributes:
        budget: What they may cost.
        is_compressed: Whether the archive is compressed as a whole.
        wanted: Files of the layers whose bytes are wanted, too.
    """

    budget: Budget
    is_compressed: bool = False
    wanted: WantedFiles | None = None
    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, tuple[Layer, str]] = field(default_factory=dict)
    refused: dict[str, ArchiveError] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    document_bytes: int = 0
    count: int = 0

    def add(self, member: Member, stream: Stream) -> None:
        """Look at a part, whose bytes are the next in the stream. Whatever is not read here is left out.

        Raises:
            ArchiveError: it is one too many.
        """
        self.count += 1
        name = absolute(member.name)
        if self.count > MOST_PARTS:
            raise too_many_parts()
        if (target := link_of(member)) is not None:
            self.links[name] = target
        elif member.is_plain:
            self._look(name, member.size, stream)

    def _look(self, name: str, size: int, stream: Stream) -> None:
        start = stream.peek(min(size, BLOCK))[:size]
        if not is_tar(start) and start.lstrip()[:1] in {b"{", b"["}:
            self.refused[name] = damaged(f"the layer {name!r} is no layer")
            if size <= LARGEST_JSON:
                self.document_bytes += size
                if self.document_bytes > LARGEST_TOTAL:
                    raise damaged("its descriptions are larger than those of any image")
                self.documents[name] = stream.read(size)
        elif is_tar(start) or recognised(start) or not size:
            try:
                held = None if self.is_compressed else size
                self.layers[name] = read_layer(stream.pieces(size), held, self.budget, self.wanted)
            except ArchiveError as error:  # of a part that nobody may ask for
                self.refused[name] = error
        else:
            self.refused[name] = damaged(f"the layer {name!r} is no tar archive")

    def has(self, name: str) -> bool:
        """See `Parts`."""
        target = follow(self.links, name)
        return target in self.layers or target in self.refused

    def document(self, name: str) -> bytes | None:
        """See `Parts`."""
        return self.documents.get(follow(self.links, name))

    def layer(self, name: str) -> tuple[Layer, str]:
        """See `Parts`."""
        target = follow(self.links, name)
        if target in self.refused:
            raise self.refused[target]
        if target not in self.layers:
            raise damaged(f"the layer {name!r} is missing")
        return self.layers[target]


@dataclass
class Stored:
    """Parts that can be opened by name.

    Attributes:
        budget: What they may cost.
        size: The bytes of a part; None if there is none of this name.
        open: The bytes themselves.
        wanted: Files of the layers whose bytes are wanted, too.
        read: The names of all parts that were opened.
    """

    budget: Budget
    size: Callable[[str], int | None]
    open: Callable[[str], Iterator[bytes]]
    wanted: WantedFiles | None = None
    read: set[str] = field(default_factory=set)
    _layers: dict[str, tuple[Layer, str]] = field(default_factory=dict)
    _documents: dict[str, bytes] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """See `Parts`."""
        return self.size(name) is not None

    def document(self, name: str) -> bytes | None:
        """See `Parts`."""
        if name not in self._documents:
            size = self.size(name)
            if size is None or size > LARGEST_JSON:
                return None
            if size + sum(map(len, self._documents.values())) > LARGEST_TOTAL:
                raise damaged("its descriptions are larger than those of any image")
            self.read.add(name)
            self._documents[name] = Stream(self.open(name)).read(size)
        return self._documents[name]

    def layer(self, name: str) -> tuple[Layer, str]:
        """See `Parts`."""
        if name not in self._layers:
            size = self.size(name)
            if size is None:
                raise damaged(f"the layer {name!r} is missing")
            self.read.add(name)
            self._layers[name] = read_layer(self.open(name), size, self.budget, self.wanted)
        return self._layers[name]


def read_layer(
    pieces: Iterator[bytes], size: int | None, budget: Budget, wanted: WantedFiles | None = None
) -> tuple[Layer, str]:
    """A layer, compressed or not, and the digest of its uncompressed bytes.

    Args:
        pieces: Its bytes.
        size: How many the archive holds; None if they come out of compressed data.
        budget: What it may cost; less afterwards.
        wanted: Files whose bytes are wanted, too.

    Raises:
        ArchiveError: it is none, or cannot be read.
    """
    stream = Stream(pieces)
    known = recognised(stream.peek(BLOCK))
    largest = None
    if known:
        if size is not None:
            budget.hold(size)
            largest = budget.expanded
        stream = Stream(expanded(stream.rest(), known, budget))
    start = stream.peek(BLOCK)
    if start and not is_tar(start):
        raise damaged(f"a layer that is {f'compressed with {known.name}, but ' if known else ''}no tar archive")
    return scan(stream.rest(), budget, largest, wanted)


def in_file(handle: int, budget: Budget, watch: Watch = iter, wanted: WantedFiles | None = None) -> Stored:
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

    def size(name: str) -> int | None:
        return places.get(follow(links, name), (0, None))[1]

    def pieces(name: str) -> Iterator[bytes]:
        return watch(Stretch(handle, *places[follow(links, name)]))

    return Stored(budget, size, pieces, wanted)


def in_directory(path: Path, budget: Budget, watch: Watch = iter, wanted: WantedFiles | None = None) -> Stored:
    """The parts in a directory; no symbolic link is followed, and nothing but regular files is opened."""

    def size(name: str) -> int | None:
        try:
            with opened_below(path, absolute(name)) as handle:
                status = os.fstat(handle)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def pieces(name: str) -> Iterator[bytes]:
        with opened_below(path, absolute(name)) as handle:
            yield from watch(Stretch(handle, 0, os.fstat(handle).st_size))

    return Stored(budget, size, pieces, wanted)


@contextmanager
def opened_below(folder: Path | str, path: str, last: int = _FILE) -> Iterator[int]:
    """Open a file below a directory.

    Args:
        folder: The directory.
        path: Of the file, from there.
        last: How to open the file itself.

    Raises:
        OSError: it cannot be opened, or a symbolic link is on the way.
    """
    *folders, name = path.strip("/").split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part, flags in [*((part, _DIRECTORY) for part in folders), (name, last)]:
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
        remedy="write it with `docker save`, which keeps an image (`docker export` keeps a container's files)",
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
