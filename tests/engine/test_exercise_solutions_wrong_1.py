"""Wrong solutions, blatant and subtle (the first half)."""

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


@pytest.mark.parametrize("folder", solutions.cases("wrong", part=0, of=2))
def test_a_wrong_solution_fails_where_it_is_wrong(
    engine: Engine, folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A wrong solution fails the tasks that its mistake is about, on the right line, and passes the others."""
    solutions.judge(engine, folder, tmp_path / "workspace", record_property)
