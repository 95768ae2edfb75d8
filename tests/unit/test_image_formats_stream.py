"""Bytes as they come."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from layerlab.errors import ArchiveError
from layerlab.image.formats.stream import Stream, Stretch, hashed
from layerlab.image.formats.tar import members
from tests.unit.image_truth import digest, file, tar


class TestStream:
    def test_hashes_what_goes_by(self) -> None:
        """The digest is that of all bytes, those that nobody looked at included."""
        archive = tar([file("a", 3000)]) + b"trailing"
        found = hashlib.sha256()
        stream = Stream(hashed([archive[:700], archive[700:]], found.update))
        list(members(stream))
        stream.drain()

        assert digest(archive) == f"sha256:{found.hexdigest()}"
        assert len(archive) == stream.position

    def test_pieces_and_rest(self) -> None:
        """Bytes come once, in order, whichever way they are asked for."""
        stream = Stream([b"abc", b"def", b"ghi"])

        assert b"ab" == stream.peek(2) == stream.read(2)
        assert b"".join(stream.pieces(3)) == b"cde"
        stream.skip(1)
        assert b"".join(stream.rest()) == b"ghi"
        assert stream.peek(1) == b""

    def test_jumps_over_what_is_not_in_its_hands(self) -> None:
        """What is left out is taken from the buffer first, and only the rest is jumped over."""
        jumps: list[int] = []
        stream = Stream([b"abcdef", b"xyz"], jumps.append)

        assert stream.read(2) == b"ab"
        stream.skip(3)
        assert (jumps, stream.read(1)) == ([], b"f")
        stream.skip(10)
        assert (jumps, stream.position, stream.read(3)) == ([10], 16, b"xyz")


class TestStretch:
    def test_a_part_of_a_file(self, tmp_path: Path) -> None:
        """A part of a file comes in pieces, however often it is asked for."""
        (tmp_path / "file").write_bytes(b"0123456789")
        handle = os.open(tmp_path / "file", os.O_RDONLY)

        first, second = Stretch(handle, 2, 5, 2), Stretch(handle, 2, 5, 2)
        assert [next(first), *second, *first] == [b"23", b"23", b"45", b"6", b"45", b"6"]
        jumping = Stretch(handle, 2, 5, 2)
        jumping.jump(4)
        assert list(jumping) == [b"6"]
        os.close(handle)

    def test_a_file_that_is_shorter_than_it_should_be(self, tmp_path: Path) -> None:
        """Bytes that are not there are an error, whether they are read or left out."""
        (tmp_path / "file").write_bytes(b"0123456789")
        handle = os.open(tmp_path / "file", os.O_RDONLY)

        with pytest.raises(ArchiveError, match="ends too early"):
            list(Stretch(handle, 5, 100))
        with pytest.raises(ArchiveError, match="ends too early"):
            Stretch(handle, 5, 5).jump(6)
        os.close(handle)
