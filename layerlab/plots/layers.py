"""The layers of one image: what each stores, what it adds, and what of it no container can see."""

from __future__ import annotations

from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from layerlab.errors import UsageError
from layerlab.plots.labels import clean, instruction, megabytes, sentence_list, text_width
from layerlab.plots.page import INSIDE, MARGIN, Page, bar, note, open_page, room_for_labels, scale
from layerlab.plots.picture import Picture
from layerlab.plots.style import CAUSES, CODE, INK, LIVE, MUTED, PARTS, REMOVED, SMALL, STORED
from layerlab.plots.tables import checked

LINES: Final = 0.5  # inches for the Dockerfile's line
INSTRUCTIONS: Final = 2.95
NUMBERS: Final = 0.62  # inches for each column of numbers
CAUSE: Final = 2.35  # inches for what is said about a layer's waste
NEEDED: Final = {"index": "number", "instruction": "text", "line": "line", "bytes": "number"}


def staircase(layers: pd.DataFrame, title: str = "") -> Picture:
    """Which line costs, and why does a later `rm` not help? Two staircases, from the bottom layer down.

    The upper bar of each layer is what it stores: that staircase only goes on. The lower is what the layer
    changes in the filesystem that a container sees, where a deletion goes back. What lies between their ends
    is waste.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`, `change_bytes`, `running_bytes`.
        title: the image's name.

    Raises:
        UsageError: the table lacks a column, holds no rows, or numbers that cannot be drawn.
    """
    question = "Which line costs, and why does a later rm not help?"
    kinds = {**NEEDED, "change_bytes": "number", "running_bytes": "number"}
    data = checked(layers, "the table of layers", kinds, signed=("change_bytes",))
    data["stored_running_bytes"] = data["bytes"].cumsum()
    total, live = data["bytes"].sum(), float(data["running_bytes"].iloc[-1])
    waste = total - live
    answer = f"{_of(title)}{len(data)} layers store {megabytes(total)} MB. " + (
        f"A container sees {megabytes(live)} MB of them: what a later layer deletes or replaces is stored all the same."
        if waste > 0
        else "A container sees all of it: no layer deletes or replaces what an earlier one stored."
    )
    row = _row_height(len(data))
    body = row * (len(data) + 1.5)
    page = open_page(question, answer, body + 0.55)
    top = page.top + 0.25
    left = LINES + INSTRUCTIONS
    axes = page.axes(
        MARGIN + left, top, INSIDE - left - 3 * NUMBERS, body, right=max(total, 1) / 1e6 * 1.03, rows=len(data) + 1.5
    )
    scale(axes, total / 1e6, lambda tick: f"{tick:g} MB", steps=4)
    entries = [(STORED, "stored in the layer"), (LIVE, "added to what a container sees")]
    if (data["change_bytes"] < 0).any():
        entries.append((REMOVED, "taken away from it"))
    page.key(MARGIN, page.top + 0.02, entries)
    for place, heading in enumerate(("stored", "adds", "in image")):
        x = MARGIN + INSIDE - NUMBERS * (2 - place)
        page.text(x, page.top + 0.02, heading, points=SMALL, colour=MUTED, align="right")
    _instructions(page, data, top, row)
    _stairs(axes, data)
    for number, layer in enumerate(data[["bytes", "change_bytes", "running_bytes"]].itertuples(index=False)):
        for place, count in enumerate(layer):
            x = MARGIN + INSIDE - NUMBERS * (2 - place)
            colour = INK if count >= 0 else REMOVED.edge
            page.text(x, top + row * (number + 0.5), megabytes(count), points=SMALL, colour=colour, align="right")
    end = len(data)
    page.rule(top + row * (end + 0.2))
    bar(axes, live / 1e6, waste / 1e6, end + 0.9, 0.56, PARTS["waste"], "waste")
    page.text(MARGIN, top + row * (end + 0.9), "stored, but seen by no container", face="bold", points=SMALL)
    page.text(MARGIN + INSIDE, top + row * (end + 0.9), f"{megabytes(waste)} MB waste", face="bold", align="right")
    largest = data.nlargest(3, "bytes")
    alt = f"Staircase of layers. {answer} Waste: {megabytes(waste)} MB. The largest: " + sentence_list(
        f"{_where(line)}{clean(instruction(text))} stores {megabytes(count)} MB"
        for line, text, count in zip(largest["line"], largest["instruction"], largest["bytes"], strict=True)
    )
    back = data[data["change_bytes"] < 0]
    if len(back):
        alt += ". Going back: " + sentence_list(
            f"{_where(line)}{clean(instruction(text))} stores {megabytes(count)} MB and takes away {megabytes(-change)} MB"
            for line, text, count, change in zip(
                back["line"], back["instruction"], back["bytes"], back["change_bytes"], strict=True
            )
        )
    return Picture(question, page.figure, alt + ".", data)


def waste(layers: pd.DataFrame, wasted: pd.DataFrame, title: str = "") -> Picture:
    """What is waste? For each layer the bytes that a container sees beside those that none can see, with the cause.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`.
        wasted: as `Image.waste`: `bytes`, `layer`, `cause`, `by_layer`, `by_line`; no rows if there is none.
        title: the image's name.

    Raises:
        UsageError: a table lacks a column, there are no layers, a layer is named that is not there, holds more
            waste than bytes, or numbers that cannot be drawn.
    """
    question = "Which stored bytes can no container see, and why?"
    data = checked(layers, "the table of layers", NEEDED)
    reasons = _reasons(wasted, data)
    causes = [cause for cause in CAUSES if cause in set(reasons["cause"])]
    for cause in causes:
        sums = reasons[reasons["cause"] == cause].groupby("layer")["bytes"].sum()
        data[cause] = data["index"].map(sums).fillna(0.0)
    lost = data[causes].sum(axis=1)
    data.insert(4, "live_bytes", data["bytes"] - lost)
    if (data["live_bytes"] < 0).any():
        raise UsageError("a layer has more waste than bytes", remedy="pass the two tables of the same image")
    total = data["bytes"].sum()
    answer = f"{_of(title)}{megabytes(lost.sum())} of {megabytes(total)} MB"
    answer += " are waste: " + sentence_list(f"{megabytes(data[c].sum())} MB {c}" for c in causes) if causes else ""
    answer += "." if causes else " are waste: every stored byte can be seen."
    row = _row_height(len(data))
    page = open_page(question, answer, row * len(data) + 0.75)
    top, left = page.top + 0.45, LINES + INSTRUCTIONS
    width = INSIDE - left - CAUSE
    page.key(MARGIN, page.top + 0.02, [(LIVE, "seen by a container"), *((CAUSES[c], c) for c in causes)])
    page.text(MARGIN + left + width + 0.15, top - 0.13, "wasted, MB", points=SMALL, colour=MUTED)
    page.text(MARGIN + left, top - 0.13, "stored, MB", points=SMALL, colour=MUTED)
    largest = data["bytes"].max() / 1e6
    labels = [megabytes(count) for count in data["bytes"]]
    axes = page.axes(
        MARGIN + left, top, width, row * len(data), right=room_for_labels(largest, width, labels), rows=len(data)
    )
    scale(axes, largest, lambda tick: f"{tick:g} MB", steps=3)
    _instructions(page, data, top, row)
    for number in range(len(data)):
        start = 0.0
        for look, gid in ((LIVE, "live_bytes"), *((CAUSES[cause], cause) for cause in causes)):
            count = data[gid].iloc[number] / 1e6
            bar(axes, start, count, number + 0.5, 0.6, look, gid)
            start += count
        note(axes, start, number + 0.5, labels[number], points=SMALL, colour=MUTED)
        here = reasons[reasons["layer"] == data["index"].iloc[number]]
        text = _because(here, CAUSE - 0.15)
        page.text(MARGIN + left + width + 0.15, top + row * (number + 0.5), text, points=SMALL, width=CAUSE - 0.15)
    most = reasons.nlargest(5, "bytes")
    alt = f"Bars of layers, live beside wasted bytes. {answer}"
    if len(most):
        lines = dict(zip(data["index"], data["line"], strict=True))
        alt += " The largest: " + sentence_list(
            f"{megabytes(count)} MB stored by {_where(lines[layer]) or f'layer {layer:.0f}, '}{_by(cause, by, line)}"
            for count, layer, cause, by, line in most[["bytes", "layer", "cause", "by_layer", "by_line"]].itertuples(index=False)
        )
    return Picture(question, page.figure, alt.rstrip(".") + ".", data)


def _reasons(wasted: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Waste by layer, cause and who caused it, the largest first."""
    kinds = {"bytes": "number", "layer": "number", "cause": "text", "by_layer": "number", "by_line": "line"}
    if wasted.empty:
        return pd.DataFrame({name: [] for name in kinds})
    data = checked(wasted, "the table of waste", kinds)
    if unknown := set(data["cause"]) - set(CAUSES):
        raise UsageError(
            f"the table of waste has an unknown cause {min(unknown)!r}", remedy=f"use {', '.join(CAUSES)}"
        )
    if not data["layer"].isin(layers["index"]).all():
        raise UsageError(
            "the table of waste names a layer that is not there", remedy="pass the two tables of the same image"
        )
    by = ["layer", "cause", "by_layer", "by_line"]
    sums = data.groupby(by, dropna=False, as_index=False)["bytes"].sum()
    return sums[sums["bytes"] > 0].sort_values("bytes", ascending=False, kind="stable")


def _because(reasons: pd.DataFrame, width: float) -> str:
    """As many of a layer's reasons as fit, the largest first, and how much the others make."""
    texts = [
        f"{megabytes(count)} {_by(cause, layer, line)}"
        for count, cause, layer, line in reasons[["bytes", "cause", "by_layer", "by_line"]].itertuples(index=False)
    ]
    for shown in range(len(texts), 0, -1):
        rest = reasons["bytes"].iloc[shown:].sum()
        text = ", ".join(texts[:shown]) + (f", {megabytes(rest)} more" if rest else "")
        if shown == 1 or text_width(text, SMALL) <= width:
            return text
    return ""


def _by(cause: str, layer: float, line: object) -> str:
    return f"{cause} by line {line}" if not pd.isna(line) else f"{cause} by layer {layer:.0f}"


def _of(title: str) -> str:
    return f"{clean(title)}: " if title else ""


def _where(line: object) -> str:
    return "" if pd.isna(line) else f"line {line}, "


def _row_height(rows: int) -> float:
    return 0.32 if rows <= 16 else 0.25


def _instructions(page: Page, data: pd.DataFrame, top: float, row: float) -> None:
    """Before each row the Dockerfile's line and the instruction."""
    known = data["line"].notna()
    base = known.any() & (known.cumsum() == 0)
    for number, (line, text) in enumerate(zip(data["line"], data["instruction"], strict=True)):
        y = top + row * (number + 0.5)
        place = "base" if base[number] else "" if pd.isna(line) else str(line)
        page.text(MARGIN + LINES - 0.14, y, place, points=SMALL, colour=MUTED, align="right")
        page.text(MARGIN + LINES, y, instruction(text), points=CODE, face="mono", width=INSTRUCTIONS - 0.12)


def _stairs(axes: Axes, data: pd.DataFrame) -> None:
    """For each layer a step of what is stored, and below it one of what a container sees."""
    stored = before = 0.0
    for number, (count, change) in enumerate(zip(data["bytes"] / 1e6, data["change_bytes"] / 1e6, strict=True)):
        bar(axes, stored, count, number + 0.32, 0.3, STORED, "stored")
        look, gid = (LIVE, "adds") if change >= 0 else (REMOVED, "takes away")
        bar(axes, min(before, before + change), abs(change), number + 0.68, 0.3, look, gid)
        stored, before = stored + count, before + change
        below = number + 1 if number + 1 < len(data) else number + 1.5
        for x, y, shade in ((stored, 0.32, STORED.fill), (before, 0.68, LIVE.fill)):
            axes.plot([x, x], [number + y, below + y], color=shade, lw=1.1, ls="-", marker="", zorder=1)
