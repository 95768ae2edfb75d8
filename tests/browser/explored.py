"""The HTML report of an image in a page, and its explorer as a person and as a program sees it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from layerlab import report
from layerlab.dockerfile import Dockerfile
from layerlab.image import Image
from layerlab.paths import write_output
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import packed

HANDLE = "document.getElementById('explorer').explorer"


def open_report(page: Page, folder: Path, image: Image, dockerfile: Dockerfile | None = None) -> Path:
    """Write an image's report, and open it as a file, as who was sent it does; returns the file."""
    path = folder / "report.html"
    write_output(path, report.html(image, dockerfile))
    page.goto(path.as_uri())
    page.wait_for_function(HANDLE)
    return path


def open_explorer(page: Page, image: Image, dockerfile: Dockerfile | None = None) -> None:
    """Show an image's explorer alone in a page."""
    page.goto("about:blank")
    page.set_content("<!doctype html><html lang=en><title>explorer</title><main id=explorer></main>")
    page.evaluate(
        f"""async (data) => {{
            const host = document.getElementById("explorer");
            host.explorer = await ({bundle.joined(bundle.ASSETS / "explorer.js")}).mount(
                host, Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));
        }}""",
        base64.b64encode(packed(image, dockerfile)).decode(),
    )


def state(page: Page) -> dict[str, Any]:
    """What is chosen in the explorer."""
    return dict(page.evaluate(f"{HANDLE}.state"))


def folder(page: Page) -> str:
    """The path of the folder that is shown."""
    return str(
        page.evaluate(
            f"""() => {{
                const {{ model, state }} = {HANDLE};
                const parts = [];
                for (let at = state.folder; at > 0; at = model.parent[at]) parts.unshift(model.names[at]);
                return "/" + parts.join("/");
            }}"""
        )
    )


def sums(page: Page, show: str, layer: int) -> dict[str, list[int]]:
    """Bytes and files of what is shown at a layer, in all and by state."""
    return dict(
        page.evaluate(
            f"""([show, layer]) => {{
                const explorer = {HANDLE};
                explorer.choose({{ show, layer }});
                const {{ state, bytes, nodeBytes, nodeFiles }} = explorer.scene.tally;
                const sums = {{ all: [nodeBytes[0], nodeFiles[0]] }};
                const names = ["", "live", "wasted", "added", "changed", "removed"];
                state.forEach((code, entry) => {{
                    if (!code) return;
                    const sum = (sums[names[code]] ??= [0, 0]);
                    sum[0] += bytes[entry];
                    sum[1] += explorer.model.files[entry];
                }});
                return sums;
            }}""",
            [show, layer],
        )
    )
