"""What the texts say is there: links, headings, commands, options."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from importlib import import_module
from urllib.parse import unquote, urlsplit

import pytest

from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from tests.documents import DOCUMENTS, Document
from tests.unit.command_lines import explains

EVERY = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=list(DOCUMENTS))
ON_GITHUB = re.compile(r"\.\./\.\./(?:actions/(workflows/[^/]+)|codespaces/|deployments/)")
"""Where README links to GitHub's own pages about a repository, whatever it is called."""
RUN_BY = {
    "./lab": "tests.engine.test_readme:test_lab_without_anything",
    "./lab new my-image": "tests.engine.test_readme:test_the_exercise_from_the_first_line_on",
    "./lab check my-image": "tests.engine.test_readme:test_the_exercise_from_the_first_line_on",
    "./lab check DIR ...": "tests.engine.test_readme:test_the_exercise_from_the_first_line_on",
    ".venv/bin/uv pip install --python .venv/bin/python -r requirements/class.txt": (
        "tests.engine.test_classroom_cluster:class_packages"
    ),
    **dict.fromkeys(
        ("cp -r class/nbgrader ../my-course", ". .venv/bin/activate", "cd ../my-course ...", "nbgrader ..."),
        "tests.engine.test_classroom_nbgrader:test_from_the_assignment_to_the_marks",
    ),
    ".venv/bin/dask ...": (
        "tests.engine.test_classroom_cluster:test_two_machines_give_the_marks_of_one_and_one_may_be_lost"
    ),
    "./lab class up": "tests.browser.test_class:test_a_class_of_two",
    "./lab grade ...": "tests.engine.test_classroom:test_an_export_gets_the_right_marks",
    "./lab xray my-image:latest ...": "tests.engine.test_cli_main:TestXray.test_limits",
    "docker ...": "tests.engine.test_plain_commands:TestPlainCommands.test_they_work_as_written",
    "curl ...": "tests.engine.test_plain_commands:TestPlainCommands.test_they_work_as_written",
    "./lab test ...": "tests.unit.test_maintenance_test_run:TestParts.test_options_leave_parts_out",
    ".venv/bin/uv pip compile ...": "tests.engine.test_readme:test_the_pins_are_what_their_commands_make",
    ".venv/bin/python -m layerlab.jupyter.run_notebooks ...": (
        "tests.engine.test_readme:test_notebooks_are_run_and_saved"
    ),
    ".venv/bin/pytest": "tests.engine.test_fresh_clone:TestPinned.test_pytest",
    ".venv/bin/pytest --nbval ...": "tests.engine.test_fresh_clone:TestPinned.test_nbval",
    "cd notebooks && ../.venv/bin/jupyter lab": "tests.engine.test_fresh_clone:TestPinned.test_jupyter_lab",
    "uv sync && uv run lab": "tests.engine.test_fresh_clone:test_uv",
    "pip install -e .": "tests.engine.test_fresh_clone:test_pip",
    "./lab xray optimized --html ...": "tests.browser.test_site:test_it_can_be_read",
    ".venv/bin/sphinx-build ...": "tests.browser.test_site:test_it_can_be_read",
    ".venv/bin/python docs/generate.py": "tests.unit.test_documentation:test_what_is_written_from_code_is_up_to_date",
    ".venv/bin/python -m benchmarks ...": "tests.engine.test_benchmarks:test_a_part_prints_its_rows",
    ".venv/bin/python -m tests.engine.newer_tools ...": "tests.engine.test_newer_tools:test_it_gives_what_is_saved",
    ".venv/bin/python -m tests.external_links": "tests.unit.test_external_links:test_each_link_is_asked_for",
}
"""Which test runs what the texts tell one to type; a name that ends in `...` stands for what begins like it."""


def test_what_is_written_from_code_is_up_to_date() -> None:
    """It is written anew after each change: `.venv/bin/python docs/generate.py`."""
    for name, written in runpy.run_path(str(ROOT / "docs" / "generate.py"))["PARTS"].items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == written(), name


@EVERY
def test_links_lead_somewhere(document: Document) -> None:
    """Every file that a link or a picture names is there, and so is the heading."""
    for link in document.links():
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue  # tests/external_links.py asks for those, when told to
        if document.name == "README.md" and (workflow := ON_GITHUB.match(url.path)):
            assert not workflow[1] or (ROOT / ".github" / workflow[1]).exists(), link
            continue
        target = (document.path.parent / unquote(url.path)).resolve() if url.path else document.path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if url.fragment:
            assert url.fragment in DOCUMENTS[target.relative_to(ROOT).as_posix()].anchors, link


def test_links_of_a_workspace_lead_somewhere_there() -> None:
    """What is copied into a workspace only links to what lies beside it."""
    for document in (one for name, one in DOCUMENTS.items() if name.startswith("exercise/")):
        for link in document.links():
            assert urlsplit(link).scheme or urlsplit(link).path in {"", *new_workspace.CONTENTS}, link


def test_a_dead_link_is_seen(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the links can fail: for a file, for a heading, for a picture."""
    folder = tmp_path_factory.mktemp("texts")
    monkeypatch.setattr("tests.unit.test_documentation.ROOT", folder)
    monkeypatch.setattr("tests.documents.ROOT", folder)
    for text in (
        "[a](no-such-file.md)",
        "[a](../../actions/workflows/none.yml)",
        "[a](#no-such-heading)",
        "![a](none.png)",
        '<img src="none.png">',
    ):
        (folder / "text.md").write_text(f"# A heading\n\n{text}\n")
        document = Document(folder / "text.md")
        monkeypatch.setitem(DOCUMENTS, "text.md", document)

        with pytest.raises(AssertionError):
            test_links_lead_somewhere(document)
    (folder / "text.md").write_text("# `Some` heading, here\n\n[a](text.md#some-heading-here)\n")
    document = Document(folder / "text.md")
    monkeypatch.setitem(DOCUMENTS, "text.md", document)
    test_links_lead_somewhere(document)


def lab_lines(text: str) -> Iterator[list[str]]:
    """The command lines of the lab in a piece of code, as words: what may be left out or repeated is kept once."""
    if "[OPTIONS]" in text or text.startswith(("lab: ", "… ", "…: ")):  # usage and messages, nothing to type
        return
    for line in re.findall(r"(?:^|(?<=[ $(`]))\./lab(?: [^|#;&)`>,]*)?", text):
        plain = re.sub(r"[\[\]]|\.\.\.|…", "", line.partition("  ")[0]).strip()
        yield shlex.split(plain.rstrip(".,:"))


@EVERY
def test_every_command_line_is_understood(document: Document) -> None:
    """Each `./lab ...` that a text shows has a command and options that exist."""
    for code in document.code():
        for words in lab_lines(code):
            assert explains(words) is None, (code, explains(words))


def test_a_wrong_command_line_is_seen() -> None:
    """The check of the command lines can fail: for a command, for an option."""
    assert explains(["./lab", "nonsense"])
    assert explains(["./lab", "xray", "IMAGE", "--nonsense"])
    assert explains(["./lab", "new", "DIR", "--level", "9"])
    assert list(lab_lines("see `./lab nonsense`, or ./lab doctor")) == [["./lab", "nonsense"], ["./lab", "doctor"]]


def test_remedies_name_commands_that_exist() -> None:
    """What a message tells the user to type, between backticks, can be typed."""
    told = 0
    for path in sorted((ROOT / "layerlab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for code in re.findall(r"`(\./lab[^`\n]*)`", node.value):
                    for words in lab_lines(code):
                        told += 1
                        assert explains(words) is None, (path.name, code)
    assert told > 10


@EVERY
def test_somebody_runs_every_command(document: Document) -> None:
    """Each line of a block marked `sh` is run by a test, which is there."""
    for line in (line for block in document.shell_blocks() for line in block):
        if document.name == "docs/commands.md":
            assert line.startswith("./lab")  # each is read as the command line reads it, by test_cli_help
            continue
        found = [test for begins, test in RUN_BY.items() if _is_like(line, begins)]
        assert found, f"{document.name}: no test runs {line!r}: write one and name it in RUN_BY"


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_the_tests_are_there(test: str) -> None:
    """The tests that `RUN_BY` names exist."""
    module, _, name = test.partition(":")
    found: object = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


def _is_like(line: str, pattern: str) -> bool:
    return line.startswith(pattern.removesuffix("...").rstrip()) if pattern.endswith("...") else line == pattern


def test_the_map_has_every_notebook() -> None:
    """The picture in notebook 00 has a box for each."""
    boxes = re.findall(r">(\d\d)<", (ROOT / "docs/images/tour.svg").read_text(encoding="utf-8"))

    assert sorted(boxes) == sorted(path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb"))
