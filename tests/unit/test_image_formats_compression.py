"""Compressed data, against what compressed them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.errors import ArchiveError
from layerlab.image.formats.compression import FORMATS, Format, expanded, recognised
from layerlab.image.formats.stream import Budget

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
SKIPPED = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"notes"  # RFC 8878, 3.1.2

by_format = pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)


def whole(pieces: list[bytes], known: Format, budget: Budget | None = None) -> bytes:
    return b"".join(expanded(pieces, known, budget or Budget()))


@by_format
class TestExpanded:
    @given(content=st.binary(max_size=5000), piece=st.integers(1, 300), two=st.booleans())
    def test_gives_back_what_was_compressed(self, known: Format, content: bytes, piece: int, two: bool) -> None:
        """Also in small pieces, and also where one member follows another."""
        compress = COMPRESS[known.name]
        compressed = compress(content) + (compress(b"more") if two else b"")
        pieces = [compressed[at : at + piece] for at in range(0, len(compressed), piece)]

        assert whole(pieces, known) == content + (b"more" if two else b"")

    def test_padding_is_no_member(self, known: Format) -> None:
        """Zeros after the end mean nothing."""
        assert whole([COMPRESS[known.name](b"abc") + bytes(600), bytes(600)], known) == b"abc"

    @pytest.mark.slow
    @pytest.mark.variants
    def test_a_bomb_costs_no_memory(self, known: Format) -> None:
        """What expands a thousandfold is passed on in small pieces."""
        bomb = COMPRESS[known.name](bytes(50_000_000))
        tracemalloc.start()
        largest = max(len(piece) for piece in expanded([bomb], known, Budget()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert largest <= 2**20
        assert peak < 20_000_000

    @pytest.mark.slow
    @pytest.mark.variants
    def test_a_bomb_ends(self, known: Format) -> None:
        """Data that expand beyond all measure are refused, as soon as they do."""
        bomb = COMPRESS[known.name](bytes(50_000_000))
        budget = Budget(expanded=1_000_000)
        passed = []
        with pytest.raises(ArchiveError, match="without end"):
            passed.extend(len(piece) for piece in expanded(budget.holding([bomb]), known, budget))
        assert 0 <= 1_000_000 + 50 * len(bomb) - sum(passed) <= 2**20

    def test_members_without_end(self, known: Format) -> None:
        """A stream of members that hold nothing is read once, and is nothing."""
        assert whole([COMPRESS[known.name](b"")] * 2000, known) == b""

    @pytest.mark.parametrize(
        "spoil", [lambda data: b"", lambda data: data[:-5], lambda data: data[:5], lambda data: data[:9] + bytes(50)]
    )
    def test_damage_is_said(self, known: Format, spoil: Callable[[bytes], bytes]) -> None:
        """Data that cannot be expanded, or end too early, are an error that names the format."""
        with pytest.raises(ArchiveError, match=f"its {known.name} data (cannot be read|end too early)"):
            whole([spoil(COMPRESS[known.name](b"x" * 1000))], known)

    @given(noise=st.binary(min_size=1, max_size=30), at=st.integers(0, 100))
    def test_any_damage(self, known: Format, noise: bytes, at: int) -> None:
        """Whatever the data are, there are bytes or an ArchiveError, and nothing else."""
        content = COMPRESS[known.name](bytes(range(256)) * 4)
        try:
            whole([content[:at] + noise + content[at + len(noise) :]], known)
        except ArchiveError as error:
            assert error.remedy  # noqa: PT017

    def test_is_recognised(self, known: Format) -> None:
        """The first bytes tell how data are compressed."""
        assert recognised(COMPRESS[known.name](b"abc")) is known


class TestZstd:
    @pytest.mark.parametrize("order", ["skipped first", "skipped last", "skipped between"])
    def test_frames_that_are_to_be_skipped(self, order: str) -> None:
        """Frames that hold notes for programs (``zstd:chunked`` has them) are no content, wherever they are."""
        one, two = zstd.compress(b"one"), zstd.compress(b"two")
        data = {
            "skipped first": SKIPPED + one + two,
            "skipped last": one + two + SKIPPED,
            "skipped between": one + SKIPPED + two,
        }
        known = recognised(data[order])

        assert known is not None
        assert whole([data[order]], known) == b"onetwo"

    def test_an_absurd_window(self) -> None:
        """A frame that asks for 2 GB of memory is refused; the largest that the zstd program asks for is not."""
        found = {}
        for size in (27, 31):
            parameters = {zstd.CompressionParameter.window_log: size}
            compressor = zstd.ZstdCompressor(options=parameters)
            found[size] = compressor.compress(b"abc") + compressor.flush()
        known = recognised(found[27])

        assert known is not None
        assert whole([found[27]], known) == b"abc"
        with pytest.raises(ArchiveError, match="too much memory"):
            whole([found[31]], known)


@pytest.mark.parametrize("start", [b"", b"{}", b"BZh0", bytes(512), b"\x1f", b"P*M"])
def test_what_is_not_compressed(start: bytes) -> None:
    """Other bytes are taken for what they are."""
    assert recognised(start) is None
