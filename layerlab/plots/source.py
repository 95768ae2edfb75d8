"""The Dockerfile itself, with what each line costs in its margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pandas as pd

from layerlab.errors import UsageError
from layerlab.plots.labels import brief, sentence_list, text_width
from layerlab.plots.page import INSIDE, MARGIN, Page, bar, baseline, note, open_page, room_for_labels
from layerlab.plots.picture import Picture
from layerlab.plots.style import CODE, MUTED, RAN, SMALL, STORED, Look
from layerlab.plots.tables import checked
from layerlab.ui.units import megabytes, seconds

NUMBERS: Final = 0.36  # inches for the lines' numbers
SOURCE: Final = 5.0  # inches for the lines
ROW: Final = 0.19
MOST_LINES: Final = 150


@dataclass(frozen=True)
class _Measure:
    """What is drawn in one margin: its column, heading, look, how its numbers are written, and the answer's verb."""

    column: str
    heading: str
    look: Look
    written: Callable[[float], str]
    unit: str
    most: str


MEASURES: Final = (
    _Measure("bytes", "stored, MB", STORED, megabytes, " MB", "Stores most"),
    _Measure("seconds", "built in", RAN, seconds, "", "Takes longest"),
)


def dockerfile(text: str, costs: pd.DataFrame) -> Picture:
    r"""What should I edit? The Dockerfile with a bar of bytes and one of seconds beside each line.

    Comments and blank lines are left out, unless they cost something.

    Args:
        text: the Dockerfile.
        costs: a row per line that costs something: `line` Int64, and `bytes` (what the line's layer stores),
            `seconds` (how long the line's step took), or both. Rows of a line are added up; nothing counts as 0.

    Raises:
        UsageError: the table lacks a column, numbers that cannot be drawn, a line that the Dockerfile does not
            have, or the Dockerfile says nothing or more than `MOST_LINES` lines.

    >>> costs = pd.DataFrame({"line": [2], "bytes": [5_000_000], "seconds": [7.5]})
    >>> dockerfile("FROM base\nRUN make\n", costs).question
    'What should I edit?'
    """
    question = "What should I edit?"
    lines = text.expandtabs(4).rstrip().split("\n")
    measures = [m for m in MEASURES if m.column in costs.columns] or [MEASURES[0]]
    columns = [m.column for m in measures]
    known = costs.assign(**{name: costs[name].fillna(0) for name in columns if name in costs.columns})
    rows = checked(known, "the table of costs", {"line": "line"} | dict.fromkeys(columns, "number"))
    data = rows.dropna(subset=["line"]).groupby("line", as_index=False)[columns].sum()
    if not data["line"].between(1, len(lines)).all():
        raise UsageError(
            "the table of costs names a line that the Dockerfile does not have", remedy="pass both of the same build"
        )
    costly = set(data["line"])
    shown = [n for n, line in enumerate(lines, 1) if (line.strip() and line.lstrip()[0] != "#") or n in costly]
    if not 0 < len(shown) <= MOST_LINES:
        raise UsageError(
            f"a Dockerfile with {len(shown)} lines of instructions cannot be drawn",
            remedy=f"draw one with 1 to {MOST_LINES}",
        )
    row = {line: place for place, line in enumerate(shown)}
    answer = " ".join(filter(None, (_dearest(data, measure) for measure in measures)))
    page = open_page(question, answer, ROW * len(shown) + 0.4)
    top = page.top + 0.22
    _source(page, {line: lines[line - 1] for line in shown}, top)
    width = (INSIDE - NUMBERS - SOURCE) / len(measures)
    for column, measure in enumerate(measures):
        x = MARGIN + NUMBERS + SOURCE + column * width
        page.text(x, page.top + 0.06, measure.heading, points=SMALL, colour=MUTED)
        labels = [measure.written(cost) for cost in data[measure.column]]
        largest = data[measure.column].max() if len(data) else 0.0
        right = room_for_labels(largest, width - 0.15, labels)
        axes = page.axes(x, top, width - 0.15, ROW * len(shown), right=right, rows=len(shown))
        axes.set_gid(measure.column)
        baseline(axes)
        for line, cost, label in zip(data["line"], data[measure.column], labels, strict=True):
            if cost:
                bar(axes, 0, cost, row[line] + 0.5, measure.look, gid=f"line {line}")
                note(axes, cost, row[line] + 0.5, label, points=SMALL)
    alt = f"A Dockerfile of {len(lines)} lines with bars beside them. " + " ".join(
        f"{measure.heading}: {_listed(data, measure, lines)}." for measure in measures
    )
    return Picture(question, page.figure, f"{alt} {answer}".strip(), data)


def _source(page: Page, lines: dict[int, str], top: float) -> None:
    em = text_width("m", CODE, "mono")
    for row, (number, line) in enumerate(lines.items()):
        y = top + ROW * (row + 0.5)
        page.text(MARGIN + NUMBERS - 0.14, y, str(number), points=SMALL - 0.5, colour=MUTED, align="right")
        indent = min((len(line) - len(line.lstrip())) * em, SOURCE / 2)
        width = SOURCE - indent - 0.15
        page.text(MARGIN + NUMBERS + indent, y, line, points=CODE, face="mono", width=width)


def _dearest(data: pd.DataFrame, measure: _Measure) -> str:
    if not data[measure.column].any():
        return ""
    place = int(data[measure.column].to_numpy().argmax())
    line, cost = data["line"].iloc[place], data[measure.column].iloc[place]
    return f"{measure.most}: line {line}, {measure.written(cost)}{measure.unit}."


def _listed(data: pd.DataFrame, measure: _Measure, lines: list[str]) -> str:
    most = data[data[measure.column] > 0].nlargest(5, measure.column)
    listed = sentence_list(
        f"line {line} ({brief(lines[line - 1])}) {measure.written(cost)}{measure.unit}"
        for line, cost in zip(most["line"], most[measure.column], strict=True)
    )
    return listed or "nothing"
