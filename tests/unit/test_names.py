"""One name has one meaning."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from layerlab.paths import ROOT


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    """All of the lab's modules, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "layerlab").rglob("*.py")}


def test_no_two_public_classes_have_the_same_name(modules: dict[Path, ast.Module]) -> None:
    """So that a name in a message or a signature says which class is meant."""
    classes = Counter(node.name for tree in modules.values() for node in tree.body if isinstance(node, ast.ClassDef))

    assert len(classes) > 100
    assert [name for name, count in classes.items() if count > 1 and not name.startswith("_")] == []


def test_no_module_is_called_like_another(modules: dict[Path, ast.Module]) -> None:
    """So that its name alone finds it. (A room's face is called like the room, and so may a command be.)"""
    names = Counter(path.stem for path in modules if not path.stem.startswith("__"))

    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_each_module_says_what_it_is(modules: dict[Path, ast.Module]) -> None:
    """In its docstring."""
    assert [
        path for path, tree in modules.items() if path.read_text(encoding="utf-8") and not ast.get_docstring(tree)
    ] == []
