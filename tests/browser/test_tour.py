"""The tour as a reader sees it: every notebook with its saved outputs, in JupyterLab as ``./lab`` serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from layerlab.paths import ROOT
from tests.browser.accessibility import problems
from tests.browser.jupyterlab import ALL_CELLS, JupyterLab, complaints, served

OURS = (
    ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output",
    ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-RenderedMarkdown",
)
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
START, *OTHERS = NOTEBOOKS


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab with every cell in the page."""
    with served(tmp_path_factory.mktemp("tour"), ALL_CELLS) as said:
        yield said


def overflowing(lab: JupyterLab) -> list[str]:
    """The beginnings of the outputs that are wider than their place."""
    found: list[str] = lab.notebook.locator(".jp-OutputArea-output").evaluate_all(
        "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText.slice(0, 80))"
    )
    return found


def of_another_theme(lab: JupyterLab, theme: str) -> list[str]:
    """The beginnings of the alternative texts of pictures that are not told the page's theme."""
    pictures = lab.notebook.locator(".jp-OutputArea-output img")
    told = pictures.evaluate_all("all => all.map((one) => [getComputedStyle(one).colorScheme, one.alt.slice(0, 80)])")
    return [alt for scheme, alt in told if scheme != theme.lower()]


@pytest.mark.long  # all notebooks, twice
class TestTour:
    def test_it_can_be_read_in_both_themes(
        self, address: str, page: Page, console_errors: list[str], screenshot: Callable[[str], Path]
    ) -> None:
        """The links of the first notebook lead to all others, and what they show has names, contrast and room."""
        lab = JupyterLab(page, address)
        lab.start()
        lab.wait_for(START)
        found = {}
        themes = ["Light", "Dark"]
        for name in NOTEBOOKS:
            if name != START:
                lab.notebook.locator(f"table a[href*='{name}']").first.click()
                lab.wait_for(name)
            found[name, themes[0]] = problems(page, OURS) + overflowing(lab)
            themes.reverse()
            lab.dress(themes[0])
            found[name, themes[0]] = problems(page, OURS, only="color-contrast") + of_another_theme(lab, themes[0])
            screenshot(f"tour-{themes[0].lower()}-{name.removesuffix('.ipynb')}")
            if name != START:
                lab.close(name)

        assert {place: wrong for place, wrong in found.items() if wrong} == {}
        assert complaints(console_errors) == []
