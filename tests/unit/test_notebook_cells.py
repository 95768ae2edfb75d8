"""What cells of notebooks show: tables and the sanitiser that knows their mark, and files of the repository."""

from __future__ import annotations

import html
import re

import pandas as pd
import pytest

from layerlab.notebook import cells
from layerlab.notebook.cells import about, table
from layerlab.paths import ROOT
from tests.unit.pictures import contrast

FRAME = pd.DataFrame({"name": ["<b>x</b>", "y"], "bytes": [1234.5, 0.004], "n": [1000, 2], "gone": [None, None]})


def sanitised(text: str) -> str:
    """The text as nbval compares it, by the patterns of tests/nbval.cfg."""
    config = (ROOT / "tests/nbval.cfg").read_text(encoding="utf-8")
    for pattern, replacement in re.findall(r"^regex: (.*)$\n^replace: (.*)$", config, flags=re.MULTILINE):
        text = re.sub(pattern, replacement, text)
    return text


class TestTable:
    def test_html_is_escaped(self) -> None:
        """What an image's files are called is shown, not obeyed."""
        shown = table(FRAME, headings={"name": "<i>name</i>"})._repr_html_()

        assert "&lt;b&gt;x&lt;/b&gt;" in shown
        assert "<i>" not in shown

    def test_what_varies_is_left_out_of_the_comparison_and_nothing_else(self) -> None:
        """Two machines' tables compare equal where only marked columns differ, and differ otherwise."""
        other = FRAME.assign(bytes=[98_765.4, float("nan")])
        headings = {"name": "name", "bytes": "MB", "n": "files"}

        for view in (repr, lambda shown: shown._repr_html_()):
            here = sanitised(view(table(FRAME, headings=headings, varies=["bytes"])))
            there = sanitised(view(table(other, headings=headings, varies=["bytes"])))
            assert here == there
            assert here != sanitised(view(table(FRAME.assign(n=[1000, 3]), headings=headings, varies=["bytes"])))

    def test_text_has_a_line_for_each_row(self) -> None:
        """Without a browser the table still reads."""
        assert repr(table(FRAME, headings={"n": "files", "gone": "gone"}, caption="All")) == (
            "All\nfiles | gone\n1,000 | –\n2 | –"
        )

    def test_a_table_about_the_machine_is_left_out_as_a_whole(self) -> None:
        """Not even the number of its rows is compared; a reader sees all of it."""
        here = table(FRAME, caption="What is here", of_this_machine=True)
        there = table(FRAME.head(1), caption="What is here", of_this_machine=True)

        assert repr(here) == repr(there) == "<Table: What is here>"
        assert sanitised(here._repr_html_()) == sanitised(there._repr_html_()) == "OF THIS MACHINE"
        assert here._repr_html_().count("<tr>") == 1 + len(FRAME)

    def test_a_figure_below_zero_is_left_out_like_others(self) -> None:
        """What a layer takes away is measured, too."""
        shown = [repr(table(pd.DataFrame({"MB": [value]}), varies=["MB"])) for value in (-21.7, 3.5)]

        assert shown[0].endswith("≈ -21.7")
        assert sanitised(shown[0]) == sanitised(shown[1])


class TestAbout:
    def test_figures_are_short_and_marked(self) -> None:
        """One decimal from 1 on, two digits below; next to nothing is 0."""
        assert [about(261.94, "MB"), about(0.0456, "s"), about(1851), about(0), about(6.6e-5)] == [
            "≈ 261.9 MB",
            "≈ 0.046 s",
            "≈ 1,851.0",
            "≈ 0.0",
            "≈ 0.0",
        ]

    def test_the_sanitiser_knows_them_all(self) -> None:
        """Any figure with the mark compares equal to any other."""
        assert {sanitised(about(x, "s")) for x in (0.000012, 3.5, 12345.6, float("nan"))} == {"≈ N s"}


TEXT = "# first\nFROM a\n\n# (1) <second>\nRUN b\n   \nRUN c\n\n\n# (10) third\nRUN d"


def without_tags(shown: str) -> str:
    return re.sub("(?s)<style>.*?</style>|<[^>]+>", "", shown)


class TestShow:
    def test_lines_have_their_numbers(self) -> None:
        """Numbers are those of the file, aligned; what a file holds is shown, not obeyed."""
        plain = without_tags(cells._numbered(cells._highlighted(TEXT, "docker"), 4, 10)).splitlines()

        assert plain[0] == " 4  # (1) &lt;second&gt;"
        assert plain[1:3] == [" 5  RUN b", " 6     "]
        assert plain[-1] == "10  # (10) third"

    @pytest.mark.parametrize("language", ["docker", "python", "text"])
    def test_a_whole_file_is_shown_by_default(self, language: str) -> None:
        """From its first to its last line, a line of the file on each line."""
        shown = cells._numbered(cells._highlighted(TEXT, language))
        plain = html.unescape(without_tags(shown)).splitlines()

        assert [line[4:] for line in plain] == TEXT.splitlines()

    def test_instructions_comments_and_strings_are_told_apart(self) -> None:
        """They are in elements of their own, and nothing else is: what a file holds cannot make one."""
        comment, run = cells._highlighted("# <b onclick=x>\nRUN echo '<script>'", "docker")

        assert comment == '<span class="c"># &lt;b onclick=x&gt;</span>'
        assert re.findall("<[^>]+>", run) == ['<span class="k">', "</span>", '<span class="s1">', "</span>"]

    def test_colours_can_be_read_in_both_themes(self) -> None:
        """Their contrast is at least 4.5, as WCAG 2.2 asks, on JupyterLab's pages and the website's."""
        light, dark, automatically_dark = re.findall(r"\{\s*(--keyword: [^}]+?)\s*\}", cells._STYLE)

        assert dark == automatically_dark
        assert [contrast(colour, "#F2F2F2") >= 4.5 for colour in re.findall(r"#\w+", light)] == [True] * 3
        assert [contrast(colour, "#262626") >= 4.5 for colour in re.findall(r"#\w+", dark)] == [True] * 3

    @pytest.mark.parametrize(
        ("holding", "lines"), [("first", (1, 2)), ("(1)", (4, 5)), ("RUN c", (7, 7)), ("(10)", (10, 11))]
    )
    def test_a_paragraph_is_found_by_what_it_holds(self, holding: str, lines: tuple[int, int]) -> None:
        """It reaches from one empty line to the next, whether these hold spaces or not."""
        assert cells._paragraph(TEXT, holding) == lines

    @pytest.mark.parametrize(("holding", "count"), [("RUN", 3), ("nothing like it", 0)])
    def test_a_text_that_does_not_name_one_paragraph_is_an_error(self, holding: str, count: int) -> None:
        """A notebook cannot show the wrong part of a file that was edited since."""
        with pytest.raises(ValueError, match=f"^{count} paragraphs hold this text"):
            cells._paragraph(TEXT, holding)
