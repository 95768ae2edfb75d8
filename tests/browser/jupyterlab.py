"""JupyterLab as ``./lab`` serves it, and how a person uses it: opening, reading and running notebooks.

Only the settings that would write into the repository or hide cells from a test are not the usual ones, and they go
to a folder of the test's own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import nbformat
from playwright.sync_api import Locator, Page

from layerlab.paths import ROOT

START: Final = 120  # seconds for ./lab to say its address; both images may have to be built from the cache
NO_AUTOSAVE: Final = {"docmanager-extension/plugin": {"autosave": False}}
"""Notebooks that a test runs are the repository's own, and stay as they are."""

ALL_CELLS: Final = {"notebook-extension/tracker": {"windowingMode": "none"}}
"""Every cell is in the page, and not only what is scrolled to."""


OF_ITS_OWN: Final = ("Could not restore the debugger state", "Per comm-target subshell creation failed")
"""How complaints on the console begin that are JupyterLab's: it says so of a notebook that is closed quickly."""


@contextmanager
def served(folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The address, with its token, that ``./lab`` says.

    Args:
        folder: For what it keeps: JupyterLab's settings and workspaces, logs, the kernels' histories.
        settings: JupyterLab's settings, by plugin.
    """
    for plugin, values in {**NO_AUTOSAVE, **settings}.items():
        path = folder / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(folder / "state"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [ROOT / "lab", "--no-browser", "--port", str(port)]
    with (
        (folder / "stderr").open("w") as log,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        too_late = threading.Timer(START, process.kill)
        too_late.start()
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if "JupyterLab is at" in line), "")
            too_late.cancel()
            assert said, f"./lab said no address; it said: {(folder / 'stderr').read_text()[-2000:]}"
            yield re.findall(r"http\S+", said)[0]
        finally:
            too_late.cancel()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def complaints(console_errors: Sequence[str]) -> list[str]:
    """Those of the errors on the console that are not JupyterLab's own."""
    return [said for said in console_errors if not said.startswith(OF_ITS_OWN)]


@dataclass(frozen=True)
class JupyterLab:
    """JupyterLab in a page of the browser.

    Attributes:
        page: The page.
        address: What ``./lab`` said, with the token.
    """

    page: Page
    address: str

    def start(self) -> None:
        """Open the address that ``./lab`` said."""
        self._go(self.address)

    def open(self, path: str) -> None:
        """Open a file of the repository by its address, in an empty layout."""
        parts = urlsplit(self.address)
        token = parse_qs(parts.query)["token"][0]
        self._go(f"{parts.scheme}://{parts.netloc}/lab/tree/{path}?reset&token={token}")

    def _go(self, address: str) -> None:
        # Devices of containers come and go, and Chromium breaks off requests whenever the machine's network changes.
        # JupyterLab then says so, tries again by itself, and has to be told that one has read it.
        trouble = self.page.locator(".jp-Dialog").filter(has_text="Server Connection Error")

        def dismiss(dialog: Locator) -> None:
            dialog.locator("button.jp-mod-accept").click()

        self.page.add_locator_handler(trouble, dismiss)
        self.page.goto(address)

    @property
    def notebook(self) -> Locator:
        """The notebook that is seen."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def wait_for(self, name: str) -> Locator:
        """Wait until a notebook is seen with all its cells, and all its Markdown rendered.

        Args:
            name: Its file's name.

        Returns:
            The notebook.
        """
        cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
        prose = sum(cell.cell_type == "markdown" for cell in cells)
        self.page.locator(f".lm-TabBar-tab.lm-mod-current[title^='Name: {name}']").wait_for()
        self.page.wait_for_function(
            """([cells, prose]) => {
                const notebook = document.querySelector(".jp-NotebookPanel:not(.lm-mod-hidden)");
                const rendered = notebook && notebook.querySelectorAll(".jp-MarkdownCell .jp-RenderedMarkdown");
                return notebook && notebook.querySelectorAll(".jp-Cell").length === cells
                    && [...rendered].filter((one) => one.innerText).length === prose
                    && [...notebook.querySelectorAll("img")].every((image) => image.complete);
            }""",
            arg=[len(cells), prose],
        )
        return self.notebook

    def close(self, name: str) -> None:
        """Close a notebook by the cross on its tab, saving nothing; the one that was seen before is seen again.

        A notebook counts as changed as soon as its kernel has said which Python it is; then JupyterLab asks.
        """
        tab = self.page.get_by_role("tab", name=name)
        discard = self.page.locator(".jp-Dialog").get_by_role("button", name="Discard")
        tab.locator(".lm-TabBar-tabCloseIcon").click()
        self.page.wait_for_function(
            """(name) => document.querySelector(".jp-Dialog")
                || !document.querySelector(`.lm-TabBar-tab[title^="Name: ${name}"]`)""",
            arg=name,
        )
        if discard.count():
            discard.click()
        tab.wait_for(state="detached")

    def choose(self, *menu: str) -> None:
        """Choose an entry of the menus: the menu, perhaps a submenu, the entry."""
        labels = self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
        for name in menu:
            labels.filter(has_text=re.compile(f"^{re.escape(name)}$")).click()

    def dress(self, theme: str) -> None:
        """Change the theme: ``Light`` or ``Dark``."""
        self.choose("Settings", "Theme", f"JupyterLab {theme}")
        self.page.locator(f"body[data-jp-theme-name='JupyterLab {theme}']").wait_for(state="attached")

    def run_all(self) -> None:
        """Run all cells of the notebook that is seen, once its kernel is ready."""
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        self.choose("Run", "Run All Cells")

    def wait_until_done(self, timeout: float) -> None:
        """Wait until no code cell of the notebook that is seen waits or runs, for so many milliseconds at most."""
        self.page.wait_for_function(
            """() => {
                const prompts = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputPrompt";
                return [...document.querySelectorAll(prompts)].every((one) => /\\d/.test(one.textContent));
            }""",
            timeout=timeout,
        )

    def run_cell(self, holding: str) -> None:
        """Run the code cell that holds this text."""
        self._edited(holding)
        self.page.keyboard.press("Shift+Enter")

    def edit_cell(self, holding: str, text: str) -> None:
        """Type something in place of what the code cell that holds this text says, and run it."""
        self._edited(holding)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Shift+Enter")

    def _edited(self, holding: str) -> None:
        self.notebook.locator(".jp-CodeCell .cm-content").filter(has_text=holding).first.click()
