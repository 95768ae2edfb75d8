"""What a notebook shows of an explorer, with a kernel and without."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from layerlab.report.explorer.widget import Explorer
from tests.unit.image_truth import file
from tests.unit.stacked import read


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of one test is known in another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


class TestExplorer:
    def test_shows_a_widget_or_a_picture(self) -> None:
        """One output has both, so that who cannot show a widget shows the picture; its text is always the same."""
        shown = Explorer(read("app.tar", [[file("app/x", 100)]]))

        data, metadata = shown._repr_mimebundle_()

        assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/svg+xml", "text/plain"}
        assert data["image/svg+xml"].startswith("<svg ")
        assert data["text/plain"] == "<Explorer: what is in app.tar?>"
        assert "app.tar" in metadata["image/svg+xml"]["alt"]

    def test_keeps_little_in_a_notebook(self) -> None:
        """The files are sent to the page by the kernel; they are in no output."""
        shown = Explorer(read("app.tar", [[file(f"app/{number}", 100) for number in range(2000)]]))

        data, _ = shown._repr_mimebundle_()

        assert len(json.dumps({**data, "image/svg+xml": ""})) < 500
        assert len(data["image/svg+xml"]) < 150_000
        assert b'"1999"' in zlib.decompress(shown.widget.data)
