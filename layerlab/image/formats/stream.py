"""Bytes as they come: read once and forwards, in bounded memory; and the error for bytes that cannot be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Final

from layerlab.errors import ArchiveError

PIECE: Final = 2**20
"""Bytes that are asked for at once."""

_LARGE: Final = 2**16  # bytes; handing less to another thread takes longer than hashing it


def damaged(what: str) -> ArchiveError:
    """The error for an archive that holds what it must not."""
    return ArchiveError(f"the archive is damaged or hostile: {what}", remedy="write it anew with `docker save`")


class Stream:
    """Bytes from an iterator of pieces, read once and forwards.

    Args:
        pieces: The bytes.
        jump: Leaves out so many of the bytes that were not taken from `pieces` yet, without reading them.

    Attributes:
        position: Bytes read so far.
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


class Hashed:
    """Passes pieces on and computes the SHA-256 of all that has passed.

    A large piece is hashed by another thread while it is looked at here: hashing takes as long as all the rest.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        going_on: Future[None] | None = None
        for piece in self._pieces:
            if going_on is not None:
                going_on.result()
            going_on = _hashing().submit(self._hash.update, piece) if len(piece) >= _LARGE else None
            if going_on is None:
                self._hash.update(piece)
            yield piece
        if going_on is not None:
            going_on.result()

    @property
    def digest(self) -> str:
        """Such as ``sha256:e3b0...``."""
        return f"sha256:{self._hash.hexdigest()}"


@cache
def _hashing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="layerlab-hashing")


class Stretch:
    """A part of an open file, in pieces; several of one file do not disturb each other.

    Args:
        handle: The file's descriptor.
        start: Where the part begins.
        size: Bytes that it has.
        piece: Bytes that are read at once.
    """

    def __init__(self, handle: int, start: int, size: int, piece: int = PIECE) -> None:
        self._handle = handle
        self._at = start
        self._end = start + size
        self._piece = piece

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
        """Leave `count` bytes out.

        Raises:
            ArchiveError: there are not that many.
        """
        self._at += count
        if self._at > self._end:
            raise damaged("it ends too early")
