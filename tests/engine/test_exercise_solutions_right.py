"""Right solutions in many styles: every one has to pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerlab.engine import Engine
from tests.engine import solutions


@pytest.fixture(scope="module", autouse=True)
def bases(engine: Engine) -> Iterator[None]:
    with solutions.prepared(engine):
        yield


@pytest.mark.parametrize("folder", solutions.cases("right"))
def test_a_right_solution_passes(
    engine: Engine, folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every right solution passes all the tasks that it solves, whatever its style."""
    solutions.judge(engine, folder, tmp_path / "workspace", record_property)
