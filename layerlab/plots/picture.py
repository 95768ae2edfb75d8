"""A picture: the figure, what it says in words, and the numbers that are drawn; whether a table can be drawn."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from layerlab.errors import UsageError
from layerlab.plots.style import SHARPNESS
from layerlab.ui.displays import publish_with_words

MANY: Final = 5
"""What fits beside each other."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What each function of `layerlab.plots` returns; a notebook shows it by itself.

    JupyterLab's image renderer (4.6) gives a picture no alternative text, whatever an output's metadata say,
    and HTML with an ``<img alt>`` would depend on every viewer letting data URLs through. So a notebook gets
    two outputs: the picture as ``image/png``, which shows everywhere (with ``alt`` in its metadata, which
    nbconvert's classic page uses), and the same in words below it, folded. The text form is the question
    alone and holds no number, since nbval compares it; the words are one HTML element on one line, of the
    class ``picture-in-words``, which nbval's sanitiser can leave out.

    Attributes:
        question: The question that it answers; the same on every machine.
        figure: The matplotlib figure.
        alt: What it shows, in words and figures.
        data: The numbers that are drawn: what the tests compare with the figure.
    """

    question: str
    figure: Figure = field(repr=False)
    alt: str
    data: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return f"<Picture: {self.question}>"

    def png(self) -> bytes:
        """The picture as a PNG file, the same bytes for the same figure; its description says `alt`."""
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = Image.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
        description = PngInfo()
        description.add_itxt("Description", self.alt)
        # A quarter of the size, which is kept in every saved notebook.
        small = pixels.convert("RGB").quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        file = io.BytesIO()
        small.save(file, "PNG", optimize=True, pnginfo=description)
        return file.getvalue()

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height on a page, in pixels."""
        width, height = (int(pixels) // SHARPNESS for pixels in self.figure.bbox.size)
        return width, height

    def in_words(self) -> str:
        """The alternative text as HTML, folded, for below the picture."""
        text = html.escape(self.alt)
        return f'<details class="picture-in-words"><summary>This picture in words</summary><p>{text}</p></details>'

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = self.size
        return (
            {"image/png": self.png(), "text/plain": repr(self)},
            {"image/png": {"width": width, "height": height, "alt": self.alt}},
        )

    def _ipython_display_(self) -> None:
        publish_with_words(self, self.in_words())


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
    drawn = pd.DataFrame(index=pd.RangeIndex(len(table)))
    for name, kind in columns.items():
        if kind == "line":
            drawn[name] = pd.to_numeric(table[name], errors="coerce").astype("Int64").array
        elif kind == "flag":
            drawn[name] = table[name].fillna(False).astype(bool).to_numpy()
        elif kind == "text":
            drawn[name] = table[name].astype("object").map(str).to_numpy()
        else:
            drawn[name] = _numbers(table[name], f"{what}, column {name!r}", signed=kind == "signed")
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


def _numbers(values: pd.Series, what: str, *, signed: bool) -> np.ndarray:
    converted = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not np.isfinite(converted).all() or (not signed and (converted < 0).any()):
        raise UsageError(
            f"{what} holds something other than {'finite' if signed else 'finite, non-negative'} numbers",
            remedy="leave out the rows that were not measured",
        )
    return converted
