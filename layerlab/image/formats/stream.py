"""Bytes as they come: read once and forwards, in bounded memory; and how much an archive may cost.

The limits lie far above what images have, and are shared by all parts of one archive. What is over a limit is
refused, never cut: a tool that counts bytes must not leave any out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from layerlab.errors import ArchiveError

PIECE: Final = 2**20  # bytes that are asked for at once
MOST_ENTRIES: Final = 2_000_000
EXPANSION: Final = 50  # bytes that each compressed one may become; layers grow three times, source code ten times
# Bytes beyond that, in all: files of zeros, as lessons on layers have them, become a thousand times as large.
FREE_EXPANSION: Final = 2**31
_LINE: Final = 64  # bytes that a path takes in memory beyond its own

_LARGE: Final = 2**16  # bytes; handing less to another thread takes longer than hashing it
_HASHING: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="layerlab-hashing")  # starts when it is used


def damaged(what: str) -> ArchiveError:
    """The error for an archive that holds what it must not."""
    return ArchiveError(f"the archive is damaged or hostile: {what}", remedy="write it anew with `docker save`")


@dataclass
class Budget:
    """What an archive may still cost; what would be over a limit raises an ArchiveError."""

    entries: int = MOST_ENTRIES  # of all layers together; the largest images have some hundred thousand
    characters: int = 400_000_000  # of their paths
    apparent: int = 2**52  # bytes that files claim to have; what a sparse file claims is stored nowhere
    expanded: int = FREE_EXPANSION  # bytes that compressed data may become beyond `EXPANSION`
    database_bytes: int = 500_000_000  # of the package databases that are read
    searched: int = 200_000_000  # entries gone through for what was in a directory that something else replaces

    def spend(self, path: str, target: str = "", size: int = 0) -> None:
        """Account for one more entry, what it leads to, and the bytes that it claims."""
        self.entries -= 1
        self.characters -= len(path) + len(target)
        self.apparent -= size
        if self.entries < 0 or self.characters < 0:
            raise damaged(f"it has more entries than any image has (at most {MOST_ENTRIES:,} are read)")
        if self.apparent < 0:
            raise damaged("its files are larger than any disk")

    def holding(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on pieces of compressed data that the archive holds, which may become some more.

        Not those that come out of other compressed data: these may be a thousand times as small once more.
        """
        for piece in pieces:
            self.expanded += EXPANSION * len(piece)
            yield piece

    def expand(self, expanded: int) -> None:
        """Account for what compressed bytes became."""
        self.expanded -= expanded
        if self.expanded < 0:
            raise ArchiveError(
                f"the archive's compressed data expand without end: to more than {EXPANSION} times their size and"
                f" {FREE_EXPANSION / 1e9:.1f} GB",
                remedy="if you trust it, load it (`docker load`), and look at the image by its name",
            )

    def remember(self, database: bytes) -> None:
        """Account for a package database that was read, and for what each of its lines may become."""
        self.database_bytes -= len(database) + _LINE * database.count(b"\n")
        if self.database_bytes < 0:
            raise damaged("its package databases are larger than those of any image")

    def search(self, entries: int) -> None:
        """Account for going through all entries of a layer."""
        self.searched -= entries
        if self.searched < 0:
            raise damaged("again and again something else replaces a directory")


class Stream:
    """Bytes from an iterator of pieces, read once and forwards; `position` is how many were read so far.

    `jump` leaves out so many of the bytes that were not taken from `pieces` yet, without reading them.
    """

    def __init__(self, pieces: Iterable[bytes], jump: Callable[[int], None] | None = None) -> None:
        self._pieces = iter(pieces)
        self._jump = jump
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
        """The next `count` bytes, which the caller has limited; an ArchiveError if there are fewer."""
        if not self._fill(count):
            raise damaged("it ends too early")
        start = self._start
        self._start += count
        self.position += count
        return self._buffer[start : self._start]

    def pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes in pieces of any size; an ArchiveError if there are fewer."""
        while count:
            if self._start == len(self._buffer) and not self._fill(1):
                raise damaged("it ends too early")
            piece = self._buffer[self._start : self._start + count]
            self._start += len(piece)
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """Leave `count` bytes out; an ArchiveError if there are fewer."""
        self.position += count
        if (there := len(self._buffer) - self._start) >= count:
            self._start += count
            return
        count -= there
        self._buffer, self._start = b"", 0
        if self._jump is not None:
            self._jump(count)
            return
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


def hashed(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Pass pieces on that a hash is updated with.

    A large piece is hashed by another thread while it is looked at here: hashing takes as long as all the rest.
    """
    going_on: Future[None] | None = None
    for piece in pieces:
        if going_on is not None:
            going_on.result()
        going_on = _HASHING.submit(update, piece) if len(piece) >= _LARGE else None
        if going_on is None:
            update(piece)
        yield piece
    if going_on is not None:
        going_on.result()


class Stretch:
    """A part of an open file, in pieces of so many bytes; several of one file do not disturb each other."""

    def __init__(self, handle: int, start: int, size: int, piece: int = PIECE) -> None:
        self._handle, self._piece = handle, piece
        self._at, self._end = start, start + size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._at >= self._end:
            raise StopIteration
        piece = os.pread(self._handle, min(self._piece, self._end - self._at), self._at)
        if not piece:  # the file is shorter than it was, or than its headers say
            raise damaged("it ends too early")
        self._at += len(piece)
        return piece

    def jump(self, count: int) -> None:
        """Leave `count` bytes out; an ArchiveError if there are fewer."""
        self._at += count
        if self._at > self._end:
            raise damaged("it ends too early")
