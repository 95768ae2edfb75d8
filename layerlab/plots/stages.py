"""From the build stage to the final image: what is copied, and what is left behind."""

from __future__ import annotations

from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from layerlab.errors import UsageError
from layerlab.plots.labels import named, sentence_list, text_width
from layerlab.plots.page import GAP, INSIDE, MARGIN, bar, inches, line, note, open_page, room_for_labels
from layerlab.plots.picture import Picture
from layerlab.plots.style import MUTED, PARTS, SMALL, known_part, part_order
from layerlab.plots.tables import checked
from layerlab.ui.units import megabytes

NAMES: Final = 1.3  # inches
BODY: Final = 2.1
FATES: Final = ("copied", "left behind", "own")


def flow(table: pd.DataFrame, build: str = "build stage", final: str = "final image") -> Picture:
    """What did the extra stage buy? The build stage above the final image, and what goes from one to the other.

    Args:
        table: `part` str (as in `files.part`), `bytes` int64, `fate` str: `copied` (in the build stage, and from
            it in the final image), `left behind` (in the build stage alone) or `own` (what the final image
            has of its own base and of the build context). Rows of the same part and fate are added up.
        build: what the stage is called.
        final: what the image is called.

    Raises:
        UsageError: the table lacks a column, holds no rows, an unknown fate, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({
    ...     "part": ["python packages", "compilers"],
    ...     "bytes": [60_000_000, 90_000_000],
    ...     "fate": ["copied", "left behind"],
    ... })
    >>> flow(table).alt
    '... build stage: 60 of 150 MB are copied, 90 MB left behind; final image: 60 MB. ...'
    """
    question = "What did the extra stage buy?"
    rows = checked(table, "the table of the flow", {"part": "text", "fate": "text", "bytes": "number"})
    if unknown := set(rows["fate"]) - set(FATES):
        raise UsageError(
            f"the table of the flow has an unknown fate {min(unknown)!r}", remedy=f"use {', '.join(FATES)}"
        )
    rows["part"] = rows["part"].map(known_part)
    data = rows.groupby(["fate", "part"], as_index=False)["bytes"].sum()
    data = data[data["bytes"] > 0].sort_values("part", key=lambda parts: parts.map(part_order), kind="stable")
    sums = {fate: float(data.loc[data["fate"] == fate, "bytes"].sum()) for fate in FATES}
    stage, image = sums["copied"] + sums["left behind"], sums["copied"] + sums["own"]
    answer = (
        f"{named(build)}: {megabytes(sums['copied'])} of {megabytes(stage)} MB are copied, "
        f"{megabytes(sums['left behind'])} MB left behind; {named(final)}: {megabytes(image)} MB."
    )
    page = open_page(question, answer, BODY + 0.55)
    width = INSIDE - NAMES
    labels = [f"{megabytes(total)} MB" for total in (stage, image)]
    right = room_for_labels(max(stage, image) / 1e6, width, labels, "bold")
    axes = page.axes(MARGIN + NAMES, page.top + 0.3, width, BODY, right=right, rows=BODY)
    present = sorted(set(data["part"]), key=part_order)
    page.key(MARGIN, page.top + 0.05, [(PARTS[part], part) for part in present])
    for name, y, fates, label in ((build, 0.4, FATES[:2], labels[0]), (final, 1.6, FATES[::2], labels[1])):
        end = 0.0
        for fate in fates:
            for part, count in data.loc[data["fate"] == fate, ["part", "bytes"]].itertuples(index=False):
                bar(axes, end, count / 1e6, y, PARTS[part], gid=f"{fate}: {part}", height=0.36)
                end += count / 1e6
        note(axes, end, y, label, face="bold")
        page.text(MARGIN, page.top + 0.3 + y, name, face="bold", width=NAMES - 0.12)
    copied = sums["copied"] / 1e6
    band = Polygon(
        [(0, 0.58), (copied, 0.58), (copied, 1.42), (0, 1.42)], facecolor="#E4E0D4", edgecolor="none", zorder=0
    )
    band.set_gid("copied")
    axes.add_patch(band)
    for fate, start, end, y, text in (
        ("left behind", copied, stage / 1e6, 0.68, "left behind"),
        ("own", copied, image / 1e6, 1.88, "its own base and files"),
    ):
        if sums[fate]:
            line(axes, (start, end), (y, y), MUTED)
            _beside(axes, start, y + (0.14 if fate == "left behind" else 0.16), f"{text}: {megabytes(sums[fate])} MB")
    _beside(axes, copied, 1.16, f"copied: {megabytes(sums['copied'])} MB")
    listed = "; ".join(
        f"{fate}: "
        + sentence_list(
            f"{part} {megabytes(count)} MB" for part, count in zip(rows["part"], rows["bytes"], strict=True)
        )
        for fate, rows in data.groupby("fate", sort=False)
    )
    return Picture(question, page.figure, f"Two bars and what goes from one to the other. {answer} {listed}.", data)


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    """Text to the right of x, or to its left where the axes end too soon."""
    if (axes.get_xlim()[1] - x) * inches(axes) > text_width(text, SMALL) + GAP:
        note(axes, x, y, text, points=SMALL)
    else:
        note(axes, x, y, text, points=SMALL, align="right", shift=-GAP)
