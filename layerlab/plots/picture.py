"""A picture: the figure, what it says in words, and the numbers that are drawn."""

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
