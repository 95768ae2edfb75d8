"""The website is made without a warning, and holds all that it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from layerlab.paths import ROOT


@pytest.mark.slow
def test_it_is_made_of_what_is_here(tmp_path: Path) -> None:
    """No link leads nowhere, every notebook has a page with its pictures, and nothing is loaded from elsewhere."""
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs/site", ".", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")

    assert (tmp_path / "index.html").read_text() == (tmp_path / "README.html").read_text()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        page = (tmp_path / "notebooks" / f"{notebook.stem}.html").read_text()
        pictures = len(re.findall(r'"image/(?:png|svg.xml)": ["[]', notebook.read_text()))
        assert len(re.findall(r'<img [^>]*src="[^"]*_images/', page)) >= pictures, notebook.name
    for file in tmp_path.rglob("*.html"):
        text = file.read_text()
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"', text)
        loaded += re.findall(r'<link [^>]*rel="stylesheet"[^>]* href="([^"]+)"', text)
        assert [link for link in loaded if urlsplit(link).netloc] == [], file.name
