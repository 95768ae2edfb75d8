"""Live beside wasted bytes, layer by layer, with the causes."""

from __future__ import annotations

from typing import Final

import pandas as pd

from layerlab.errors import UsageError
from layerlab.plots.labels import ELLIPSIS, sentence_list, text_width
from layerlab.plots.page import INSIDE, MARGIN, bar, baseline, note, open_page, room_for_labels, scale
from layerlab.plots.picture import Picture
from layerlab.plots.rows import COLUMNS, LEFT, instructions, of, place, row_height
from layerlab.plots.style import CAUSES, LIVE, MUTED, SMALL
from layerlab.plots.tables import checked
from layerlab.ui.units import megabytes

REASONS: Final = 2.5  # inches for what is said about a layer's waste
BY: Final = ["layer", "cause", "by_layer", "by_line"]


def waste(layers: pd.DataFrame, wasted: pd.DataFrame, title: str = "") -> Picture:
    """What is waste? For each layer the bytes that a container sees beside those that none can see, and why.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`.
        wasted: as `Image.waste`: `bytes`, `layer`, `cause`, `by_layer`, `by_line`; no rows if there is none.
        title: the image's name.

    Raises:
        UsageError: a table lacks a column, there are no layers, numbers cannot be drawn, or the two tables are
            not of the same image.

    >>> layers = pd.DataFrame({"index": [0], "instruction": ["RUN make"], "line": [2], "bytes": [5_000_000]})
    >>> wasted = pd.DataFrame({
    ...     "bytes": [4_000_000], "layer": [0], "cause": ["deleted"], "by_layer": [1], "by_line": [3],
    ... })
    >>> waste(layers, wasted).question
    'Which stored bytes can no container see, and why?'
    """
    question = "Which stored bytes can no container see, and why?"
    data = checked(layers, "the table of layers", COLUMNS)
    reasons = _reasons(wasted, data)
    causes = [cause for cause in CAUSES if (reasons["cause"] == cause).any()]
    for cause in causes:
        sums = reasons[reasons["cause"] == cause].groupby("layer")["bytes"].sum()
        data[cause] = data["index"].map(sums).fillna(0.0)
    lost = data[causes].sum(axis=1)
    data.insert(4, "live_bytes", data["bytes"] - lost)
    if (data["live_bytes"] < 0).any():
        raise UsageError("a layer has more waste than bytes", remedy="pass the two tables of the same image")
    total = data["bytes"].sum()
    if causes:
        by_cause = sentence_list(f"{megabytes(data[cause].sum())} MB {cause}" for cause in causes)
        answer = f"{of(title)}{megabytes(lost.sum())} of {megabytes(total)} MB are waste: {by_cause}."
    else:
        answer = f"{of(title)}0 of {megabytes(total)} MB are waste: a container sees every stored byte."
    height = row_height(len(data))
    page = open_page(question, answer, height * len(data) + 0.75)
    top, across = page.top + 0.45, INSIDE - LEFT - REASONS
    page.key(MARGIN, page.top + 0.02, [(LIVE, "seen by a container"), *((CAUSES[c], c) for c in causes)])
    page.text(MARGIN + LEFT, top - 0.13, "stored, MB", points=SMALL, colour=MUTED)
    page.text(MARGIN + INSIDE - REASONS + 0.15, top - 0.13, "wasted, MB", points=SMALL, colour=MUTED)
    largest, labels = data["bytes"].max() / 1e6, [megabytes(count) for count in data["bytes"]]
    right = room_for_labels(largest, across, labels)
    axes = page.axes(MARGIN + LEFT, top, across, height * len(data), right=right, rows=len(data))
    scale(axes, largest, lambda tick: f"{tick:.10g} MB", steps=3)
    baseline(axes)
    instructions(page, data, top)
    for row, label in enumerate(labels):
        start = 0.0
        for look, gid in ((LIVE, "live_bytes"), *((CAUSES[cause], cause) for cause in causes)):
            count = data[gid].iloc[row] / 1e6
            bar(axes, start, count, row + 0.5, look, gid=gid)
            start += count
        note(axes, start, row + 0.5, label, points=SMALL, colour=MUTED)
        text = _because(reasons[reasons["layer"] == data["index"].iloc[row]], REASONS - 0.15)
        y = top + height * (row + 0.5)
        page.text(MARGIN + INSIDE - REASONS + 0.15, y, text, points=SMALL, width=REASONS - 0.15)
    alt = f"Bars of layers, live beside wasted bytes. {answer} {_in_words(data, reasons)}".rstrip()
    return Picture(question, page.figure, alt, data)


def _reasons(wasted: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Waste by layer, cause and who caused it, the largest first."""
    if wasted.empty:
        return pd.DataFrame({"bytes": [], **{name: [] for name in BY}})
    kinds = {"bytes": "number", "layer": "number", "cause": "text", "by_layer": "number", "by_line": "line"}
    data = checked(wasted, "the table of waste", kinds)
    if unknown := set(data["cause"]) - set(CAUSES):
        raise UsageError(
            f"the table of waste has an unknown cause {min(unknown)!r}", remedy=f"use {', '.join(CAUSES)}"
        )
    if not data["layer"].isin(layers["index"]).all():
        raise UsageError(
            "the table of waste names a layer that is not there", remedy="pass the two tables of the same image"
        )
    sums: pd.DataFrame = data.groupby(BY, dropna=False)["bytes"].sum().reset_index()
    return sums[sums["bytes"] > 0].sort_values("bytes", ascending=False, kind="stable")


def _texts(reasons: pd.DataFrame, unit: str = "") -> list[str]:
    return [
        f"{megabytes(count)}{unit} {cause} by {place(line, layer)}"
        for count, cause, layer, line in reasons[["bytes", "cause", "by_layer", "by_line"]].itertuples(index=False)
    ]


def _because(reasons: pd.DataFrame, width: float) -> str:
    """As many of a layer's reasons as fit, the largest first, and how much the others make."""
    texts = _texts(reasons)
    for shown in range(len(texts), 0, -1):
        rest = reasons["bytes"].iloc[shown:].sum()
        text = ", ".join(texts[:shown]) + (f", {megabytes(rest)} more" if rest else "")
        if text_width(text, SMALL) <= width:
            return text
    return f"{texts[0]}, {ELLIPSIS}" if len(texts) > 1 else "".join(texts)


def _in_words(layers: pd.DataFrame, reasons: pd.DataFrame) -> str:
    if reasons.empty:
        return ""
    lines = dict(zip(layers["index"], layers["line"], strict=True))
    most = reasons.head(5)
    listed = "; ".join(
        f"of {place(lines[layer], layer)}, {text}"
        for layer, text in zip(most["layer"], _texts(most, " MB"), strict=True)
    )
    return f"The largest: {listed}."
