"""What a notebook shows of an explorer, with a kernel and without."""

from __future__ import annotations

import html
import json
import zlib
from pathlib import Path

import pytest

from layerlab.report.explorer import folders
from layerlab.report.explorer.widget import Explorer
from tests.unit.image_truth import file, whiteout
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

        assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
        assert data["image/png"].startswith(b"\x89PNG")
        assert data["text/plain"] == "<Explorer: what is in app.tar?>"
        assert "app.tar" in metadata["image/png"]["alt"]

    def test_keeps_little_in_a_notebook(self) -> None:
        """The files are sent to the page by the kernel; they are in no output."""
        shown = Explorer(read("app.tar", [[file(f"app/{number}", 100) for number in range(2000)]]))

        data, _ = shown._repr_mimebundle_()

        assert len(json.dumps({**data, "image/png": ""})) < 500
        assert len(data["image/png"]) < 150_000
        assert b'"1999"' in zlib.decompress(shown.widget.data)


class TestStill:
    def test_folders_add_up(self) -> None:
        """Folders are told three parts deep, the largest first; what is in none of those is elsewhere."""
        looked = read(
            "a.tar",
            [[file("usr/lib/x/y/z", 50), file("usr/lib/a", 30), file("top", 9), file("gone", 5)], [whiteout("gone")]],
        )

        table = folders.largest(looked, count=2)

        assert list(table.itertuples(index=False, name=None)) == [
            ("/usr/lib/x", 50, 1),
            ("/usr/lib", 30, 1),
            ("", 9, 1),
        ]
        assert table["bytes"].sum() == looked.live_bytes

    def test_words_are_escaped_and_on_one_line(self) -> None:
        """What nbval's sanitiser leaves out is one element on one line, whatever folders are called."""
        words = folders.in_words(read("a.tar", [[file("<b>\n/x", 1)]]))

        assert "\n" not in words
        assert words.startswith('<details class="picture-in-words">')
        assert words.endswith("</details>")
        assert html.escape("/<b>\\n") in words
