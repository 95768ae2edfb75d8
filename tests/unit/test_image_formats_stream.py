"""Bytes as they come."""

from __future__ import annotations

from layerlab.image.formats.stream import Hashed, Stream
from layerlab.image.formats.tar import members
from tests.unit.image_truth import digest, file, tar


class TestStream:
    def test_hashes_what_goes_by(self) -> None:
        """The digest is that of all bytes, those that nobody looked at included."""
        archive = tar([file("a", 3000)]) + b"trailing"
        hashed = Hashed([archive[:700], archive[700:]])
        stream = Stream(hashed)
        list(members(stream))
        stream.drain()

        assert digest(archive) == hashed.digest
        assert len(archive) == stream.position

    def test_pieces_and_rest(self) -> None:
        """Bytes come once, in order, whichever way they are asked for."""
        stream = Stream([b"abc", b"def", b"ghi"])

        assert b"ab" == stream.peek(2) == stream.read(2)
        assert b"".join(stream.pieces(3)) == b"cde"
        stream.skip(1)
        assert b"".join(stream.rest()) == b"ghi"
        assert stream.peek(1) == b""
