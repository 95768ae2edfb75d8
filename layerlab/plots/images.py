"""Pictures of whole images: how large they are, what their bytes are for and whose, what an extra stage bought."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from typing import Any, Final

import pandas as pd
from matplotlib.patches import Rectangle

from layerlab.errors import UsageError
from layerlab.plots.labels import clean, named, sentence_list, text_width
from layerlab.plots.page import INSIDE, MARGIN, Page, Panel, fitting, open_page
from layerlab.plots.picture import Picture, checked, few, of_images
from layerlab.plots.style import BAND, MUTED, PARTS, SMALL, STORED, TEXT, Look, known_part
from layerlab.ui.units import counted, megabytes, times

ROW: Final = 0.46
LINE: Final = 0.22
OWNERS: Final = 2.1  # inches
OWNER: Final = 0.27
WHOM: Final = 1.5  # inches, as ACTS
ACTS: Final = 2.35
FATES: Final = ("copied", "left behind", "own")


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
    panel = rows_of_images(page, names, totals, page.top)
    for row, total in enumerate(totals):
        panel.bar(0, total / 1e6, row + 0.5, STORED, gid="total")
    listed = _listed(data.itertuples(index=False))
    return Picture(question, page.figure, f"Bar chart of image sizes. {listed}. {answer}".strip(), data)


def measures(table: pd.DataFrame) -> Picture:
    """What is different when they run? A row for each measure, a column for each image.

    Args:
        table: a row per image (its index holds the names), a column per measure, named with its unit.

    Raises:
        UsageError: there are no rows, too many images, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({"stored, MB": [1800, 270], "answers after, s": [2.3, 1.2]}, index=["fat", "slim"])
    >>> measures(table).alt
    'Bars, a row for each measure. fat: stored, MB 1,800, answers after, s 2.3. slim: ...'
    """
    return _by_measure(table, "What is different when they run?", STORED)


def surfaces(table: pd.DataFrame) -> Picture:
    """What does an attacker find? A row for each kind, a column for each image.

    Args:
        table: a row per image (its index holds the names), a column per kind, such as `shells`, whole numbers.

    Raises:
        UsageError: as for `measures`.

    >>> table = pd.DataFrame({"shells": [4, 0], "writable paths": [9_000, 0]}, index=["single", "minimal"])
    >>> surfaces(table).question
    'What does an attacker find?'
    """
    return _by_measure(table, "What does an attacker find?", PARTS["waste"])


def access(table: pd.DataFrame) -> Picture:
    """Who can do what to whom? A row for each thing that was tried, a column for each container that tried it.

    Args:
        table: a row per container and attempt: `who` str (the container), `process` str (what runs in it, as whom),
            `whom` str (what it was tried on), `what` str (what was tried), `can` bool; all in the order of drawing.

    Raises:
        UsageError: the table lacks a column, holds no rows, or too many containers.

    >>> table = pd.DataFrame({
    ...     "who": ["single", "optimized"], "process": ["python, user 0", "gunicorn, user 10001"],
    ...     "whom": ["the root filesystem"] * 2, "what": ["change the code"] * 2, "can": [True, False],
    ... })
    >>> access(table).alt
    'Arrows where a container can. single (python, user 0) can change the code. optimized (...) can do nothing ...'
    """
    question = "Who can do what to whom?"
    kinds = {"who": "text", "process": "text", "whom": "text", "what": "text", "can": "flag"}
    data = checked(table, "the table of attempts", kinds)
    who = dict(zip(data["who"], data["process"], strict=True))
    few(list(who), "containers")
    done = data.groupby(["whom", "what", "who"], sort=False)["can"].any().unstack("who", fill_value=False)[list(who)]
    whom, acts = zip(*done.index, strict=True)
    all_can = sentence_list(map(named, compress(acts, done.all(axis=1))))
    answer = f"An arrow leads from whoever can to what it is done to. All of them can: {all_can or 'nothing'}."
    heads = [[*name.split(", ", 1), *process.split(", ", 1)] for name, process in who.items()]
    lines = max(map(len, heads))
    page = open_page(question, answer, OWNER * len(done) + LINE * lines + 0.15)
    top, width = page.top + LINE * lines + 0.05, (INSIDE - WHOM - ACTS) / len(who)
    page.column(MARGIN, top, OWNER, acts, points=SMALL, width=ACTS - 0.12)
    others = [name if name != above else "" for name, above in zip(whom, ("", *whom), strict=False)]
    page.column(MARGIN + INSIDE - WHOM, top, OWNER, others, points=SMALL, face="bold", width=WHOM)
    said = []
    for column, (name, process) in enumerate(who.items()):
        x, texts = MARGIN + ACTS + column * width, heads[column]
        page.text(x, top - LINE * (len(texts) - 0.5), texts[0], face="bold", points=SMALL, width=width - 0.1)
        page.column(x, top - LINE * len(texts[1:]), LINE, texts[1:], points=SMALL, colour=MUTED, width=width - 0.1)
        panel = page.panel(x, top, width - 0.25, OWNER * len(done), right=1, rows=len(done), gid=name)
        panel.baseline()
        for row, can in enumerate(done[name]):
            if can:
                panel.arrow((0, row + 0.5), (1, row + 0.5), PARTS["waste"].fill, gid="can")
            else:
                panel.note(0, row + 0.5, "–", colour=MUTED)
        able = sentence_list(map(named, compress(acts, done[name]))) or "do nothing of that"
        said.append(f"{named(name)} ({named(process)}) can {able}.")
    return Picture(question, page.figure, f"Arrows where a container can. {' '.join(said)} {answer}", data)


def _by_measure(table: pd.DataFrame, question: str, look: Look) -> Picture:
    """Images side by side, by several measures, each on a scale of its own."""
    data = of_images(table, "the table of measures").T
    few(list(data.columns), "images")
    lowest: dict[str, list[str]] = {}
    for name, values in data.iterrows():
        if values.nunique() > 1:
            lowest.setdefault(named(values.idxmin()), []).append(named(str(name).partition(",")[0]))
    answer = " ".join(f"{image} is lowest by: {sentence_list(found)}." for image, found in lowest.items())
    answer = f"{answer} Each row has a scale of its own.".strip()
    page = open_page(question, answer, OWNER * len(data) + 0.6)
    page.column(MARGIN, page.top + 0.35, OWNER, data.index, points=SMALL, width=OWNERS - 0.12)
    labels = data.map(_short)
    looks = {name: [look] * len(data) for name in data}
    _beside_each_other(page, page.top + 0.35, data.div(data.max(axis=1).replace(0, 1), axis=0), labels, looks)
    told = " ".join(
        f"{named(image)}: {sentence_list((f'{named(name)} {label}' for name, label in said.items()), limit=12)}."
        for image, said in labels.items()
    )
    return Picture(question, page.figure, f"Bars, a row for each measure. {told} {answer}", data)


def _beside_each_other(
    page: Page, top: float, values: pd.DataFrame, labels: pd.DataFrame, looks: dict[Any, list[Look]]
) -> None:
    """A panel of bars for each image, all on one scale, below its name."""
    width = (INSIDE - OWNERS) / len(values.columns)
    right = fitting(values.to_numpy().max(), width - 0.2, labels.to_numpy().ravel())
    for column, image in enumerate(values):
        x = MARGIN + OWNERS + column * width
        page.text(x, top - 0.18, str(image), face="bold", width=width - 0.2)
        told, kinds = list(labels[image]), looks[image]
        where = (x, top), width - 0.2, OWNER
        page.bars(*where, values[image], labels=told, looks=kinds, right=right, gid=str(image))


def _short(value: float) -> str:
    """A number with as many digits as are of interest."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


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
    data = of_images(table, "the table of parts").T.groupby(known_part).sum().T
    data = data[[part for part in sorted(data.columns, key=list(PARTS).index) if data[part].any()]]
    names, totals = list(data.index), list(data.sum(axis=1))
    answer = f"{_compared(names, totals)} {_gone(data, totals)}".strip()
    page = open_page(question, answer, ROW * len(data) + LINE * (len(data.columns) + 1) + 0.6)
    panel = rows_of_images(page, names, totals, page.top)
    for row in range(len(data)):
        panel.stack(row, ((str(part), PARTS[str(part)], count) for part, count in data.iloc[row].items()))
    _numbers_below(page, data, page.top + ROW * len(data) + 0.5)
    listed = "; ".join(
        f"{named(name)} {megabytes(total)} MB: "
        + sentence_list(f"{named(part)} {megabytes(count)}" for part, count in data.iloc[row].items() if count)
        for row, (name, total) in enumerate(zip(names, totals, strict=True))
    )
    return Picture(question, page.figure, f"Stacked bars, in MB. {listed}. {answer}".strip(), data)


def rows_of_images(page: Page, names: list[str], totals: list[float], top: float) -> Panel:
    """Axes with a row per image from top down: its name to the left, its size where its bar will end."""
    left = min(max(text_width(clean(name, "bold"), TEXT, "bold") for name in names) + 0.2, 2.2)
    labels = [f"{megabytes(total)} MB" for total in totals]
    largest, width = max(totals) / 1e6, INSIDE - left
    right = fitting(largest, width, labels, "bold")
    panel = page.panel(MARGIN + left, top, width, ROW * len(names), right=right, rows=len(names))
    panel.scale(largest, lambda tick: f"{tick:.10g} MB")
    page.column(MARGIN, top, ROW, names, face="bold", width=left - 0.15)
    for row, (total, label) in enumerate(zip(totals, labels, strict=True)):
        panel.note(total / 1e6, row + 0.5, label, face="bold")
    return panel


def _numbers_below(page: Page, data: pd.DataFrame, y: float) -> None:
    """A row per part with its look, its name and what each image holds of it: key and table in one."""
    page.text(MARGIN, y, "in MB", points=SMALL, colour=MUTED)
    page.rule(y + 0.13)
    for row, part in enumerate(data.columns):
        page.swatch(MARGIN, y + LINE * (row + 1.1), PARTS[part])
    page.column(MARGIN + 0.26, y + LINE * 0.6, LINE, data.columns, points=SMALL)
    width = (INSIDE - OWNERS) / len(data)
    for column, (image, counts) in enumerate(data.iterrows()):
        x = MARGIN + OWNERS + width * (column + 1)
        page.text(x, y, str(image), points=SMALL, align="right", width=width - 0.1)
        page.column(x, y + LINE * 0.6, LINE, map(megabytes, counts), points=SMALL, align="right", width=width - 0.1)


def _listed(amounts: Iterable[tuple[Any, ...]], limit: int = 8) -> str:
    """Names, each with its bytes, in a sentence."""
    return sentence_list((f"{named(name)} {megabytes(count)} MB" for name, count in amounts), limit=limit)


def _gone(data: pd.DataFrame, totals: list[float]) -> str:
    """What the largest image has and the smallest does without, in a sentence; empty where that is nothing."""
    less = data.iloc[totals.index(max(totals))] - data.iloc[totals.index(min(totals))]
    most = less[less >= max(totals) / 50].sort_values(ascending=False)
    return f"Saved: {_listed(most.items(), limit=4)}." if len(most) else ""


def _compared(names: list[str], totals: list[float]) -> str:
    """The largest beside the smallest, in a sentence; empty where there is nothing to compare."""
    large, small = totals.index(max(totals)), totals.index(min(totals))
    if totals[small] == totals[large] or totals[small] == 0:
        return ""
    return f"{named(names[small])} is {times(totals[large], totals[small])} smaller than {named(names[large])}."


def owners(table: pd.DataFrame, top: int = 12) -> Picture:
    """What is in the image? The largest owners of bytes, a row each, with a bar for each image.

    Args:
        table: a row per image and owner: `image` str, `name` str (a package as `files.owner` has it; empty for what
            no package owns), `part` str as in `files.part`, `bytes` int64. Rows of the same owner are added up.
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
    rows = checked(table, "the table of owners", {"image": "text", "name": "text", "part": "text", "bytes": "number"})
    rows["part"] = rows["part"].map(known_part)
    images = list(dict.fromkeys(rows["image"]))
    few(images, "images")
    rows["name"] = rows["name"].str.replace(r"^(dpkg|python):", "", regex=True)  # its colour tells
    rows["name"] = rows["name"].where(rows["name"] != "", rows["part"] + " (no package)")
    every = rows.groupby(["name", "part", "image"])["bytes"].sum().unstack("image", fill_value=0)[images]
    every = every.iloc[every.max(axis=1).to_numpy().argsort(kind="stable")[::-1]]
    shown, rest = every.iloc[: max(top, 1)].reset_index("part"), every.iloc[max(top, 1) :]
    totals, counts = every.sum(), (every > 0).sum()
    below = pd.DataFrame({f"{len(rest)} others": rest.sum(), "in all": totals}).T.iloc[0 if len(rest) else 1 :]
    answer = "; ".join(f"{named(i)}: {megabytes(totals[i])} MB, {counted(counts[i], 'owner')}" for i in images) + "."
    page = open_page(question, answer, OWNER * (len(shown) + len(below) + 0.4) + 0.55)
    top_edge = page.top + 0.48
    parts = sorted(set(shown["part"]), key=list(PARTS).index)
    page.key(MARGIN, page.top + 0.02, [(PARTS[part], part) for part in parts])
    page.text(MARGIN, page.top + 0.3, "in MB", points=SMALL, colour=MUTED)
    page.column(MARGIN, top_edge, OWNER, shown.index, points=SMALL, width=OWNERS - 0.12)
    labels = shown[images].map(lambda count: megabytes(count) if count else "–")
    looks = [PARTS[part] for part in shown["part"]]
    _beside_each_other(page, top_edge, shown[images] / 1e6, labels, dict.fromkeys(images, looks))
    end, width = top_edge + OWNER * len(shown), (INSIDE - OWNERS) / len(images)
    page.rule(end + OWNER * 0.2)
    page.column(MARGIN, end + OWNER * 0.35, OWNER, below.index, points=SMALL, width=OWNERS - 0.12)
    for column, image in enumerate(images):
        x = MARGIN + OWNERS + column * width
        page.column(x, end + OWNER * 0.35, OWNER, map(megabytes, below[image]), points=SMALL, width=width - 0.2)
    listed = " ".join(
        f"The largest in {named(image)}: {_listed(shown.loc[shown[image] > 0, image].nlargest(5).items())}."
        for image in images
    )
    data = pd.concat([shown, below]).rename_axis("name").reset_index()
    return Picture(question, page.figure, f"Bars of what images hold, by owner. {answer} {listed}", data)


def flow(table: pd.DataFrame) -> Picture:
    """What did the extra stage buy? The build stage above the final image, and what goes from one to the other.

    Args:
        table: `part` str (as in `files.part`), `bytes` int64, `fate` str: `copied` (in the build stage, and from
            it in the final image), `left behind` (in the build stage alone) or `own` (what the final image
            has of its own base and of the build context). Rows of the same part and fate are added up.

    Raises:
        UsageError: the table lacks a column, holds no rows, an unknown fate, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({
    ...     "part": ["python packages", "compilers"],
    ...     "bytes": [60_000_000, 90_000_000],
    ...     "fate": ["copied", "left behind"],
    ... })
    >>> flow(table).alt
    '... 60 of 150 MB of the build stage are copied, 90 MB left behind; ...'
    """
    question = "What did the extra stage buy?"
    rows = checked(table, "the table of the flow", {"part": "text", "fate": "text", "bytes": "number"})
    if unknown := set(rows["fate"]) - set(FATES):
        raise UsageError(
            f"the table of the flow has an unknown fate {min(unknown)!r}", remedy=f"use {', '.join(FATES)}"
        )
    rows["part"] = rows["part"].map(known_part)
    data = rows.groupby(["fate", "part"], as_index=False)["bytes"].sum()
    data = data[data["bytes"] > 0].sort_values("part", key=lambda parts: parts.map(list(PARTS).index), kind="stable")
    sums = {fate: float(data.loc[data["fate"] == fate, "bytes"].sum()) for fate in FATES}
    stage, image = sums["copied"] + sums["left behind"], sums["copied"] + sums["own"]
    answer = (
        f"{megabytes(sums['copied'])} of {megabytes(stage)} MB of the build stage are copied, "
        f"{megabytes(sums['left behind'])} MB left behind; the final image has {megabytes(image)} MB, "
        f"{megabytes(sums['own'])} MB of its own."
    )
    page = open_page(question, answer, ROW * 2 + 0.75)
    present = sorted(set(data["part"]), key=list(PARTS).index)
    page.key(MARGIN, page.top + 0.05, [(PARTS[part], part) for part in present])
    panel = rows_of_images(page, ["build stage", "final image"], [stage, image], page.top + 0.25)
    for row, fates in enumerate((FATES[:2], FATES[::2])):
        pieces = (each for fate in fates for each in data[data["fate"] == fate].itertuples(index=False))
        panel.stack(row, ((f"{piece.fate}: {piece.part}", PARTS[piece.part], piece.bytes) for piece in pieces))
    band = (0, 0.81), sums["copied"] / 1e6, 0.38  # from the one bar to the other
    panel.axes.add_patch(Rectangle(*band, facecolor=BAND, edgecolor="none", zorder=0))
    listed = "; ".join(
        f"{fate}: {_listed(rows[['part', 'bytes']].itertuples(index=False))}"
        for fate, rows in data.groupby("fate", sort=False)
    )
    return Picture(question, page.figure, f"Two bars and what goes from one to the other. {answer} {listed}.", data)
