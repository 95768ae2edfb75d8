"""A learner's layers beside those of other images: how large each image is, and which of its lines made it so."""

from __future__ import annotations

from typing import Final

import pandas as pd

from layerlab.plots.images import ROW, rows_of_images
from layerlab.plots.labels import brief, named, sentence_list
from layerlab.plots.page import INSIDE, MARGIN, Page, bar, open_page
from layerlab.plots.picture import Picture
from layerlab.plots.rows import COLUMNS, LEFT, base_layers, instructions, place, row_height
from layerlab.plots.style import MUTED, PARTS, SMALL, STORED, Look
from layerlab.plots.tables import checked
from layerlab.ui.units import counted, megabytes, times

NUMBERS: Final = 0.62  # inches for the column of numbers
NEEDED: Final = {"image": "text", **COLUMNS, "wasted_bytes": "number"}
KINDS: Final[dict[str, tuple[Look, str]]] = {
    "base": (PARTS["base"], "came with the base image"),
    "own": (STORED, "stored by a line of the Dockerfile"),
    "waste": (PARTS["waste"], "of that, seen by no container"),
}


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
    data = checked(layers, "the table of layers", NEEDED)
    images = {str(name): rows.reset_index(drop=True) for name, rows in data.groupby("image", sort=False)}
    names, totals = list(images), [float(rows["bytes"].sum()) for rows in images.values()]
    mine = images[names[0]]
    answer = _compared(names, totals)
    height = row_height(len(mine))
    page = open_page(question, answer, ROW * len(images) + 1.15 + height * len(mine))
    page.key(MARGIN, page.top + 0.02, list(KINDS.values()))
    bars = page.top + 0.2
    axes = rows_of_images(page, names, totals, bars)
    for row, rows in enumerate(images.values()):
        start = 0.0
        for kind, stored, wasted in _layers(rows):
            bar(axes, start, (stored - wasted) / 1e6, row + 0.5, KINDS[kind][0], gid=kind)
            bar(axes, start + (stored - wasted) / 1e6, wasted / 1e6, row + 0.5, KINDS["waste"][0], gid="waste")
            start += stored / 1e6
    below = bars + ROW * len(images) + 0.5
    page.text(MARGIN, below, f"The layers of {named(names[0])}, from the bottom", face="bold", points=SMALL)
    page.text(MARGIN + INSIDE, below, "stored, MB", points=SMALL, colour=MUTED, align="right")
    page.rule(below + 0.13)
    _mine(page, mine, below + 0.2)
    listed = "; ".join(_in_words(name, rows) for name, rows in images.items())
    return Picture(question, page.figure, f"Bars divided into layers. {listed}. {answer}".strip(), data)


def _mine(page: Page, layers: pd.DataFrame, top: float) -> None:
    """The learner's layers, one in a row: line, instruction, a bar and its number."""
    height, largest = row_height(len(layers)), layers["bytes"].max() / 1e6 or 1.0
    instructions(page, layers, top)
    axes = page.axes(
        MARGIN + LEFT, top, INSIDE - LEFT - NUMBERS, height * len(layers), right=largest, rows=len(layers)
    )
    for row, (kind, stored, wasted) in enumerate(_layers(layers)):
        live = (stored - wasted) / 1e6
        bar(axes, 0, live, row + 0.5, KINDS[kind][0], gid=f"{kind} layer {row}")
        bar(axes, live, wasted / 1e6, row + 0.5, KINDS["waste"][0], gid=f"waste of layer {row}")
        y = top + height * (row + 0.5)
        page.text(MARGIN + INSIDE, y, megabytes(stored), points=SMALL, align="right")


def _layers(layers: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Whose each layer is (`base` or `own`), what it stores and how much of that is waste, in bytes."""
    base = base_layers(layers)
    return [
        ("base" if row < base else "own", float(stored), float(min(wasted, stored)))
        for row, (stored, wasted) in enumerate(zip(layers["bytes"], layers["wasted_bytes"], strict=True))
    ]


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
    base = base_layers(layers)
    own = layers.iloc[base:]
    largest = own[own["bytes"] > 0].nlargest(3, "bytes")
    said = sentence_list(
        f"{place(line, index)} ({brief(text)}) {megabytes(stored)} MB"
        for line, index, text, stored in zip(
            largest["line"], largest["index"], largest["instruction"], largest["bytes"], strict=True
        )
    )
    wasted = layers["wasted_bytes"].sum()
    words = f"{named(name)} {megabytes(layers['bytes'].sum())} MB in {counted(len(layers), 'layer')}"
    words += f", of which the base image's {megabytes(layers['bytes'].iloc[:base].sum())} MB"
    words += f" and seen by no container {megabytes(wasted)} MB" if wasted else ""
    return f"{words}; its largest: {said}" if said else words
