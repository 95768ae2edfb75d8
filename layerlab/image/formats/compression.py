"""Compressed data, expanded as they come.

Layers are compressed with gzip or zstd (OCI image specification, ``layer.md``); whole archives also with xz or bzip2,
as ``docker load`` takes them. Formats: RFC 1952, RFC 8878.
"""

from __future__ import annotations

import bz2
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from layerlab.image.formats.stream import PIECE, Budget, damaged

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_XZ_MEMORY: Final = 2**27  # bytes; `xz -9` needs half of it


class _Gunzip:
    """zlib's decompressor with what `bz2.BZ2Decompressor` and the others offer."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class Format(NamedTuple):
    """A way to compress: what it begins with, and what makes the expander of one member, or frame, of it."""

    name: str
    magic: re.Pattern[bytes]
    expander: Callable[[], Any]


FORMATS: Final = (
    Format("gzip", re.compile(rb"\x1f\x8b"), _Gunzip),
    # Frames that are to be skipped belong to it, too. Windows of more than 128 MB are refused.
    Format("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), zstd.ZstdDecompressor),
    Format("xz", re.compile(rb"\xfd7zXZ\x00"), partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _XZ_MEMORY)),
    Format("bzip2", re.compile(rb"BZh[1-9]"), bz2.BZ2Decompressor),
)
_ERRORS: Final = (zlib.error, zstd.ZstdError, lzma.LZMAError, OSError, EOFError)


def recognised(start: bytes) -> Format | None:
    """How data that begin so are compressed; None if they are not."""
    return next((known for known in FORMATS if known.magic.match(start)), None)


def expanded(pieces: Iterable[bytes], known: Format, budget: Budget) -> Iterator[bytes]:
    """Expand compressed data, in pieces of at most 1 MiB; the budget is less by them afterwards.

    Raises:
        ArchiveError: they are damaged, end too early, or expand without end.
    """
    expander = known.expander()
    for piece in pieces:
        rest = piece
        while True:
            if expander.eof:  # several members in one stream are allowed; a padding of zeros is none
                if not rest.strip(b"\0"):
                    break
                expander = known.expander()
            try:
                found = expander.decompress(rest, PIECE)
            except _ERRORS as error:
                raise damaged(f"its {known.name} data cannot be read ({error})") from error
            budget.expand(len(found))
            if found:
                yield found
            rest = expander.unused_data if expander.eof else b""
            if not rest and (expander.eof or expander.needs_input):
                break
    if not expander.eof:
        raise damaged(f"its {known.name} data end too early")
