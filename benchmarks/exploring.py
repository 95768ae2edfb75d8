"""How fluid the explorer is in a browser, with as many files as a large image has.

What is timed happens in the page, in headless Chromium without a GPU, so a real screen is not slower. *Until shown*
is from the packed bytes to the first picture. A zoom, a layer of the slider, another colouring and a search are timed
from the choice to the end of all that follows from it; *frames* are those of a zoom's animation. 16.7 ms are 60
frames in a second; up to 100 ms feel immediate.
"""

from __future__ import annotations

import base64
import os
import random
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import Row, Setting
from layerlab.image import Image
from layerlab.maintenance import chromium
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import packed
from tests.browser.conftest import FLAGS
from tests.unit.image_truth import Entry, file, whiteout
from tests.unit.stacked import read

LAYERS: Final = 12
FILES: Final = 50_000
IMMEDIATE: Final = 100.0  # ms; Nielsen, Usability Engineering, chapter 5
FEELS_IMMEDIATE: Final = "what feels immediate"
ACTIONS: Final = {
    "zoom": "a zoom",
    "layer": "another layer",
    "colour": "another colouring",
    "search": "a search",
}

_MEASURE: Final = """async (data) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const host = document.getElementById("explorer");
    const now = () => performance.now();
    const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const times = { shown: [], zoom: [], layer: [], colour: [], search: [], frame: [] };
    let began = now();
    const explorer = await (BUNDLE).mount(host, bytes);
    await painted();
    times.shown.push(now() - began);
    const step = async (kind, changes, movement) => {
        began = now();
        explorer.choose(changes, movement);
        await painted();
        times[kind].push(now() - began);
    };
    const { model, view: { map } } = explorer;
    for (let layer = model.about.layers.length - 1; layer >= 0; layer--) await step("layer", { layer });
    await step("layer", { layer: model.about.layers.length - 1 });
    for (const colour of ["owner", "layer", "waste", "part"]) await step("colour", { colour });
    for (const query of ["a", ".py", "*.so", "lib", ""]) await step("search", { query });
    for (let turn = 0; turn < 6; turn++) {
        explorer.choose({ folder: 0 });
        await painted();
        const from = map.tree.children.find((at) => at.item.kind === "folder");
        began = now();
        explorer.choose({ folder: from.item.node }, { from });
        times.zoom.push(now() - began);
        let last = await new Promise(requestAnimationFrame);
        while (map.isAnimated) {
            const next = await new Promise(requestAnimationFrame);
            times.frame.push(next - last);
            last = next;
        }
    }
    return times;
}"""


def made_up(folder: Path) -> Image:
    """An image of many files in packages, the last layer of which deletes some."""
    chosen = random.Random(FILES)  # noqa: S311  # the same one each time
    paths = [
        f"usr/lib/p{number // 600}/{chosen.choice('abcdef')}{chosen.randrange(5)}/"
        f"{chosen.choice(['', '', 'tests/'])}f{number}.{chosen.choice(['py', 'pyc', 'so', 'h', 'txt'])}"
        for number in range(FILES)
    ]
    layers: list[list[Entry]] = [[] for _ in range(LAYERS)]
    for number, path in enumerate(paths):
        layers[number * LAYERS // FILES].append(file(path, int(chosen.lognormvariate(5.5, 1.5))))
    for number in chosen.sample(range(FILES // 2), FILES // 50):
        layers[-1].append(whiteout(paths[number]))
    return read(folder / "made-up.tar", layers)


def measure(page: Page, looked: Image) -> dict[str, list[float]]:
    """Time what a person does in the explorer of an image; milliseconds."""
    page.goto("about:blank")
    page.set_content("<!doctype html><div id=explorer></div>")
    data = base64.b64encode(packed(looked)).decode()
    explorer = bundle.joined(bundle.ASSETS / "explorer.js")
    times: dict[str, list[float]] = page.evaluate(_MEASURE.replace("BUNDLE", explorer), data)
    return times


def rows(setting: Setting) -> Iterator[Row]:
    """What a person does in the explorer of 50,000 files, beside what feels immediate."""
    with setting.step("the explorer of 50,000 files in Chromium"), _page(setting.folder) as page:
        took = measure(page, made_up(setting.folder))
    image_of = f"the explorer of {FILES:,} files:"
    yield Row(f"{image_of} from its data to the picture", max(took["shown"]), "ms", FEELS_IMMEDIATE, IMMEDIATE)
    for kind, what in ACTIONS.items():
        yield Row(f"{image_of} {what}", statistics.median(took[kind]), "ms", FEELS_IMMEDIATE, IMMEDIATE)
    frame = statistics.median(took["frame"])
    yield Row(f"{image_of} a frame of a zoom", frame, "ms", "a frame of a 60 Hz screen", 1000 / 60)


@contextmanager
def _page(folder: Path) -> Iterator[Page]:
    """A page in headless Chromium; what the lab learns about layers is kept in this folder."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.ensure(), headless=True, args=FLAGS)
            yield browser.new_page(viewport={"width": 1280, "height": 900})
            browser.close()
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before
