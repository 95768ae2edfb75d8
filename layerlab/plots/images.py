"""Images side by side: how large they are, and where the megabytes went."""

from __future__ import annotations

from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from layerlab.plots.labels import clean, named, sentence_list, text_width
from layerlab.plots.page import GAP, INSIDE, MARGIN, Page, bar, inches, note, open_page, room_for_labels, scale
from layerlab.plots.picture import Picture
from layerlab.plots.style import MUTED, PARTS, SMALL, STORED, TEXT, ink_on, known_part, part_order
from layerlab.plots.tables import checked, numbers
from layerlab.ui.units import megabytes, times

ROW: Final = 0.46
LINE: Final = 0.22
SHORT: Final = {"python packages": "packages"}  # where there is no room


def sizes(table: pd.DataFrame) -> Picture:
    """How large is each image? One bar for each.

    Args:
        table: `name` str, `bytes` int64; a row per image, drawn in this order.

    Raises:
        UsageError: the table lacks a column, holds no rows, or numbers that cannot be drawn.

    >>> import pandas as pd
    >>> picture = sizes(pd.DataFrame({"name": ["single", "optimized"], "bytes": [1_800_000_000, 270_000_000]}))
    >>> picture.alt
    'Bar chart of image sizes. single 1800 MB, optimized 270 MB. optimized is 6.7 times smaller than single.'
    """
    question = "How large is each image?"
    data = checked(table, "the table of sizes", {"name": "text", "bytes": "number"})
    names, totals = list(data["name"]), list(data["bytes"])
    answer = _compared(names, totals)
    page = open_page(question, answer, ROW * len(data) + 0.3)
    axes = rows_of_images(page, names, totals, page.top)
    for row, total in enumerate(totals):
        bar(axes, 0, total / 1e6, row + 0.5, STORED, gid="total")
    return Picture(
        question, page.figure, f"Bar chart of image sizes. {_listed(names, totals)}. {answer}".strip(), data
    )


def parts(table: pd.DataFrame) -> Picture:
    """Where did the megabytes go? One bar for each image, its parts stacked, what is useful first.

    Args:
        table: a row per image (its index holds the names), a column per part, in bytes: the parts of
            `files.part`, and others that the caller counts apart: `base`,
            `compilers`, `waste`. Those without a look of their own (`style.PARTS`) are added to `other`.

    Raises:
        UsageError: there are no rows, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({"app": [1e6, 1e6], "compilers": [200e6, 0]}, index=["single", "optimized"])
    >>> parts(table).question
    'Where did the megabytes go?'
    """
    question = "Where did the megabytes go?"
    checked(table.reset_index(), "the table of parts", {})
    columns = {str(part): numbers(table[part], f"the table of parts, column {part!r}") for part in table.columns}
    data = pd.DataFrame(columns, index=pd.Index([str(name) for name in table.index], name="image"))
    data = data.T.groupby(known_part).sum().T
    data = data[[part for part in sorted(data.columns, key=part_order) if data[part].any()]]
    names, totals = list(data.index), list(data.sum(axis=1))
    answer = f"{_compared(names, totals)} {_gone(data, totals)}".strip()
    page = open_page(question, answer, (ROW + LINE) * len(data) + 0.75)
    axes = rows_of_images(page, names, totals, page.top)
    for row in range(len(data)):
        start = 0.0
        for part, count in data.iloc[row].items():
            bar(axes, start, count / 1e6, row + 0.5, PARTS[str(part)], gid=str(part))
            _label_within(axes, str(part), start, count, row)
            start += count / 1e6
    _numbers_below(page, data, page.top + ROW * len(data) + 0.5)
    listed = "; ".join(
        f"{named(name)} {megabytes(total)} MB: "
        + sentence_list(f"{named(part)} {megabytes(count)}" for part, count in data.iloc[row].items() if count)
        for row, (name, total) in enumerate(zip(names, totals, strict=True))
    )
    return Picture(question, page.figure, f"Stacked bars, in MB. {listed}. {answer}".strip(), data)


def _names_width(names: list[str]) -> float:
    return min(max(text_width(clean(name, "bold"), TEXT, "bold") for name in names) + 0.2, 2.2)


def rows_of_images(page: Page, names: list[str], totals: list[float], top: float) -> Axes:
    """Axes with a row per image from top down: its name to the left, its size where its bar will end."""
    left = _names_width(names)
    labels = [f"{megabytes(total)} MB" for total in totals]
    largest, width = max(totals) / 1e6, INSIDE - left
    axes = page.axes(
        MARGIN + left,
        top,
        width,
        ROW * len(names),
        right=room_for_labels(largest, width, labels, "bold"),
        rows=len(names),
    )
    scale(axes, largest, lambda tick: f"{tick:.10g} MB")
    for row, (name, total, label) in enumerate(zip(names, totals, labels, strict=True)):
        page.text(MARGIN, top + ROW * (row + 0.5), name, face="bold", width=left - 0.15)
        note(axes, total / 1e6, row + 0.5, label, face="bold")
    return axes


def _label_within(axes: Axes, part: str, start: float, count: float, row: int) -> None:
    """Write a part's name and size on its bar, as much of it as fits."""
    room = count / 1e6 * inches(axes) - 2 * GAP
    fill = PARTS[part].fill
    short = SHORT.get(part, part)
    for label in (f"{part} {megabytes(count)}", f"{short} {megabytes(count)}", megabytes(count)):
        if text_width(label, SMALL) < room:
            middle = start + count / 2e6
            note(
                axes, middle, row + 0.5, label,
                points=SMALL, colour=ink_on(fill), align="center", shift=0, backing=fill,
            )  # fmt: skip
            return


def _numbers_below(page: Page, data: pd.DataFrame, y: float) -> None:
    """A column per part with its look, its name and what each image holds of it: key and table in one."""
    left = _names_width(list(data.index))
    room = INSIDE - left
    for names in (list(data.columns), [SHORT.get(part, part) for part in data.columns]):
        wanted = [0.4 + text_width(name, SMALL) for name in names]
        if sum(wanted) <= room:
            break
    spare = max(room - sum(wanted), 0.0) / max(len(wanted), 1)
    widest = _widest(wanted, room)
    page.text(MARGIN, y, "in MB", points=SMALL, colour=MUTED)
    page.rule(y + 0.13)
    x = MARGIN + left
    for part, name, width in zip(data.columns, names, wanted, strict=True):
        column = min(width, widest) + spare
        page.swatch(x, y, PARTS[part])
        page.text(x + 0.26, y, name, points=SMALL, width=column - 0.36)
        for row, count in enumerate(data[part]):
            page.text(x + 0.26, y + LINE * (row + 1.1), megabytes(count), points=SMALL)
        x += column
    for row, name in enumerate(data.index):
        page.text(MARGIN, y + LINE * (row + 1.1), name, points=SMALL, width=left - 0.15)


def _widest(columns: list[float], room: float) -> float:
    """The width to which the widest columns must be narrowed so that all fit into the room."""
    for narrow, width in enumerate(sorted(columns)):
        fair = room / (len(columns) - narrow)
        if width > fair:
            return fair
        room -= width
    return max(columns, default=0.0)


def _listed(names: list[str], totals: list[float]) -> str:
    return sentence_list(f"{named(name)} {megabytes(total)} MB" for name, total in zip(names, totals, strict=True))


def _gone(data: pd.DataFrame, totals: list[float]) -> str:
    """What the largest image has and the smallest does without, in a sentence; empty where that is nothing."""
    less = data.iloc[totals.index(max(totals))] - data.iloc[totals.index(min(totals))]
    most = less[less >= max(totals) / 50].sort_values(ascending=False)
    listed = sentence_list((f"{named(part)} {megabytes(count)} MB" for part, count in most.items()), limit=4)
    return f"Saved: {listed}." if listed else ""


def _compared(names: list[str], totals: list[float]) -> str:
    """The largest beside the smallest, in a sentence; empty where there is nothing to compare."""
    large, small = totals.index(max(totals)), totals.index(min(totals))
    if totals[small] == totals[large] or totals[small] == 0:
        return ""
    return f"{named(names[small])} is {times(totals[large], totals[small])} smaller than {named(names[large])}."
