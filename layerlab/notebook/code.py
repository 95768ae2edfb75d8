"""Files of the repository in a notebook, with the numbers of their lines."""

from __future__ import annotations

import html
import itertools
from pathlib import Path

from IPython.display import HTML, display

from layerlab.paths import ROOT


def show(path: str | Path, first: int = 1, last: int | None = None, *, holding: str | None = None) -> None:
    """Show a file of the repository, or some lines of it, with line numbers.

    Args:
        path: The file, relative to the repository's root.
        first: The first line to show, counted from 1.
        last: The last one; the file's last if None.
        holding: Show the paragraph (the lines from one empty line to the next) that holds this text instead.

    Raises:
        ValueError: the text does not stand in exactly one paragraph.

    >>> show("requirements/app.in", 3, 4)
    <IPython.core.display.HTML object>
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    if holding is not None:
        first, last = _paragraph(text, holding)
    display(HTML(_numbered(text, first, last)))  # type: ignore[no-untyped-call]


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


def _numbered(text: str, first: int = 1, last: int | None = None) -> str:
    """Lines with their numbers, as HTML.

    A long line goes on below its beginning: what scrolls sideways cannot be reached with the keyboard in every
    browser. Where styles are taken out, it still is a line.
    """
    rows = list(enumerate(text.splitlines(), start=1))[first - 1 : last]
    width = len(str(rows[-1][0])) if rows else 1
    code = '<span style="display:inline-block;max-width:92%;vertical-align:top">'
    body = "\n".join(
        f'<span style="opacity:.7">{n:>{width}}</span>  {code}{html.escape(line)}</span>' for n, line in rows
    )
    style = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-family:monospace;font-size:90%"
    return f'<pre style="{style}">{body}</pre>'
