"""What follows from what is chosen in the explorer, and where its rectangles are: computed without a browser."""

from __future__ import annotations

import json
import random
from itertools import combinations
from typing import Any

import pytest

from tests.unit import javascript

START = {
    "folder": 0, "layer": 2, "show": "container", "colour": "part", "highlight": None, "query": "", "all": False,
}  # fmt: skip
GROUP = {"by": "group", "code": 3}
ROW = {"by": "row", "row": 1}


class TestState:
    CASES = (
        ({}, {"show": "layer"}, {"colour": "change"}),
        ({}, {"show": "layer", "colour": "owner"}, {}),
        ({"show": "layer", "colour": "change"}, {"show": "stored"}, {"colour": "part"}),
        ({"show": "layer", "colour": "owner"}, {"show": "container"}, {}),
        ({}, {"colour": "waste"}, {"show": "stored"}),
        ({"show": "stored", "colour": "waste"}, {"show": "container"}, {}),
        ({"highlight": GROUP}, {"colour": "owner"}, {"highlight": None}),
        ({"highlight": GROUP}, {"show": "layer"}, {"colour": "change", "highlight": None}),
        ({"highlight": ROW}, {"colour": "owner"}, {}),
        ({"highlight": GROUP}, {"layer": 1}, {}),
        ({"all": True}, {"folder": 5}, {"all": False}),
        ({"all": True}, {"query": "lib"}, {}),
    )  # fmt: skip

    def test_what_a_change_brings_with_it(self) -> None:
        """A colouring comes and goes with what it is for, and what stands out with its colours; the rest stays."""
        given = [[{**START, **before}, changes] for before, changes, _ in self.CASES]
        after = javascript.run(
            "import('./state.js').then(({ changed }) =>"
            f" {json.dumps(given)}.map(([before, changes]) => changed(before, changes)))"
        )

        assert after == [{**START, **before, **changes, **brings} for before, changes, brings in self.CASES]


@pytest.fixture(scope="module")
def layouts() -> list[tuple[list[int], list[dict[str, float]]]]:
    """Sizes of items, the largest first, and the boxes that they get in a room of 600 × 400 pixels at (10, 20)."""
    chosen = random.Random(13)
    sizes = [
        [6, 6, 4, 3, 2, 2, 1],  # of the paper on squarified treemaps
        [1],
        [1] * 100,
        [10**9, 1, 1],
        *([*sorted((int(chosen.lognormvariate(8, 3)) + 1 for _ in range(40)), reverse=True)] for _ in range(20)),
    ]
    boxes: list[Any] = javascript.run(
        "import('./layout.js').then(({ squarified }) => "
        f"{json.dumps(sizes)}.map((sizes) => squarified(sizes.map((bytes) => ({{ bytes }})),"
        " sizes.reduce((sum, size) => sum + size), { x0: 10, y0: 20, x1: 610, y1: 420 })))"
    )
    return list(zip(sizes, boxes, strict=True))


class TestLayout:
    def test_areas_are_as_bytes(self, layouts: list[tuple[list[int], list[dict[str, float]]]]) -> None:
        """Each box has the share of the room that its item has of the bytes."""
        for sizes, boxes in layouts:
            areas = [(box["x1"] - box["x0"]) * (box["y1"] - box["y0"]) for box in boxes]
            assert areas == pytest.approx([240_000 * size / sum(sizes) for size in sizes], rel=1e-6)

    def test_boxes_lie_side_by_side(self, layouts: list[tuple[list[int], list[dict[str, float]]]]) -> None:
        """All boxes are within the room, and no two share more than an edge."""
        for _, boxes in layouts:
            assert min(box["x0"] for box in boxes) == 10
            assert max(box["x1"] for box in boxes) == pytest.approx(610)
            assert min(box["y0"] for box in boxes) == 20
            assert max(box["y1"] for box in boxes) == pytest.approx(420)
            for one, other in combinations(boxes, 2):
                across = min(one["x1"], other["x1"]) - max(one["x0"], other["x0"])
                down = min(one["y1"], other["y1"]) - max(one["y0"], other["y0"])
                assert min(across, down) < 1e-6

    def test_boxes_are_no_strips(self, layouts: list[tuple[list[int], list[dict[str, float]]]]) -> None:
        """Of a hundred equal items, none is more than twice as long as it is wide."""
        boxes = next(boxes for sizes, boxes in layouts if len(sizes) == 100)
        sides = [sorted((box["x1"] - box["x0"], box["y1"] - box["y0"])) for box in boxes]

        assert max(long / short for short, long in sides) < 2
