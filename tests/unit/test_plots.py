"""What the pictures draw, read back from the figures, beside what they were given."""

from __future__ import annotations

import doctest
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from layerlab import plots
from layerlab.errors import UsageError
from layerlab.plots import Picture, labels, style

pytestmark = pytest.mark.slow  # drawing takes long: ./lab test --fast does without

MB = 10**6

HOSTILE = [
    "$x^2$ \\frac{1}{0} $$",
    "RUN a \\\n\tb\r\x1b[31m",
    "".join(chr(0xDC80 + n) for n in range(5)),
    "n" * 300,
    "COPY \u05e9\u05dc\u05d5\u05dd /\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u202egpj.exe\u2066\u200b",
    "\u6f22\u5b57 \U0001f680 \ufdfd",
    "Z" + "\u0350\u0321\u0489" * 40,
    "<img src=x onerror=alert(1)> & \"'",
    "   ",
    "",
    "NULL\x00byte",
]


# What the pictures are given: the shapes of the lab's two images.


def sizes_table(**images: float) -> pd.DataFrame:
    return pd.DataFrame({"name": list(images), "bytes": [int(size * MB) for size in images.values()]})


def parts_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "app": [20_000, 20_000],
            "python packages": [268 * MB, 170 * MB],
            "interpreter": [62 * MB, 48 * MB],
            "system": [612 * MB, 42 * MB],
            "compilers": [742 * MB, 0],
            "other": [3_400_000, 1_200_000],
            "waste": [163 * MB, 0],
        },
        index=["single", "optimized"],
    )


def layers_table(rows: list[tuple[str, int | None, float, float]]) -> pd.DataFrame:
    """Layers from (instruction, line, stored MB, added MB)."""
    table = pd.DataFrame(rows, columns=["instruction", "line", "bytes", "change_bytes"])
    table.insert(0, "index", range(len(table)))
    table["line"] = table["line"].astype("Int64")
    for column in ("bytes", "change_bytes"):
        table[column] = (table[column] * MB).round().astype("int64")
    table["running_bytes"] = table["change_bytes"].cumsum()
    return table


SINGLE = layers_table(
    [
        ("debian", None, 118.3, 118.3),
        ("RUN /bin/sh -c apt-get install -y git mercurial subversion # buildkit", None, 225, 225),
        ("RUN apt-get install -y autoconf automake g++ gcc imagemagick libpq-dev", None, 561, 560.6),
        ("WORKDIR /app", 7, 0, 0),
        ("COPY . .", 9, 0.021, 0.021),
        ("RUN apt-get update", 12, 21.4, 21.4),
        ("RUN apt-get install -y build-essential gcc g++ make curl vim git libffi-dev", 13, 412, 411),
        ("RUN pip install --upgrade pip", 16, 14.5, 3.2),
        ("RUN pip install -r requirements.txt", 18, 415, 414),
        ("RUN rm -rf /var/lib/apt/lists/* /tmp/pip && apt-get clean", 20, 0, -157.4),
    ]
)
WASTE = pd.DataFrame(
    [
        (5, 20_900_000, "deleted", 9, 20),
        (8, 136_500_000, "deleted", 9, 20),
        (8, 500_000, "hidden", 9, 20),
        (1, 11_000_000, "overwritten", 7, 16),
        (1, 300_000, "deleted", 7, 16),
        (1, 0, "deleted", 8, 18),
        (0, 100_000, "overwritten", 2, None),
        (8, 1_000_000, "deleted", 9, 20),
    ],
    columns=["layer", "bytes", "cause", "by_layer", "by_line"],
).astype({"by_line": "Int64"})
CLEAN = layers_table([("FROM base", None, 130, 130), ("COPY --from=build /venv /venv", 21, 132, 132)])


def beside_table(wasted: float = 0.1) -> pd.DataFrame:
    """Three images' layers in one table; of those of the first two, this share is waste."""
    images = {"your image": (SINGLE, wasted), "single": (SINGLE, wasted), "optimized": (CLEAN, 0.0)}
    tables = [
        layers.assign(image=image, wasted_bytes=(layers["bytes"] * share).astype("int64"))
        for image, (layers, share) in images.items()
    ]
    return pd.concat(tables, ignore_index=True)


def owners_table() -> pd.DataFrame:
    rows = [
        ("single", "dpkg:gcc-14", "compilers", 210 * MB),
        ("single", "python:pandas", "python packages", 100 * MB),
        ("single", "python:pandas", "python packages", 18 * MB),
        ("single", "", "interpreter", 62 * MB),
        ("optimized", "python:pandas", "python packages", 62 * MB),
        ("optimized", "", "interpreter", 48 * MB),
    ]
    rows += [("single", f"dpkg:lib{n}", "system", 2 * MB) for n in range(30)]
    return pd.DataFrame(rows, columns=["image", "name", "part", "bytes"])


STEPS = [
    ("build", "FROM python:3.13-trixie AS build"),
    ("build", "COPY requirements.txt ."),
    ("build", "RUN pip install -r requirements.txt"),
    ("final", "FROM python:3.13-slim-trixie"),
    ("final", "COPY --from=build /venv /venv"),
    ("final", "COPY app app"),
]


def rebuilds_table() -> pd.DataFrame:
    seconds = {
        "nothing": [None] * 6,
        "the code": [None] * 5 + [0.06],
        "requirements": [None, 0.05, 7.9, None, 0.9, 0.04],
    }
    return pd.DataFrame(
        [
            (change, *step, float("nan") if spent is None else spent, spent is None)
            for change, column in seconds.items()
            for step, spent in zip(STEPS, column, strict=True)
        ],
        columns=["change", "stage", "instruction", "seconds", "cached"],
    )


DOCKERFILE = """# syntax is not needed
FROM python:3.13-slim-trixie
RUN apt-get update \\
    && apt-get install -y gcc

COPY app app
"""
COSTS = pd.DataFrame(
    {"line": [2, 3, 6, 6], "bytes": [130 * MB, 45 * MB, 15_000, 5_000], "seconds": [0, 4.2, None, 0.1]}
)
FLOW = pd.DataFrame(
    [
        ("copied", "python packages", 132 * MB),
        ("left behind", "compilers", 742 * MB),
        ("left behind", "system", 612 * MB),
        ("own", "interpreter", 48 * MB),
        ("own", "app", 20_000),
    ],
    columns=["fate", "part", "bytes"],
)

PICTURES: dict[str, Callable[[], Picture]] = {
    "sizes": lambda: plots.sizes(sizes_table(single=1851, optimized=262)),
    "parts": lambda: plots.parts(parts_table()),
    "staircase": lambda: plots.staircase(SINGLE, "single"),
    "staircase without waste": lambda: plots.staircase(CLEAN, "optimized"),
    "waste": lambda: plots.waste(SINGLE, WASTE, "single"),
    "waste without any": lambda: plots.waste(CLEAN, WASTE.iloc[:0], "optimized"),
    "owners": lambda: plots.owners(owners_table()),
    "rebuilds": lambda: plots.rebuilds(rebuilds_table()),
    "dockerfile": lambda: plots.dockerfile(DOCKERFILE, COSTS),
    "flow": lambda: plots.flow(FLOW),
    "beside": lambda: plots.beside(beside_table()),
}


def hostile_pictures() -> dict[str, Callable[[], Picture]]:
    """Every picture with hostile text wherever it takes text, and with extreme numbers and sizes."""
    many = [(f"{HOSTILE[n % 12]} {n}", n + 1, n % 7 * 31.0, n % 7 * 31.0 - n % 2 * 20) for n in range(40)]
    layers = layers_table(many)
    wasted = pd.DataFrame(
        {
            "layer": layers["index"],
            "bytes": layers["bytes"] - layers["bytes"] // 3,
            "cause": list(itertools.islice(itertools.cycle(style.CAUSES), 40)),
            "by_layer": 39,
            "by_line": pd.array([1_000_000] * 40, dtype="Int64"),
        }
    )
    names = [f"{text}{n}" for n, text in enumerate(HOSTILE)]
    parts = pd.DataFrame({part: [123 * MB] * 5 for part in [*style.PARTS, *HOSTILE]}, index=names[:5])
    owned = pd.DataFrame(
        [
            (image, name, part, n * 12_345_678)
            for image in names[:5]
            for n, name in enumerate(names)
            for part in style.PARTS
        ],
        columns=["image", "name", "part", "bytes"],
    )
    steps = pd.DataFrame(
        [
            (names[c], text, text, 0.013 * 9**c if n % 3 else 0.0, n % 3 == 0)
            for c in range(5)
            for n, text in enumerate(names)
        ],
        columns=["change", "stage", "instruction", "seconds", "cached"],
    )
    tiny = pd.DataFrame(
        {"name": names, "bytes": [0, 1, 10, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12]}
    )
    source = "\n".join(f"   RUN {text.splitlines()[0] if text.strip() else text}" for text in HOSTILE)
    costs = pd.DataFrame({"line": range(1, 13), "bytes": [1] * 12, "seconds": [10**n / 1e4 for n in range(12)]})
    lines = layers_table([("RUN true", None, 0, 0)])
    flows = pd.DataFrame({"fate": "copied", "part": HOSTILE, "bytes": 10**9})
    return {
        "40 layers": lambda: plots.staircase(layers, HOSTILE[3]),
        "40 layers' waste": lambda: plots.waste(layers, wasted, HOSTILE[0]),
        "1 empty layer": lambda: plots.staircase(lines),
        "1 empty layer's waste": lambda: plots.waste(lines, wasted.iloc[:0]),
        "5 images of 20 parts": lambda: plots.parts(parts),
        "1 image without parts": lambda: plots.parts(pd.DataFrame({"app": [0]}, index=["empty"])),
        "12 images": lambda: plots.sizes(tiny),
        "1 image": lambda: plots.sizes(sizes_table(one=0)),
        "5 images by owner": lambda: plots.owners(owned, top=30),
        "1 image by owner": lambda: plots.owners(owned[owned["image"] == names[0]], top=1),
        "5 rebuilds": lambda: plots.rebuilds(steps),
        "1 rebuild, all cached": lambda: plots.rebuilds(rebuilds_table().iloc[:6]),
        "a hostile Dockerfile": lambda: plots.dockerfile(source, costs),
        "a Dockerfile of 150 lines": lambda: plots.dockerfile("RUN true\n" * 150, costs[["line", "bytes"]]),
        "everything copied": lambda: plots.flow(flows, HOSTILE[3], HOSTILE[0]),
        "40 layers beside 5 images": lambda: plots.beside(
            pd.concat([layers.assign(image=name, wasted_bytes=layers["bytes"] // 2) for name in names[:6]])
        ),
        "1 empty layer beside nothing": lambda: plots.beside(lines.assign(image="", wasted_bytes=0)),
        "nothing copied": lambda: plots.flow(FLOW[FLOW["fate"] == "own"]),
    }


EVERY = PICTURES | hostile_pictures()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    """Every picture, drawn once."""
    return {name: draw() for name, draw in EVERY.items()}


# How a figure is read back.


def bars(picture: Picture, axes: int = 0) -> list[Rectangle]:
    return [patch for patch in picture.figure.axes[axes].patches if isinstance(patch, Rectangle)]


def widths(picture: Picture, gid: str, axes: int = 0) -> list[float]:
    """How wide the bars with this gid are, in the units of the scale, from the top down."""
    found = [bar for bar in bars(picture, axes) if bar.get_gid() == gid]
    return [bar.get_width() for bar in sorted(found, key=lambda bar: bar.get_y())]


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def strings(picture: Picture) -> list[str]:
    return [text.get_text() for text in texts(picture.figure)]


class TestSizes:
    def test_bars_are_as_long_as_the_images(self) -> None:
        """There is a bar per image, as long as its size in MB, with the size beside it."""
        picture = plots.sizes(sizes_table(single=1851, optimized=262))

        assert widths(picture, "total") == [1851, 262]
        assert {"single", "optimized", "1851 MB", "262 MB"} <= set(strings(picture))

    def test_the_answer_compares_the_smallest_with_the_largest(self) -> None:
        """The ratio is that of the two sizes, in the picture and in its alternative text."""
        picture = plots.sizes(sizes_table(single=1851, optimized=262))

        sentence = "optimized is 7.1 times smaller than single."
        assert sentence in strings(picture)
        assert sentence in picture.alt

    def test_one_image_is_compared_with_nothing(self) -> None:
        """A single image has a bar and no ratio."""
        picture = plots.sizes(sizes_table(one=5))

        assert widths(picture, "total") == [5]
        assert "times" not in picture.alt


class TestParts:
    def test_stacks_end_at_the_total(self) -> None:
        """The parts of an image stand end to end, and their widths sum to its bytes."""
        table = parts_table()
        picture = plots.parts(table)

        rows: dict[float, list[Rectangle]] = {}
        for bar in bars(picture):
            rows.setdefault(bar.get_y(), []).append(bar)
        for (_, stack), total in zip(sorted(rows.items()), table.sum(axis=1), strict=True):
            ends = np.cumsum([0.0, *(bar.get_width() for bar in stack)])
            np.testing.assert_allclose([bar.get_x() for bar in stack], ends[:-1])
            assert ends[-1] * MB == pytest.approx(total)

    def test_a_bar_per_part_that_is_there(self) -> None:
        """A part of no bytes has no bar; every other has one in its colour and hatching."""
        table = parts_table()
        found = bars(plots.parts(table))

        assert len(found) == (table > 0).to_numpy().sum()
        for bar in found:
            look = style.PARTS[str(bar.get_gid())]
            assert (to_hex(bar.get_facecolor()).upper(), bar.get_hatch() or "") == (look.fill, look.hatch)

    def test_waste_comes_last(self) -> None:
        """What is useful is stacked first, and waste last, whatever the order of the columns."""
        table = parts_table()
        picture = plots.parts(table[table.columns[::-1]])

        assert list(picture.data.columns) == list(table.columns)

    def test_unknown_parts_are_other(self) -> None:
        """Parts without a look of their own are added to `other`, and no byte is lost."""
        picture = plots.parts(pd.DataFrame({"fonts": [3 * MB], "other": [2 * MB], "app": [MB]}, index=["one"]))

        assert widths(picture, "other") == [5]
        assert picture.data.to_numpy().sum() == 6 * MB

    def test_every_number_is_written(self) -> None:
        """Below the bars stands how much each image holds of each part."""
        table = parts_table()
        shown = strings(plots.parts(table))

        for count in table.to_numpy().ravel():
            assert labels.megabytes(count) in shown


class TestStaircase:
    def test_stored_bytes_only_go_on(self) -> None:
        """Each layer's upper bar starts where the last one ended and is as long as what it stores."""
        found = [bar for bar in bars(plots.staircase(SINGLE)) if bar.get_gid() == "stored"]

        stored = SINGLE["bytes"][SINGLE["bytes"] > 0]
        np.testing.assert_allclose([bar.get_width() * MB for bar in found], stored)
        np.testing.assert_allclose([bar.get_x() * MB for bar in found], stored.cumsum() - stored)

    def test_a_deletion_goes_back(self) -> None:
        """What a container sees grows by what a layer adds; a deletion leads back, hatched, to the running total."""
        picture = plots.staircase(SINGLE)
        (back,) = [bar for bar in bars(picture) if bar.get_gid() == "takes away"]

        assert widths(picture, "adds") == pytest.approx(SINGLE["change_bytes"][SINGLE["change_bytes"] > 0] / MB)
        assert back.get_x() * MB == pytest.approx(SINGLE["running_bytes"].iloc[-1])
        assert back.get_width() == pytest.approx(157.4)
        assert back.get_hatch()

    def test_waste_is_what_lies_between_the_ends(self) -> None:
        """The last bar runs from the end of the live bytes to the end of the stored ones."""
        picture = plots.staircase(SINGLE)
        (waste,) = [bar for bar in bars(picture) if bar.get_gid() == "waste"]

        live, stored = SINGLE["running_bytes"].iloc[-1], SINGLE["bytes"].sum()
        assert (waste.get_x() * MB, (waste.get_x() + waste.get_width()) * MB) == pytest.approx((live, stored))
        assert f"{labels.megabytes(stored - live)} MB waste" in strings(picture)

    def test_three_numbers_per_layer(self) -> None:
        """Each row says what is stored, what it adds and the running total; a deletion stores 0."""
        shown = strings(plots.staircase(SINGLE))

        for column in ("bytes", "change_bytes", "running_bytes"):
            wanted = [labels.megabytes(count) for count in SINGLE[column]]
            assert all(shown.count(number) >= wanted.count(number) for number in wanted)
        assert "−157" in shown

    def test_rows_name_their_lines(self) -> None:
        """A row is labelled by its line and instruction; layers below the first known line are the base's."""
        shown = strings(plots.staircase(SINGLE))

        assert shown.count("base") == 3
        assert {"7", "20", "WORKDIR /app", "RUN pip install -r requirements.txt"} <= set(shown)

    def test_the_alternative_text_names_the_deletion(self) -> None:
        """It says which line takes away how much and stores nothing, and what is wasted."""
        alt = plots.staircase(SINGLE, "single").alt

        assert "line 20, RUN rm -rf /var/lib/apt/lists/* /tmp/pip && apt-get clean, stores 0 MB" in alt
        assert "takes away 157 MB" in alt
        assert "Waste: 171 MB" in alt

    def test_no_waste_is_said(self) -> None:
        """An image without waste has no waste bar and says that a container sees all of it."""
        picture = plots.staircase(CLEAN)

        assert widths(picture, "waste") == []
        assert "A container sees all of it" in picture.alt

    def test_a_wrong_running_total_is_refused(self) -> None:
        """A table of which rows are missing is not drawn as if it were whole."""
        with pytest.raises(UsageError, match="running total"):
            plots.staircase(SINGLE.iloc[1:])

    @given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=8))
    @settings(max_examples=12, deadline=None)
    def test_live_and_waste_make_the_total(self, layers: list[tuple[int, int]]) -> None:
        """Whatever the layers, the bars of live bytes and of waste together end where the stored ones do."""
        rows, live = [], 0
        for stored, removed in layers:
            change = stored - min(removed, live + stored)
            live += change
            rows.append((stored, change))
        table = pd.DataFrame(rows, columns=["bytes", "change_bytes"]).assign(instruction="RUN x", line=1)
        table = table.assign(index=range(len(table)), running_bytes=table["change_bytes"].cumsum())
        picture = plots.staircase(table)

        net = sum(widths(picture, "adds")) - sum(widths(picture, "takes away")) + sum(widths(picture, "waste"))
        assert net == pytest.approx(sum(widths(picture, "stored")), abs=1e-3)


class TestWaste:
    def test_live_and_wasted_make_each_layer(self) -> None:
        """A layer's segments stand end to end and sum to what it stores."""
        found = bars(plots.waste(SINGLE, WASTE))

        for row, stored in enumerate(SINGLE["bytes"]):
            stack = [bar for bar in found if bar.get_y() < row + 0.5 < bar.get_y() + bar.get_height()]
            assert sum(bar.get_width() for bar in stack) * MB == pytest.approx(stored)
            assert [bar.get_x() for bar in stack] == pytest.approx(
                list(np.cumsum([0.0, *(bar.get_width() for bar in stack)])[:-1])
            )

    def test_causes_sum_to_the_waste(self) -> None:
        """Over all layers, the segments of each cause sum to the wasted bytes of that cause."""
        picture = plots.waste(SINGLE, WASTE)

        for cause, count in WASTE.groupby("cause")["bytes"].sum().items():
            assert sum(widths(picture, str(cause))) * MB == pytest.approx(count)

    def test_the_cause_is_written_beside_its_layer(self) -> None:
        """The largest cause of each layer's waste is named with its line, or its layer, and the rest summed up."""
        shown = strings(plots.waste(SINGLE, WASTE))

        assert {"21 deleted by line 20", "138 deleted by line 20, 0.5 more", "0.1 overwritten by layer 2"} <= set(
            shown
        )

    def test_causes_differ_by_hatching(self) -> None:
        """The key names the causes that are there, and no two causes have the same hatching."""
        picture = plots.waste(SINGLE, WASTE)
        hatches = {bar.get_gid(): bar.get_hatch() for bar in bars(picture) if bar.get_gid() != "live_bytes"}

        assert set(hatches) == {"deleted", "overwritten", "hidden"}
        assert len(set(hatches.values())) == 3
        assert set(hatches) <= set(strings(picture))

    def test_no_waste_is_said(self) -> None:
        """Without waste there are live bytes alone, and the answer says so."""
        picture = plots.waste(CLEAN, WASTE.iloc[:0], "optimized")

        assert {bar.get_gid() for bar in bars(picture)} == {"live_bytes"}
        assert "optimized: 0 of 262 MB are waste" in picture.alt

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"layer": 99}, "layer that is not there"),
            ({"cause": "lost"}, "unknown cause 'lost'"),
            ({"bytes": 10**10}, "more waste than bytes"),
        ],
    )
    def test_tables_of_different_images_are_refused(self, change: dict[str, object], message: str) -> None:
        """Waste that cannot belong to these layers is not drawn."""
        with pytest.raises(UsageError, match=message):
            plots.waste(SINGLE, WASTE.assign(**change))


class TestOwners:
    def test_a_bar_per_owner_and_image(self) -> None:
        """Each image has the same rows; an owner that it lacks has a dash and no bar."""
        picture = plots.owners(owners_table(), top=3)
        single, optimized = ({bar.get_gid(): bar.get_width() for bar in bars(picture, n)} for n in (0, 1))

        assert single == {"gcc-14": 210, "pandas": 118, "interpreter (no package)": 62}
        assert optimized == {"pandas": 62, "interpreter (no package)": 48}
        assert "–" in strings(picture)

    def test_scales_are_the_same(self) -> None:
        """The images can be compared by eye: a MB is as long in each."""
        picture = plots.owners(owners_table())

        assert len({axes.get_xlim() for axes in picture.figure.axes}) == 1
        assert len({round(axes.bbox.width, 3) for axes in picture.figure.axes}) == 1

    def test_others_and_all_are_summed(self) -> None:
        """What has no bar of its own is in the row of the others; the last row is everything."""
        table = owners_table()
        picture = plots.owners(table, top=3)
        rest, total = (picture.data.iloc[row] for row in (-2, -1))

        assert (rest["name"], rest["single"], rest["optimized"]) == ("30 others", 60 * MB, 0)
        assert total["single"] == table.loc[table["image"] == "single", "bytes"].sum()
        assert {"30 others", "in all", "60", "450", "110"} <= set(strings(picture))

    def test_packages_are_coloured_by_manager(self) -> None:
        """`Image.packages` with a column for the image is enough."""
        table = pd.DataFrame(
            {
                "image": "a",
                "name": ["perl", "flask"],
                "manager": pd.Categorical(["dpkg", "python"]),
                "bytes": [2 * MB, MB],
            }
        )
        fills = [to_hex(bar.get_facecolor()).upper() for bar in bars(plots.owners(table))]

        assert fills == [style.PARTS["system"].fill, style.PARTS["python packages"].fill]

    def test_too_many_images_are_refused(self) -> None:
        """Columns that would be too narrow to read are not drawn."""
        table = pd.DataFrame({"image": list("abcdef"), "name": "x", "part": "app", "bytes": 1})
        with pytest.raises(UsageError, match="6 images"):
            plots.owners(table)


class TestRebuilds:
    def test_cached_steps_are_hollow(self) -> None:
        """A cached step is a box in the card's own colour; one that ran is filled and as long as it took."""
        picture = plots.rebuilds(rebuilds_table())
        hollow = [[bar for bar in bars(picture, n) if bar.get_gid() == "cached"] for n in range(3)]

        assert [len(boxes) for boxes in hollow] == [6, 5, 2]
        assert {to_hex(box.get_facecolor()).upper() for box in itertools.chain(*hollow)} == {style.CARD}
        assert [widths(picture, "ran", n) for n in range(3)] == [[], [0.06], [0.05, 7.9, 0.9, 0.04]]

    def test_steps_follow_each_other(self) -> None:
        """A step starts where the one before it ended, so that the last one ends at the build's seconds."""
        picture = plots.rebuilds(rebuilds_table())
        ran = [bar for bar in bars(picture, 2) if bar.get_gid() == "ran"]

        assert [bar.get_x() for bar in ran] == pytest.approx([0, 0.05, 7.95, 8.85])
        assert ran[-1].get_x() + ran[-1].get_width() == pytest.approx(8.89)

    def test_builds_share_rows_and_scale(self) -> None:
        """The same step stands in the same row of each build, and a second is as long in each."""
        picture = plots.rebuilds(rebuilds_table())

        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in picture.figure.axes}) == 1
        assert strings(picture).count("COPY app app") == 1

    def test_counts_and_seconds_are_written(self) -> None:
        """Over each build stands how many steps ran and how long they took; the alternative text says the same."""
        picture = plots.rebuilds(rebuilds_table())
        counted = ["0 of 6 steps, 0 s", "1 of 6 steps, 0.1 s", "4 of 6 steps, 8.9 s"]

        assert set(counted) <= set(strings(picture))
        assert all(text in picture.alt for text in counted)

    def test_an_instruction_twice_is_two_steps(self) -> None:
        """The same instruction in two places of a stage has two rows, in every build."""
        table = pd.DataFrame(
            [(c, "final", "RUN true", s, False) for c in "ab" for s in (1.0, 2.0)],
            columns=["change", "stage", "instruction", "seconds", "cached"],
        )
        picture = plots.rebuilds(table)

        assert strings(picture).count("RUN true") == 2
        assert [widths(picture, "ran", n) for n in (0, 1)] == [[1, 2], [1, 2]]

    def test_a_base_that_is_here_is_not_run_again(self) -> None:
        """BuildKit takes no FROM from the cache; one that had nothing to fetch is hollow all the same."""
        table = pd.DataFrame(
            {"change": "x", "stage": ["0", "1"], "instruction": ["FROM a", "FROM b"], "seconds": [0.0003, 9.0]}
        )
        picture = plots.rebuilds(table.assign(cached=False))

        assert [bar.get_gid() for bar in bars(picture)] == ["cached", "ran"]
        assert {"stage 0", "stage 1", "1 of 2 steps, 9.0 s"} <= set(strings(picture))

    def test_hollow_boxes_stay_within_their_build(self) -> None:
        """A cached step after all others is drawn whole."""
        table = pd.DataFrame(
            {"change": "x", "stage": "s", "instruction": ["a", "b"], "seconds": [3.0, 0.0], "cached": [False, True]}
        )
        picture = plots.rebuilds(table)
        (box,) = [bar for bar in bars(picture) if bar.get_gid() == "cached"]

        assert box.get_x() == 3.0
        assert box.get_x() + box.get_width() <= picture.figure.axes[0].get_xlim()[1]


class TestDockerfile:
    def test_bars_stand_beside_their_lines(self) -> None:
        """The bar of a line is in the line's row and as long as its sum of bytes, or of seconds."""
        picture = plots.dockerfile(DOCKERFILE, COSTS)
        stored, built = (
            {round(bar.get_y() + 0.31 + 0.5): bar.get_width() for bar in bars(picture, n)} for n in (0, 1)
        )

        assert stored == {1: 130 * MB, 2: 45 * MB, 4: 20_000}
        assert built == {2: 4.2, 4: 0.1}

    def test_every_instruction_is_there(self) -> None:
        """Every line of an instruction is drawn with its number and its indentation; comments are left out."""
        shown = texts(plots.dockerfile(DOCKERFILE, COSTS).figure)
        starts = {text.get_text(): text.get_window_extent().x0 for text in shown}

        assert {"2", "3", "4", "6", "FROM python:3.13-slim-trixie", "COPY app app"} <= set(starts)
        assert not {"1", "5", "# syntax is not needed"} & set(starts)
        assert starts["&& apt-get install -y gcc"] > starts["RUN apt-get update \\"]

    def test_the_dearest_lines_are_named(self) -> None:
        """The answer says which line stores most and which takes longest."""
        answer = "Stores most: line 2, 130 MB. Takes longest: line 3, 4.2 s."

        assert answer in strings(plots.dockerfile(DOCKERFILE, COSTS))

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("", 2, "does not have"),
            ("# nothing\n\n", pd.NA, "0 lines of instructions"),
            ("FROM a\n" * 151, 1, "151 lines"),
            ("FROM a", 2, "does not have"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, text: str, line: object, message: str) -> None:
        """An empty Dockerfile, an endless one and a line that it lacks are said, not drawn."""
        with pytest.raises(UsageError, match=message):
            plots.dockerfile(text, pd.DataFrame({"line": [line], "bytes": [1]}))


class TestFlow:
    def test_both_bars_begin_with_what_is_copied(self) -> None:
        """The stage is what is copied and left behind, the image what is copied and its own."""
        picture = plots.flow(FLOW)
        sums = FLOW.groupby("fate")["bytes"].sum() / MB
        rows: dict[float, float] = {}
        for bar in bars(picture):
            rows[bar.get_y()] = max(rows.get(bar.get_y(), 0), bar.get_x() + bar.get_width())

        assert widths(picture, "copied: python packages") == [132, 132]
        assert [rows[y] for y in sorted(rows)] == pytest.approx(
            [sums["copied"] + sums["left behind"], sums["copied"] + sums["own"]]
        )

    def test_sums_are_written(self) -> None:
        """What is copied, left behind and the image's own stand beside the bars and in the alternative text."""
        picture = plots.flow(FLOW)

        for text in ("copied: 132 MB", "left behind: 1354 MB", "its own base and files: 48 MB", "1486 MB", "180 MB"):
            assert text in strings(picture)
        assert "132 of 1486 MB are copied, 1354 MB left behind" in picture.alt

    def test_an_unknown_fate_is_refused(self) -> None:
        """Bytes that are neither copied, left behind nor the image's own have no place."""
        with pytest.raises(UsageError, match="unknown fate 'lost'"):
            plots.flow(FLOW.assign(fate="lost"))


class TestBeside:
    def test_a_stack_of_layers_for_each_image(self) -> None:
        """The layers of an image stand end to end up to its size, each as long as what it stores."""
        table = beside_table()
        rows: dict[float, list[Rectangle]] = {}
        for bar in bars(plots.beside(table)):
            rows.setdefault(bar.get_y(), []).append(bar)

        totals = table.groupby("image", sort=False)["bytes"].sum()
        for (_, stack), total in zip(sorted(rows.items()), totals, strict=True):
            ends = np.cumsum([0.0, *(bar.get_width() for bar in stack)])
            np.testing.assert_allclose([bar.get_x() for bar in stack], ends[:-1], atol=1e-9)
            assert ends[-1] * MB == pytest.approx(total)

    def test_base_own_and_waste_are_told_apart(self) -> None:
        """What came with the base, what the Dockerfile's lines store and what nobody sees add up to the image."""
        table = beside_table(wasted=0.25)
        picture = plots.beside(table[table["image"] == "your image"])
        base, own, waste = (sum(widths(picture, gid)) for gid in ("base", "own", "waste"))
        is_base = SINGLE["line"].isna()

        assert base == pytest.approx(SINGLE.loc[is_base, "bytes"].sum() / MB * 0.75)
        assert own == pytest.approx(SINGLE.loc[~is_base, "bytes"].sum() / MB * 0.75)
        assert waste == pytest.approx(SINGLE["bytes"].sum() / MB * 0.25)

    def test_the_first_image_is_listed_line_by_line(self) -> None:
        """Each of its layers has a bar of its own with the line and the number; other images have none."""
        picture = plots.beside(beside_table())
        listed = [bar for bar in bars(picture, axes=1) if "layer" in str(bar.get_gid())]

        for row, stored in enumerate(SINGLE["bytes"] / MB):
            pieces = [bar.get_width() for bar in listed if str(bar.get_gid()).endswith(f"layer {row}")]
            assert sum(pieces) == pytest.approx(stored)
        assert {"7", "9", "12", "13", "16", "18", "20", "base"} <= set(strings(picture))
        assert not [text for text in strings(picture) if "/venv" in text]

    @pytest.mark.parametrize(
        ("sizes", "answer"),
        [
            ((100, 1000, 50), "a is 10 times smaller than b, 2.0 times larger than c."),
            ((100, 100, 100), "a is as large as b, as large as c."),
            ((100, 0), ""),
            ((100,), ""),
        ],
    )
    def test_the_answer_compares_the_first_with_each_other(self, sizes: tuple[int, ...], answer: str) -> None:
        """By how many times, in which direction; nothing where there is nothing to compare with."""
        rows = [(name, 0, "COPY x", 2, size * MB, 0) for name, size in zip("abc", sizes, strict=False)]
        columns = ["image", "index", "instruction", "line", "bytes", "wasted_bytes"]
        picture = plots.beside(pd.DataFrame(rows, columns=columns))

        assert picture.alt.endswith(answer)
        assert not answer or answer in strings(picture)

    def test_the_alternative_text_says_what_is_large(self) -> None:
        """Sizes, the base's share, the waste and the largest lines of each image."""
        alt = plots.beside(beside_table()).alt

        assert "your image 1767 MB in 10 layers, of which the base image's 904 MB" in alt
        assert "seen by no container 177 MB" in alt
        assert "line 18 (RUN pip install -r requirements.txt) 415 MB" in alt
        assert "optimized 262 MB in 2 layers" in alt


class TestTables:
    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (pd.DataFrame({"name": ["a"]}), "no column 'bytes'"),
            (pd.DataFrame({"name": [], "bytes": []}), "no rows"),
            (pd.DataFrame({"name": ["a"], "bytes": [-1]}), "non-negative"),
            (pd.DataFrame({"name": ["a"], "bytes": [float("nan")]}), "finite"),
            (pd.DataFrame({"name": ["a"], "bytes": [float("inf")]}), "finite"),
            (pd.DataFrame({"name": ["a"], "bytes": ["much"]}), "finite"),
        ],
    )
    def test_what_cannot_be_drawn_is_said(self, table: pd.DataFrame, message: str) -> None:
        """A table that lacks something gets a message with a remedy, not a strange picture."""
        with pytest.raises(UsageError, match=message) as caught:
            plots.sizes(table)

        assert caught.value.remedy

    def test_the_caller_s_table_stays_as_it_is(self) -> None:
        """Drawing changes nothing in what was passed."""
        tables = [SINGLE.copy(), WASTE.copy()]
        plots.waste(SINGLE, WASTE)

        pd.testing.assert_frame_equal(SINGLE, tables[0])
        pd.testing.assert_frame_equal(WASTE, tables[1])


@pytest.mark.parametrize("name", EVERY)
class TestEveryPicture:
    def test_no_text_overlaps(self, drawn: dict[str, Picture], name: str) -> None:
        """No two texts touch, and none leaves the card, whatever the labels and numbers are."""
        figure = drawn[name].figure
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        width, height = figure.bbox.size

        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across < 1 or down < 1, (one, other)
        for text, box in boxes:
            assert box.x0 > 0 and box.y0 > 0 and box.x1 < width and box.y1 < height, text  # noqa: PT018

    def test_text_is_large_enough(self, drawn: dict[str, Picture], name: str) -> None:
        """Letters are set in at least 11 pixels of a page on which the picture is 900 pixels wide."""
        figure = drawn[name].figure
        pixel = figure.bbox.width / 900

        assert all(text.get_fontsize() * figure.dpi / 72 / pixel >= 11 for text in texts(figure))

    def test_text_stands_out(self, drawn: dict[str, Picture], name: str) -> None:
        """The contrast of each text to what lies behind it is at least 4.5, as WCAG 2.2 asks."""
        for text in texts(drawn[name].figure):
            patch = text.get_bbox_patch()
            behind = to_hex(patch.get_facecolor()) if patch else style.CARD
            if to_hex(text.get_color()) == "#ffffff" and not patch:
                behind = style.RAN.fill  # on a bar that has no hatching
            assert style.contrast(to_hex(text.get_color()), behind) >= 4.5

    def test_nothing_is_taken_for_a_formula(self, drawn: dict[str, Picture], name: str) -> None:
        """Dollar signs are dollar signs, and each text is one line of characters that its font has."""
        for text in texts(drawn[name].figure):
            assert not text.get_parse_math()
            assert not text.get_usetex()
            assert text.get_text().isprintable() or labels.UNKNOWN in text.get_text()

    def test_bars_stay_within_their_axes(self, drawn: dict[str, Picture], name: str) -> None:
        """No bar is cut off."""
        for axes in drawn[name].figure.axes:
            for patch in axes.patches:
                box = patch.get_extents()
                assert axes.bbox.x0 - 1 <= box.x0
                assert box.x1 <= axes.bbox.x1 + 1

    def test_the_alternative_text_is_one_plain_paragraph(self, drawn: dict[str, Picture], name: str) -> None:
        """It can be read out: sentences without line breaks or control characters, and not endless."""
        alt = drawn[name].alt

        assert alt.endswith(".")
        assert all(character.isprintable() or character == labels.UNKNOWN for character in alt)
        assert len(alt) < 2500


class TestPicture:
    @pytest.mark.parametrize("name", [*PICTURES, "a hostile Dockerfile", "12 images"])
    def test_it_can_be_rendered(self, drawn: dict[str, Picture], name: str) -> None:
        """The file is a PNG of twice 900 pixels, opaque but for its corners, described by its text."""
        picture = drawn[name]
        image = Image.open(io.BytesIO(picture.png()))
        image.load()
        opaque = np.asarray(image.convert("RGBA"))[..., 3] == 255

        assert image.size[0] == 1800
        assert image.info["Description"] == picture.alt
        assert opaque[:, 40:-40][40:-40].all()
        assert opaque.mean() > 0.95

    def test_the_text_form_holds_no_number(self) -> None:
        """The text form, which nbval compares, is the same on two machines whose images differ in size."""
        here, there = (plots.sizes(sizes_table(single=size, optimized=262)) for size in (1851, 1744))

        assert repr(here) == repr(there) == "<Picture: How large is each image?>"

    def test_a_notebook_gets_a_picture_and_its_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Displayed, it gives a PNG with its alternative text as metadata, then the same text to read."""
        picture = plots.sizes(sizes_table(single=1851, optimized=262))
        shown: list[tuple[dict[str, Any], dict[str, Any]]] = []
        monkeypatch.setattr(
            "IPython.display.display", lambda data, metadata=None, *, raw: shown.append((data, metadata))
        )
        picture._ipython_display_()
        (image, metadata), (words, _) = shown

        assert image == {"image/png": picture.png(), "text/plain": repr(picture)}
        height = round(picture.figure.bbox.height / 2)
        assert metadata == {"image/png": {"alt": picture.alt, "width": 900, "height": height}}
        assert set(words) == {"text/html"}
        assert "single 1851 MB, optimized 262 MB" in words["text/html"]

    def test_the_words_are_escaped_html_on_one_line(self) -> None:
        """A hostile name is text in HTML, and a sanitiser's pattern for a line takes in all of the words."""
        picture = plots.sizes(sizes_table(**{'<img src=x onerror="x">': 1, "b\n": 2}))
        words = picture.words()

        assert "<img" not in words
        assert "&lt;img src=x" in words
        assert "\n" not in words

    def test_nbconvert_shows_the_alternative_text(self) -> None:
        """A page made from a notebook has it as the picture's alt."""
        exporter = pytest.importorskip("nbconvert").HTMLExporter(template_name="classic")
        picture = plots.sizes(sizes_table(single=1851, optimized=262))
        data, metadata = picture._repr_mimebundle_()
        data["image/png"] = "iVBORw0KGgo="
        output = new_output("display_data", data=data, metadata=metadata)
        page, _ = exporter.from_notebook_node(new_notebook(cells=[new_code_cell(outputs=[output])]))

        assert f'alt="{picture.alt}"' in page

    def test_saved_file_is_the_picture(self, tmp_path: Path) -> None:
        """`save` writes the PNG and returns where."""
        picture = plots.flow(FLOW)
        path = picture.save(tmp_path / "flow.png")

        assert path.read_bytes() == picture.png()

    def test_a_learner_s_settings_change_nothing(self) -> None:
        """The picture is the same to the byte under other rcParams, at drawing and at rendering."""
        usual = plots.parts(parts_table()).png()
        settings = {
            "figure.dpi": 30, "figure.autolayout": True, "figure.facecolor": "black", "axes.facecolor": "red",
            "axes.grid": True, "text.color": "white", "font.size": 30, "font.family": "monospace",
            "hatch.linewidth": 5, "hatch.color": "white", "patch.linewidth": 4, "lines.linewidth": 9,
            "lines.marker": "o", "axes.xmargin": 0.4, "text.parse_math": True, "axes.unicode_minus": False,
        }  # fmt: skip
        with mpl.rc_context(settings):
            other = plots.parts(parts_table()).png()

        assert other == usual

    def test_pyplot_holds_no_figure(self, drawn: dict[str, Picture]) -> None:
        """The pictures leave no global state behind, so that threads can draw, and nothing is kept in memory."""
        assert len(drawn) == len(EVERY)
        assert Gcf.get_all_fig_managers() == []


# Colour vision deficiency of severity 1 in linear RGB: Machado, Oliveira and Fernandes, "A Physiologically-based
# Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# sRGB to XYZ under D65 (IEC 61966-2-1), and the white point.
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]


def lab(colour: str, deficiency: str) -> np.ndarray:
    """A colour's place in CIE 1976 L*a*b*, as seen with a deficiency."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.asarray(TO_XYZ) @ seen / WHITE)  # the linear part near black matters to none of these
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


TOGETHER = {
    "parts": list(style.PARTS.values()),
    "staircase": [style.STORED, style.LIVE, style.PARTS["waste"], style.REMOVED],
    "waste": [style.LIVE, *style.CAUSES.values()],
    "rebuilds": [style.RAN, style.CACHED],
    "dockerfile": [style.STORED, style.RAN],
}


class TestColours:
    @pytest.mark.parametrize("deficiency", DEFICIENCIES)
    @pytest.mark.parametrize("looks", TOGETHER.values(), ids=TOGETHER)
    def test_looks_keep_apart(self, looks: list[style.Look], deficiency: str) -> None:
        """Any two looks of one picture are at least 15 apart in L*a*b* (2.3 is just seen), or differ in hatching."""
        for one, other in itertools.combinations(looks, 2):
            distance = float(np.linalg.norm(lab(one.fill, deficiency) - lab(other.fill, deficiency)))
            assert distance >= 15 or (one.fill == other.fill and one.hatch != other.hatch), (one, other)

    def test_outlines_stand_out(self) -> None:
        """What a fill near the card's colour does not show, its outline does: contrast at least 3 (WCAG 2.2)."""
        for look in itertools.chain(*TOGETHER.values()):
            assert style.contrast(look.edge, style.CARD) >= 3

    def test_the_card_is_seen_on_both_themes(self) -> None:
        """Text is on the card alone, and the card contrasts with JupyterLab's dark page."""
        assert style.contrast(style.CARD, "#111111") >= 4.5
        assert style.contrast(style.INK, style.CARD) >= 7


class TestLabels:
    def test_instructions_read_as_in_the_dockerfile(self) -> None:
        """What an image's history wraps around an instruction is taken off, with either builder."""
        raw = {
            "RUN /bin/sh -c pip install flask # buildkit": "RUN pip install flask",
            "RUN |2 A=1 B=x y /bin/sh -c make all # buildkit": "RUN make all",
            "/bin/sh -c apt-get update": "RUN apt-get update",
            '/bin/sh -c #(nop)  CMD ["python3"]': 'CMD ["python3"]',
            f"/bin/sh -c #(nop) ADD file:{'0af' * 20} in / ": "ADD file:… in /",
            "COPY app app # buildkit": "COPY app app",
            "RUN a \\\n  && b": "RUN a && b",
            "": "(no instruction)",
        }

        assert {text: labels.instruction(text) for text in raw} == raw

    @given(st.text(max_size=400), st.floats(0.3, 4))
    @settings(max_examples=60, deadline=None)
    def test_shortened_text_fits(self, text: str, width: float) -> None:
        """Whatever the text, it is no wider than its place, and unchanged where it fits."""
        cleaned = labels.clean(text, "mono")
        short = labels.shorten(cleaned, width, 8.5, "mono")

        assert labels.text_width(short, 8.5, "mono") <= width
        assert short == cleaned or labels.text_width(cleaned, 8.5, "mono") > width

    @given(st.text())
    @settings(max_examples=60, deadline=None)
    def test_clean_text_is_harmless(self, text: str) -> None:
        """What is drawn has no control, direction or surrogate character and no line break."""
        for character in labels.clean(text):
            assert character.isprintable()
            assert not 0xD800 <= ord(character) <= 0xDFFF

    def test_boilerplate_goes_first(self) -> None:
        """What most instructions share is left out first, and only for want of room."""
        text = (
            "RUN A=1 B=2 set -eux;     apt-get update;     apt-get install -y --no-install-recommends git mercurial;"
            "     apt-get dist-clean"
        )

        assert labels.gist(text, 3.0, 8.2) == "RUN …apt-get install…git mercurial…"
        assert labels.gist(text, 2.3, 8.2) == "RUN …apt-get install…git…"
        assert labels.gist(text, 9.0, 8.2) == labels.instruction(text)
        assert labels.gist(
            "RUN apt-get update && apt-get install -y vim && rm -rf /var/lib/apt/lists/*", 2.8, 8.2
        ) == ("RUN …apt-get install…vim…")

    def test_examples_hold(self) -> None:
        """The examples in the docstrings give what they show."""
        assert doctest.testmod(labels).failed == 0

    def test_both_ends_are_kept(self) -> None:
        """A long instruction keeps its beginning and its end."""
        short = labels.shorten(
            "RUN apt-get update && apt-get install -y gcc && rm -rf /var/lib/apt/lists/*", 2.5, 8.5, "mono"
        )

        assert short.startswith("RUN apt-get update")
        assert short.endswith("/apt/lists/*")
        assert labels.ELLIPSIS in short

    @given(st.integers(-(10**13), 10**13))
    @settings(max_examples=200, deadline=None)
    def test_megabytes_are_exact_enough(self, count: int) -> None:
        """What is written of a number of bytes is at most half of its last digit off."""
        text = labels.megabytes(count)
        if 0 < abs(count) < 10_000:
            assert "0.01" in text
        else:
            number = float(text.replace("−", "-"))
            precision = 0.005 if abs(count) < 95_000 else 0.05 if abs(count) < 9_950_000 else 0.5
            assert number == pytest.approx(count / MB, abs=precision * 1.001)

    def test_seconds_are_rounded(self) -> None:
        """Durations have one digit after the point below 10 s, and none above."""
        assert [labels.seconds(s) for s in (0, 0.049, 0.05, 9.94, 9.96, 61.5)] == [
            "0 s", "<0.1 s", "0.1 s", "9.9 s", "10 s", "62 s",
        ]  # fmt: skip

    def test_lists_say_how_much_they_leave_out(self) -> None:
        """A list in a sentence ends with the number of what it does not name."""
        assert labels.sentence_list("abcde", 3) == "a, b, c and 2 more"
