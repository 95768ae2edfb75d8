"""The website as a reader sees it: on a phone and on a desk, in both themes, with the explorer in it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from layerlab.paths import ROOT
from tests.browser.explored import HANDLE

pytestmark = pytest.mark.long  # unit tests make the same website, and let no warning pass
PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
LONG = "notebooks/05-where-the-bytes-are.html"


class Quiet(SimpleHTTPRequestHandler):
    """A web server that writes no log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(own_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a website that has just been made, with the explorer."""
    made = tmp_path_factory.mktemp("site")
    for command in (
        [ROOT / "lab", "xray", "optimized", "--html", "artifacts/explorer.html"],
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs/site", ".", made],
    ):
        subprocess.run(command, cwd=ROOT, check=True)
    handler = partial(Quiet, directory=str(made))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("size", "theme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "desk"])
def test_it_can_be_read(
    page: Page, site: str, size: ViewportSize, theme: Literal["light", "dark"], screenshot: Callable[[str], Path]
) -> None:
    """No page has to be pushed sideways, pictures are there, and nothing is asked of another server."""
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=theme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for place in ("index.html", LONG):
        page.goto(site + place)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], place
        widths = page.locator("article img").evaluate_all("images => images.map((image) => image.naturalWidth)")
        assert widths
        assert all(widths)
        screenshot(f"site-{Path(place).stem}-{size['width']}")
    assert [url for url in asked if not url.startswith(site)] == []


def test_the_explorer_works(page: Page, site: str, console_errors: list[str]) -> None:
    """It is on a page of its own, and has all files."""
    page.goto(f"{site}index.html")
    page.get_by_role("link", name="The explorer").first.click()
    frame = page.frame_locator("iframe.explorer")
    expect(frame.get_by_role("heading", name="Explorer")).to_be_visible()
    (inner,) = (one for one in page.frames if one != page.main_frame)
    inner.wait_for_function(HANDLE)
    assert console_errors == []
