"""What the packages may import of each other."""

from __future__ import annotations

import ast

import pytest

from layerlab.paths import ROOT

SOURCES = sorted((ROOT / "layerlab").rglob("*.py"))


def test_the_service_knows_nothing_of_the_lab() -> None:
    """What is packaged imports nothing of layerlab."""
    for path in (ROOT / "app").rglob("*.py"):
        assert "layerlab" not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_lab_needs_neither_its_tests_nor_its_benchmarks() -> None:
    """What learners run imports nothing of what only developers have the packages for."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert (module or "").split(".")[0] not in {"tests", "benchmarks", "pytest", "hypothesis"}, path
