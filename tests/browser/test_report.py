"""The HTML report as who was sent it opens it: from a file, without a network, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from layerlab import demo, report
from layerlab.compare import ci_limits
from layerlab.engine import connect
from layerlab.image import Image
from layerlab.paths import write_output
from layerlab.xray import Advice, Examined, Proof
from tests.browser.accessibility import problems
from tests.browser.explored import HANDLE
from tests.unit.image_truth import Entry, file, whiteout
from tests.unit.stacked import read

LARGEST = 5_000_000
"""Bytes of the single-stage image's report."""


@pytest.fixture(scope="module")
def single(own_images: None) -> Iterator[Image]:
    """The single-stage image: 37,000 files."""
    engine = connect()
    yield demo.read(engine, "single")
    engine.client.close()


@pytest.fixture(scope="module")
def written(single: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report, with limits and advice."""
    path = tmp_path_factory.mktemp("report") / "single.html"
    recipe = demo.recipe("single")
    checks = ci_limits.check(
        single, max_size=ci_limits.size("300MB"), max_waste=ci_limits.size("50%", or_share=True), no_root=True
    )
    advice = [Advice("copy the <venv>", "it is there", 31, 258_000_000), Advice("name a user", "it is root", None, 0)]
    proofs = [Proof(advice[0].title, 31, 258_000_000, 257_900_000)]
    found = Examined(single, None, False, [], advice, 0, proofs)
    dockerfile = demo.read_dockerfile(recipe.path)
    text = report.html(single, dockerfile, name=recipe.dockerfile, checks=checks, found=found)
    write_output(path, text)
    return path


class TestFile:
    def test_holds_all_that_it_shows(
        self, written: Path, page: Page, console_errors: list[str], screenshot: Callable[..., Path]
    ) -> None:
        """Under 5 MB, it asks for nothing but itself, breaks no rule of its own policy, and draws every picture."""
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        page.goto(written.as_uri())
        page.wait_for_function(HANDLE)
        screenshot("report-single", full_page=True)

        assert written.stat().st_size < LARGEST
        assert [one for one in asked if one != "data"] == ["file"]
        drawn = "pictures => pictures.map((one) => one.complete && one.naturalWidth > 500)"
        assert page.locator("img").evaluate_all(drawn) == [True] * 5
        assert console_errors == []

    def test_says_what_the_image_is(self, written: Path, page: Page, single: Image) -> None:
        """Figures, limits, advice, layers, waste, packages and settings are all there, in that image's numbers."""
        page.goto(written.as_uri())

        shown = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
        assert shown["stored"] == f"{single.total_bytes / 1e6:,.1f} MB"
        assert shown["files"] == f"{single.stack.file_count:,}"
        kept = page.locator("#limits tbody tr").all_inner_texts()
        assert [text.split("\t")[:2] for text in kept] == [
            ["max-size", "✗ no"], ["max-waste", "✓ yes"], ["no-root", "✗ no"],
        ]  # fmt: skip
        assert page.locator("#advice li").all_inner_texts() == [
            "Copy the <venv>: it is there. line 31 Saves 258.0 MB. Measured: 257.9 MB.",
            "Name a user: it is root.",
        ]
        assert page.locator("#layers tbody tr").count() == len(single.layers)
        assert "overwritten" in page.locator("#waste").inner_text()
        assert "pandas" in page.locator("#packages").inner_text()
        assert "venv/bin/python -m app" in page.locator("#settings").inner_text()

    def test_its_policy_runs_no_other_script(self, written: Path, tmp_path: Path, page: Page) -> None:
        """A script or a handler that somebody adds to the file does not run, nor does a request to elsewhere."""
        text = written.read_text()
        added = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        changed = tmp_path / "changed.html"
        changed.write_text(text.replace("</main>", f"</main>{added}"))

        page.goto(changed.as_uri())
        page.wait_for_function(HANDLE)
        page.wait_for_load_state("load")

        assert page.title() == "multi-stage-demo:single: every byte"
        refused = page.evaluate(
            """() => new Promise((tell) => {
                document.addEventListener("securitypolicyviolation", (event) => tell(event.effectiveDirective));
                fetch("http://127.0.0.1:9/").catch(() => {});
            })"""
        )
        assert refused == "connect-src"

    def test_without_javascript(self, written: Path, browser: Browser) -> None:
        """Tables and pictures are there; in the explorer's place stands a sentence."""
        context = browser.new_context(java_script_enabled=False, viewport={"width": 420, "height": 800})
        page = context.new_page()
        page.goto(written.as_uri())

        assert page.locator("#explorer").inner_text() == "With JavaScript, all files are here to walk through."
        assert page.locator("#layers tbody tr").count() == 16
        assert page.locator("img").count() == 5
        context.close()

    def test_prints(self, written: Path, page: Page, tmp_path: Path) -> None:
        """On paper it is light, also from a dark screen, and nothing is cut off at the side."""
        page.emulate_media(media="print", color_scheme="dark")
        page.goto(written.as_uri())
        page.wait_for_function(HANDLE)

        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(31, 35, 40)"
        assert page.pdf(path=tmp_path / "report.pdf").startswith(b"%PDF")
        page.set_viewport_size({"width": 700, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 700

    @pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 420)])
    def test_axe_finds_nothing(
        self, written: Path, page: Page, screenshot: Callable[[str], Path], scheme: str, width: int
    ) -> None:
        """Names, roles and contrast are right, wide and light as well as narrow and dark, and nothing sticks out."""
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(written.as_uri())
        page.wait_for_function(HANDLE)
        screenshot(f"report-{scheme}-{width}")

        assert problems(page, ["html"]) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


class TestSmallImages:
    @pytest.mark.parametrize(
        "stack", [[], [[]], [[file("a", 0)], [whiteout("a")]]], ids=["none", "empty", "nothing left"]
    )
    def test_an_image_of_nothing(
        self,
        page: Page,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        console_errors: list[str],
        stack: list[list[Entry]],
    ) -> None:
        """Where there is nothing to draw, the report says so and shows the rest."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        path = tmp_path / "report.html"
        write_output(path, report.html(read(tmp_path / "empty.tar", stack)))
        page.goto(path.as_uri())
        page.wait_for_function(HANDLE)

        assert "0 B in 0 files" in page.locator(".status").inner_text()
        assert page.locator("#settings").is_visible()
        assert console_errors == []
