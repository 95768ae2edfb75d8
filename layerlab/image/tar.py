"""Tar archives as they come: entry by entry, from a stream that is read once, in bounded memory.

Python's ``tarfile`` reads whole extended headers into memory however large they claim to be, and takes several times
as long for each entry; a layer has tens of thousands. Formats: ustar and pax (POSIX.1-2017, ``pax``), and GNU's long
names, large numbers and sparse files (the tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from layerlab.errors import ArchiveError

BLOCK: Final = 512
LARGEST_SIZE: Final = 2**50
"""Bytes that one entry may claim."""
LARGEST_EXTENSION: Final = 2**20
"""Bytes of one extended header; real ones hold a name and a few attributes."""
LONGEST_NAME: Final = 4096
"""Bytes of a path: the kernel's PATH_MAX."""
LARGEST_EXPANSION: Final = 2**38
"""Bytes that one compressed stream may become."""

_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS: Final = bytes(BLOCK)
_PIECE: Final = 2**20
_WITHOUT_DATA: Final = frozenset("123456")  # links, devices, directories and pipes have none, whatever they claim
_OLD_FILES: Final = frozenset(["\0", "7"])  # before POSIX, a directory was a file whose name ends in a slash
_NAMES_AND_ATTRIBUTES: Final = frozenset("xgLK")


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: As the archive has it, nothing checked; bytes that are not UTF-8 are surrogates.
        kind: The type flag: ``0`` file, ``1`` hard link, ``2`` symbolic link, ``3`` and ``4`` devices, ``5``
            directory, ``6`` pipe.
        size: Bytes of data that follow in the archive.
        apparent_size: Bytes of the file once extracted, more than `size` for a sparse file.
        mode, uid, gid: As they are.
        link: The target of a link.
    """

    name: str
    kind: str
    size: int
    apparent_size: int
    mode: int
    uid: int
    gid: int
    link: str


def damaged(what: str) -> ArchiveError:
    """The error for an archive that holds what it must not."""
    return ArchiveError(f"the archive is damaged or hostile: {what}", remedy="write it anew with `docker save`")


class Stream:
    """Bytes from an iterator of pieces, read once and forwards.

    Attributes:
        position: Bytes read so far.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = b""
        self._start = 0
        self.position = 0

    def _fill(self, count: int) -> bool:
        """Whether there are this many bytes in the buffer, after having tried."""
        missing = count - (len(self._buffer) - self._start)
        if missing <= 0:
            return True
        parts = [self._buffer[self._start :]]
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            missing -= len(piece)
        self._buffer, self._start = b"".join(parts), 0
        return missing <= 0

    def peek(self, count: int) -> bytes:
        """The next bytes, at most so many, without taking them."""
        self._fill(count)
        return self._buffer[self._start : self._start + count]

    def read(self, count: int) -> bytes:
        """Exactly the next `count` bytes, a number that the caller has limited.

        Raises:
            ArchiveError: there are not that many.
        """
        if not self._fill(count):
            raise damaged("it ends too early")
        start = self._start
        self._start += count
        self.position += count
        return self._buffer[start : self._start]

    def pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes in pieces of any size.

        Raises:
            ArchiveError: there are not that many.
        """
        while count:
            if self._start == len(self._buffer) and not self._fill(1):
                raise damaged("it ends too early")
            piece = self._buffer[self._start : self._start + count]
            self._start += len(piece)
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """Leave `count` bytes out.

        Raises:
            ArchiveError: there are not that many.
        """
        self.position += count
        count -= len(self._buffer) - self._start
        self._start = len(self._buffer)
        while count > 0:
            piece = next(self._pieces, None)
            if piece is None:
                raise damaged("it ends too early")
            self._buffer, self._start = piece, len(piece)
            count -= len(piece)
        self._start += count

    def rest(self) -> Iterator[bytes]:
        """All that is left, in pieces of any size."""
        while self._fill(1):
            piece = self._buffer[self._start :]
            self._start = len(self._buffer)
            self.position += len(piece)
            yield piece

    def drain(self) -> None:
        """Read what is left."""
        for _ in self.rest():
            pass


class Hashed:
    """Passes pieces on and computes the SHA-256 of all that has passed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._hash.update(piece)
            yield piece

    @property
    def digest(self) -> str:
        """Such as ``sha256:e3b0...``."""
        return f"sha256:{self._hash.hexdigest()}"


def gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Expand gzip, in pieces of at most 1 MiB.

    Raises:
        ArchiveError: it is damaged, ends too early, or becomes larger than any image is.
    """
    expander = zlib.decompressobj(wbits=31)
    total = 0
    for compressed in pieces:
        rest = compressed
        while rest:
            if expander.eof:  # several members in one stream are allowed; padding is not one
                if not rest.startswith(b"\x1f"):
                    break
                expander = zlib.decompressobj(wbits=31)
            try:
                piece = expander.decompress(rest, _PIECE)
            except zlib.error as error:
                raise damaged(f"its compressed data cannot be read ({error})") from error
            rest = expander.unused_data if expander.eof else expander.unconsumed_tail
            total += len(piece)
            if total > LARGEST_EXPANSION:
                raise damaged("its compressed data expand without end")
            if piece:
                yield piece
    if not expander.eof:
        raise damaged("its compressed data end too early")


def is_tar(start: bytes) -> bool:
    """Whether these first 512 bytes look like a tar archive; an empty one is all zeros."""
    return start[257:262] == b"ustar" or start == _ZEROS


def members(stream: Stream) -> Iterator[Member]:
    """The entries of an archive; the data of each may be read from the stream before the next is asked for.

    Raises:
        ArchiveError: it is damaged, or something in it has a size that cannot be.
    """
    extended: dict[str, str] = {}
    while (header := stream.peek(BLOCK)) and header != _ZEROS:
        member, sparse = _parse(stream.read(BLOCK))
        if member.kind in _NAMES_AND_ATTRIBUTES:
            found = _extension(member, stream)
            if member.kind != "g":
                extended |= found
            continue
        if sparse and sparse[-1]:
            _skip_sparse_map(stream)
        member = _with_extensions(member, extended) if extended else member
        extended = {}
        end = stream.position + -(-member.size // BLOCK) * BLOCK
        yield member
        stream.skip(end - stream.position)


def _parse(header: bytes) -> tuple[Member, tuple[int, bool] | None]:
    """An entry, and for GNU's sparse files the real size and whether more of the map follows."""
    (
        name, mode, uid, gid, size, _, checksum, flag, link, magic, _, _, _, _, prefix
    ) = _HEADER.unpack(header)  # fmt: skip
    # The sum is taken with its own field as spaces.
    if _number(checksum) != sum(header) - sum(checksum) + 8 * 32:
        raise damaged("the checksum of an entry is wrong")
    text = name.partition(b"\0")[0]
    if magic.startswith(b"ustar\0") and prefix[0]:
        text = prefix.partition(b"\0")[0] + b"/" + text
    kind = flag.decode("latin-1")
    sparse = None
    length = apparent = _size(_number(size))
    if kind in _WITHOUT_DATA:
        length = apparent = 0
    elif kind in _OLD_FILES:
        kind = "5" if text.endswith(b"/") and kind == "\0" else "0"
    elif kind == "S":
        kind, apparent = "0", _size(_number(header[483:495]))
        sparse = (apparent, bool(header[482]))
    elif kind != "0" and kind not in _NAMES_AND_ATTRIBUTES:
        raise damaged(f"an entry of an unknown kind, {kind!r}")
    member = Member(
        _text(text), kind, length, apparent, _number(mode) & 0o7777, _id(_number(uid)), _id(_number(gid)),
        _text(link.partition(b"\0")[0]),
    )  # fmt: skip
    return member, sparse


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: a binary number, big end first
        if field[0] & 0x40:
            raise damaged("a negative number")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError as error:
        raise damaged("something that is not a number") from error


def _size(number: int) -> int:
    if not 0 <= number <= LARGEST_SIZE:
        raise damaged("an entry of an absurd size")
    return number


def _id(number: int) -> int:
    if not 0 <= number < 2**32:
        raise damaged("an owner that cannot be")
    return number


def _text(name: bytes) -> str:
    if len(name) > LONGEST_NAME:
        raise damaged("a name that is too long")
    return name.decode("utf-8", "surrogateescape")


def _extension(member: Member, stream: Stream) -> dict[str, str]:
    """What an extended header says of the next entry."""
    if member.size > LARGEST_EXTENSION:
        raise damaged("an extended header of an absurd size")
    content = stream.read(member.size)
    stream.skip(-member.size % BLOCK)
    if member.kind in "LK":
        return {"path" if member.kind == "L" else "linkpath": _text(content.partition(b"\0")[0])}
    return dict(_records(content))


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """What matters of a pax header: records of the form ``LENGTH KEY=VALUE``, each ending in a newline."""
    at, end = 0, len(content.rstrip(b"\0"))
    while at < end:
        space = content.find(b" ", at, at + 8)
        digits = content[at : max(at, space)]
        length = int(digits) if digits.isdigit() else 0
        record = content[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or at + length > end or not value.endswith(b"\n"):
            raise damaged("an extended header that cannot be read")
        if key in _KNOWN:
            yield key.decode(), _text(value[:-1])
        at += length


_KNOWN: Final = frozenset(
    [b"path", b"linkpath", b"size", b"uid", b"gid", b"GNU.sparse.name", b"GNU.sparse.size", b"GNU.sparse.realsize"]
)


def _with_extensions(member: Member, extended: dict[str, str]) -> Member:
    numbers = {}
    for key in extended.keys() - {"path", "linkpath", "GNU.sparse.name"}:
        if not extended[key].isdecimal() or len(extended[key]) > 20:
            raise damaged("something that is not a number")
        numbers[key] = int(extended[key])
    size = 0 if member.kind in _WITHOUT_DATA else _size(numbers.get("size", member.size))
    apparent = member.apparent_size if size == member.size else size
    if member.kind == "0":
        apparent = _size(numbers.get("GNU.sparse.realsize", numbers.get("GNU.sparse.size", apparent)))
    return member._replace(
        name=extended.get("GNU.sparse.name", extended.get("path", member.name)),
        size=size,
        apparent_size=apparent,
        uid=_id(numbers.get("uid", member.uid)),
        gid=_id(numbers.get("gid", member.gid)),
        link=extended.get("linkpath", member.link),
    )


def _skip_sparse_map(stream: Stream) -> None:
    """GNU's old format has the rest of a sparse file's map between its header and its data."""
    while stream.read(BLOCK)[504]:
        pass
