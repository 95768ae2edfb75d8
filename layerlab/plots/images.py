"""Pictures of whole images: how large they are, what their bytes are for and whose, what an extra stage bought."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd
from matplotlib.patches import Polygon

from layerlab.errors import UsageError
from layerlab.plots.labels import Face, clean, named, sentence_list, text_width
from layerlab.plots.page import GAP, INSIDE, MARGIN, Page, Panel, fitting, open_page
from layerlab.plots.picture import Picture, checked, numbers
from layerlab.plots.style import INK, MUTED, PARTS, SMALL, STORED, TEXT, known_part, part_order
from layerlab.ui.units import counted, megabytes, times

ROW: Final = 0.46
LINE: Final = 0.22
SHORT: Final = {"python packages": "packages"}  # where there is no room
OWNERS: Final = 2.1  # inches
OWNER: Final = 0.27
MANY: Final = 5  # images that fit beside each other
PART_OF_MANAGER: Final = {"dpkg": "system", "python": "python packages"}
STAGES: Final = 1.3  # inches
FLOW: Final = 2.1
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
    """What is different when they run? Images side by side, by several measures, each on a scale of its own.

    Args:
        table: a row per image (its index holds the names), a column per measure, named with its unit.

    Raises:
        UsageError: there are no rows, too many measures, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({"stored, MB": [1800, 270], "answers after, s": [2.3, 1.2]}, index=["fat", "slim"])
    >>> measures(table).alt
    'Bars of 2 images by 2 measures. stored, MB: fat 1800, slim 270; answers after, s: fat 2.3, slim 1.2. ...'
    """
    question = "What is different when they run?"
    checked(table.reset_index(), "the table of measures", {})
    if len(table.columns) > MANY:
        raise UsageError(f"{len(table.columns)} measures do not fit beside each other", remedy=f"draw at most {MANY}")
    columns = {str(name): numbers(table[name], f"the table of measures, {name!r}") for name in table.columns}
    data = pd.DataFrame(columns, index=pd.Index([str(name) for name in table.index], name="image"))
    lowest: dict[str, list[str]] = {}
    for name, values in data.items():
        if values.nunique() > 1:
            lowest.setdefault(named(values.idxmin()), []).append(named(str(name).partition(",")[0]))
    answer = " ".join(f"{image} is lowest by: {sentence_list(found)}." for image, found in lowest.items())
    page = open_page(question, answer, ROW * len(data) + 0.45)
    width = (INSIDE - STAGES) / max(len(data.columns), 1)
    for row, name in enumerate(data.index):
        page.text(MARGIN, page.top + 0.3 + ROW * (row + 0.5), name, face="bold", width=STAGES - 0.12)
    for column, (name, values) in enumerate(data.items()):
        x = MARGIN + STAGES + column * width
        page.text(x, page.top + 0.1, str(name), points=SMALL, colour=MUTED, width=width - 0.12)
        labels = [_short(value) for value in values]
        right = fitting(float(values.max()), width - 0.2, labels)
        panel = page.panel(
            x, page.top + 0.3, width - 0.2, ROW * len(data), right=right, rows=len(data), gid=str(name)
        )
        panel.baseline()
        for row, (value, label) in enumerate(zip(values, labels, strict=True)):
            panel.bar(0, float(value), row + 0.5, STORED, gid=str(data.index[row]))
            panel.note(float(value), row + 0.5, label)
    told = "; ".join(
        f"{named(name)}: {sentence_list(f'{named(image)} {_short(value)}' for image, value in values.items())}"
        for name, values in data.items()
    )
    alt = f"Bars of {counted(len(data), 'image')} by {counted(len(data.columns), 'measure')}. {told}. {answer}"
    return Picture(question, page.figure, alt.strip(), data)


def _short(value: float) -> str:
    """A number with as many digits as are of interest."""
    return f"{value:.0f}" if 100 <= value < 1e5 else f"{value:.2g}"


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
    panel = rows_of_images(page, names, totals, page.top)
    for row in range(len(data)):
        start = 0.0
        for part, count in data.iloc[row].items():
            panel.bar(start, count / 1e6, row + 0.5, PARTS[str(part)], gid=str(part))
            _label_within(panel, str(part), start, count, row)
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


def rows_of_images(page: Page, names: list[str], totals: list[float], top: float) -> Panel:
    """Axes with a row per image from top down: its name to the left, its size where its bar will end."""
    left = _names_width(names)
    labels = [f"{megabytes(total)} MB" for total in totals]
    largest, width = max(totals) / 1e6, INSIDE - left
    right = fitting(largest, width, labels, "bold")
    panel = page.panel(MARGIN + left, top, width, ROW * len(names), right=right, rows=len(names))
    panel.scale(largest, lambda tick: f"{tick:.10g} MB")
    for row, (name, total, label) in enumerate(zip(names, totals, labels, strict=True)):
        page.text(MARGIN, top + ROW * (row + 0.5), name, face="bold", width=left - 0.15)
        panel.note(total / 1e6, row + 0.5, label, face="bold")
    return panel


def _label_within(panel: Panel, part: str, start: float, count: float, row: int) -> None:
    """Write a part's name and size on its bar, as much of it as fits."""
    room = count / 1e6 * panel.inches() - 2 * GAP
    fill, size = PARTS[part].fill, megabytes(count)
    for label in (f"{part} {size}", f"{SHORT.get(part, part)} {size}", size):
        if text_width(label, SMALL) < room:
            panel.within(start + count / 2e6, row + 0.5, label, fill, backing=fill)
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
    page = open_page(question, answer, OWNER * (len(data) + 0.4) + 0.55)
    top_edge = page.top + 0.48
    parts = sorted(set(shown["part"]), key=part_order)
    page.key(MARGIN, page.top + 0.02, [(PARTS[part], part) for part in parts])
    page.text(MARGIN, page.top + 0.32, "in MB", points=SMALL, colour=MUTED)
    page.rule(top_edge + OWNER * (len(shown) + 0.2))
    _column(page, MARGIN, top_edge, list(data["name"]), shown=len(shown), width=OWNERS)
    width = (INSIDE - OWNERS) / len(images)
    largest = shown[images].to_numpy().max() / 1e6
    labels = [megabytes(count) for image in images for count in data[image]]
    for column, image in enumerate(images):
        x = MARGIN + OWNERS + column * width
        page.text(x, page.top + 0.32, image, face="bold", width=width - 0.2)
        right = fitting(largest, width - 0.2, labels)
        panel = page.panel(x, top_edge, width - 0.2, OWNER * len(shown), right=right, rows=len(shown), gid=image)
        panel.baseline()
        for row, (name, part, count) in enumerate(shown[["name", "part", image]].itertuples(index=False)):
            panel.bar(0, count / 1e6, row + 0.5, PARTS[part], gid=name)
            label, colour = (megabytes(count), INK) if count else ("–", MUTED)
            panel.note(count / 1e6, row + 0.5, label, points=SMALL, colour=colour)
        below = [""] * len(shown) + [megabytes(count) for count in data[image].iloc[len(shown) :]]
        _column(page, x, top_edge, below, shown=len(shown), width=width - 0.2)
    listed = " ".join(_largest(shown, image) for image in images)
    return Picture(question, page.figure, f"Bars of what images hold, by owner. {answer} {listed}", data)


def surfaces(table: pd.DataFrame) -> Picture:
    """What does an attacker find? A row for each kind, a column for each image; each row has a scale of its own.

    Args:
        table: a row per image (its index holds the names), a column per kind, such as `shells`, whole numbers.

    Raises:
        UsageError: there are no rows, numbers that cannot be drawn, or too many images.

    >>> table = pd.DataFrame({"shells": [4, 0], "writable paths": [9_000, 0]}, index=["single", "minimal"])
    >>> surfaces(table).alt
    'Bars, a row for each kind. single: shells 4, writable paths 9,000. minimal: shells 0, writable paths 0.'
    """
    question = "What does an attacker find?"
    checked(table.reset_index(), "the table of surfaces", {})
    columns = {str(kind): numbers(table[kind], f"the table of surfaces, column {kind!r}") for kind in table.columns}
    data = pd.DataFrame(columns, index=pd.Index([str(name) for name in table.index], name="image")).T
    if len(data.columns) > MANY:
        raise UsageError(f"{len(data.columns)} images do not fit beside each other", remedy=f"draw at most {MANY}")
    page = open_page(question, "Each row has a scale of its own.", OWNER * len(data) + 0.6)
    top, width = page.top + 0.35, (INSIDE - OWNERS) / len(data.columns)
    for row, kind in enumerate(data.index):
        page.text(MARGIN, top + OWNER * (row + 0.5), kind, points=SMALL, width=OWNERS - 0.12)
    right = fitting(1.0, width - 0.2, [f"{data.to_numpy().max():,.0f}"])
    for column, image in enumerate(data.columns):
        x = MARGIN + OWNERS + column * width
        page.text(x, page.top + 0.15, image, face="bold", width=width - 0.2)
        panel = page.panel(x, top, width - 0.2, OWNER * len(data), right=right, rows=len(data), gid=image)
        panel.baseline()
        for row, (kind, number, most) in enumerate(zip(data.index, data[image], data.max(axis=1), strict=True)):
            share = number / (most or 1.0)
            panel.bar(0, share, row + 0.5, PARTS["waste"], gid=str(kind))
            label, colour = (f"{number:,.0f}", INK) if number else ("–", MUTED)
            panel.note(share, row + 0.5, label, points=SMALL, colour=colour)
    listed = " ".join(
        f"{named(image)}: {sentence_list((f'{kind} {n:,.0f}' for kind, n in data[image].items()), limit=12)}."
        for image in data.columns
    )
    return Picture(question, page.figure, f"Bars, a row for each kind. {listed}", data)


def _name(owner: str, part: str) -> str:
    """An owner without its manager, which its colour tells."""
    return owner.removeprefix("dpkg:").removeprefix("python:") or f"{part} (no package)"


def _column(page: Page, x: float, top: float, texts: list[str], *, shown: int, width: float) -> None:
    """Texts in the rows, those after the owners that are shown below a gap, the last in bold."""
    for row, text in enumerate(texts):
        y = top + OWNER * (row + 0.5 + (0.35 if row >= shown else 0))
        face: Face = "bold" if row == len(texts) - 1 else "plain"
        if text:
            page.text(x, y, text, points=SMALL, face=face, width=width - 0.12)


def _largest(shown: pd.DataFrame, image: str) -> str:
    most = shown[shown[image] > 0].nlargest(5, image)
    return f"The largest in {named(image)}: {_listed(most[['name', image]].itertuples(index=False))}."


def flow(table: pd.DataFrame, build: str = "build stage", final: str = "final image") -> Picture:
    """What did the extra stage buy? The build stage above the final image, and what goes from one to the other.

    Args:
        table: `part` str (as in `files.part`), `bytes` int64, `fate` str: `copied` (in the build stage, and from
            it in the final image), `left behind` (in the build stage alone) or `own` (what the final image
            has of its own base and of the build context). Rows of the same part and fate are added up.
        build: what the stage is called.
        final: what the image is called.

    Raises:
        UsageError: the table lacks a column, holds no rows, an unknown fate, or numbers that cannot be drawn.

    >>> table = pd.DataFrame({
    ...     "part": ["python packages", "compilers"],
    ...     "bytes": [60_000_000, 90_000_000],
    ...     "fate": ["copied", "left behind"],
    ... })
    >>> flow(table).alt
    '... build stage: 60 of 150 MB are copied, 90 MB left behind; final image: 60 MB. ...'
    """
    question = "What did the extra stage buy?"
    rows = checked(table, "the table of the flow", {"part": "text", "fate": "text", "bytes": "number"})
    if unknown := set(rows["fate"]) - set(FATES):
        raise UsageError(
            f"the table of the flow has an unknown fate {min(unknown)!r}", remedy=f"use {', '.join(FATES)}"
        )
    rows["part"] = rows["part"].map(known_part)
    data = rows.groupby(["fate", "part"], as_index=False)["bytes"].sum()
    data = data[data["bytes"] > 0].sort_values("part", key=lambda parts: parts.map(part_order), kind="stable")
    sums = {fate: float(data.loc[data["fate"] == fate, "bytes"].sum()) for fate in FATES}
    stage, image = sums["copied"] + sums["left behind"], sums["copied"] + sums["own"]
    answer = (
        f"{named(build)}: {megabytes(sums['copied'])} of {megabytes(stage)} MB are copied, "
        f"{megabytes(sums['left behind'])} MB left behind; {named(final)}: {megabytes(image)} MB."
    )
    page = open_page(question, answer, FLOW + 0.55)
    width = INSIDE - STAGES
    labels = [f"{megabytes(total)} MB" for total in (stage, image)]
    right = fitting(max(stage, image) / 1e6, width, labels, "bold")
    panel = page.panel(MARGIN + STAGES, page.top + 0.3, width, FLOW, right=right, rows=FLOW)
    present = sorted(set(data["part"]), key=part_order)
    page.key(MARGIN, page.top + 0.05, [(PARTS[part], part) for part in present])
    for name, y, fates, label in ((build, 0.4, FATES[:2], labels[0]), (final, 1.6, FATES[::2], labels[1])):
        end = 0.0
        for fate in fates:
            for part, count in data.loc[data["fate"] == fate, ["part", "bytes"]].itertuples(index=False):
                panel.bar(end, count / 1e6, y, PARTS[part], gid=f"{fate}: {part}", height=0.36)
                end += count / 1e6
        panel.note(end, y, label, face="bold")
        page.text(MARGIN, page.top + 0.3 + y, name, face="bold", width=STAGES - 0.12)
    copied = sums["copied"] / 1e6
    band = Polygon(
        [(0, 0.58), (copied, 0.58), (copied, 1.42), (0, 1.42)], facecolor="#E4E0D4", edgecolor="none", zorder=0
    )
    band.set_gid("copied")
    panel.axes.add_patch(band)
    for fate, start, end, y, text in (
        ("left behind", copied, stage / 1e6, 0.68, "left behind"),
        ("own", copied, image / 1e6, 1.88, "its own base and files"),
    ):
        if sums[fate]:
            panel.line((start, end), (y, y), MUTED)
            _beside(
                panel, start, y + (0.14 if fate == "left behind" else 0.16), f"{text}: {megabytes(sums[fate])} MB"
            )
    _beside(panel, copied, 1.16, f"copied: {megabytes(sums['copied'])} MB")
    listed = "; ".join(
        f"{fate}: {_listed(rows[['part', 'bytes']].itertuples(index=False))}"
        for fate, rows in data.groupby("fate", sort=False)
    )
    return Picture(question, page.figure, f"Two bars and what goes from one to the other. {answer} {listed}.", data)


def _beside(panel: Panel, x: float, y: float, text: str) -> None:
    """Text to the right of x, or to its left where the axes end too soon."""
    if (panel.axes.get_xlim()[1] - x) * panel.inches() > text_width(text, SMALL) + GAP:
        panel.note(x, y, text, points=SMALL)
    else:
        panel.note(x, y, text, points=SMALL, align="right", shift=-GAP)
