"""Builds over time: what a change makes the builder do again."""

from __future__ import annotations

from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from layerlab.errors import UsageError
from layerlab.plots.labels import brief, gist, named, sentence_list, text_width
from layerlab.plots.page import GAP, INSIDE, MARGIN, bar, inches, note, open_page, scale
from layerlab.plots.picture import Picture
from layerlab.plots.style import CACHED, CODE, MUTED, RAN, SMALL, ink_on
from layerlab.plots.tables import checked
from layerlab.ui.units import seconds

STAGES: Final = 0.85  # inches
INSTRUCTIONS: Final = 2.65
ROW: Final = 0.29
MANY: Final = 5  # builds that fit beside each other
NOTHING: Final = 0.05  # seconds that a FROM may take whose base image is here already
HOLLOW: Final = 0.15  # inches of a step that took no time


def rebuilds(table: pd.DataFrame) -> Picture:
    """Why does the order of the lines matter? The same build after each change, its steps over time.

    A step that was taken from the cache is hollow, and so is a FROM that had nothing to fetch. Steps follow each
    other as the Dockerfile has them; stages that BuildKit worked on at the same time are drawn one after the
    other, so where a build ends is the sum of its work.

    Args:
        table: a row per change and step: `change` str (what was changed before this build), and as in
            `Build.steps`: `stage`, `instruction`, `seconds` (0 where unknown), `cached`.

    Raises:
        UsageError: the table lacks a column, holds no rows, numbers that cannot be drawn, or too many changes.

    >>> table = pd.DataFrame({
    ...     "change": ["nothing", "the app"], "stage": ["build"] * 2, "instruction": ["RUN make"] * 2,
    ...     "seconds": [0.0, 7.5], "cached": [True, False],
    ... })
    >>> rebuilds(table).question
    'Why does the order of the lines matter?'
    """
    question = "Why does the order of the lines matter?"
    if "seconds" in table.columns:
        table = table.assign(seconds=table["seconds"].fillna(0.0))
    kinds = {"change": "text", "stage": "text", "instruction": "text", "seconds": "number", "cached": "flag"}
    data = checked(table, "the table of rebuilds", kinds)
    changes = list(dict.fromkeys(data["change"]))
    if len(changes) > MANY:
        raise UsageError(f"{len(changes)} builds do not fit beside each other", remedy=f"draw at most {MANY}")
    data["cached"] |= data["instruction"].str.startswith("FROM ") & (data["seconds"] < NOTHING)
    # The same instruction may stand twice in a stage: its n-th occurrence is one step in every build.
    data["nth"] = data.groupby(["change", "stage", "instruction"]).cumcount()
    data["spent"] = data["seconds"].where(~data["cached"], 0.0)
    data["start"] = data.groupby("change")["spent"].cumsum() - data["spent"]
    keys = list(zip(data["stage"], data["instruction"], data["nth"], strict=True))
    steps = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    data["row"] = [steps[key] for key in keys]
    builds = data.groupby("change", sort=False).agg(
        spent=("spent", "sum"), steps=("row", "size"), cached=("cached", "sum")
    )
    again = {
        change: f"{count - cached} of {count} steps, {seconds(spent)}"
        for change, spent, count, cached in builds.itertuples()
    }
    answer = "A change makes the first step that uses it run again, and every step that builds on that one."
    page = open_page(question, answer, ROW * len(steps) + 0.98)
    top = page.top + 0.6
    page.key(MARGIN, page.top + 0.02, [(RAN, "run again"), (CACHED, "taken from the cache")])
    above = None
    for (stage, text, _), row in steps.items():
        y = top + ROW * (row + 0.5)
        if stage != above:
            name = f"stage {stage}" if stage.isdigit() else stage
            page.text(MARGIN, y, name, points=SMALL, colour=MUTED, width=STAGES - 0.1)
        label = gist(text, INSTRUCTIONS - 0.12, CODE)
        page.text(MARGIN + STAGES, y, label, points=CODE, face="mono", width=INSTRUCTIONS - 0.12)
        above = stage
    width = (INSIDE - STAGES - INSTRUCTIONS) / len(changes)
    longest = builds["spent"].max()
    right = (longest or 1.0) * (width - 0.2) / (width - 0.23 - HOLLOW)
    for column, change in enumerate(changes):
        x = MARGIN + STAGES + INSTRUCTIONS + column * width
        page.text(x, page.top + 0.3, change, face="bold", width=width - 0.12)
        total = again[change]
        if text_width(total, SMALL) > width - 0.12:
            total = seconds(builds.loc[change, "spent"])
        page.text(x, page.top + 0.48, total, points=SMALL, width=width - 0.12)
        axes = page.axes(x, top, width - 0.2, ROW * len(steps), right=right, rows=len(steps))
        axes.set_gid(change)
        scale(axes, longest, lambda tick: f"{tick:.10g} s", steps=2)
        for step in data[data["change"] == change].itertuples(index=False):
            _step(axes, width - 0.2, step.row + 0.5, step.start, step.seconds, cached=step.cached)
    slow = data[~data["cached"]].nlargest(4, "seconds")
    listed = sentence_list(
        f"{named(change)}: {brief(text)} {seconds(spent)}"
        for change, text, spent in zip(slow["change"], slow["instruction"], slow["seconds"], strict=True)
    )
    alt = f"Bars over time for the steps of {len(changes)} builds. Run again after each change: "
    alt += "; ".join(f"{named(change)}: {text}" for change, text in again.items()) + "."
    alt += f" The slowest steps: {listed}." if listed else ""
    return Picture(question, page.figure, alt, data[["change", "stage", "instruction", "seconds", "cached", "start"]])


def _step(axes: Axes, width: float, row: float, start: float, spent: float, *, cached: bool) -> None:
    """One step: hollow where it was cached, else as long as it took, with its seconds where there is room."""
    second = inches(axes)
    if cached:
        bar(axes, start, HOLLOW / second, row, CACHED, gid="cached", height=0.5)
        return
    bar(axes, start, spent, row, RAN, gid="ran")
    label = seconds(spent)
    needed = text_width(label, SMALL) + 2 * GAP
    if (start + spent) * second + needed <= width + 0.1:
        note(axes, start + spent, row, label, points=SMALL)
    elif start * second >= needed:
        note(axes, start, row, label, points=SMALL, align="right", shift=-GAP)
    else:
        note(axes, start + spent / 2, row, label, points=SMALL, colour=ink_on(RAN.fill), align="center", shift=0)
