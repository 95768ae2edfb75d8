"""The examples in docstrings that need an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab import notebook as lab
from layerlab.engine import Engine
from layerlab.exercise import earlier_checks
from tests.examples import Example, examples

WITH_ENGINE = [
    # What the functions for the notebooks do is seen in the notebooks themselves.
    pytest.param(example, id=str(example), marks=[pytest.mark.long] if example.module == "layerlab.notebook" else [])
    for example in examples()
    if example.needs_engine
]


@pytest.mark.usefixtures("_readable_tags", "own_images")
@pytest.mark.parametrize("example", WITH_ENGINE)
def test_they_do_what_they_say(
    example: Example, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every example that needs an engine gives what stands below it; `folder` is an empty folder."""
    monkeypatch.setattr(earlier_checks, "cache_directory", lambda: tmp_path)
    lab.engine.cache_clear()
    example.run(engine=engine, lab=lab, folder=tmp_path / "folder")
