"""Text from elsewhere, made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.ui.text import one_line, plain, shorten, unseen


class TestPlain:
    """Without anything that a terminal would obey."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a\nb\n", "a\nb"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07a", "a"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x9b31mred", "red"),
            ("\x1bcreset", "reset"),
            ("10%\r50%\r100%\r\ndone", "100%\ndone"),
            ("bell\x07 back\x08 nul\x00", "bell back nul"),
            ("right\u202eleft\u200b", "rightleft"),
            ("tab\tstays é 漢", "tab\tstays é 漢"),
            (b"bad \xff utf-8", "bad � utf-8"),
        ],
    )
    def test_plain(self, text: str | bytes, expected: str) -> None:
        """Escape codes go, a line that overwrote itself keeps its last state, all else stays."""
        assert expected == plain(text)

    @given(st.text(alphabet=st.sampled_from("\x1b[]0;1m\x07\\\r\n\t\x9b\x00ab\u202e~P")))
    def test_nothing_is_left(self, text: str) -> None:
        """Only visible characters, tabs and line ends are left; doing it twice changes nothing more."""
        result = plain(text)

        assert all(char.isprintable() or char in "\t\n" for char in result)
        assert result == plain(result)


class TestShorten:
    """To a number of characters."""

    @given(st.text(), st.integers(min_value=1, max_value=20))
    def test_shorten(self, text: str, limit: int) -> None:
        """A text is never longer than its limit, stays on one line, and is whole if it fits."""
        result = shorten(text, limit)

        assert len(result) <= limit
        assert "\n" not in result
        assert result == one_line(text) or result.endswith("…")


class TestUnseen:
    """Characters that an editor shows like a space, or not at all."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("RUN true", ""),
            ("\tRUN true", ""),
            ("RUN caf\u00e9 \u6f22", ""),
            ("RUN\u00a0true\u200b", "column 4 holds U+00A0 (no-break space)"),
            ("  \u200bRUN", "column 3 holds U+200B (zero width space)"),
            ("a\u2009b", "column 2 holds U+2009 (thin space)"),
            ("a\x00b", "column 2 holds U+0000 (a control character)"),
        ],
    )
    def test_the_first_is_named(self, line: str, expected: str) -> None:
        """The first is told by its column, number and name; letters and tabs are none."""
        assert unseen(line) == expected
