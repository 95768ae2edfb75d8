"""Logs of bounded size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layerlab.builder.logs import Log, tail


class TestLog:
    """The output of one step."""

    @given(st.lists(st.text(alphabet="abc\n").map(str.encode)), st.integers(1, 30), st.integers(1, 30))
    def test_head_and_tail(self, pieces: list[bytes], head: int, tail_size: int) -> None:
        """A log that fits is kept whole; of a longer one head and tail are kept, and the rest is counted."""
        log = Log(head, tail_size)
        for piece in pieces:
            log.add(piece)
        everything = b"".join(pieces).decode()

        if len(everything) <= head + tail_size:
            expected = everything.rstrip("\n")
        else:
            left_out = len(everything) - head - tail_size
            first, last = everything[:head].rstrip("\n"), everything[-tail_size:].rstrip("\n")
            expected = f"{first}\n… {left_out} bytes left out …\n{last}"
        assert expected == log.text()

    @given(st.lists(st.binary(max_size=50), max_size=40))
    def test_pieces(self, pieces: list[bytes]) -> None:
        """How the output is cut into pieces changes nothing, be it within a character or an escape code."""
        bit_by_bit, at_once = Log(60, 60), Log(60, 60)
        for piece in pieces:
            bit_by_bit.add(piece)
        at_once.add(b"".join(pieces))

        assert at_once.text() == bit_by_bit.text()

    def test_memory(self) -> None:
        """A step that never stops printing does not fill the memory."""
        log = Log(1000, 1000)
        for _ in range(1000):
            log.add(b"x" * 997)

        assert "… 995000 bytes left out …" in log.text()
        assert len(log._tail) <= 2000

    def test_last_line(self) -> None:
        """The newest line is the last one that is not empty, without escape codes."""
        log = Log()
        log.add(b"first\n\x1b[32msec\x1b[0mond\n  \n")

        assert log.last_line() == "second"

    def test_last_line_of_nothing(self) -> None:
        """A log without a line has an empty one."""
        assert Log().last_line() == ""

    def test_last_line_of_progress(self) -> None:
        """Of a bar that overwrites itself, the newest line is its last state."""
        log = Log()
        log.add(b"10%\r20%\r30%")

        assert log.last_line() == "30%"


class TestTail:
    """The last lines."""

    def test_tail(self) -> None:
        """As many lines as asked for, from the end."""
        assert tail("a\nb\nc", 2) == "b\nc"
