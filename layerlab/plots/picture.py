"""A picture: the figure, what it says in words, and the numbers that are drawn; whether a table can be drawn."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from layerlab.errors import UsageError
from layerlab.plots.style import themed
from layerlab.ui.displays import publish_with_words

MANY: Final = 5
"""What fits beside each other."""
KIND: Final = "image/svg+xml"
"""What a notebook keeps of a picture."""
_FINER: Final = re.compile(r"(?<=\.\d\d)\d+")
_QUARTER: Final = r"C(?: \S+){6} C(?: \S+){4} (\S+) (\S+) "
_CIRCLE: Final = re.compile(rf"M (\S+) (\S+) {_QUARTER * 4}z")


@dataclass(frozen=True, eq=False)
class Picture:
    """What each function of `layerlab.plots` returns; a notebook shows it by itself.

    JupyterLab shows no alternative text of a picture, whatever its metadata say, and HTML with a data URL is
    not let through everywhere. So a notebook gets the picture, and the same in words below it, folded. The text form
    is the question alone, since nbval compares it; the words' class is known to nbval's sanitiser.
    """

    question: str  # the question that it answers; the same on every machine
    figure: Figure = field(repr=False)  # the matplotlib figure
    alt: str  # what it shows, in words and figures
    data: pd.DataFrame = field(repr=False)  # the numbers that are drawn: what the tests compare with the figure

    def __repr__(self) -> str:
        return f"<Picture: {self.question}>"

    def svg(self) -> str:
        """The picture as an SVG file, the same for the same figure; it says `alt`, and follows the page's theme."""
        file, figure = io.StringIO(), self.figure
        with mpl.rc_context({"svg.hashsalt": "layerlab", "svg.fonttype": "path", "savefig.bbox": None}):
            figure.savefig(file, format="svg", facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor())
        # Without what nobody sees, such as thousandths of a pixel, which is kept in every saved notebook.
        drawn = re.sub(r"(?s)^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", "", file.getvalue())
        drawn = re.sub('<g id="[^"]*">', "<g>", drawn)
        drawn = re.sub(r'(?<= d=")[^"]*', _shorter, drawn)
        width, height = map(int, figure.bbox.size)
        drawn = re.sub(
            r'width="\S+pt" height="\S+pt"', f'role="img" width="{width}" height="{height}"', drawn, count=1
        )
        return themed(drawn.replace("<defs>", f"<desc>{html.escape(self.alt)}</desc><defs>", 1))

    def data_url(self) -> str:
        """The file as an address, for an ``<img>`` that needs no file beside it."""
        return f"data:{KIND};base64,{base64.b64encode(self.svg().encode()).decode()}"

    def in_words(self) -> str:
        """The alternative text as HTML, folded, for below the picture."""
        text = html.escape(self.alt)
        return f'<details class="picture-in-words"><summary>This picture in words</summary><p>{text}</p></details>'

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return {KIND: self.svg(), "text/plain": repr(self)}, {KIND: {"alt": self.alt}}

    def _ipython_display_(self) -> None:
        publish_with_words(self, self.in_words())


def _shorter(path: re.Match[str]) -> str:
    """A path without fractions that nobody sees, the circles of hatchings as two arcs instead of eight curves."""

    def arcs(circle: re.Match[str]) -> str:
        x, y, side, _, _, other, *_ = map(float, circle.groups())
        arc = f"A {abs(y - other) / 2:.2f} {abs(y - other) / 2:.2f} 0 1 {int((side < x) == (y > other))} {x:g}"
        return f"M {x:g} {y:g} {arc} {other:g} {arc} {y:g} z"

    return _CIRCLE.sub(arcs, " ".join(_FINER.sub("", path[0]).split()))


def checked(table: pd.DataFrame, what: str, columns: dict[str, str]) -> pd.DataFrame:
    """The columns that a picture needs, with a fresh index.

    Args:
        table: What the caller gave.
        what: What it is, for the message.
        columns: The columns' names and what each holds: ``number`` (finite, not negative), ``signed`` (finite),
            ``text``, ``flag`` or ``line`` (a number or nothing).

    Raises:
        UsageError: a column is missing or holds what cannot be drawn, or there are no rows.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UsageError(
            f"{what} has no column {', '.join(map(repr, missing))}",
            remedy=f"pass a DataFrame with the columns {', '.join(columns)}",
        )
    if table.empty:
        raise UsageError(f"{what} has no rows, so there is nothing to draw", remedy="pass a table with rows")
    drawn = table[list(columns)].reset_index(drop=True)
    for name, kind in columns.items():
        values = drawn[name]
        if kind == "text":
            drawn[name] = values.astype("object").map(str)
        elif kind == "flag":
            drawn[name] = values.fillna(False).astype(bool)
        elif kind == "line":
            drawn[name] = pd.to_numeric(values, errors="coerce").astype("Int64")
        else:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
            if not np.isfinite(numbers).all() or (kind == "number" and (numbers < 0).any()):
                raise UsageError(
                    f"{what}, column {name!r}, holds something other than finite"
                    f"{', non-negative' if kind == 'number' else ''} numbers",
                    remedy="leave out the rows that were not measured",
                )
            drawn[name] = numbers
    return drawn


def of_images(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """A table of numbers with a row per image, its names as text.

    Raises:
        UsageError: there are no rows, or a column holds what cannot be drawn.
    """
    data = checked(table, what, {str(name): "number" for name in table.columns})
    return data.set_axis(pd.Index([str(name) for name in table.index], name="image"))


def few(names: Sequence[object], what: str) -> None:
    """See to it that what stands side by side is no more than can be read.

    Raises:
        UsageError: it is more than `MANY`.
    """
    if len(names) > MANY:
        raise UsageError(f"{len(names)} {what} do not fit beside each other", remedy=f"draw at most {MANY}")
