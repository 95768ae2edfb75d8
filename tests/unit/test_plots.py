"""What the pictures of layers and bytes draw, read back from the figures, beside what they were given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from layerlab import plots
from layerlab.errors import UsageError
from layerlab.plots import style
from layerlab.ui import units
from tests.unit.pictures import (
    CLEAN,
    MB,
    SINGLE,
    WASTE,
    bars,
    owners_table,
    parts_table,
    sizes_table,
    strings,
    widths,
)

pytestmark = pytest.mark.slow  # drawing takes long: ./lab test --fast does without


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
            assert units.megabytes(count) in shown


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
        assert f"{units.megabytes(stored - live)} MB waste" in strings(picture)

    def test_three_numbers_per_layer(self) -> None:
        """Each row says what is stored, what it adds and the running total; a deletion stores 0."""
        shown = strings(plots.staircase(SINGLE))

        for column in ("bytes", "change_bytes", "running_bytes"):
            wanted = [units.megabytes(count) for count in SINGLE[column]]
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
            ({"layer": 99}, "more waste than bytes"),
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

    def test_too_many_images_are_refused(self) -> None:
        """Columns that would be too narrow to read are not drawn."""
        table = pd.DataFrame({"image": list("abcdef"), "name": "x", "part": "app", "bytes": 1})
        with pytest.raises(UsageError, match="6 images"):
            plots.owners(table)
