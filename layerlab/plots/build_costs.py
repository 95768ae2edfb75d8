"""Pictures of what building costs: the steps that a change makes run again, and the lines of a Dockerfile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import pandas as pd

from layerlab.dockerfile import Dockerfile, parse
from layerlab.errors import UsageError
from layerlab.plots.labels import Face, brief, named, sentence_list, text_width
from layerlab.plots.page import INSIDE, MARGIN, Panel, fitting, open_page
from layerlab.plots.picture import Picture, checked, few
from layerlab.plots.style import CACHED, CODE, INK, MUTED, RAN, SMALL, STORED, Look
from layerlab.ui.units import counted, megabytes, seconds

STAGES: Final = 0.85  # inches
INSTRUCTIONS: Final = 2.65
ROW: Final = 0.29
NOTHING: Final = 0.05  # seconds that a FROM may take whose base image is here already
HOLLOW: Final = 0.15  # inches of a step that took no time
NUMBERS: Final = 0.36  # inches for the lines' numbers
SOURCE: Final = 5.0  # inches for the lines
LINE: Final = 0.19
MOST_LINES: Final = 150


class _Measure(NamedTuple):
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


def rebuilds(table: pd.DataFrame, title: str = "", *, until: float = 0.0) -> Picture:
    """Why does the order of the lines matter? The same build after each change, its steps over time.

    A step that was taken from the cache is hollow, and so is a FROM that had nothing to fetch. Steps follow each
    other as the Dockerfile has them; stages that BuildKit worked on at the same time are drawn one after the
    other, so where a build ends is the sum of its work.

    Args:
        table: a row per change and step: `change` str (what was changed before this build), and as in
            `Build.steps`: `stage`, `instruction`, `seconds` (0 where unknown), `cached`.
        title: what was built, where several pictures are to be told apart.
        until: seconds that its scale reaches at least, so that several pictures have the same one.

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
    kinds = {"change": "text", "stage": "text", "instruction": "text", "seconds": "number", "cached": "flag"}
    data = checked(table.fillna({"seconds": 0.0}), "the table of rebuilds", kinds)
    changes = list(dict.fromkeys(data["change"]))
    few(changes, "builds")
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
    if data["stage"].nunique() > 1:
        answer += " Stages that BuildKit worked on at the same time are drawn one after the other."
    page = open_page(f"{question} {title}".strip(), answer, ROW * len(steps) + 0.98)
    top = page.top + 0.6
    page.key(MARGIN, page.top + 0.02, [(RAN, "run again"), (CACHED, "taken from the cache")])
    names = [f"stage {stage}" if stage.isdigit() else stage for stage, _, _ in steps]
    names = [name if name != above else "" for name, above in zip(names, ["", *names], strict=False)]
    page.column(MARGIN, top, ROW, names, points=SMALL, colour=MUTED, width=STAGES - 0.1)
    texts = [text for _, text, _ in steps]
    page.column(MARGIN + STAGES, top, ROW, texts, points=CODE, face="mono", width=INSTRUCTIONS - 0.12)
    width = (INSIDE - STAGES - INSTRUCTIONS) / len(changes)
    longest = max(builds["spent"].max(), until)
    right = fitting(longest, width - 0.2, map(seconds, data["spent"]))
    for column, change in enumerate(changes):
        x = MARGIN + STAGES + INSTRUCTIONS + column * width
        page.text(x, page.top + 0.3, change, face="bold", width=width - 0.12)
        page.text(x, page.top + 0.48, again[change], points=SMALL, width=width - 0.12)
        panel = page.panel(x, top, width - 0.2, ROW * len(steps), right=right, rows=len(steps), gid=change)
        panel.scale(longest, lambda tick: f"{tick:.10g} s", steps=2)
        for step in data[data["change"] == change].itertuples(index=False):
            _step(panel, step.row + 0.5, step.start, step.seconds, cached=step.cached)
    slow = data[~data["cached"]].nlargest(4, "seconds")
    listed = sentence_list(
        f"{named(change)}: {brief(text)} {seconds(spent)}"
        for change, text, spent in slow[["change", "instruction", "seconds"]].itertuples(index=False)
    )
    which = f" ({named(title)})" if title else ""
    alt = f"Bars over time for the steps of {len(changes)} builds{which}. Run again after each change: "
    alt += "; ".join(f"{named(change)}: {text}" for change, text in again.items()) + "."
    alt += f" The slowest steps: {listed}." if listed else ""
    return Picture(question, page.figure, alt, data[["change", "stage", "instruction", "seconds", "cached", "start"]])


def _step(panel: Panel, row: float, start: float, spent: float, *, cached: bool) -> None:
    """One step: hollow where it was cached, else as long as it took, with its seconds."""
    if cached:
        panel.bar(start, HOLLOW / panel.inches(), row, CACHED, gid="cached", height=0.5)
    else:
        panel.bar(start, spent, row, RAN, gid="ran")
        panel.note(start + spent, row, seconds(spent), points=SMALL)


def stages(table: pd.DataFrame, steps: pd.DataFrame) -> Picture:
    """Which stage waits for which? Each stage's steps when they really ran, and where one takes from another.

    An arrow leads from the end of the stage that something is taken from to the step that takes it. A step that was
    taken from the cache is hollow; a stage that nothing needs is named, and has no steps.

    Args:
        table: as `Build.stages`: `stage` str, `base` str, `uses` (the stages that it takes something from), `ran`.
        steps: as `Build.steps`: `stage`, `instruction`, `began` and `seconds` (nothing counts as 0), `cached`.

    Raises:
        UsageError: a table lacks a column, holds no rows, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({"stage": ["build"], "base": ["python:3.13"], "uses": [()], "ran": [True]})
    >>> steps = pd.DataFrame(
    ...     {"stage": ["build"], "instruction": ["RUN make"], "began": [0.0], "seconds": [7.5], "cached": [False]}
    ... )
    >>> stages(table, steps).alt
    'The stages of a build, ... build, FROM python:3.13: 1 step, from 0.0 to 7.5 s. ...'
    """
    question = "Which stage waits for which?"
    names = checked(table, "the table of stages", {"stage": "text", "base": "text", "ran": "flag"})
    kinds = {"stage": "text", "instruction": "text", "began": "number", "seconds": "number", "cached": "flag"}
    data = checked(steps.fillna({"began": 0.0, "seconds": 0.0}), "the table of steps", kinds)
    data = data[~data["instruction"].str.match(r"FROM\b", case=False)].reset_index(drop=True)
    data.loc[data["cached"], ["began", "seconds"]] = 0.0
    data["end"] = data["began"] + data["seconds"]
    uses = dict(zip(names["stage"], table["uses"], strict=True))
    idle = [name for name, ran in zip(names["stage"], names["ran"], strict=True) if not ran]
    answer = _together(data, idle)
    rows = {name: int((data["stage"] == name).sum()) + 1 for name in names["stage"]}
    height = ROW * sum(rows.values())
    page = open_page(question, answer, height + 0.6)
    top, width = page.top + 0.24, INSIDE - INSTRUCTIONS - STAGES
    longest = float(data["end"].max() if len(data) else 0)
    page.key(MARGIN, page.top + 0.02, [(RAN, "run"), (CACHED, "taken from the cache")])
    right = fitting(longest, width, map(seconds, data["seconds"]))
    panel = page.panel(MARGIN + INSTRUCTIONS + STAGES, top, width, height, right=right, rows=sum(rows.values()))
    panel.scale(longest, lambda tick: f"{tick:.10g} s")
    at, places, said = 0, dict[str, tuple[float, float]](), []
    for name, base, ran in names[["stage", "base", "ran"]].itertuples(index=False):
        y = top + ROW * (at + 0.5)
        title = f"stage {name}" if name.isdigit() else name
        page.text(MARGIN, y, title, face="bold", width=1.1)
        after = "" if ran else ": not built, since nothing needs it"
        page.text(MARGIN + 1.2, y, f"FROM {base}{after}", points=CODE, colour=MUTED, face="mono", width=5.0)
        own = data[data["stage"] == name]
        for number, step in enumerate(own.itertuples(index=False)):
            row = at + 1 + number
            taken = [other for other in uses[name] if other in places and f"from={other}" in step.instruction]
            face: Face = "bold" if taken else "mono"
            y = top + ROW * (row + 0.5)
            page.text(MARGIN + 0.2, y, step.instruction, points=CODE, face=face, width=INSTRUCTIONS + 0.4)
            # What is taken has to be there, even where a copy of the same came from the cache.
            began = max([step.began, *(places[other][0] for other in taken if step.cached)])
            _step(panel, row + 0.5, began, step.seconds, cached=step.cached)
            for other in taken:
                panel.arrow(places[other], (began, row + 0.25), INK, gid="taken")
            places[name] = (began + step.seconds, row + 0.75)
        if ran:
            span = f"{counted(len(own), 'step')}, from {own['began'].min():.1f} to {own['end'].max():.1f} s"
            giving = f", takes from {sentence_list(map(named, uses[name]))}" if uses[name] else ""
            said.append(f"{named(name)}, FROM {named(base)}: {span if len(own) else 'no steps'}{giving}")
        at += rows[name]
    alt = f"The stages of a build, their steps as bars over time. {'; '.join(said)}. {answer}"
    return Picture(question, page.figure, alt.strip(), data)


def _together(data: pd.DataFrame, idle: list[str]) -> str:
    """What the picture says: how much of the work went on side by side, and what was left out."""
    work, took = float(data["seconds"].sum()), float(data["end"].max() if len(data) else 0.0)
    said = "Every step was taken from the cache."
    if work > took:
        why = "since stages that need nothing of each other run at the same time"
        said = f"{seconds(work)} of work took {seconds(took)}, {why}."
    elif took:
        said = f"It took {seconds(took)}: what is taken from a stage has to be made first."
    return f"{said} Nothing needs {sentence_list(map(named, idle))}, so BuildKit leaves it out." if idle else said


def dockerfile(text: str | Dockerfile, costs: pd.DataFrame) -> Picture:
    r"""What should I edit? The Dockerfile with a bar of bytes and one of seconds beside each line.

    Comments and blank lines are left out, unless they cost something.

    Args:
        text: the Dockerfile; parsed, if build arguments say what it is FROM.
        costs: a row per line that costs something: `line` Int64, and `bytes` (what the line's layer stores),
            `seconds` (how long the line's step took), or both. Rows of a line are added up; nothing counts as 0.
            What has no line came with the base image, and is the FROM's that names it.

    Raises:
        UsageError: the table lacks a column, numbers that cannot be drawn, a line that the Dockerfile does not
            have, or the Dockerfile says nothing or more than `MOST_LINES` lines.
        DockerfileError: what came with the base image is in the table, and the Dockerfile does not say whose it is.

    >>> costs = pd.DataFrame({"line": [2], "bytes": [5_000_000], "seconds": [7.5]})
    >>> dockerfile("FROM base\nRUN make\n", costs).question
    'What should I edit?'
    """
    question = "What should I edit?"
    source = text if isinstance(text, str) else text.text
    lines = source.expandtabs(4).rstrip().split("\n")
    measures = [m for m in MEASURES if m.column in costs.columns] or [MEASURES[0]]
    columns = [m.column for m in measures]
    rows = checked(
        costs.fillna(dict.fromkeys(columns, 0)),
        "the table of costs",
        {"line": "line"} | dict.fromkeys(columns, "number"),
    )
    if rows["line"].isna().any():
        parsed = parse(text) if isinstance(text, str) else text
        rows["line"] = rows["line"].fillna(parsed.chain(parsed.stages[-1])[0].line)
    data = rows.groupby("line", as_index=False)[columns].sum()
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
    dearest = [_dearest(data, measure, lines) for measure in measures]
    answer = " ".join(said for said, _ in dearest if said)
    page = open_page(question, answer, LINE * len(shown) + 0.4)
    top = page.top + 0.22
    page.column(MARGIN + NUMBERS - 0.14, top, LINE, shown, points=SMALL - 0.5, colour=MUTED, align="right")
    em = text_width("m", CODE, "mono")
    for row, line in enumerate(lines[number - 1] for number in shown):
        indent = min((len(line) - len(line.lstrip())) * em, SOURCE / 2)
        x, y = MARGIN + NUMBERS + indent, top + LINE * (row + 0.5)
        page.text(x, y, line, points=CODE, face="mono", width=SOURCE - indent - 0.15)
    width = (INSIDE - NUMBERS - SOURCE) / len(measures)
    drawn = data.set_index("line").reindex(shown, fill_value=0)
    for column, measure in enumerate(measures):
        x = MARGIN + NUMBERS + SOURCE + column * width
        page.text(x, page.top + 0.06, measure.heading, points=SMALL, colour=MUTED)
        values, looks = drawn[measure.column], [measure.look] * len(shown)
        labels = [measure.written(cost) if cost else "" for cost in values]
        right = fitting(values.max(), width - 0.15, labels)
        where = (x, top), width - 0.15, LINE
        page.bars(*where, values, labels=labels, looks=looks, right=right, gid=measure.column)
    alt = f"A Dockerfile of {len(lines)} lines with bars beside them. " + " ".join(
        f"{measure.heading}: {listed}." for measure, (_, listed) in zip(measures, dearest, strict=True)
    )
    return Picture(question, page.figure, f"{alt} {answer}".strip(), data)


def _dearest(data: pd.DataFrame, measure: _Measure, lines: list[str]) -> tuple[str, str]:
    """Of one measure, the answer's sentence, and the lines that cost most."""
    most = data[data[measure.column] > 0].nlargest(5, measure.column)
    costs = [f"{measure.written(cost)}{measure.unit}" for cost in most[measure.column]]
    told = [f"line {n} ({brief(lines[n - 1])}) {cost}" for n, cost in zip(most["line"], costs, strict=True)]
    answer = f"{measure.most}: line {most['line'].iloc[0]}, {costs[0]}." if costs else ""
    return answer, sentence_list(told) or "nothing"
