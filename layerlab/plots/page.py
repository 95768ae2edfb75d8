"""The card on which a picture is drawn: a heading, columns of text, and axes for bars, measured in inches.

Nothing here goes through pyplot or depends on rcParams: every colour, font and size is given, so that a
learner's own settings or a backend leave the pictures as they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from layerlab.plots.labels import Face, clean, font, shorten, text_width
from layerlab.plots.style import CARD, DPI, INK, MUTED, RULE, SMALL, TEXT, TITLE, WIDTH, Look

MARGIN: Final = 0.28
INSIDE: Final = WIDTH - 2 * MARGIN
GAP: Final = 0.06  # between a bar and its label
LINE: Final = 0.19  # from one line of text to the next
LONGEST: Final = 108  # letters of a line of text, which is shortened where they are wide ones
Align = Literal["left", "right"]


@dataclass(frozen=True)
class Panel:
    """A part of a page with bars in rows; lengths are in the unit of its scale."""

    axes: Axes  # matplotlib's axes, without a frame

    def inches(self) -> float:
        """How many inches one unit of the axes' scale takes."""
        return float(self.axes.bbox.width) / DPI / self.axes.get_xlim()[1]

    def bar(self, start: float, width: float, row: float, look: Look, *, gid: str, height: float = 0.62) -> None:
        """A horizontal bar from start, so wide, around the middle of a row; nothing of no width.

        What it stands for is kept as its gid, which is what the tests find it by.
        """
        if width:
            place = (start, row - height / 2)
            self.axes.add_patch(Rectangle(place, width, height, gid=gid, zorder=2, **filling(look)))

    def stack(self, row: float, pieces: Iterable[tuple[str, Look, float]]) -> float:
        """Bars end to end in the middle of a row, each of so many bytes, in MB; returns where the last one ends."""
        start = 0.0
        for gid, look, count in pieces:
            self.bar(start, count / 1e6, row + 0.5, look, gid=gid)
            start += count / 1e6
        return start

    def line(self, x: tuple[float, float], y: tuple[float, float], colour: str, width: float = 1.0) -> None:
        """A straight line, behind the bars."""
        self.axes.plot(x, y, color=colour, linewidth=width, linestyle="-", marker="", zorder=1)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str, *, gid: str) -> None:
        """A straight arrow, over the bars."""
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        self.axes.annotate("", end, start, arrowprops=style, annotation_clip=False, zorder=5, gid=gid)

    def baseline(self) -> None:
        """The line from which the bars start."""
        self.line((0, 0), self.axes.get_ylim(), MUTED, 0.8)

    def note(
        self, x: float, y: float, text: str, *, points: float = TEXT, colour: str = INK, face: Face = "plain"
    ) -> None:
        """A label to the right of a place of the axes' data."""
        self._label((x, y), clean(text, face), (GAP * 72, 0), **_written(points, colour, face), va="center_baseline")

    def _label(self, place: tuple[float, float], text: str, shift: tuple[float, float], **how: Any) -> None:
        how |= {"xytext": shift, "textcoords": "offset points", "annotation_clip": False}
        self.axes.annotate(text, place, zorder=4, **how)

    def scale(self, largest: float, unit: Callable[[float], str], *, steps: int = 4) -> None:
        """Thin lines behind the bars at round numbers, with the number and its unit below them."""
        rows = self.axes.get_ylim()[0]
        ticks = MaxNLocator(steps, steps=[1, 2, 2.5, 5, 10]).tick_values(0, largest or 1.0)
        free = -1.0  # where the last number ends, in inches
        for tick in (float(t) for t in ticks if 0 <= t <= (largest or 1.0) * 1.0001):
            self.line((tick, tick), (0, rows), RULE, 0.8)
            half = text_width(unit(tick), SMALL) / 2 + GAP
            if tick * self.inches() - half >= free:
                how = _written(SMALL, MUTED)
                self._label((tick, rows), clean(unit(tick)), (0, -4), **how, ha="center", va="top")
                free = tick * self.inches() + half


@dataclass(frozen=True)
class Page:
    """A figure whose places are given in inches from its top left corner."""

    figure: Figure  # the matplotlib figure
    height: float  # its height in inches; its width is always the same
    top: float  # where its heading ends

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        points: float = TEXT,
        colour: str = INK,
        face: Face = "plain",
        align: Align = "left",
        width: float = INSIDE,
    ) -> None:
        """Write one line, centred on y, shortened to a width."""
        how = _written(points, colour, face) | {"transform": self.figure.dpi_scale_trans, "ha": align}
        shown = shorten(clean(text, face), width, points, face)
        self.figure.text(x, self.height - y, shown, va="center_baseline", **how)

    def panel(
        self, x: float, y: float, width: float, height: float, *, right: float, rows: float, gid: str | None = None
    ) -> Panel:
        """Axes without a frame: from 0 to right, and so many rows from the top down."""
        place = (x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height)
        scales: dict[str, Any] = {"xlim": (0, right), "ylim": (rows, 0), "xscale": "linear", "yscale": "linear"}
        axes = self.figure.add_axes(place, facecolor="none", **scales)
        axes.set_axis_off()
        axes.set_gid(gid)
        return Panel(axes)

    def column(self, x: float, top: float, row: float, texts: Iterable[object], **how: Any) -> None:
        """Write texts one below the other, each in the middle of a row so high; `how` is as for `text`."""
        for place, text in enumerate(texts):
            self.text(x, top + row * (place + 0.5), str(text), **how)

    def bars(
        self,
        place: tuple[float, float],
        width: float,
        row: float,
        values: pd.Series,
        *,
        labels: Sequence[str],
        looks: Sequence[Look],
        right: float,
        gid: str,
    ) -> None:
        """A panel at a place, so wide, with a bar in each row, whose label stands beside it."""
        panel = self.panel(*place, width, row * len(values), right=right, rows=len(values), gid=gid)
        panel.baseline()
        for at, (name, value, label, look) in enumerate(zip(values.index, values, labels, looks, strict=True)):
            panel.bar(0, value, at + 0.5, look, gid=str(name))
            panel.note(value, at + 0.5, label, points=SMALL)

    def swatch(self, x: float, y: float, look: Look) -> None:
        """A sample of a look, centred on y, its left edge at x."""
        shift = self.figure.dpi_scale_trans
        self.figure.add_artist(Rectangle((x, self.height - y - 0.065), 0.2, 0.13, transform=shift, **filling(look)))

    def key(self, x: float, y: float, entries: list[tuple[Look, str]]) -> None:
        """Samples of looks with their names, on one line."""
        for look, name in entries:
            self.swatch(x, y, look)
            self.text(x + 0.26, y, name, points=SMALL, colour=MUTED)
            x += 0.26 + text_width(clean(name), SMALL) + 0.24

    def rule(self, y: float) -> None:
        """A thin line across the card."""
        shift = self.figure.dpi_scale_trans
        self.figure.add_artist(Rectangle((MARGIN, self.height - y), INSIDE, 0.008, transform=shift, color=RULE, lw=0))


def open_page(title: str, answer: str, body: float) -> Page:
    """A new card with the question as its title, the answer below it, and so many inches for the rest."""
    lines = textwrap.wrap(clean(answer), LONGEST)
    top = 0.62 + LINE * len(lines) + 0.1
    height = top + body + 0.12
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=CARD, edgecolor=RULE, linewidth=1.5)
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    page = Page(figure, height, top)
    page.text(MARGIN, 0.36, title, points=TITLE, face="bold")
    for number, line in enumerate(lines):
        page.text(MARGIN, 0.62 + LINE * (number + 0.15), line, colour=MUTED)
    return page


def _written(points: float, colour: str, face: Face = "plain") -> dict[str, Any]:
    """The properties of a text, which is never a formula, whatever it holds."""
    return {"fontproperties": font(face, points), "color": colour, "parse_math": False, "usetex": False}


def filling(look: Look) -> dict[str, Any]:
    """The properties of a patch that is filled so."""
    hatching = {"hatch": look.hatch or None, "hatchcolor": look.hatch_colour, "hatch_linewidth": 0.7}
    return {"facecolor": look.fill, "edgecolor": look.edge, "linewidth": 0.6, **hatching}


def fitting(largest: float, width: float, labels: Iterable[str], face: Face = "plain") -> float:
    """The right end of a scale on which the largest bar and the longest label beside it fit into a width."""
    longest = max((text_width(label, TEXT, face) for label in labels), default=0.0) + 2 * GAP
    return (largest or 1.0) * width / (width - longest)
