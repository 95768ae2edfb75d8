"""The course folder, through all of nbgrader: made, released, fetched, submitted, collected, autograded, exported."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlab.classroom import Mark, mark_files
from layerlab.classroom.marks import Checked
from layerlab.classroom.nbgrader_points import points
from layerlab.paths import ROOT
from tests.engine.test_classroom import write
from tests.engine.test_classroom_cluster import class_packages  # noqa: F401  # a fixture

ASSIGNMENT = "multi-stage"


def change(notebook: Path, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change a notebook's cells."""
    document = json.loads(notebook.read_text())
    edit(document["cells"])
    notebook.write_text(json.dumps(document))


@pytest.mark.long
@pytest.mark.usefixtures("own_images")
def test_from_the_assignment_to_the_marks(class_packages: Path, tmp_path: Path) -> None:  # noqa: F811
    """The solution gets seven points although its learner broke a cell, a broken Dockerfile none; both are told."""
    venv, course, learner = class_packages.parents[2], tmp_path / "course", tmp_path / "learner"
    shutil.copytree(ROOT / "class/nbgrader", course)
    (tmp_path / "exchange").mkdir(mode=0o777)
    (tmp_path / "exchange").chmod(0o777)
    learner.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path / "home"),
    }

    def nbgrader(folder: Path, *arguments: str | Path) -> str:
        command = [venv / "bin/nbgrader", *arguments, f"--Exchange.root={tmp_path / 'exchange'}"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    source = json.loads((course / f"source/{ASSIGNMENT}/{ASSIGNMENT}.ipynb").read_text())
    solution = "".join(source["cells"][1]["source"])

    def solve(cells: list[dict[str, Any]]) -> None:
        cells[1]["source"] = re.sub("### (BEGIN|END) SOLUTION\n?", "", solution)
        cells[3]["source"], cells[3]["metadata"] = "1.0", {}

    def fail(cells: list[dict[str, Any]]) -> None:
        cells[1]["source"] = "%%writefile Dockerfile\nFROM python:3.13-slim-trixie\nRUN exit 3\n"
        cells[2]["source"] = "7.0"

    nbgrader(course, "generate_assignment", ASSIGNMENT)
    nbgrader(course, "release_assignment", ASSIGNMENT)
    nbgrader(learner, "fetch_assignment", ASSIGNMENT, "--course=multi-stage-builds")
    released = (learner / ASSIGNMENT / f"{ASSIGNMENT}.ipynb").read_text()
    assert "TODO 7" in released
    assert "gunicorn" not in released
    change(learner / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", solve)
    nbgrader(learner, "submit", ASSIGNMENT, "--course=multi-stage-builds")
    nbgrader(course, "collect", ASSIGNMENT)
    shutil.copytree(course / "release" / ASSIGNMENT, course / "submitted/ben" / ASSIGNMENT)
    change(course / f"submitted/ben/{ASSIGNMENT}/{ASSIGNMENT}.ipynb", fail)

    nbgrader(course, "autograde", ASSIGNMENT)
    nbgrader(course, "generate_feedback", ASSIGNMENT)
    nbgrader(course, "export", "--to=grades.csv")

    with (course / "grades.csv").open(newline="") as file:
        grades = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    (fetched,) = set(grades) - {"ben"}
    assert grades == {fetched: (7.0, 7.0), "ben": (0.0, 7.0)}
    told = (course / f"feedback/ben/{ASSIGNMENT}/{ASSIGNMENT}.html").read_text()
    assert "RUN exit 3" in told

    (course / "marks.csv").write_text(mark_files.as_csv([Mark("clara", Checked()), Mark("=dora", Checked())]))
    nbgrader(course, "db", "student", "import", "marks.csv")
    assert {"clara", "'=dora"} <= {word.strip("(),") for word in nbgrader(course, "db", "student", "list").split()}


def test_a_cells_points(
    busybox_image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A builtin float, what was found on standard output, and nothing on standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, {"work": f"FROM {busybox_image}\nRUN exit 3\n", "empty": ""})

    given = [points(task, tmp_path / "work") for task in (1, 2)]
    (tmp_path / "empty/Dockerfile").unlink()
    nothing = points(1, tmp_path / "empty")

    said = capsys.readouterr()
    assert [type(each) for each in (*given, nothing)] == [float] * 3
    assert [*given, nothing] == [0.0] * 3
    assert "there is no Dockerfile" in said.out
    assert said.err == ""
