"""Each third hint of the exercise leads to a passage that teaches what it names."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re

import pytest

from layerlab.exercise import tasks
from layerlab.paths import ROOT


def _hints() -> dict[str, tuple[str, ...]]:
    """All of them, by module and name."""
    modules = [
        importlib.import_module(f"{tasks.__name__}.{found.name}") for found in pkgutil.iter_modules(tasks.__path__)
    ]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if name.endswith("_HINTS")
    }


HINTS = _hints()


def _passage(notebook: str, heading: str) -> str:
    """What stands below a heading of a notebook: its text, its code, and what both show."""
    text = ""
    for cell in json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]:
        shown = ["".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", ())]
        lines = ["".join(cell["source"]), *(re.sub("<[^>]+>", "", part) for part in shown)]
        text += "\n".join(lines) + "\n"
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_leads_to_what_it_names(name: str) -> None:
    """The section is there, and speaks of each of the terms."""
    question, _, last = HINTS[name]
    found = re.fullmatch(r"(.*): “(.*)” in (notebooks/\S+)\.", last)
    assert found, last
    passage = _passage(found[3], found[2]).lower()

    assert question.endswith("?")
    assert passage, f"no section {found[2]!r}"
    assert [term for term in found[1].split(", ") if term.lower() not in passage] == []


def test_there_are_hints_for_every_task() -> None:
    """The modules were found."""
    assert {name.partition(".")[0] for name in HINTS} >= {
        *("artifacts", "build_stage", "command", "python_packages", "runtime_stage", "security", "system_packages")
    }
