"""Random plots.

``matplotlib.pyplot`` is not used on purpose: it keeps every figure in one registry for the whole process,
which threads would share and which nobody would ever empty. A figure made here belongs to the thread that draws it.

Most of the time of a plot goes to what is the same in the next: the figure, its axes, and above all the ticks, each
of which is three lines and two texts. So a thread keeps the figure that it has drawn last. The data, where the ticks
are and what they say, and the title are new in each picture.
"""

from __future__ import annotations

import io
import threading
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
# Compression is a seventh of the time of a PNG. A third of that is saved for a file that is 3 % larger.
OPTIONS: Final[dict[str, dict[str, Any]]] = {"png": {"pil_kwargs": {"compress_level": 3}}, "svg": {}}


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


# One picture at a time: drawing holds the interpreter's lock nearly throughout, so that two at once would take longer
# than one after the other, and use more memory. Nothing else waits for it.
_DRAWING = threading.Lock()


class _Kept(threading.local):
    """What a thread keeps: a figure, its axes without data, and for which kind, width and format they were made.

    Matplotlib's objects are not made for several threads. The threads of a production server live on; a server that
    starts one for each request, such as Flask's for development, begins with nothing each time.
    """

    key: tuple[str, int, str] | None = None
    figure: Figure
    axes: Axes


_KEPT = _Kept()


def draw(kind: str, seed: int, width: int, file_format: str) -> bytes:
    """A random plot as a file. The same arguments give the same bytes, in every thread and process.

    Args:
        kind: One of `KINDS`.
        seed: What the random numbers begin with.
        width: In pixels.
        file_format: ``png`` or ``svg``.
    """
    file = io.BytesIO()
    key = (kind, width, file_format)
    with _DRAWING:
        if _KEPT.key != key:
            _KEPT.figure, _KEPT.axes = _new_figure(width)
        _KEPT.key = None  # should drawing fail, nothing half drawn is used again
        axes = _KEPT.axes
        # Its place is said, since Matplotlib would measure all ticks and labels to find the same.
        axes.set_title(f"{kind}, seed {seed}", y=1)
        KINDS[kind](axes, np.random.default_rng(seed))
        _KEPT.figure.savefig(file, format=file_format, metadata=METADATA[file_format], **OPTIONS[file_format])
        _remove_data(axes)
        _KEPT.key = key
    return file.getvalue()


def _new_figure(width: int) -> tuple[Figure, Axes]:
    height = height_of(width)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    backend_agg.FigureCanvasAgg(figure)  # a canvas of its own remembers how wide a text is
    # The room for labels is fixed in pixels: letting Matplotlib work it out takes as long as drawing.
    left, bottom, right, top = 60, 48, 16, 32
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _remove_data(axes: Axes) -> None:
    """Leave of these axes what the next plot of the same kind begins with."""
    for artist in (*axes.lines, *axes.collections, *axes.patches):
        artist.remove()
    axes.containers.clear()
    axes.relim()
    # All numbers are equally high: so this label stays where it is, and the ticks need not be measured for it again.
    label = axes.xaxis.label
    axes.xaxis.set_label_coords(*label.get_position(), transform=label.get_transform())
