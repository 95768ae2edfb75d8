"""The examples in docstrings: found in the sources, told apart by what they need, run by the standard doctest."""

from __future__ import annotations

import ast
import doctest
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from layerlab.paths import ROOT

OF_THE_ENGINE: Final = {"engine", "lab", "folder"}
"""Names that an example has without an import where it is run beside an engine."""


@dataclass(frozen=True)
class Example:
    """A docstring that holds examples.

    Attributes:
        module: The module that it stands in.
        name: The function, method or class that it explains; empty for the module.
        text: The docstring.
    """

    module: str
    name: str
    text: str

    @property
    def needs_engine(self) -> bool:
        """Whether it uses one of `OF_THE_ENGINE` without having made it."""
        code = "\n".join(step.source for step in doctest.DocTestParser().get_examples(self.text))
        names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
        made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        return bool({node.id for node in names} & OF_THE_ENGINE - made)

    def run(self, **names: object) -> None:
        """Run it with the names of its module, and these.

        Raises:
            AssertionError: it does not do what it says; says what it does instead.
        """
        globs = {**vars(import_module(self.module)), **names}
        test = doctest.DocTestParser().get_doctest(self.text, globs, f"{self.module}.{self.name}", None, None)
        said = io.StringIO()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        results = doctest.DocTestRunner(verbose=False, optionflags=flags).run(test, out=said.write)
        assert results.attempted
        assert not results.failed, said.getvalue()

    def __str__(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")


def examples() -> list[Example]:
    """Every docstring of layerlab and of the benchmarks that has examples."""
    paths = [path for package in ("layerlab", "benchmarks") for path in sorted((ROOT / package).rglob("*.py"))]
    return [example for path in paths for example in _of(path)]


def _of(path: Path) -> Iterator[Example]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if ">>> " in (text := path.read_text(encoding="utf-8")):
        yield from _within(module, "", ast.parse(text))


def _within(module: str, name: str, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[Example]:
    text = ast.get_docstring(node) or ""
    if ">>> " in text:
        yield Example(module, name, text)
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _within(module, f"{name}.{child.name}".lstrip("."), child)
