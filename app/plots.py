"""Random plots.

``matplotlib.pyplot`` is not used on purpose: it keeps every figure in one registry for the whole process,
which threads would share and which nobody would ever empty. A `Figure` made here belongs to its request alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends import backend_agg, backend_svg  # noqa: F401  # loaded now, not by the first request
from matplotlib.figure import Figure

# SVG ids are random unless they are salted. Settings are global: they are set here, once, and never by a request.
mpl.rcParams["svg.hashsalt"] = "app"

DPI: Final = 96  # pixels per inch, as CSS has it; every width and height that is allowed comes out exactly
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by the colour-blind too

# What is written into the file beside the picture. An SVG would carry the time at which it was drawn.
METADATA: Final[dict[str, dict[str, Any]]] = {"png": {}, "svg": {"Date": None}}
FORMATS: Final = tuple(METADATA)


def _walk(axes: Axes, random: np.random.Generator) -> None:
    for colour in (BLUE, ORANGE, GREEN):
        axes.plot(random.normal(size=200).cumsum(), color=colour)
    axes.set(xlabel="step", ylabel="distance")


def _scatter(axes: Axes, random: np.random.Generator) -> None:
    x = random.normal(size=200)
    axes.scatter(x, x * random.uniform(-1, 1) + random.normal(scale=0.5, size=200), s=12, color=BLUE)
    axes.set(xlabel="x", ylabel="y")


def _histogram(axes: Axes, random: np.random.Generator) -> None:
    axes.hist(random.gamma(random.uniform(1, 9), size=1000), bins=30, color=BLUE)
    axes.set(xlabel="value", ylabel="count")


def _bars(axes: Axes, random: np.random.Generator) -> None:
    axes.bar(list("ABCDEFGH"), random.integers(1, 100, 8), color=BLUE)
    axes.set(xlabel="group", ylabel="count")


KINDS: Final[dict[str, Callable[[Axes, np.random.Generator], None]]] = {
    "walk": _walk,
    "scatter": _scatter,
    "histogram": _histogram,
    "bars": _bars,
}


def height_of(width: int) -> int:
    """The height in pixels of a plot that is so many pixels wide."""
    return width * 5 // 8


def draw(kind: str, seed: int, width: int, file_format: str) -> bytes:
    """A random plot as a file. The same arguments give the same bytes, in every thread and process.

    Args:
        kind: One of `KINDS`.
        seed: What the random numbers begin with.
        width: In pixels.
        file_format: ``png`` or ``svg``.
    """
    height = height_of(width)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    # The room for labels is fixed in pixels: letting Matplotlib work it out takes as long as drawing.
    left, bottom, right, top = 60, 48, 16, 32
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height),
        title=f"{kind}, seed {seed}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    KINDS[kind](axes, np.random.default_rng(seed))
    file = io.BytesIO()
    figure.savefig(file, format=file_format, metadata=METADATA[file_format])
    return file.getvalue()
