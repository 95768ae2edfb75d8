"""The explorer's JavaScript as one piece: what a browser is given, whole, so that it needs no network.

`joined` knows the few forms that the sources are written in, and refuses whatever else says ``import`` or ``export``:

* ``import { name, other as another } from "./module.js";``
* ``import text from "./file.css" with { type: "text" };``
* ``export const``, ``export class``, ``export function`` and ``export async function``

As the standard wants it, each module has a scope of its own and runs once, after those that it imports from.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Final

ASSETS: Final = Path(__file__).parent / "assets"

_NAMES: Final = re.compile(r'^import (?P<names>\{[^{}]+\}) from "(?P<path>\.[^"]+)";$', re.MULTILINE)
_TEXT: Final = re.compile(r'^import (?P<name>\w+) from "(?P<path>\.[^"]+)" with \{ type: "text" \};$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:const|class|function|async function) (?P<name>\w+))", re.MULTILINE)
_OTHER: Final = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[(.].*", re.MULTILINE)


@functools.cache
def joined(path: Path) -> str:
    """A JavaScript expression: an object with what a module exports.

    Raises:
        ValueError: a module imports or exports in another way, or imports itself by a detour.
    """
    modules: dict[Path, str] = {}
    name = _add(path.resolve(), modules, ())
    return "\n".join(["(() => {", '"use strict";', *modules.values(), f"return {name};", "})()"])


def module() -> str:
    """A module for anywidget: shows the bytes of the model's ``data``."""
    return f"export default {joined(ASSETS / 'widget.js')};\n"


def _add(path: Path, modules: dict[Path, str], importers: tuple[Path, ...]) -> str:
    """Put a module after those that it imports from, unless it is there; returns the name of what it exports."""
    if path in importers:
        raise ValueError(f"{path} imports itself by way of {importers[-1]}")

    def names(found: re.Match[str]) -> str:
        inner = _add((path.parent / found["path"]).resolve(), modules, (*importers, path))
        return f"const {found['names'].replace(' as ', ': ')} = {inner};"

    def text(found: re.Match[str]) -> str:
        return f"const {found['name']} = {json.dumps((path.parent / found['path']).read_text(encoding='utf-8'))};"

    if path not in modules:
        source = path.read_text(encoding="utf-8")
        exported = ", ".join(found["name"] for found in _EXPORT.finditer(source))
        body = _EXPORT.sub("", _TEXT.sub(text, _NAMES.sub(names, source)))
        if other := _OTHER.search(body):
            raise ValueError(f"{path} has what the joiner does not know: {other[0].strip()}")
        modules[path] = f"const ${len(modules)} = (() => {{\n// {path.name}\n{body}return {{ {exported} }};\n}})();"
    return f"${list(modules).index(path)}"
