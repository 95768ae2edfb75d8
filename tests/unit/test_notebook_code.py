"""Files of the repository as a notebook shows them."""

from __future__ import annotations

import html
import re

import pytest

from layerlab.notebook import code

TEXT = "# first\nFROM a\n\n# (1) <second>\nRUN b\n   \nRUN c\n\n\n# (10) third\nRUN d"


class TestShow:
    def test_lines_have_their_numbers(self) -> None:
        """Numbers are those of the file, aligned; what a file holds is shown, not obeyed."""
        shown = code._numbered(TEXT, 4, 10)
        plain = re.sub("<[^>]+>", "", shown).splitlines()

        assert plain[0] == " 4  # (1) &lt;second&gt;"
        assert plain[1:3] == [" 5  RUN b", " 6     "]
        assert plain[-1] == "10  # (10) third"

    def test_a_whole_file_is_shown_by_default(self) -> None:
        """From its first to its last line, a line of the file on each line."""
        plain = html.unescape(re.sub("<[^>]+>", "", code._numbered(TEXT))).splitlines()

        assert [line[4:] for line in plain] == TEXT.splitlines()

    @pytest.mark.parametrize(
        ("holding", "lines"), [("first", (1, 2)), ("(1)", (4, 5)), ("RUN c", (7, 7)), ("(10)", (10, 11))]
    )
    def test_a_paragraph_is_found_by_what_it_holds(self, holding: str, lines: tuple[int, int]) -> None:
        """It reaches from one empty line to the next, whether these hold spaces or not."""
        assert code._paragraph(TEXT, holding) == lines

    @pytest.mark.parametrize(("holding", "count"), [("RUN", 3), ("nothing like it", 0)])
    def test_a_text_that_does_not_name_one_paragraph_is_an_error(self, holding: str, count: int) -> None:
        """A notebook cannot show the wrong part of a file that was edited since."""
        with pytest.raises(ValueError, match=f"^{count} paragraphs hold this text"):
            code._paragraph(TEXT, holding)
