"""The notebooks as files: how they are saved, and the form that all of them keep."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from layerlab.jupyter.run_notebooks import tidy
from layerlab.paths import ROOT

FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def prose(notebook: Any) -> str:
    """The text of all markdown cells, code blocks left out."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"^([ \t]*)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(notebook: Any) -> list[tuple[int, str]]:
    """Level and text of each heading, in order."""
    return [(len(marks), text) for marks, text in re.findall(r"^(#+) (.*)$", prose(notebook), flags=re.MULTILINE)]


def title(notebook: Any) -> str:
    return headings(notebook)[0][1]


def minutes(notebook: Any) -> str:
    """How many minutes its first cell says that it takes to read; empty if it does not say."""
    found = re.search(
        r"\*\*How long it takes:\*\* (\d+) minutes? to read, \d+ seconds? to run", notebook.cells[0].source
    )
    return found[1] if found else ""


def local_links(notebook: Any) -> list[tuple[str, str]]:
    """Text and path of each link to a file of the repository."""
    found = [(match["text"], match["target"].partition("#")[0]) for match in LINK.finditer(prose(notebook))]
    return [(text, target) for text, target in found if target and "://" not in target]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


class TestTidy:
    def notebook(self) -> Any:
        view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1f2e"}}
        cell = nbformat.v4.new_code_cell(
            "lab.build('single')",
            outputs=[
                nbformat.v4.new_output("display_data", data=view),
                nbformat.v4.new_output("stream", text="built\n"),
                nbformat.v4.new_output("display_data", data={"text/plain": "shown"}),
            ],
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 00 Text"), cell])
        notebook.metadata = {"language_info": {"version": "3.13.1"}, "widgets": {"state": {}}}
        return notebook

    def test_views_of_widgets_go_and_everything_else_stays(self) -> None:
        """Without its kernel a widget's view shows nothing, so it is not saved; what was printed is."""
        notebook = self.notebook()

        tidy(notebook)

        assert [output.get("text") or output.data for output in notebook.cells[1].outputs] == [
            "built\n",
            {"text/plain": "shown"},
        ]

    def test_of_a_widget_with_a_picture_the_picture_stays(self) -> None:
        """A widget's live view goes; what it shows to those who cannot run it is kept."""
        notebook = self.notebook()
        view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
        shown = nbformat.v4.new_output("display_data", {**view, "image/svg+xml": "<svg/>", "text/plain": "words"})
        notebook.cells[1].outputs = [nbformat.v4.new_output("display_data", {**view, "text/plain": "only"}), shown]

        tidy(notebook)

        assert [output.data for output in notebook.cells[1].outputs] == [
            {"image/svg+xml": "<svg/>", "text/plain": "words"}
        ]

    def test_the_kernel_is_named_without_its_version(self) -> None:
        """Which Python ran a notebook, and the state of its widgets, make no difference to the file."""
        notebook = self.notebook()

        tidy(notebook)

        assert notebook.metadata.kernelspec.name == "python3"
        assert "3.13.1" not in nbformat.writes(notebook)
        assert "widgets" not in notebook.metadata


class TestTour:
    def test_it_names_every_notebook_with_its_title_and_time(self) -> None:
        """The first notebook's table has the others in their order, under their titles, with their minutes."""
        tour = re.findall(r"^\| \[(.+)\]\((.+)\) \| .+ \| (\d+) min \|$", prose(read(PATHS[0])), re.MULTILINE)
        notebooks = [(path.name, read(path)) for path in PATHS[1:]]

        assert [(title(notebook), name, minutes(notebook)) for name, notebook in notebooks] == tour

    def test_every_habit_of_the_single_stage_dockerfile_is_explained(self) -> None:
        """Each number in Dockerfile.single stands in the prose of the notebook about it, and no other does."""
        marked = re.findall(r"^# (\(\d+\)) ", (ROOT / "Dockerfile.single").read_text(encoding="utf-8"), re.MULTILINE)
        explained = set(re.findall(r"\(\d+\)", prose(read(FOLDER / "02-a-single-stage-image.ipynb"))))

        assert marked
        assert explained == set(marked)


@every_notebook
class TestForm:
    def test_it_begins_with_its_number_and_title(self, path: Path) -> None:
        """The first cell is a level-1 heading with the number that the file's name has."""
        first = read(path).cells[0]

        assert first.cell_type == "markdown"
        assert re.match(rf"# {path.name[:2]} [A-Z]", first.source)

    def test_it_says_how_long_it_takes(self, path: Path) -> None:
        """The first cell says how many minutes it takes to read and how many seconds to run."""
        assert minutes(read(path))

    def test_the_second_cell_makes_it_ready(self, path: Path) -> None:
        """Any notebook can be the first that is opened: its second cell imports the lab."""
        second = read(path).cells[1]

        assert second.cell_type == "code"
        assert "from layerlab import notebook as lab" in second.source

    def test_headings_are_in_order(self, path: Path) -> None:
        """There is one level-1 heading, and no level is left out on the way down."""
        levels = [level for level, _ in headings(read(path))]

        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels))

    def test_it_ends_in_a_check_and_says_where_to_go(self, path: Path) -> None:
        """The last section is a check that runs; the last cell links to a file that exists."""
        notebook = read(path)
        *_, check, last = notebook.cells

        assert headings(notebook)[-1] == (2, "Check")
        assert check.cell_type == "code"
        assert "lab.expect(" in check.source
        assert last.cell_type == "markdown"
        assert local_links(nbformat.v4.new_notebook(cells=[last]))

    def test_links_say_where_they_go(self, path: Path) -> None:
        """A link to a notebook says its number; none is called "here"."""
        for text, target in local_links(read(path)):
            assert text.lower() not in {"", "here", "this", "link", "click here"}
            if target.endswith(".ipynb"):
                assert target[:2] in text

    def test_no_cell_is_left_out_of_the_comparison(self, path: Path) -> None:
        """No cell carries a mark of nbval's, neither as a comment nor as a tag, so every one is compared."""
        for cell in read(path).cells:
            assert not re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source)
            assert not [tag for tag in cell.metadata.get("tags", []) if tag.startswith(("nbval", "raises-exception"))]


@every_notebook
class TestSavedOutputs:
    def test_every_cell_was_run_in_order(self, path: Path) -> None:
        """Outputs come from one run from top to bottom, so that they read as the text says."""
        counts = [cell.execution_count for cell in read(path).cells if cell.cell_type == "code"]

        assert counts == list(range(1, len(counts) + 1))

    def test_there_is_no_error(self, path: Path) -> None:
        """No cell ended in an error or wrote to standard error."""
        kinds = {(output.output_type, output.get("name")) for output in outputs(read(path))}

        assert not {kind for kind in kinds if "error" in kind or "stderr" in kind}

    def test_the_check_held(self, path: Path) -> None:
        """The last code cell printed ticks and no cross."""
        lines = "".join(output.get("text", "") for output in read(path).cells[-2].outputs).splitlines()

        assert lines
        assert all(line.startswith("✓ ") for line in lines)

    def test_pictures_have_an_alternative_text(self, path: Path) -> None:
        """Whoever cannot see a picture is told what it shows."""
        for output in outputs(read(path)):
            for kind in {"image/png", "image/svg+xml"} & set(output.get("data", {})):
                assert len(output.metadata.get(kind, {}).get("alt", "")) > 20

    def test_tables_have_a_caption(self, path: Path) -> None:
        """A table says what it is about, for those who jump from table to table."""
        for output in outputs(read(path)):
            html = output.get("data", {}).get("text/html", "")
            assert html.count("<table") == html.count("<caption ")

    def test_the_file_is_tidy(self, path: Path) -> None:
        """It was saved by ``layerlab.jupyter.run_notebooks``: nothing in it belongs to one machine only."""
        notebook = read(path)
        again = copy.deepcopy(notebook)
        tidy(again)

        assert notebook == again
        assert str(ROOT) not in path.read_text(encoding="utf-8")
