"""What the pictures with a row per layer share: the Dockerfile's line and the instruction before each row."""

from __future__ import annotations

from numbers import Integral
from typing import Final

import pandas as pd

from layerlab.plots.labels import gist, named
from layerlab.plots.page import MARGIN, Page
from layerlab.plots.style import CODE, MUTED, SMALL

LINES: Final = 0.5  # inches for the Dockerfile's line
INSTRUCTIONS: Final = 2.95
LEFT: Final = LINES + INSTRUCTIONS
COLUMNS: Final = {"index": "number", "instruction": "text", "line": "line", "bytes": "number"}


def row_height(rows: int) -> float:
    """How high a row is, in inches: less where there are many."""
    return 0.32 if rows <= 16 else 0.25


def instructions(page: Page, layers: pd.DataFrame, top: float) -> None:
    """Before each row, the first of which begins at top, the Dockerfile's line and the instruction."""
    known, base = layers["line"].notna().to_numpy(), base_layers(layers)
    height = row_height(len(layers))
    for row, (line, text) in enumerate(zip(layers["line"], layers["instruction"], strict=True)):
        y = top + height * (row + 0.5)
        place = "base" if row < base else str(line) if known[row] else ""
        page.text(MARGIN + LINES - 0.14, y, place, points=SMALL, colour=MUTED, align="right")
        label = gist(text, INSTRUCTIONS - 0.12, CODE)
        page.text(MARGIN + LINES, y, label, points=CODE, face="mono", width=INSTRUCTIONS - 0.12)


def base_layers(layers: pd.DataFrame) -> int:
    """How many layers came with the base image, given the Dockerfile that made the others.

    They are those below the first one whose line is known; none where no line is.
    """
    known = layers["line"].notna().to_numpy()
    return int(known.argmax()) if known.any() else 0


def place(line: object, layer: float) -> str:
    """Where something was stored or caused: the Dockerfile's line, or the layer where that is unknown."""
    return f"line {line}" if isinstance(line, Integral) else f"layer {layer:.0f}"


def of(title: str) -> str:
    """The beginning of a sentence about the image of this name."""
    return f"{named(title)}: " if title else ""
