"""docs/architecture.md is true: it names every module, imports go downwards, its signatures are those of the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from layerlab import bases, build, checker, dockerfile, image, paths, service
from layerlab.bases import Base
from layerlab.checker.model import Finding, Result, Verdict
from layerlab.dockerfile import Instruction, Stage
from layerlab.paths import ROOT
from layerlab.plots import Picture
from layerlab.service import Service, Stopped
from layerlab.service.handle import Service as Handle

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "layerlab"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ENTRANCES = {"__init__", "__main__"}


def rows(page: str) -> list[list[str]]:
    """The modules of each line of the table of the parts, from the top."""
    table = page.partition("## Parts")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", table, flags=re.MULTILINE)
    return [[name.strip("/") for name in re.findall(r"`([^`]+)`", cell)] for cell in first_cells]


def part_of(path: Path) -> str:
    """The module or package right below ``layerlab`` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """The modules and packages right below ``layerlab`` that a source imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module" and node.args:
            texts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
            names = [text for text in texts if isinstance(text, str)]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "layerlab" and rest:
                yield rest.split(".")[0]


def upwards(page: str, sources: dict[str, str]) -> list[str]:
    """What imports something that stands above it on the page."""
    places = {name: number for number, names in enumerate(rows(page)) for name in names}
    return sorted(
        f"{name} imports {other}"
        for name, source in sources.items()
        for other in set(imported(source))
        if name in places and other in places and places[other] < places[name]
    )


def test_every_module_is_named_and_nothing_else() -> None:
    """The table has each module and package of layerlab once, and no other but the script that starts it."""
    named = [name for names in rows(PAGE) for name in names]

    assert sorted(named) == sorted({part_of(path) for path in SOURCES} - ENTRANCES | {"lab"})


def test_imports_only_go_downwards() -> None:
    """No module imports one that stands above it in the table."""
    assert {
        one for path in SOURCES for one in upwards(PAGE, {part_of(path): path.read_text(encoding="utf-8")})
    } == set()


@pytest.mark.parametrize(
    "source",
    [
        "import layerlab.upper",
        "from layerlab import upper",
        "from layerlab.upper import anything",
        "def later():\n    from layerlab.upper import anything",
        "import_module('layerlab.upper')",
    ],
)
def test_an_import_that_goes_upwards_is_seen(source: str) -> None:
    """However it is written; the other way round it is fine."""
    page = "## Parts\n| module | job |\n|---|---|\n| `upper` | a |\n| `lower`, `beside/` | b |\n\n## Next\n"

    assert upwards(page, {"lower": source}) == ["lower imports upper"]
    assert upwards(page, {"upper": "from layerlab import lower", "lower": "import layerlab.beside.x"}) == []


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


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "parse(text": dockerfile.parse,
    "build(engine": build.build,
    "run(engine": service.run,
    "read(engine": image.read,
    "ensure(engine": bases.ensure,
    "is_on_stand_ins(engine": bases.is_on_stand_ins,
    "check(engine": checker.check,
    "stop(timeout": Handle.stop,
    "get(path": Handle.get,
}
CLASSES: dict[str, Any] = {
    "Instruction": Instruction,
    "Stage": Stage,
    "Build": build.Build,
    "Stopped": Stopped,
    "Base": Base,
    "Picture": Picture,
    "Verdict": Verdict,
    "Result": Result,
    "Finding": Finding,
}


def written(begins: str) -> str:
    """The arguments of a function or class, as the page has them."""
    found = re.search(rf"`[^`\n]*\b{re.escape(begins)}[^`]*", PAGE)
    assert found, f"docs/architecture.md does not have {begins}"
    text = found[0][found[0].index(begins) :]
    return text[text.index("(") + 1 : text.index(")", text.index("("))]


@pytest.mark.parametrize("begins", FUNCTIONS)
def test_functions_take_what_the_page_says(begins: str) -> None:
    """Each parameter on the page is one of the function's, with the same default."""
    real = inspect.signature(FUNCTIONS[begins]).parameters
    arguments = ast.parse(f"def f({written(begins)}): pass").body[0]
    assert isinstance(arguments, ast.FunctionDef)
    places, defaults = arguments.args.args, arguments.args.defaults
    told: dict[str, ast.expr | None] = dict.fromkeys(one.arg for one in places)
    told |= zip([one.arg for one in places][len(places) - len(defaults) :], defaults, strict=True)
    told |= {
        one.arg: default for one, default in zip(arguments.args.kwonlyargs, arguments.args.kw_defaults, strict=True)
    }
    for name, default in told.items():
        assert name in real
        if isinstance(default, ast.Constant):
            assert default.value == real[name].default, name


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_what_the_page_says(name: str) -> None:
    """Each field on the page is one of the class's."""
    fields = {field.name for field in dataclasses.fields(CLASSES[name])}

    assert {one.strip() for one in written(f"{name}(").split(",")} <= fields


def test_names_in_the_text_exist() -> None:
    """What the page calls `module.name` is there."""
    assert Service is Handle
    for module, name in re.findall(r"`layerlab/(\w+)/(\w+)\.py`", PAGE):
        assert (paths.ROOT / "layerlab" / module / f"{name}.py").is_file()
