"""What a cell of a notebook shows: tables, figures, and files of the repository with the numbers of their lines.

What differs from machine to machine is marked with ``≈``. The mark tells the reader which figures may differ, and
the sanitiser of nbval (``tests/nbval.cfg``) which ones not to compare. So a saved output can be compared cell by
cell, and only its measurements are left out.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
from IPython.display import HTML, display
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from layerlab.jupyter.serve import EXTENSIONS
from layerlab.paths import ROOT

_STYLE: Final = (EXTENSIONS / "layerlab-alternative-texts/static/code.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Shown:
    """A table as a notebook shows it: HTML, and plain text for those who read without a browser."""

    caption: str
    headings: list[str]
    sides: list[str]
    rows: list[list[str]]
    of_this_machine: bool

    def __repr__(self) -> str:
        if self.of_this_machine:
            return f"<Table: {self.caption}>"
        lines = [self.caption] if self.caption else []
        return "\n".join([*lines, *(" | ".join(row) for row in [self.headings, *self.rows])])

    def _repr_html_(self) -> str:
        def cells(row: list[str], tag: str, style: str) -> str:
            every = zip(self.sides, row, strict=True)
            return "".join(f'<{tag} style="text-align:{s}{style}">{html.escape(t)}</{tag[:2]}>' for s, t in every)

        head = cells(self.headings, 'th scope="col"', "")
        rows = "\n".join(f"<tr>{cells(row, 'td', ';vertical-align:top')}</tr>" for row in self.rows)
        # On the left and on one line: a caption is often wider than its table.
        style = "text-align:left;white-space:nowrap"
        caption = f'<caption style="{style}">{html.escape(self.caption)}</caption>' if self.caption else ""
        shown = f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
        return f'<div class="of-this-machine">{shown}</div>' if self.of_this_machine else shown


def table(
    frame: pd.DataFrame,
    *,
    headings: Mapping[str, str] | None = None,
    varies: Collection[str] = (),
    caption: str = "",
    of_this_machine: bool = False,
) -> Shown:
    """A table for a notebook.

    Args:
        frame: What to show.
        headings: The columns to show and what to write above them; None for all, under their names.
        varies: Columns whose values differ from machine to machine: shown with a ``≈`` before them.
        caption: What the table is about.
        of_this_machine: Whether everything in it, even the number of its rows, differs from machine to machine.

    >>> frame = pd.DataFrame({"image": ["a", "b"], "size": [1.25, 30.0]})
    >>> table(frame, headings={"image": "image", "size": "MB"}, varies=["size"])
    image | MB
    a | ≈ 1.2
    b | ≈ 30.0
    """
    headings = headings or {str(column): str(column) for column in frame.columns}
    sides = ["right" if pd.api.types.is_numeric_dtype(frame[column]) else "left" for column in headings]
    rows = [
        [_text(value, varies=column in varies) for column, value in zip(headings, row, strict=True)]
        for row in frame[list(headings)].itertuples(index=False)
    ]
    return Shown(caption, list(headings.values()), sides, rows, of_this_machine)


def about(value: float, unit: str = "") -> str:
    """A figure that differs from machine to machine, as text.

    >>> about(261.9, "MB")
    '≈ 261.9 MB'
    """
    return f"{_text(float(value), varies=True)} {unit}".strip()


def _text(value: object, *, varies: bool) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return "≈ –" if varies else "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.2g}" if 0.0005 <= abs(value) < 1 else f"{value:,.1f}"  # and 0.0 for next to nothing
    elif isinstance(value, int):
        text = f"{value:,}"
    else:
        text = str(value)
    return f"≈ {text}" if varies else text


def show(path: str | Path, *, holding: str | None = None) -> None:
    """Show a file of the repository, or a paragraph of it, with line numbers; Dockerfiles and Python highlighted.

    Args:
        path: The file, relative to the repository's root.
        holding: A text; the paragraph (the lines from one empty line to the next) that holds it is shown alone.

    Raises:
        ValueError: the text does not stand in exactly one paragraph.

    >>> show("requirements/app.in", holding="flask")
    <IPython.core.display.HTML object>
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = (1, None) if holding is None else _paragraph(text, holding)
    name = Path(path).name
    language = "docker" if name.startswith("Dockerfile") else "python" if name.endswith(".py") else "text"
    display(HTML(_numbered(_highlighted(text, language), *lines)))  # type: ignore[no-untyped-call]


def _paragraph(text: str, holding: str) -> tuple[int, int]:
    """The first and the last line, counted from 1, of the one paragraph that holds this text."""
    found = []
    lines = enumerate(text.splitlines(), start=1)
    for is_empty, group in itertools.groupby(lines, key=lambda line: not line[1].strip()):
        numbered = list(group)
        if not is_empty and holding in "\n".join(line for _, line in numbered):
            found.append((numbered[0][0], numbered[-1][0]))
    if len(found) != 1:
        raise ValueError(f"{len(found)} paragraphs hold this text, not one: {holding!r}")
    return found[0]


def _highlighted(text: str, language: str) -> list[str]:
    """The lines as HTML, escaped; only what has a colour of ours is in an element."""
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    marked = highlight("\n".join(text.splitlines()), lexer, HtmlFormatter(nowrap=True))
    return re.sub(r'<span class="(?![kcs])[^"]*">([^<]*)</span>', r"\1", marked).splitlines()


def _numbered(lines: list[str], first: int = 1, last: int | None = None) -> str:
    """Lines of HTML with their numbers.

    A long line goes on below its beginning: what scrolls sideways cannot be reached with the keyboard in every
    browser. Where styles are taken out, it still is a line.
    """
    rows = list(enumerate(lines, start=1))[first - 1 : last]
    width = len(str(rows[-1][0])) if rows else 1
    code = '<span style="display:inline-block;max-width:92%;vertical-align:top">'
    body = "\n".join(f'<span style="opacity:.7">{n:>{width}}</span>  {code}{line}</span>' for n, line in rows)
    style = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-family:monospace;font-size:90%"
    return f'<style>\n{_STYLE}</style><pre class="lab-code" style="{style}">{body}</pre>'
