"""The parts of an image's archive: descriptions and layers, by name.

They come once, in any order, before anybody knows which of them matter. Each is recognised by its first bytes.
Nothing is ever written to disk.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from layerlab.errors import ArchiveError
from layerlab.image.formats.changeset import WantedFiles, absolute, scan
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.expansion_limits import Budget
from layerlab.image.formats.stream import Stream, damaged
from layerlab.image.formats.tar import BLOCK, Member, is_tar
from layerlab.image.layer import Layer

LARGEST_JSON: Final = 4_000_000
"""Bytes of a description that is still read. Attestations, which list an image's software, are larger: not needed."""
LARGEST_TOTAL: Final = 64_000_000
"""Bytes of all descriptions."""
MOST_PARTS: Final = 10_000
NO_IMAGE: Final = "write it with `docker save`, which keeps an image (`docker export` keeps a container's files)"
"""What to do about an archive that is none of an image."""


@dataclass
class Parts:
    """The parts of an archive; names are as a manifest has them.

    Attributes:
        budget: What they may cost.
        wanted: Files of the layers whose bytes are wanted, too.
        is_compressed: Whether the archive is compressed as a whole.
    """

    budget: Budget
    wanted: WantedFiles | None = None
    is_compressed: bool = False
    _links: dict[str, str] = field(default_factory=dict)
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
        if self._count > MOST_PARTS:
            raise ArchiveError(
                f"the archive is none of an image: it has more than {MOST_PARTS:,} parts", remedy=NO_IMAGE
            )
        name = absolute(member.name)
        if member.kind == "1":
            self._links[name] = absolute(member.link)
        elif member.kind == "2":  # an engine of 20.10 writes one for a layer that is the same as an earlier one
            self._links[name] = absolute(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link)))
        elif member.kind == "0":
            self.look(name, member.size, stream)

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""
        path = self._path(name)
        return path in self._layers or path in self._refused

    def document(self, name: str) -> bytes | None:
        """The bytes of a description; None if there is no such part, or if it is something else."""
        return self._documents.get(self._path(name))

    def layer(self, name: str) -> tuple[Layer, str]:
        """A layer, and the digest of its uncompressed bytes.

        Raises:
            ArchiveError: it is not there, or cannot be read.
        """
        path = self._path(name)
        if path in self._refused:
            raise self._refused[path]
        if path not in self._layers:
            raise damaged(f"the layer {name!r} is missing")
        return self._layers[path]

    def _path(self, name: str) -> str:
        path = absolute(name)
        return self._links.get(path, path)

    def look(self, path: str, size: int, stream: Stream) -> None:
        """Look at a part of this size, whose bytes are the next in the stream."""
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
