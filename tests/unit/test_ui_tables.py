"""Tables in a terminal."""

from __future__ import annotations

import io

import pandas as pd
from rich.console import Console

from layerlab.ui import tables


def shown(frame: pd.DataFrame, **headings: str) -> str:
    text = io.StringIO()
    tables.show(Console(file=text, width=100), frame, "A title", **headings)
    return text.getvalue()


class TestShow:
    def test_values_stand_under_their_headings(self) -> None:
        """Numbers have one decimal, missing values are a dash."""
        frame = pd.DataFrame({"name": ["a", "b"], "size": [1234.56, None]})

        assert shown(frame, name="image", size="MB").split() == [
            "A",
            "title",
            "image",
            "MB",
            "a",
            "1,234.6",
            "b",
            "–",
        ]

    def test_hostile_names_are_shown_and_not_obeyed(self) -> None:
        """Escape codes, markup and broken bytes from an image's file names reach the terminal as plain text."""
        name = "\x1b[31mred\x1b]0;title\x07[bold]x[/bold]\udcff\n"
        text = shown(pd.DataFrame({"name": [name]}), name="file")

        assert "\x1b" not in text
        assert r"\x1b[31mred\x1b]0;title\x07[bold]x[/bold]\udcff\n" in text
