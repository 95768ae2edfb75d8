"""The examples in docstrings work, and what notebooks and users import has some."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest

from tests.examples import Example, examples

EVERY = examples()
WITHOUT_ENGINE = [example for example in EVERY if not example.needs_engine]
API = {
    "layerlab.bases": ["ensure", "is_on_stand_ins", "own_bases"],
    "layerlab.builder": ["build"],
    "layerlab.exercise": ["check"],
    "layerlab.compare": [],
    "layerlab.dockerfile": [],
    "layerlab.engine": ["connect"],
    "layerlab.exercise.new_workspace": ["make"],
    "layerlab.image": [],
    "layerlab.notebook": [],
    "layerlab.plots": [],
    "layerlab.service": [],
    "layerlab.xray": ["examine"],
}
"""What notebooks import, and what an engineer would who uses the lab's tools in a program: these functions of each
module, or all that it offers."""


@pytest.mark.parametrize("example", WITHOUT_ENGINE, ids=str)
def test_they_do_what_they_say(example: Example) -> None:
    """Every example that needs no engine gives what stands below it."""
    example.run()


def public_functions(module: str) -> Iterator[Callable[..., object]]:
    """The functions that a module offers: those of its ``__all__``, else those that it defines itself."""
    imported = import_module(module)
    names = (
        API[module]
        or getattr(imported, "__all__", None)
        or [name for name, one in vars(imported).items() if getattr(one, "__module__", "") == module]
    )
    for name in names:
        if not name.startswith("_") and inspect.isroutine(one := inspect.unwrap(getattr(imported, name))):
            yield one


@pytest.mark.parametrize("module", API)
def test_what_is_imported_has_examples(module: str) -> None:
    """Each public function of these modules shows how it is used."""
    functions = list(public_functions(module))

    assert functions
    assert [one.__qualname__ for one in functions if ">>> " not in (inspect.getdoc(one) or "")] == []


def test_a_wrong_example_is_seen() -> None:
    """An example fails where something else comes out, and where nothing is tried at all."""
    for text in (">>> 1 + 1\n3", "no example"):
        with pytest.raises(AssertionError):
            Example("layerlab.ui.text", "", text).run()


def test_what_needs_an_engine_is_told_apart() -> None:
    """An example that only takes the engine from outside is one of the engine's."""
    assert Example("m", "f", ">>> read(engine, 'a')").needs_engine
    assert Example("m", "f", ">>> lab.look('a')").needs_engine
    assert not Example("m", "f", ">>> engine = 3\n>>> engine\n3").needs_engine
