"""A picture: the figure, what it says in words, and the numbers that are drawn; whether a table can be drawn."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from layerlab.errors import UsageError
from layerlab.plots.style import SHARPNESS
from layerlab.ui.displays import publish_with_words


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
        # A quarter of the size, which is kept in every saved notebook. Colours nearly opaque are made so.
        small = pixels.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette = bytearray(small.getpalette("RGBA") or [])
        palette[3::4] = bytes(255 if alpha > 240 else alpha for alpha in palette[3::4])
        small.putpalette(palette, "RGBA")
        file = io.BytesIO()
        small.save(file, "PNG", optimize=True, pnginfo=description)
        return file.getvalue()

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height on a page, in pixels."""
        width, height = (int(pixels) // SHARPNESS for pixels in self.figure.bbox.size)
        return width, height

    def save(self, path: str | Path) -> Path:
        """Write the picture to a PNG file.

        Raises:
            OSError: the file cannot be written.
        """
        target = Path(path)
        target.write_bytes(self.png())
        return target

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


def checked(table: pd.DataFrame, what: str, columns: dict[str, str], *, signed: tuple[str, ...] = ()) -> pd.DataFrame:
    """The columns that a picture needs, with a fresh index.

    Args:
        table: What the caller gave.
        what: What it is, for the message.
        columns: The columns' names and what each holds: ``number`` (finite, not negative), ``text``, ``flag``
            or ``line`` (a number or nothing; a missing column is a column of nothing).
        signed: The number columns that may be negative.

    Raises:
        UsageError: a column is missing or holds what cannot be drawn, or there are no rows.
    """
    missing = [name for name, kind in columns.items() if name not in table.columns and kind != "line"]
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
            lines = table[name] if name in table.columns else pd.Series(pd.NA, index=table.index)
            drawn[name] = pd.to_numeric(lines, errors="coerce").astype("Int64").array
        elif kind == "number":
            drawn[name] = numbers(table[name], f"{what}, column {name!r}", signed=name in signed)
        elif kind == "flag":
            drawn[name] = table[name].fillna(False).astype(bool).to_numpy()
        else:
            drawn[name] = table[name].astype("object").map(str).to_numpy()
    return drawn


def numbers(values: pd.Series, what: str, *, signed: bool = False) -> np.ndarray:
    """The values as numbers that can be drawn.

    Raises:
        UsageError: one is not a finite number, or negative where that means nothing.
    """
    converted = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not np.isfinite(converted).all() or (not signed and (converted < 0).any()):
        raise UsageError(
            f"{what} holds something other than {'finite' if signed else 'finite, non-negative'} numbers",
            remedy="leave out the rows that were not measured",
        )
    return converted
