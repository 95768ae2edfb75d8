"""Working in JupyterLab as ``./lab`` serves it: notebook 05 is run, and notebook 08's panel judges a workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from tests.browser.accessibility import problems
from tests.browser.conftest import LARGE
from tests.browser.jupyterlab import ALL_CELLS, JupyterLab, complaints, served

LONG = 300_000  # milliseconds for what builds images and runs containers; the machine may be busy
OUTPUTS = ".jp-OutputArea-output"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab with every cell in the page."""
    with served(tmp_path_factory.mktemp("running"), ALL_CELLS) as said:
        yield said


@pytest.fixture
def lab(address: str, page: Page) -> JupyterLab:
    return JupyterLab(page, address)


@pytest.mark.long  # builds and proves what nbval has built and proved
class TestNotebook05:
    NAME = "05-where-the-bytes-are.ipynb"

    def test_all_cells_run(
        self, lab: JupyterLab, console_errors: list[str], screenshot: Callable[[str], Path]
    ) -> None:
        """Run All ends without an error; the progress of the builds and the pictures are seen, in both themes."""
        before = (ROOT / "notebooks" / self.NAME).read_bytes()
        lab.open(f"notebooks/{self.NAME}")
        lab.wait_for(self.NAME)
        lab.run_all()
        progress = lab.notebook.locator(".widget-html").filter(has_text="from Dockerfile")
        progress.first.wait_for(state="attached")
        lab.wait_until_done(LONG)

        assert lab.notebook.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
        assert lab.notebook.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        assert "✗" not in lab.notebook.inner_text()
        expect(progress.first).to_contain_text("done after")
        expect(progress.first.get_by_title("running", exact=True)).to_have_count(0)
        pictures = lab.notebook.locator(f"{OUTPUTS} img")
        names = pictures.evaluate_all("images => images.map((image) => image.naturalWidth > 0 ? image.alt : '')")
        assert len(names) == 8
        assert all(len(name) > 20 for name in names)

        found = []
        for theme in ("Light", "Dark"):
            lab.dress(theme)
            for place, shown in {"progress": progress.first, "figure": pictures.first}.items():
                shown.scroll_into_view_if_needed()
                screenshot(f"05-{place}-{theme.lower()}")
            found += problems(lab.page, [OUTPUTS])
        lab.page.set_viewport_size(LARGE)
        screenshot("05-figure-large")

        assert found == []
        assert complaints(console_errors) == []
        assert (ROOT / "notebooks" / self.NAME).read_bytes() == before


@pytest.mark.long
class TestNotebook08:
    NAME = "08-your-turn.ipynb"

    def test_the_panel_judges_a_workspace(
        self, lab: JupyterLab, screenshot: Callable[[str], Path], tmp_path: Path
    ) -> None:
        """A learner opens the panel, sees what it says, and gets a hint and an end with the keyboard alone."""
        workspace = tmp_path / "my-image"
        new_workspace.make(workspace)
        shutil.copyfile(ROOT / "Dockerfile", workspace / "Dockerfile")
        text = (workspace / "Dockerfile").read_text()
        (workspace / "Dockerfile").write_text(text.replace("USER 10001:10001", "USER root"))
        page = lab.page
        lab.open(f"notebooks/{self.NAME}")
        lab.wait_for(self.NAME)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        lab.run_cell("lab.setup(")
        lab.edit_cell("mine = None", f'my_panel = lab.panel(lab.new("{workspace}"))')
        panel = lab.notebook.locator(".jp-OutputArea .widget-vbox").first
        status = panel.get_by_role("status")
        expect(status).to_contain_text("Checked at", timeout=LONG)
        expect(panel).to_contain_text("my-image: 6 of 7 tasks pass")
        found = []
        for theme in ("Light", "Dark"):
            lab.dress(theme)
            status.evaluate("line => line.scrollIntoView()")
            screenshot(f"08-panel-{theme.lower()}")
            found += problems(page, [OUTPUTS])
        assert found == []

        hint = panel.get_by_role("button", name="Hint 1 of 3").first
        hint.focus()
        page.keyboard.press("Enter")
        expect(panel.get_by_role("listitem").first).to_contain_text("?")
        stop = panel.get_by_role("button", name="Stop watching")
        for _ in range(40):
            page.keyboard.press("Tab")
            if stop.evaluate("button => button === document.activeElement"):
                break
        page.keyboard.press("Space")
        expect(status).to_contain_text("has been stopped")
