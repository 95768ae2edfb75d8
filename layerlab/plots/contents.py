"""What is in one or more images, by owner."""

from __future__ import annotations

from typing import Final

import pandas as pd

from layerlab.errors import UsageError
from layerlab.plots.labels import clean, megabytes, sentence_list
from layerlab.plots.page import INSIDE, MARGIN, bar, note, open_page, room_for_labels, scale
from layerlab.plots.picture import Picture
from layerlab.plots.style import CARD, MUTED, SMALL, TEXT, Look, part_look, part_order
from layerlab.plots.tables import checked

NAMES: Final = 2.0  # inches
ROW: Final = 0.27
MANY: Final = 5  # images that fit beside each other
REST: Final = Look(CARD)
PART_OF_MANAGER: Final = {"dpkg": "system", "python": "python packages"}


def owners(table: pd.DataFrame, top: int = 12) -> Picture:
    """What is in the image? The largest owners of bytes, a row each, with a bar for each image.

    Args:
        table: a row per image and owner: `image` str, `name` str (a package as `files.owner` or
            `packages.name` has it; empty for what no package owns), `bytes` int64, and `part` str as in
            `files.part`, or `manager` as in `packages`. Rows of the same owner are added up.
        top: how many owners have a row of their own; the others are added up in one.

    Raises:
        UsageError: the table lacks a column, holds no rows, numbers that cannot be drawn, or too many images.
    """
    question = "What is in the image?"
    if "part" not in table.columns and "manager" in table.columns:
        table = table.assign(part=table["manager"].astype("object").map(PART_OF_MANAGER).fillna("other"))
    kinds = {"image": "text", "name": "text", "part": "text", "bytes": "number"}
    rows = checked(table, "the table of owners", kinds)
    images = list(dict.fromkeys(rows["image"]))
    if len(images) > MANY:
        raise UsageError(f"{len(images)} images do not fit beside each other", remedy=f"draw at most {MANY}")
    rows["name"] = [_name(name, part) for name, part in zip(rows["name"], rows["part"], strict=True)]
    every = rows.pivot_table(index=["name", "part"], columns="image", values="bytes", aggfunc="sum", fill_value=0.0)
    every = every[images]
    every = every.iloc[every.max(axis=1).argsort(kind="stable")[::-1]]
    rest = every.iloc[top:]
    data = every.iloc[:top].reset_index()
    if len(rest):
        data.loc[len(data)] = [f"{len(rest)} others", "", *rest.sum()]
    totals = every.sum()
    counts = (every > 0).sum()
    answer = "; ".join(
        f"{clean(image)}: {megabytes(totals[image])} MB of {counts[image]} owners" for image in images
    ) + "."
    page = open_page(question, answer, ROW * len(data) + 0.85)
    heads, top_edge = page.top + 0.3, page.top + 0.48
    present = sorted({part for part in data["part"] if part}, key=part_order)
    page.key(MARGIN, page.top + 0.02, [(part_look(part), part) for part in present])
    width = (INSIDE - NAMES) / len(images)
    largest = data[images].to_numpy().max() / 1e6
    labels = [megabytes(count) for image in images for count in data[image]]
    for number, name in enumerate(data["name"]):
        page.text(MARGIN, top_edge + ROW * (number + 0.5), name, points=SMALL, width=NAMES - 0.12)
    for column, image in enumerate(images):
        x = MARGIN + NAMES + column * width
        page.text(x, heads, f"{clean(image, 'bold')}, MB", face="bold", width=width - 0.2)
        across = width - 0.2
        axes = page.axes(
            x, top_edge, across, ROW * len(data), right=room_for_labels(largest, across, labels), rows=len(data)
        )
        scale(axes, largest, lambda tick: f"{tick:g}", steps=3)
        for number, (part, count) in enumerate(zip(data["part"], data[image], strict=True)):
            bar(axes, 0, count / 1e6, number + 0.5, 0.64, part_look(part) if part else REST, f"{image} {number}")
            label = megabytes(count) if count else "–"
            note(axes, count / 1e6, number + 0.5, label, points=SMALL, colour=TEXT_OF[bool(count)])
    return Picture(question, page.figure, "", data)
