"""Tar archives as they come: entry by entry, from a stream that is read once, in bounded memory.

Python's ``tarfile`` reads whole extended headers into memory however large they claim to be, and takes several times
as long for each entry; a layer has tens of thousands. Formats: ustar and pax (POSIX.1-2017, ``pax``), and GNU's long
names, large numbers and sparse files (the tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from layerlab.errors import ArchiveError
from layerlab.image.formats.stream import Stream, damaged

BLOCK: Final = 512
LARGEST_SIZE: Final = 2**50  # bytes that one entry may claim
LARGEST_EXTENSION: Final = 2**20  # bytes of one extended header; real ones hold a name and a few attributes
LONGEST_NAME: Final = 4096  # bytes of a path: the kernel's PATH_MAX

_HEADER: Final = struct.Struct("100s8s8s8s12s12x8sc100s8s80x155s12x")
_ZEROS: Final = bytes(BLOCK)
_WITHOUT_DATA: Final = frozenset("123456")  # links, devices, directories and pipes have none, whatever they claim
_OLD_FILES: Final = frozenset(["\0", "7"])  # before POSIX, a directory was a file whose name ends in a slash
_NAMES_AND_ATTRIBUTES: Final = frozenset("xgLK")
_TEXTS: Final = frozenset({"path", "linkpath", "GNU.sparse.name", "SCHILY.xattr.security.capability"})
_NUMBERS: Final = frozenset({"size", "uid", "gid", "GNU.sparse.size", "GNU.sparse.realsize"})


class Member(NamedTuple):
    """An entry of an archive."""

    name: str  # as the archive has it, nothing checked; bytes that are not UTF-8 are surrogates
    kind: str  # ``0`` file, ``1`` hard link, ``2`` symbolic link, ``3``, ``4`` devices, ``5`` directory, ``6`` pipe
    size: int  # bytes of data that follow in the archive
    apparent_size: int  # bytes of the file once extracted, more than `size` for a sparse file
    mode: int
    uid: int
    gid: int
    link: str  # the target of a link
    capability: str = ""  # the extended attribute ``security.capability``, bytes as in `name`; empty if it has none

    @property
    def is_plain(self) -> bool:
        """Whether the bytes that follow are those of a regular file; those of a sparse one are not all there."""
        return self.kind == "0" and self.size == self.apparent_size


def is_tar(start: bytes) -> bool:
    """Whether these first 512 bytes look like a tar archive; an empty one is all zeros."""
    try:  # before POSIX a header had no mark of its own: then only its checksum tells
        is_old = len(start) == BLOCK and _number(start[148:156]) == _checksum(start)
    except ArchiveError:
        is_old = False
    return is_old or start[257:262] == b"ustar" or start == _ZEROS


def _checksum(header: bytes) -> int:
    """The sum of a header's bytes, with that of its own field as spaces."""
    return sum(header) - sum(header[148:156]) + 8 * 32


def members(stream: Stream) -> Iterator[Member]:
    """The entries of an archive; the data of each may be read from the stream before the next is asked for.

    Raises:
        ArchiveError: it is damaged, or something in it has a size that cannot be.
    """
    extended: dict[str, str] = {}
    while (header := stream.peek(BLOCK)) and header != _ZEROS:
        member, has_more_map = _parse(stream.read(BLOCK))
        if member.kind in _NAMES_AND_ATTRIBUTES:
            found = _extension(member, stream)
            if member.kind != "g":
                extended |= found
            continue
        while has_more_map:
            has_more_map = bool(stream.read(BLOCK)[504])
        member = _with_extensions(member, extended) if extended else member
        extended = {}
        end = stream.position + -(-member.size // BLOCK) * BLOCK
        yield member
        stream.skip(end - stream.position)


def _parse(header: bytes) -> tuple[Member, bool]:
    """An entry, and whether more of a sparse file's map follows: GNU's old format has it before the data."""
    name, mode, uid, gid, size, checksum, flag, link, magic, prefix = _HEADER.unpack(header)
    if _number(checksum) != _checksum(header):
        raise damaged("the checksum of an entry is wrong")
    text = name.partition(b"\0")[0]
    if magic.startswith(b"ustar\0") and prefix[0]:
        text = prefix.partition(b"\0")[0] + b"/" + text
    kind = flag.decode("latin-1")
    length = apparent = _size(_number(size))
    if kind in _WITHOUT_DATA:
        length = apparent = 0
    elif kind in _OLD_FILES:
        kind = "5" if text.endswith(b"/") and kind == "\0" else "0"
    elif kind == "S":
        kind, apparent = "0", _size(_number(header[483:495]))
    elif kind != "0" and kind not in _NAMES_AND_ATTRIBUTES:
        raise damaged(f"an entry of an unknown kind, {kind!r}")
    target = _text(link.partition(b"\0")[0]) if link[0] else ""
    member = Member(_text(text), kind, length, apparent, _mode(mode), _id(uid), _id(gid), target)
    return member, flag == b"S" and bool(header[482])


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: a binary number, big end first
        if field[0] & 0x40:
            raise damaged("a negative number")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise damaged("something that is not a number") from error


def _size(number: int) -> int:
    if not 0 <= number <= LARGEST_SIZE:
        raise damaged("an entry of an absurd size")
    return number


@lru_cache
def _mode(field: bytes) -> int:  # there are only few
    return _number(field) & 0o7777


@lru_cache
def _id(field: bytes) -> int:
    return _owner(_number(field))


def _owner(number: int) -> int:
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
        name, equals, value = record.partition(b"=")
        if not equals or at + length > end or not value.endswith(b"\n"):
            raise damaged("an extended header that cannot be read")
        key = name.decode("latin-1")
        if (key in _TEXTS or key in _NUMBERS) and len(value) > 1:  # an empty value takes an earlier one back
            yield key, _text(value[:-1])
        at += length


def _with_extensions(member: Member, extended: dict[str, str]) -> Member:
    numbers = {}
    for key in extended.keys() & _NUMBERS:
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
        uid=_owner(numbers.get("uid", member.uid)),
        gid=_owner(numbers.get("gid", member.gid)),
        link=extended.get("linkpath", member.link),
        capability=extended.get("SCHILY.xattr.security.capability", ""),
    )
