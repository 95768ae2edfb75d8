"""The explorer in a real browser: what it shows, how it is used, and what names cannot do to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Page

from layerlab import dockerfile
from layerlab.image import Image
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import packed
from tests.browser.accessibility import problems
from tests.browser.explored import folder, open_explorer, open_report, state, sums
from tests.unit.image_truth import Entry, Naive, file, link, merge, stacks, whiteout
from tests.unit.stacked import read

DOCKERFILE = dockerfile.parse("FROM base\nRUN make\nRUN tidy\n")
STEPS = ("ADD rootfs", "RUN /bin/sh -c make # buildkit", "RUN /bin/sh -c tidy # buildkit")
STACK = (
    [file("etc/passwd", 3_000), file("usr/lib/large.so", 900_000), file("usr/lib/small.so", 90_000)],
    [
        file("app/main.py", 40_000),
        file("app/tests/test_main.py", 20_000),
        file("usr/lib/small.so", 100_000),
        file("tmp/cache", 500_000),
    ],
    [whiteout("tmp/cache"), file("app/main.py", 40_000, mode=0o777)],
)
HOSTILE = (
    "</script><img src=x onerror=document.title='owned'>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"`{{7*7}}${7*7}&lt;",
    "line\nend\ttab",
    "\x1b]0;owned\x07",
    "\u202egnp.exe",
    b"latin-\xe9\xff".decode("utf-8", "surrogateescape"),
    "-->",
    "__proto__",
    "ünï עברית",
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of one test is known in another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small() -> Image:
    """An image of three layers, tied to its Dockerfile."""
    return read("app.tar", STACK, STEPS, DOCKERFILE)


@pytest.fixture
def opened(page: Page, small: Image) -> Page:
    """The page with the explorer of that image."""
    open_explorer(page, small, DOCKERFILE)
    return page


class TestFigures:
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(stacks())
    def test_are_those_of_a_naive_merge(self, page: Page, stack: list[list[Entry]]) -> None:
        """At each layer the browser counts what a naive merge has there, what is stored, and what the layer added."""
        looked = read("image.tar", stack)
        open_explorer(page, looked)
        naive = Naive()
        for number, entries in enumerate(stack):
            naive.apply(entries)
            files = sum(seen.kind == "file" for seen in naive.tree.values())
            gone = sum(naive.sizes[inode] for inode in naive.wasted)

            assert sums(page, "container", number)["all"] == [naive.running[number], files]
            stored = sums(page, "stored", number)
            assert stored["all"][0] == sum(naive.layer_bytes)
            assert stored.get("wasted", [0])[0] == gone
            did = sums(page, "layer", number)
            assert did.get("added", [0])[0] + did.get("changed", [0])[0] == naive.layer_bytes[number]

    def test_of_hard_links(self, page: Page) -> None:
        """An inode counts once, whichever of its names is left."""
        stack = [[file("a", 70_000), link("b", "a")], [whiteout("a")], [whiteout("b")]]
        open_explorer(page, read("links.tar", stack))

        assert [sums(page, "container", layer)["all"] for layer in range(3)] == [[70_000, 2], [70_000, 1], [0, 0]]
        assert [sums(page, "layer", layer).get("removed") for layer in range(3)] == [None, [0, 1], [70_000, 1]]
        assert merge(stack).running == [70_000, 70_000, 0]


class TestUse:
    def test_with_the_keyboard_alone(self, opened: Page) -> None:
        """Arrows go from rectangle to rectangle and say what it is, Enter opens, Escape and Home go back."""
        opened.get_by_role("application").focus()
        spoken = opened.locator(".spoken")
        assert "/usr/lib. 1.0 MB, 94.1 % of what is shown, 2 files" in spoken.inner_text()

        opened.keyboard.press("Enter")
        assert folder(opened) == "/usr/lib"
        opened.keyboard.press("ArrowRight")
        assert "/usr/lib/small.so" in spoken.inner_text()
        assert "layer 1 (line 2): RUN make" in spoken.inner_text()
        opened.keyboard.press("Escape")
        assert folder(opened) == "/"
        assert "/usr/lib" in spoken.inner_text()  # where one has been
        opened.keyboard.press("Enter")
        opened.keyboard.press("Home")
        assert folder(opened) == "/"

    def test_with_the_pointer(self, opened: Page) -> None:
        """Pointing at a rectangle tells path, size, layer, line and owner; a click opens the folder around it."""
        canvas = opened.get_by_role("application")
        canvas.hover(position={"x": 60, "y": 120})

        hint = opened.locator(".hint").inner_text()
        assert hint.splitlines() == [
            "/usr/lib/large.so",
            "900.0 kB, 84.7 % of what is shown",
            "layer 0 (line 1): ADD rootfs",
            "base image base",
            "no package; system",
        ]
        canvas.click(position={"x": 60, "y": 120})
        assert folder(opened) == "/usr/lib"
        opened.get_by_role("button", name="app.tar").click()
        assert folder(opened) == "/"

    def test_the_slider_goes_through_the_layers(self, opened: Page, screenshot: Callable[[str], Path]) -> None:
        """At each layer: what is there, or only what it added, changed and removed, in words and figures."""
        opened.get_by_label("Show").select_option("only what this layer did")
        screenshot("explorer-layer")

        status = opened.locator(".status")
        assert "Layer 2 changed 40.0 kB in 1 file, removed 500.0 kB in 1 file." in status.inner_text()
        slider = opened.get_by_role("slider", name="Layer")
        slider.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == "layer 1 (line 2): RUN make"
        assert "Layer 1 added 560.0 kB in 3 files, changed 100.0 kB in 1 file." in status.inner_text()
        opened.get_by_label("Show").select_option("what a container sees")
        assert "1.6 MB in 6 files" in status.inner_text()

    def test_search(self, opened: Page) -> None:
        """Part of a path finds the outermost that has it; a star stands for anything; a result leads to its place."""
        box = opened.get_by_role("searchbox", name="Search")
        found = opened.locator(".found")

        box.fill("TESTS")
        found.get_by_text("1 found, 20.0 kB in 1 file.").wait_for()
        assert found.get_by_role("listitem").all_inner_texts() == ["/app/tests\n20.0 kB"]
        box.fill("*.so")
        found.get_by_text("2 found, 1.0 MB in 2 files.").wait_for()
        found.get_by_role("button", name="/usr/lib/small.so").click()
        assert folder(opened) == "/usr/lib"
        box.fill("nothing like it")
        found.get_by_text("Nothing found.").wait_for()
        box.fill("(")
        found.get_by_text("Nothing found.").wait_for()

    def test_the_dockerfile_says_what_each_line_costs(self, opened: Page) -> None:
        """Each line has its bytes; pressed, it lets only what came from it stand out."""
        lines = opened.get_by_role("region", name="with the bytes of each line").get_by_role("row")

        assert [" ".join(text.split()) for text in lines.all_inner_texts()] == [
            "1 903.0 kB FROM base",
            "2 120.0 kB RUN make",
            "3 40.0 kB RUN tidy",
        ]
        opened.get_by_label("Colour by").select_option("waste")
        assert [" ".join(text.split()) for text in lines.all_inner_texts()][1] == "2 660.0 kB RUN make"
        button = opened.get_by_role("button", name="RUN make")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert state(opened)["highlight"] == {"by": "row", "row": 1}

    def test_the_dockerfile_opens_on_an_instruction(self, page: Page) -> None:
        """Comments that stand first are there when one scrolls up."""
        commented = dockerfile.parse("# why\n" * 80 + "FROM base\nRUN make\nRUN tidy\n" + "# how\n" * 80)
        open_explorer(page, read("app.tar", STACK, STEPS, commented), commented)
        pane = page.get_by_role("region", name="with the bytes of each line")
        line = pane.get_by_role("row").filter(has_text="FROM base")

        page.wait_for_function("pane => pane.scrollTop > 0", arg=pane.element_handle())
        above, there = pane.bounding_box(), line.bounding_box()
        assert above is not None
        assert there is not None
        assert abs(there["y"] - above["y"]) <= 2

    def test_colours(self, opened: Page) -> None:
        """Each way to colour has a legend whose bytes add up to all that is shown."""
        choice = opened.get_by_label("Colour by")
        names = choice.locator("option:not([disabled])").all_inner_texts()

        assert names == ["part", "layer", "owner", "stage", "waste"]
        legends = {}
        for name in names:
            choice.select_option(name)
            texts = opened.locator(".legend button").all_inner_texts()
            legends[name] = dict(text.rsplit("\n", 1) for text in texts)
        assert legends["part"] == {"system": "1.0 MB", "app": "60.0 kB"}
        assert legends["layer"] == {"layer 0": "903.0 kB", "layer 1": "120.0 kB", "layer 2": "40.0 kB"}
        assert legends["stage"] == {"base image base": "903.0 kB", "stage 0": "160.0 kB"}
        assert legends["waste"] == {
            "a container sees it": "1.1 MB", "wasted: deleted": "500.0 kB", "wasted: overwritten": "130.0 kB",
        }  # fmt: skip

    def test_the_table_says_the_same(self, opened: Page) -> None:
        """What is in the folder is there as a table, and its folders can be opened from it."""
        table = opened.get_by_role("region", name="The same as a table")

        rows = [text.split("\t") for text in table.get_by_role("row").all_inner_texts()]
        assert rows[1:3] == [
            ["usr/", "1.0 MB", "94.1 %", "2", "0–1", "lines 1–2", "no package"],
            ["app/", "60.0 kB", "5.6 %", "2", "1–2", "lines 2–3", "no package"],
        ]
        table.get_by_role("button", name="app/").click()
        assert folder(opened) == "/app"


class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing(
        self,
        opened: Page,
        console_errors: list[str],
        screenshot: Callable[[str], Path],
        scheme: str,
    ) -> None:
        """Names, roles and contrast are right in both colour schemes, with a search and a pressed line."""
        opened.emulate_media(color_scheme=scheme)
        opened.get_by_label("Colour by").select_option("waste")
        opened.get_by_role("searchbox").fill("app")
        opened.locator(".found").get_by_text("1 found").wait_for()
        opened.get_by_role("button", name="RUN make").click()
        screenshot(f"explorer-{scheme}")

        assert problems(opened, ["#explorer"]) == []
        assert console_errors == []

    def test_the_canvas_says_what_to_do(self, opened: Page) -> None:
        """The treemap has a name that says what it shows, which keys do what, and where the same is in words."""
        label = opened.get_by_role("application").get_attribute("aria-label") or ""
        assert label.startswith("Treemap of app.tar, 1.1 MB in 5 files.")
        assert "Arrow keys" in label
        assert "table below" in label


class TestInJupyterLab:
    def test_what_is_typed_is_no_command(self, opened: Page) -> None:
        """JupyterLab is told not to take keys that are typed in the explorer: ``dd`` would delete the cell."""
        assert opened.locator("#explorer").get_attribute("data-lm-suppress-shortcuts") == "true"

    def test_follows_its_theme(self, opened: Page) -> None:
        """The theme is JupyterLab's, whatever the system's is, and changes with it."""
        assert opened.locator(".explorer").get_attribute("data-theme") == "light"

        for is_light, theme in (("false", "dark"), ("true", "light")):
            opened.evaluate("light => { document.body.dataset.jpThemeLight = light; }", is_light)
            opened.locator(f".explorer[data-theme={theme}]").wait_for()


class TestHostileNames:
    def test_are_only_ever_text(
        self, page: Page, tmp_path: Path, console_errors: list[str], screenshot: Callable[[str], Path]
    ) -> None:
        """Markup, quotes, line ends, escape codes, direction marks and broken UTF-8 are shown, and do nothing."""
        entries = [file(f"d/{name.replace('/', '∕')}/{name.replace('/', '∕')}", 50_000) for name in HOSTILE]
        evil = "RUN /bin/sh -c echo '</script><script>document.title=\"owned\"</script>' # buildkit"
        looked = read("<b>name.tar", [entries], [evil], User="<i>me", Labels={"</td><b>": "</script>"})
        open_report(page, tmp_path, looked)
        page.get_by_label("Colour by").select_option("owner")
        page.get_by_role("searchbox").fill("d")
        page.locator(".found").get_by_text("found,").wait_for()
        table = page.get_by_role("region", name="The same as a table")
        table.get_by_role("button", name="d/").click()
        canvas = page.get_by_role("application")
        for x in range(20, 600, 60):
            canvas.hover(position={"x": x, "y": 60})
        canvas.focus()
        canvas.press("ArrowRight")
        screenshot("explorer-hostile")

        names = table.get_by_role("rowheader").all_inner_texts()
        assert sorted(names) == sorted(
            [
                "<∕script><img src=x onerror=document.title='owned'>/",
                "<img src=x onerror=\"document.title='owned'\">/",
                "'\"`{{7*7}}${7*7}&lt;/",
                "line\\nend\\ttab/",
                "\\x1b]0;owned\\x07/",
                "\\u202egnp.exe/",
                "latin-\\xe9\\xff/",
                "-->/",
                "__proto__/",
                "ünï עברית/",
            ]
        )
        assert page.title() == "<b>name.tar: every byte"
        assert page.locator("script").count() == 2
        assert page.locator("img[onerror], b, i").count() == 0
        assert console_errors == []


class TestWidget:
    def test_the_module_shows_a_models_data(self, page: Page, small: Image, console_errors: list[str]) -> None:
        """What a notebook is sent, as anywidget calls it: it renders the data of a model, and ends cleanly."""
        page.goto("about:blank")
        page.set_content("<div id=cell></div>")
        shown = page.evaluate(
            """async ([code, data]) => {
                const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
                const { default: widget } = await import(address);
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                const model = { get: (name) => (name === "data" ? new DataView(bytes.buffer) : undefined) };
                const el = document.getElementById("cell");
                const end = await widget.render({ model, el });
                const text = el.shadowRoot.textContent;
                end();
                return [text, el.shadowRoot.childElementCount];
            }""",
            [bundle.module(), base64.b64encode(packed(small, DOCKERFILE)).decode()],
        )

        assert "app.tar: 1.1 MB in 5 files" in shown[0]
        assert shown[1] == 0
        assert console_errors == []
