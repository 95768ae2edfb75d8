"""How the explorer's ES modules become one script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from layerlab.paths import ROOT
from layerlab.report.explorer import bundle
from tests.unit import javascript

SCRIPTS: Final = sorted((ROOT / "layerlab").glob("**/assets/**/*.js"))
"""The explorer's modules and the report's."""


MODULES: Final = {
    "main.js": """
import { first, order, Thing, value as other } from "./one.js";
import {
  first as second,
  later,
} from "./deeper/two-words.js";
import style from "./style.css" with { type: "text" };

// Here "import" and "export" are only words: export nothing.
const value = "main's own";
order.push("main");
export async function all() {
  return [value, other, first(), second(), await later(), new Thing().name, style, order];
}
export const constant = 7;
""",
    "one.js": """
export const order = ["one"];
export const value = "one's";
export class Thing {
  name = value;
}
export function first() {
  return helper();
}
const helper = () => `${value} first`;
""",
    "deeper/two-words.js": """
import { order, value } from "../one.js";
order.push("two");
const helper = () => `two's first, beside ${value}`;
export function first() {
  return helper();
}
export async function later() {
  return await Promise.resolve("later");
}
""",
    "style.css": "a::before { content: '\\201C\"`${x}'; }\n/* ü </style> */\n",
}


class TestJoined:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """These modules, as files."""
        for name, text in MODULES.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    def test_does_what_the_modules_do(self, folder: Path) -> None:
        """Names, scopes, the order of what runs, and that it runs once, are as where modules are loaded as such."""
        told = "async ({ all, constant, ...others }) => [await all(), constant, Object.keys(others)]"
        native = javascript.run(f"import('./main.js').then({told})", folder)

        assert javascript.run(f"({told})({bundle.joined(folder / 'main.js')})", folder) == native
        assert native[0][-1] == ["one", "two", "main"]
        assert native[0][-2] == MODULES["style.css"]

    @pytest.mark.parametrize(
        "line",
        [
            'import * as all from "./one.js";',
            'import one from "./one.js";',
            'import "./one.js";',
            'import { first } from "d3-hierarchy";',
            'const one = await import("./one.js");',
            "const here = import.meta.url;",
            "export default 1;",
            "export { helper };",
            "export let changing = 1;",
            'export * from "./one.js";',
        ],
    )
    def test_refuses_other_forms(self, folder: Path, line: str) -> None:
        """What the joiner does not know is no part of a page that then does not work."""
        (folder / "main.js").write_text(f"const helper = 1;\n{line}\n")

        with pytest.raises(ValueError, match="what the joiner does not know: "):
            bundle.joined(folder / "main.js")

    def test_refuses_circles(self, folder: Path) -> None:
        """A module that imports itself by a detour has no place in the order."""
        with (folder / "one.js").open("a") as one:
            one.write('import { first as again } from "./deeper/two-words.js";\n')

        with pytest.raises(ValueError, match=r"one\.js imports itself by way of .*two-words\.js"):
            bundle.joined(folder / "main.js")


class TestScripts:
    def test_are_small_and_whole(self) -> None:
        """All of it is less than 100 kB, and no script is left out."""
        ours = bundle.ASSETS / "explorer.js", ROOT / "layerlab/report/assets/report.js"
        texts = *map(bundle.joined, ours), bundle.module()

        assert max(map(len, texts)) < 100_000
        assert [path for path in SCRIPTS if not any(opening(path) in text for text in texts)] == []

    def test_do_not_end_their_element(self) -> None:
        """In a page, the script goes on until its own end."""
        script = bundle.joined(ROOT / "layerlab/report/assets/report.js")

        assert re.findall(r"</script|<!--", script, re.IGNORECASE) == []

    def test_are_type_checked(self) -> None:
        """Each asks for TypeScript's compiler, which `./lab test` and editors run."""
        assert [path for path in SCRIPTS if not path.read_text().startswith("// @ts-check\n")] == []

    def test_ask_for_nothing(self) -> None:
        """No script names an address."""
        assert re.findall(r"https?://[^\s\"'`)]+", bundle.joined(bundle.ASSETS / "explorer.js")) == []

    def test_write_text_only(self) -> None:
        """No script makes elements from text, which could hold a file's name."""
        unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert [path for path in SCRIPTS if re.search(unsafe, path.read_text())] == []


def opening(path: Path) -> str:
    """The line that says what a script is."""
    return path.read_text().splitlines()[1]
