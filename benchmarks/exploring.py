"""How fluid the explorer is in a browser, with as many files as large images have.

    python -m benchmarks exploring                          # as rows: a made-up image of 50,000 files
    python -m benchmarks.exploring                          # made-up images of 50,000 and of 500,000 files
    python -m benchmarks.exploring multi-stage-demo:single  # an image of the engine

What is timed happens in the page, in headless Chromium without a GPU, so a real screen is not slower. *Until shown*
is from the packed bytes to the first picture. A zoom, a layer of the slider, another colouring and a search are timed
from the choice to the end of all that follows from it; *frames* are those of a zoom's animation. 16.7 ms are 60
frames in a second; up to 100 ms feel immediate.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
from playwright.sync_api import Page, sync_playwright

from benchmarks.rows import Row, Setting
from layerlab import image
from layerlab.engine import connection
from layerlab.image import Image
from layerlab.maintenance import chromium
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import packed
from tests.browser.conftest import FLAGS
from tests.unit.image_truth import Entry, file, whiteout
from tests.unit.stacked import read

LAYERS: Final = 12
FILES: Final = (50_000, 500_000)
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
    const count = (at) => at.children.reduce((sum, child) => sum + count(child), 1);
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
    return [times, model.node.length, count(map.tree)];
}"""


def made_up(folder: Path, files: int) -> Image:
    """An image of so many files in packages, the last layer of which deletes some."""
    chosen = random.Random(files)  # noqa: S311  # the same one each time
    paths = [
        f"usr/lib/p{number // 600}/{chosen.choice('abcdef')}{chosen.randrange(5)}/"
        f"{chosen.choice(['', '', 'tests/'])}f{number}.{chosen.choice(['py', 'pyc', 'so', 'h', 'txt'])}"
        for number in range(files)
    ]
    layers: list[list[Entry]] = [[] for _ in range(LAYERS)]
    for number, path in enumerate(paths):
        layers[number * LAYERS // files].append(file(path, int(chosen.lognormvariate(5.5, 1.5))))
    for number in chosen.sample(range(files // 2), files // 50):
        layers[-1].append(whiteout(paths[number]))
    return read(folder / f"{files}-files.tar", layers)


def measure(page: Page, looked: Image) -> dict[str, Any]:
    """Time what a person does in the explorer of an image; milliseconds."""
    started = time.perf_counter()
    data = packed(looked)
    packing = time.perf_counter() - started
    page.goto("about:blank")
    page.set_content("<!doctype html><div id=explorer></div>")
    times, entries, rectangles = page.evaluate(
        _MEASURE.replace("BUNDLE", bundle.expression()), base64.b64encode(data).decode()
    )
    return {
        "image": looked.name.rpartition("/")[2],
        "entries": entries,
        "packed MB": len(data) / 1e6,
        "pack s": packing,
        "rectangles": rectangles,
        "until shown": max(times["shown"]),
        **{f"{kind}, median": statistics.median(times[kind]) for kind in ("zoom", "layer", "colour", "search")},
        "frame, median": statistics.median(times["frame"]),
        "frame, longest": max(times["frame"]),
    }


def rows(setting: Setting) -> Iterator[Row]:
    """What a person does in the explorer of 50,000 files, beside what feels immediate."""
    with setting.step("the explorer of 50,000 files in Chromium"), _page(setting.folder) as page:
        took = measure(page, made_up(setting.folder, FILES[0]))
    image_of = f"the explorer of {FILES[0]:,} files:"
    yield Row(f"{image_of} from its data to the picture", took["until shown"], "ms", FEELS_IMMEDIATE, IMMEDIATE)
    for kind, what in ACTIONS.items():
        yield Row(f"{image_of} {what}", took[f"{kind}, median"], "ms", FEELS_IMMEDIATE, IMMEDIATE)
    yield Row(f"{image_of} a frame of a zoom", took["frame, median"], "ms", "a frame of a 60 Hz screen", 1000 / 60)


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


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Time the explorer in a browser.")
    parser.add_argument("images", nargs="*", help="images of the engine; made-up ones if there are none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, _page(Path(name)) as page:
        if options.images:
            connected = connection.connect()
            looked = [image.read(connected, one) for one in options.images]
        else:
            looked = [made_up(Path(name), files) for files in FILES]
        measured = [measure(page, one) for one in looked]
    print(
        f"milliseconds in the page; load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n"
    )
    print(pd.DataFrame(measured).set_index("image").T.to_string(float_format="{:,.1f}".format))


if __name__ == "__main__":
    main()
