"""What the pictures of builds, Dockerfiles and whole images draw, beside what they were given."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from layerlab import plots
from layerlab.dockerfile import parse
from layerlab.errors import DockerfileError, UsageError
from layerlab.plots import style
from tests.unit.pictures import (
    COSTS,
    DOCKERFILE,
    FLOW,
    MB,
    MEASURES,
    SINGLE,
    STAGES,
    WASTE,
    bars,
    beside_table,
    rebuilds_table,
    steps_table,
    strings,
    texts,
    widths,
)

pytestmark = pytest.mark.slow  # drawing takes long: ./lab test --fast does without


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

    def test_two_pictures_can_have_one_scale(self) -> None:
        """A second is as long in both then, and their titles tell them apart."""
        table = rebuilds_table()
        short = table.assign(seconds=table["seconds"] / 2)
        one, other = plots.rebuilds(table), plots.rebuilds(short, "Half of it", until=8.89)

        assert one.figure.axes[0].get_xlim() == pytest.approx(other.figure.axes[0].get_xlim())
        assert "Why does the order of the lines matter? Half of it" in strings(other)

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


class TestMeasures:
    def test_each_measure_has_a_scale_of_its_own(self) -> None:
        """Seconds beside megabytes: a bar is compared with those of its own row."""
        picture = plots.measures(MEASURES)

        assert [bar.get_width() for bar in bars(picture, 0)] == [1, 1, 1]
        assert [bar.get_width() for bar in bars(picture, 1)] == pytest.approx([270 / 1822, 1.2 / 2.31, 1])
        assert {"1,822", "270", "2.3", "1.2", "3"} <= set(strings(picture))
        assert "optimized is lowest by: stored, first answer." in picture.alt

    def test_too_many_are_refused(self) -> None:
        """They would not fit beside each other."""
        with pytest.raises(UsageError, match="6 images"):
            plots.measures(pd.DataFrame([[1]] * 6, columns=["a"], index=list("abcdef")))


class TestStages:
    def test_steps_stand_where_they_ran(self) -> None:
        """By BuildKit's own times, so that what went on side by side is seen; a cached step is hollow."""
        picture = plots.stages(STAGES, steps_table())
        ran = [bar for bar in bars(picture) if bar.get_gid() == "ran"]

        assert [(bar.get_x(), bar.get_width()) for bar in ran] == [(0.0, 6.0), (0.5, 3.0), (6.25, 0.5)]
        assert len([bar for bar in bars(picture) if bar.get_gid() == "cached"]) == 1
        assert "9.5 s of work took 6.8 s" in picture.alt

    def test_an_arrow_leads_over_the_seam(self) -> None:
        """From the end of the stage that is copied from to the step that copies, and nowhere else."""
        picture = plots.stages(STAGES, steps_table())
        [panel] = picture.figure.axes
        [arrow] = [each for each in panel.texts if each.get_gid() == "taken"]

        assert (arrow.xyann[0], arrow.xy[0]) == (6.0, 6.25)
        assert "takes from build" in picture.alt

    def test_a_cached_copy_does_not_come_before_what_it_takes(self) -> None:
        """A copy of the same may be in the cache, though the stage that it is taken from ran again."""
        steps = steps_table()
        steps.loc[steps["instruction"].str.startswith("COPY --from"), "cached"] = True
        picture = plots.stages(STAGES, steps)
        [arrow] = [each for each in picture.figure.axes[0].texts if each.get_gid() == "taken"]

        assert (arrow.xyann[0], arrow.xy[0]) == (6.0, 6.0)
        assert max(bar.get_x() for bar in bars(picture) if bar.get_gid() == "cached") == 6.0

    def test_what_nothing_needs_is_named(self) -> None:
        """It has a name and no steps."""
        picture = plots.stages(STAGES, steps_table())

        assert "FROM build: not built, since nothing needs it" in strings(picture)
        assert "Nothing needs test, so BuildKit leaves it out." in picture.alt


class TestDockerfile:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("FROM a\nRUN b\n", 1),
            ("FROM a AS build\nRUN b\nFROM --platform=x c\nCOPY d e\n", 3),
            ("FROM a AS Build\nRUN b\nFROM other\nFROM build\nCOPY d e\n", 1),
        ],
    )
    def test_what_came_with_the_base_is_its_froms(self, text: str, line: int) -> None:
        """Its layers have no line of their own, and are the largest part of most images."""
        costs = pd.DataFrame({"line": pd.array([None, None, 2], dtype="Int64"), "bytes": [70 * MB, 30 * MB, 5 * MB]})
        picture = plots.dockerfile(text, costs)

        assert f"Stores most: line {line}, 100 MB." in picture.alt

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
            ("# nothing\n\n", pd.NA, "is empty"),
            ("FROM a\n" * 151, 1, "151 lines"),
            ("FROM a\n" * 151, pd.NA, "151 lines"),
            ("FROM a", 2, "does not have"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, text: str, line: object, message: str) -> None:
        """An empty Dockerfile, an endless one and a line that it lacks are said, not drawn."""
        with pytest.raises((UsageError, DockerfileError), match=message):
            plots.dockerfile(text, pd.DataFrame({"line": [line], "bytes": [1]}))

    def test_build_arguments_may_say_the_base(self) -> None:
        """A parsed Dockerfile needs no default of an argument, nor does one whose costs all have their lines."""
        text = "ARG BASE\nFROM ${BASE}\nRUN b\n"
        costs = pd.DataFrame({"line": [pd.NA, 3], "bytes": [70 * MB, 5 * MB]})

        assert "line 2, 70 MB" in plots.dockerfile(parse(text, {"BASE": "a"}), costs).alt
        assert "line 3, 5.0 MB" in plots.dockerfile(text, costs.iloc[1:]).alt


class TestFlow:
    def test_both_bars_begin_with_what_is_copied(self) -> None:
        """The stage is what is copied and left behind, the image what is copied and its own."""
        picture = plots.flow(FLOW)
        sums = FLOW.groupby("fate")["bytes"].sum() / MB
        rows: dict[float, float] = {}
        for bar in (bar for bar in bars(picture) if bar.get_gid()):
            rows[bar.get_y()] = max(rows.get(bar.get_y(), 0), bar.get_x() + bar.get_width())

        assert widths(picture, "copied: python packages") == [132, 132]
        assert [rows[y] for y in sorted(rows)] == pytest.approx(
            [sums["copied"] + sums["left behind"], sums["copied"] + sums["own"]]
        )

    def test_sums_are_written(self) -> None:
        """What is copied, left behind and the image's own stands in the answer and in the alternative text."""
        picture = plots.flow(FLOW)

        assert {"1486 MB", "180 MB"} <= set(strings(picture))
        assert "132 of 1486 MB of the build stage are copied, 1354 MB left behind" in picture.alt
        assert "the final image has 180 MB, 48 MB of its own." in picture.alt

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
        rows: dict[int, float] = {}
        for bar in bars(picture, axes=1):
            rows[int(bar.get_y())] = rows.get(int(bar.get_y()), 0) + bar.get_width()

        assert rows == pytest.approx({row: stored / MB for row, stored in enumerate(SINGLE["bytes"]) if stored})
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
