"""What notebook 10 shows of a newer engine is what such an engine gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerlab.notebook import newer_engines
from tests.engine import newer_tools

MEASURED = {"caches", "emulation", "index", "provenance"}  # figures, times and digests are others each time


@pytest.mark.long  # Debian sid is downloaded, and builds take their time
def test_it_gives_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian sid's engine does what the notebook's cells tell it, with the saved outcome."""
    saved = json.loads(newer_engines.SAVED.read_text(encoding="utf-8"))["results"]
    monkeypatch.setattr(newer_engines, "SAVED", tmp_path / "saved.json")
    newer_tools.main(tmp_path / "sid")
    made = json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))["results"]

    assert made.keys() == saved.keys()
    assert {name: made[name] for name in saved if name not in MEASURED} == {
        name: saved[name] for name in saved if name not in MEASURED
    }
