"""Solutions that only look right."""

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


@pytest.mark.parametrize("folder", solutions.cases("cheat"))
def test_a_cheat_fails_the_task_that_it_fakes(
    engine: Engine, folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A solution that only looks right fails what it fakes, and what it really does still counts."""
    solutions.judge(engine, folder, tmp_path / "workspace", record_property)
