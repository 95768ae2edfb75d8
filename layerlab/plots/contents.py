"""What is in one or more images, by owner."""

from __future__ import annotations

from typing import Final

import pandas as pd

from layerlab.errors import UsageError
from layerlab.plots.labels import Face, named, sentence_list
from layerlab.plots.page import INSIDE, MARGIN, Page, bar, baseline, note, open_page, room_for_labels
from layerlab.plots.picture import Picture
from layerlab.plots.style import INK, MUTED, PARTS, SMALL, known_part, part_order
from layerlab.plots.tables import checked
from layerlab.ui.units import counted, megabytes

NAMES: Final = 2.1  # inches
ROW: Final = 0.27
MANY: Final = 5  # images that fit beside each other
PART_OF_MANAGER: Final = {"dpkg": "system", "python": "python packages"}


def owners(table: pd.DataFrame, top: int = 12) -> Picture:
    """What is in the image? The largest owners of bytes, a row each, with a bar for each image.

    Args:
        table: a row per image and owner: `image` str, `name` str (a package as `files.owner` or
            `packages.name` has it; empty for what no package owns), `bytes` int64, and `part` str as in
            `files.part`, or `manager` as in `packages`. Rows of the same owner are added up.
        top: how many owners have a bar; the others are added up in one row below.

    Raises:
        UsageError: the table lacks a column, holds no rows, numbers that cannot be drawn, or too many images.

    >>> table = pd.DataFrame({
    ...     "image": ["single"] * 2, "name": ["dpkg:gcc-14", "python:pandas"],
    ...     "part": ["compilers", "python packages"], "bytes": [90_000_000, 60_000_000],
    ... })
    >>> owners(table, top=1).data["name"].tolist()
    ['gcc-14', '1 others', 'in all']
    """
    question = "What is in the image?"
    if "part" not in table.columns and "manager" in table.columns:
        table = table.assign(part=table["manager"].astype("object").map(PART_OF_MANAGER).fillna("other"))
    rows = checked(table, "the table of owners", {"image": "text", "name": "text", "part": "text", "bytes": "number"})
    rows["part"] = rows["part"].map(known_part)
    images = list(dict.fromkeys(rows["image"]))
    if len(images) > MANY:
        raise UsageError(f"{len(images)} images do not fit beside each other", remedy=f"draw at most {MANY}")
    rows["name"] = [_name(name, part) for name, part in zip(rows["name"], rows["part"], strict=True)]
    every = rows.groupby(["name", "part", "image"])["bytes"].sum().unstack("image", fill_value=0)[images]
    every = every.iloc[every.max(axis=1).to_numpy().argsort(kind="stable")[::-1]]
    shown, rest = every.iloc[: max(top, 1)].reset_index(), every.iloc[max(top, 1) :]
    totals, counts = every.sum(), (every > 0).sum()
    sums = [[f"{len(rest)} others", "", *rest.sum()]] if len(rest) else []
    sums.append(["in all", "", *totals])
    data = pd.concat([shown, pd.DataFrame(sums, columns=shown.columns)], ignore_index=True)
    answer = "; ".join(f"{named(i)}: {megabytes(totals[i])} MB, {counted(counts[i], 'owner')}" for i in images) + "."
    page = open_page(question, answer, ROW * (len(data) + 0.4) + 0.55)
    top_edge = page.top + 0.48
    parts = sorted(set(shown["part"]), key=part_order)
    page.key(MARGIN, page.top + 0.02, [(PARTS[part], part) for part in parts])
    page.text(MARGIN, page.top + 0.32, "in MB", points=SMALL, colour=MUTED)
    page.rule(top_edge + ROW * (len(shown) + 0.2))
    _column(page, MARGIN, top_edge, list(data["name"]), shown=len(shown), width=NAMES)
    width = (INSIDE - NAMES) / len(images)
    largest = shown[images].to_numpy().max() / 1e6
    labels = [megabytes(count) for image in images for count in data[image]]
    for column, image in enumerate(images):
        x = MARGIN + NAMES + column * width
        page.text(x, page.top + 0.32, image, face="bold", width=width - 0.2)
        right = room_for_labels(largest, width - 0.2, labels)
        axes = page.axes(x, top_edge, width - 0.2, ROW * len(shown), right=right, rows=len(shown))
        axes.set_gid(image)
        baseline(axes)
        for row, (name, part, count) in enumerate(shown[["name", "part", image]].itertuples(index=False)):
            bar(axes, 0, count / 1e6, row + 0.5, PARTS[part], gid=name)
            label, colour = (megabytes(count), INK) if count else ("–", MUTED)
            note(axes, count / 1e6, row + 0.5, label, points=SMALL, colour=colour)
        below = [""] * len(shown) + [megabytes(count) for count in data[image].iloc[len(shown) :]]
        _column(page, x, top_edge, below, shown=len(shown), width=width - 0.2)
    listed = " ".join(_largest(shown, image) for image in images)
    return Picture(question, page.figure, f"Bars of what images hold, by owner. {answer} {listed}", data)


def _name(owner: str, part: str) -> str:
    """An owner without its manager, which its colour tells."""
    return owner.removeprefix("dpkg:").removeprefix("python:") or f"{part} (no package)"


def _column(page: Page, x: float, top: float, texts: list[str], *, shown: int, width: float) -> None:
    """Texts in the rows, those after the owners that are shown below a gap, the last in bold."""
    for row, text in enumerate(texts):
        y = top + ROW * (row + 0.5 + (0.35 if row >= shown else 0))
        face: Face = "bold" if row == len(texts) - 1 else "plain"
        if text:
            page.text(x, y, text, points=SMALL, face=face, width=width - 0.12)


def _largest(shown: pd.DataFrame, image: str) -> str:
    most = shown[shown[image] > 0].nlargest(5, image)
    listed = sentence_list(
        f"{named(name)} {megabytes(count)} MB" for name, count in zip(most["name"], most[image], strict=True)
    )
    return f"The largest in {named(image)}: {listed}."
