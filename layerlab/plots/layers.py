"""Pictures with a row for each layer: what it stores, what of that is waste, and whose layers are larger."""

from __future__ import annotations

from numbers import Integral
from typing import Final

import pandas as pd

from layerlab.errors import UsageError
from layerlab.plots.images import ROW, rows_of_images
from layerlab.plots.labels import brief, named, sentence_list
from layerlab.plots.page import INSIDE, MARGIN, Page, Panel, fitting, open_page
from layerlab.plots.picture import Picture, checked
from layerlab.plots.style import CAUSES, CODE, LIVE, MUTED, PARTS, REMOVED, SMALL, STORED, Look
from layerlab.ui.units import counted, megabytes, times

LINES: Final = 0.5  # inches for the Dockerfile's line
INSTRUCTIONS: Final = 2.95
LEFT: Final = LINES + INSTRUCTIONS
COLUMNS: Final = {"index": "number", "instruction": "text", "line": "line", "bytes": "number"}
NUMBERS: Final = 0.62  # inches for each column of numbers
CHANGES: Final = {"change_bytes": "signed", "running_bytes": "number"}
HEADINGS: Final = {"bytes": "stored", "change_bytes": "adds", "running_bytes": "in image"}
UPPER, LOWER = 0.32, 0.68  # where in a row the two bars stand
REASONS: Final = 2.5  # inches for what is said about a layer's waste
BY: Final = ["layer", "cause", "by_layer", "by_line"]
KINDS: Final[dict[str, tuple[Look, str]]] = {
    "base": (PARTS["base"], "came with the base image"),
    "own": (STORED, "stored by a line of the Dockerfile"),
    "waste": (PARTS["waste"], "of that, seen by no container"),
}


def _row_height(rows: int) -> float:
    """How high a row is, in inches: less where there are many."""
    return 0.32 if rows <= 16 else 0.25


def _instructions(page: Page, layers: pd.DataFrame, top: float) -> None:
    """Before each row, the first of which begins at top, the Dockerfile's line and the instruction."""
    base, height = _base_layers(layers), _row_height(len(layers))
    lines = ["base"] * base + ["" if pd.isna(number) else str(number) for number in layers["line"].iloc[base:]]
    page.column(MARGIN + LINES - 0.14, top, height, lines, points=SMALL, colour=MUTED, align="right")
    texts = layers["instruction"]
    page.column(MARGIN + LINES, top, height, texts, points=CODE, face="mono", width=INSTRUCTIONS - 0.12)


def _base_layers(layers: pd.DataFrame) -> int:
    """How many layers came with the base image, given the Dockerfile that made the others.

    They are those below the first one whose line is known; none where no line is.
    """
    known = layers["line"].notna().to_numpy()
    return int(known.argmax()) if known.any() else 0


def _place(line: object, layer: float) -> str:
    """Where something was stored or caused: the Dockerfile's line, or the layer where that is unknown."""
    return f"line {line}" if isinstance(line, Integral) else f"layer {layer:.0f}"


def staircase(layers: pd.DataFrame, title: str = "") -> Picture:
    """Which line costs, and why does a later `rm` not help? Two staircases, from the bottom layer on.

    The upper bar of each layer is what it stores: that staircase only goes on. The lower is what the layer
    changes in the filesystem that a container sees, where a deletion goes back. What lies between their ends
    is waste.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`, `change_bytes`, `running_bytes`.
        title: the image's name.

    Raises:
        UsageError: the table lacks a column, holds no rows, or numbers that cannot be drawn.

    >>> layers = pd.DataFrame({
    ...     "index": [0, 1], "instruction": ["RUN make", "RUN rm -rf /src"], "line": [2, 3],
    ...     "bytes": [5_000_000, 0], "change_bytes": [5_000_000, -4_000_000], "running_bytes": [5_000_000, 1_000_000],
    ... })
    >>> staircase(layers, title="my-image").alt
    'Staircase of layers. my-image: 2 layers, 5.0 MB stored. A container sees 1.0 MB: ...'
    """
    question = "Which line costs, and why does a later rm not help?"
    data = checked(layers, "the table of layers", COLUMNS | CHANGES)
    total, live = float(data["bytes"].sum()), float(data["running_bytes"].iloc[-1])
    wasted = total - live
    about = f"{named(title)}: " if title else ""
    answer = f"{about}{counted(len(data), 'layer')}, {megabytes(total)} MB stored. "
    seen = f"{megabytes(live)} MB: what a later layer deletes or replaces is stored all the same"
    answer += (
        f"A container sees {seen if wasted > 0 else 'all of it: no layer deletes or replaces what another stored'}."
    )
    height, end = _row_height(len(data)), len(data) + 1.5
    page = open_page(question, answer, height * end + 0.55)
    top = page.top + 0.25
    entries = [(STORED, "stored in the layer"), (LIVE, "added to what a container sees")]
    if (data["change_bytes"] < 0).any():
        entries.append((REMOVED, "taken away from it"))
    page.key(MARGIN, page.top + 0.02, entries)
    _instructions(page, data, top)
    for column, (name, heading) in enumerate(HEADINGS.items()):
        x = MARGIN + INSIDE - NUMBERS * (len(HEADINGS) - 1 - column)
        page.text(x, page.top + 0.02, heading, points=SMALL, colour=MUTED, align="right")
        page.column(x, top, height, map(megabytes, data[name]), points=SMALL, align="right")
    across = INSIDE - LEFT - len(HEADINGS) * NUMBERS
    panel = page.panel(MARGIN + LEFT, top, across, height * end, right=(total / 1e6 or 1.0) * 1.03, rows=end)
    panel.scale(total / 1e6, lambda tick: f"{tick:.10g} MB")
    _stairs(panel, data)
    panel.bar(live / 1e6, wasted / 1e6, end - 0.6, PARTS["waste"], gid="waste")
    page.rule(top + height * (end - 1.3))
    page.text(MARGIN, top + height * (end - 0.6), "stored, but seen by no container", face="bold", points=SMALL)
    label = f"{megabytes(wasted)} MB waste"
    page.text(MARGIN + INSIDE, top + height * (end - 0.6), label, face="bold", align="right")
    alt = f"Staircase of layers. {answer} Waste: {megabytes(wasted)} MB. {_stairs_in_words(data)}"
    return Picture(question, page.figure, alt, data)


def _stairs(panel: Panel, data: pd.DataFrame) -> None:
    stored = live = 0.0
    for row, (count, change) in enumerate(zip(data["bytes"] / 1e6, data["change_bytes"] / 1e6, strict=True)):
        panel.bar(stored, count, row + UPPER, STORED, gid="stored", height=0.3)
        look, gid = (LIVE, "adds") if change >= 0 else (REMOVED, "takes away")
        panel.bar(min(live, live + change), abs(change), row + LOWER, look, gid=gid, height=0.3)
        stored, live = stored + count, live + change
        below = row + 1 if row + 1 < len(data) else row + 1.5  # the last ones lead to the waste
        panel.line((stored, stored), (row + UPPER, below + UPPER), STORED.fill)
        panel.line((live, live), (row + LOWER, below + LOWER), LIVE.fill)


def _stairs_in_words(data: pd.DataFrame) -> str:
    said = []
    for line, index, text, stored, change in data[
        ["line", "index", "instruction", "bytes", "change_bytes"]
    ].itertuples(index=False):
        taken = f" and takes away {megabytes(-change)} MB" if change < 0 else ""
        said.append(f"{_place(line, index)}, {brief(text)}, stores {megabytes(stored)} MB{taken}")
    largest = "; ".join(said[row] for row in data["bytes"].nlargest(3).index)
    back = sentence_list([said[row] for row in data.index[data["change_bytes"] < 0]], limit=3)
    return f"The largest: {largest}." + (f" Going back: {back}." if back else "")


def waste(layers: pd.DataFrame, wasted: pd.DataFrame, title: str = "") -> Picture:
    """What is waste? For each layer the bytes that a container sees beside those that none can see, and why.

    Args:
        layers: as `Image.layers`: `index`, `instruction`, `line`, `bytes`.
        wasted: as its `Image.waste`: `bytes`, `layer`, `cause`, `by_layer`, `by_line`; no rows if there is none.
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
    if (data["live_bytes"] < 0).any() or not reasons["layer"].isin(data["index"]).all():
        raise UsageError("a layer has more waste than bytes", remedy="pass the two tables of the same image")
    by_cause = sentence_list(f"{megabytes(data[cause].sum())} MB {cause}" for cause in causes)
    answer = f"{named(title)}: " if title else ""
    answer += f"{megabytes(lost.sum())} of {megabytes(data['bytes'].sum())} MB are waste: "
    answer += f"{by_cause or 'a container sees every stored byte'}."
    height = _row_height(len(data))
    page = open_page(question, answer, height * len(data) + 0.75)
    top, across = page.top + 0.45, INSIDE - LEFT - REASONS
    page.key(MARGIN, page.top + 0.02, [(LIVE, "seen by a container"), *((CAUSES[c], c) for c in causes)])
    page.text(MARGIN + LEFT, top - 0.13, "stored, MB", points=SMALL, colour=MUTED)
    page.text(MARGIN + INSIDE - REASONS + 0.15, top - 0.13, "wasted, MB", points=SMALL, colour=MUTED)
    largest, labels = data["bytes"].max() / 1e6, [megabytes(count) for count in data["bytes"]]
    right = fitting(largest, across, labels)
    panel = page.panel(MARGIN + LEFT, top, across, height * len(data), right=right, rows=len(data))
    panel.scale(largest, lambda tick: f"{tick:.10g} MB", steps=3)
    panel.baseline()
    _instructions(page, data, top)
    looks = {"live_bytes": LIVE, **{cause: CAUSES[cause] for cause in causes}}
    for row, label in enumerate(labels):
        end = panel.stack(row, [(name, look, data[name].iloc[row]) for name, look in looks.items()])
        panel.note(end, row + 0.5, label, points=SMALL, colour=MUTED)
    texts = [_because(reasons[reasons["layer"] == index]) for index in data["index"]]
    page.column(MARGIN + INSIDE - REASONS + 0.15, top, height, texts, points=SMALL, width=REASONS - 0.15)
    alt = f"Bars of layers, live beside wasted bytes. {answer} {_waste_in_words(data, reasons)}".rstrip()
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
    sums: pd.DataFrame = data.groupby(BY, dropna=False)["bytes"].sum().reset_index()
    return sums[sums["bytes"] > 0].sort_values("bytes", ascending=False, kind="stable")


def _texts(reasons: pd.DataFrame, unit: str = "") -> list[str]:
    return [
        f"{megabytes(count)}{unit} {cause} by {_place(line, layer)}"
        for count, cause, layer, line in reasons[["bytes", "cause", "by_layer", "by_line"]].itertuples(index=False)
    ]


def _because(reasons: pd.DataFrame) -> str:
    """The largest of a layer's reasons, and how much the others make."""
    rest = reasons["bytes"].iloc[1:].sum()
    return "".join(_texts(reasons.head(1))) + (f", {megabytes(rest)} more" if rest else "")


def _waste_in_words(layers: pd.DataFrame, reasons: pd.DataFrame) -> str:
    if reasons.empty:
        return ""
    lines = dict(zip(layers["index"], layers["line"], strict=True))
    texts = zip(reasons["layer"].head(5), _texts(reasons.head(5), " MB"), strict=True)
    return f"The largest: {'; '.join(f'of {_place(lines[layer], layer)}, {text}' for layer, text in texts)}."


def beside(layers: pd.DataFrame) -> Picture:
    """How do your layers compare? A bar for each image, divided into its layers; below, the first one's by line.

    Args:
        layers: `Image.layers` of several images in one table: `image` str (its name), `index`, `instruction`,
            `line`, `bytes`, `wasted_bytes`; the images in the order in which they are drawn, the learner's first.

    Raises:
        UsageError: the table lacks a column, holds no rows, or numbers that cannot be drawn.

    >>> layers = pd.DataFrame({
    ...     "image": ["your image", "optimized"], "index": [0, 0], "instruction": ["RUN make", "COPY app app"],
    ...     "line": [2, 3], "bytes": [5_000_000, 1_000_000], "wasted_bytes": [0, 0],
    ... })
    >>> beside(layers).question
    'How do your layers compare?'
    """
    question = "How do your layers compare?"
    data = checked(layers, "the table of layers", {"image": "text", **COLUMNS, "wasted_bytes": "number"})
    images = {str(name): rows.reset_index(drop=True) for name, rows in data.groupby("image", sort=False)}
    names, totals = list(images), [float(rows["bytes"].sum()) for rows in images.values()]
    mine, largest = images[names[0]], images[names[0]]["bytes"].max() / 1e6 or 1.0
    answer = _compared(names, totals)
    height = _row_height(len(mine))
    page = open_page(question, answer, ROW * len(images) + 1.15 + height * len(mine))
    page.key(MARGIN, page.top + 0.02, list(KINDS.values()))
    bars = page.top + 0.2
    panel = rows_of_images(page, names, totals, bars)
    for row, rows in enumerate(images.values()):
        panel.stack(row, [piece for pieces in _pieces(rows) for piece in pieces])
    below = bars + ROW * len(images) + 0.5
    page.text(MARGIN, below, f"The layers of {named(names[0])}, from the bottom", face="bold", points=SMALL)
    page.text(MARGIN + INSIDE, below, "stored, MB", points=SMALL, colour=MUTED, align="right")
    page.rule(below + 0.13)
    top, width = below + 0.2, INSIDE - LEFT - NUMBERS
    _instructions(page, mine, top)
    page.column(MARGIN + INSIDE, top, height, map(megabytes, mine["bytes"]), points=SMALL, align="right")
    panel = page.panel(MARGIN + LEFT, top, width, height * len(mine), right=largest, rows=len(mine))
    for row, pieces in enumerate(_pieces(mine)):
        panel.stack(row, pieces)
    listed = "; ".join(_in_words(name, rows) for name, rows in images.items())
    return Picture(question, page.figure, f"Bars divided into layers. {listed}. {answer}".strip(), data)


def _pieces(layers: pd.DataFrame) -> list[list[tuple[str, Look, float]]]:
    """The bars of each layer: what of it is seen, `base` or `own`, and what is waste."""
    base = _base_layers(layers)
    found = []
    for row, (stored, wasted) in enumerate(zip(layers["bytes"], layers["wasted_bytes"], strict=True)):
        kind = "base" if row < base else "own"
        found.append([(kind, KINDS[kind][0], stored - wasted), ("waste", KINDS["waste"][0], wasted)])
    return found


def _compared(names: list[str], totals: list[float]) -> str:
    """The first image beside each other one; empty where there is nothing to compare."""
    mine = totals[0]

    def said(name: str, total: float) -> str:
        if megabytes(mine) == megabytes(total):
            return f"as large as {named(name)}"
        larger, smaller = max(mine, total), min(mine, total)
        return f"{times(larger, smaller)} {'larger' if mine > total else 'smaller'} than {named(name)}"

    others = [said(name, total) for name, total in zip(names[1:], totals[1:], strict=True) if mine and total]
    return f"{named(names[0])} is {sentence_list(others)}." if others else ""


def _in_words(name: str, layers: pd.DataFrame) -> str:
    base = _base_layers(layers)
    largest = layers.iloc[base:].query("bytes > 0").nlargest(3, "bytes")
    said = sentence_list(
        f"{_place(line, index)} ({brief(text)}) {megabytes(stored)} MB"
        for index, text, line, stored in largest[list(COLUMNS)].itertuples(index=False)
    )
    wasted = layers["wasted_bytes"].sum()
    words = f"{named(name)} {megabytes(layers['bytes'].sum())} MB in {counted(len(layers), 'layer')}"
    words += f", of which the base image's {megabytes(layers['bytes'].iloc[:base].sum())} MB"
    words += f" and seen by no container {megabytes(wasted)} MB" if wasted else ""
    return f"{words}; its largest: {said}" if said else words
