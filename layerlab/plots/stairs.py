"""The staircase of an image's layers: what each stores, and what it changes for a container."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from layerlab.errors import UsageError
from layerlab.plots.labels import brief, sentence_list
from layerlab.plots.page import INSIDE, MARGIN, Page, bar, line, open_page, scale
from layerlab.plots.picture import Picture
from layerlab.plots.rows import COLUMNS, LEFT, instructions, of, place, row_height
from layerlab.plots.style import INK, LIVE, MUTED, PARTS, REMOVED, SMALL, STORED
from layerlab.plots.tables import checked
from layerlab.ui.units import counted, megabytes

NUMBERS: Final = 0.62  # inches for each column of numbers
SHOWN: Final = {"bytes": "stored", "change_bytes": "adds", "running_bytes": "in image"}
STORES, CHANGES = 0.32, 0.68  # where in a row the two bars stand


def staircase(layers: pd.DataFrame, title: str = "") -> Picture:
    """Which line costs, and why does a later `rm` not help? Two staircases, from the bottom layer on.

    The upper bar of each layer is what it stores: that staircase only goes on. The lower is what the layer
    changes in the filesystem that a container sees, where a deletion goes back. What lies between their ends
    is waste.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`, `change_bytes`, `running_bytes`.
        title: the image's name.

    Raises:
        UsageError: the table lacks a column, holds no rows, numbers that cannot be drawn, or a running total
            that is not the sum of the changes.

    >>> layers = pd.DataFrame({
    ...     "index": [0, 1], "instruction": ["RUN make", "RUN rm -rf /src"], "line": [2, 3],
    ...     "bytes": [5_000_000, 0], "change_bytes": [5_000_000, -4_000_000], "running_bytes": [5_000_000, 1_000_000],
    ... })
    >>> staircase(layers, title="my-image").alt
    'Staircase of layers. my-image: 2 layers, 5.0 MB stored. A container sees 1.0 MB: ...'
    """
    question = "Which line costs, and why does a later rm not help?"
    data = checked(
        layers, "the table of layers", {**COLUMNS, **dict.fromkeys(SHOWN, "number")}, signed=("change_bytes",)
    )
    if not np.allclose(data["change_bytes"].cumsum(), data["running_bytes"], rtol=0, atol=0.5):
        raise UsageError(
            "the running total of the layers is not the sum of their changes",
            remedy="pass all layers, the lowest first",
        )
    total, live = float(data["bytes"].sum()), float(data["running_bytes"].iloc[-1])
    wasted = total - live
    answer = f"{of(title)}{counted(len(data), 'layer')}, {megabytes(total)} MB stored. "
    if wasted > 0:
        answer += (
            f"A container sees {megabytes(live)} MB: what a later layer deletes or replaces is stored all the same."
        )
    else:
        answer += "A container sees all of it: no layer deletes or replaces what another stored."
    height, end = row_height(len(data)), len(data) + 1.5
    page = open_page(question, answer, height * end + 0.55)
    top = page.top + 0.25
    entries = [(STORED, "stored in the layer"), (LIVE, "added to what a container sees")]
    if (data["change_bytes"] < 0).any():
        entries.append((REMOVED, "taken away from it"))
    page.key(MARGIN, page.top + 0.02, entries)
    instructions(page, data, top)
    _numbers(page, data, top)
    across = INSIDE - LEFT - len(SHOWN) * NUMBERS
    axes = page.axes(MARGIN + LEFT, top, across, height * end, right=(total / 1e6 or 1.0) * 1.03, rows=end)
    scale(axes, total / 1e6, lambda tick: f"{tick:.10g} MB")
    _stairs(axes, data)
    bar(axes, live / 1e6, wasted / 1e6, end - 0.6, PARTS["waste"], gid="waste")
    page.rule(top + height * (end - 1.3))
    page.text(MARGIN, top + height * (end - 0.6), "stored, but seen by no container", face="bold", points=SMALL)
    label = f"{megabytes(wasted)} MB waste"
    page.text(MARGIN + INSIDE, top + height * (end - 0.6), label, face="bold", align="right")
    alt = f"Staircase of layers. {answer} Waste: {megabytes(wasted)} MB. {_in_words(data)}"
    return Picture(question, page.figure, alt, data)


def _numbers(page: Page, data: pd.DataFrame, top: float) -> None:
    height = row_height(len(data))
    for column, (name, heading) in enumerate(SHOWN.items()):
        x = MARGIN + INSIDE - NUMBERS * (len(SHOWN) - 1 - column)
        page.text(x, page.top + 0.02, heading, points=SMALL, colour=MUTED, align="right")
        for row, count in enumerate(data[name]):
            colour = INK if count >= 0 else REMOVED.edge
            page.text(x, top + height * (row + 0.5), megabytes(count), points=SMALL, colour=colour, align="right")


def _stairs(axes: Axes, data: pd.DataFrame) -> None:
    stored = live = 0.0
    for row, (count, change) in enumerate(zip(data["bytes"] / 1e6, data["change_bytes"] / 1e6, strict=True)):
        bar(axes, stored, count, row + STORES, STORED, gid="stored", height=0.3)
        look, gid = (LIVE, "adds") if change >= 0 else (REMOVED, "takes away")
        bar(axes, min(live, live + change), abs(change), row + CHANGES, look, gid=gid, height=0.3)
        stored, live = stored + count, live + change
        below = row + 1 if row + 1 < len(data) else row + 1.5  # the last ones lead to the waste
        line(axes, (stored, stored), (row + STORES, below + STORES), STORED.fill)
        line(axes, (live, live), (row + CHANGES, below + CHANGES), LIVE.fill)


def _in_words(data: pd.DataFrame) -> str:
    def said(layer: pd.Series) -> str:
        words = f"{place(layer['line'], layer['index'])}, {brief(layer['instruction'])}, "
        words += f"stores {megabytes(layer['bytes'])} MB"
        taken = -layer["change_bytes"]
        return f"{words} and takes away {megabytes(taken)} MB" if taken > 0 else words

    largest, back = data.nlargest(3, "bytes"), data[data["change_bytes"] < 0]
    text = f"The largest: {'; '.join(said(layer) for _, layer in largest.iterrows())}."
    if len(back):
        text += f" Going back: {sentence_list((said(layer) for _, layer in back.iterrows()), limit=3)}."
    return text
