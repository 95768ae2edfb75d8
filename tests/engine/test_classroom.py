"""Marks for a class, on a real engine: right ones, the same again, and nothing left of a run that is ended."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from layerlab.paths import ROOT

PATIENCE = 120.0  # seconds


@contextmanager
def grading(folder: Path, *arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`./lab grade` with a cache of its own, in a process group of its own."""
    command = [sys.executable, "-m", "layerlab", "grade", *map(str, arguments)]
    own = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **environment}
    with (
        (folder / "err").open("w") as err,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def grade(folder: Path, *arguments: str | Path, **environment: str) -> dict[str, dict[str, Any]]:
    """The marks, by learner."""
    with grading(folder, *arguments, "--json", **environment) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, (folder / "err").read_text()
    return {one["learner"]: one for one in json.loads(said)}


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def going_on(word: str, where: str = "cmdline") -> list[int]:
    """The processes of this machine whose command line (or environment) has this word."""
    found = []
    for path in Path("/proc").glob(f"[0-9]*/{where}"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def write(folder: Path, dockerfiles: dict[str, str]) -> None:
    """A submission of each learner."""
    for learner, text in dockerfiles.items():
        (folder / learner).mkdir(parents=True, exist_ok=True)
        (folder / learner / "Dockerfile").write_text(text)


@pytest.mark.usefixtures("own_images")
def test_an_export_gets_the_right_marks(tmp_path: Path) -> None:
    """A right solution, one that runs as root and an empty file, zipped with all that lies around; twice the same."""
    right = (ROOT / "Dockerfile").read_text()
    root = re.sub(r"(?m)^USER .*\n", "", right)
    export = tmp_path / "export.zip"
    with zipfile.ZipFile(export, "w") as archive:
        archive.writestr("Anna Ä_1_assignsubmission_file_/my image/Dockerfile", right)
        archive.writestr("=ben()_2_assignsubmission_file_/Dockerfile", root)
        archive.writestr("clara_3_assignsubmission_file_/Dockerfile.txt", "")
        archive.writestr("__MACOSX/x", "")
    rows, pages = tmp_path / "marks.csv", tmp_path / "pages"

    marks = grade(tmp_path, export, "--csv", rows, "--feedback", pages)
    again = grade(tmp_path, export)

    assert marks == again
    statuses = {learner: [task["status"] for task in one["verdict"]["tasks"]] for learner, one in marks.items()}
    assert statuses["Anna Ä"] == ["pass"] * 7
    assert statuses["=ben()"] == ["pass"] * 5 + ["fail", "pass"]
    with rows.open(newline="", encoding="utf-8-sig") as file:
        scores = {row["learner"]: row["score"] for row in csv.DictReader(file)}
    assert scores == {"Anna Ä": "7", "'=ben()": "6", "clara": "0"}
    assert sorted(path.name for path in pages.iterdir()) == ["Anna_Ä.html", "ben().html", "clara.html"]
    assert 'src="data:image/svg+xml;base64,' in (pages / "Anna_Ä.html").read_text()


class TestEnding:
    @pytest.mark.long
    def test_after_ctrl_c_nothing_goes_on(self, busybox_image: str, tmp_path: Path) -> None:
        """Of several checks, and of those that wait."""
        word = f"31{os.getpid()}"
        lines = {"anna": f"RUN sleep {word}", "ben": f"RUN echo b; sleep {word}", "clara": f"RUN sleep {word}"}
        write(tmp_path / "class", {learner: f"FROM {busybox_image}\n{line}\n" for learner, line in lines.items()})

        with grading(tmp_path, tmp_path / "class", "--jobs", "2") as process:
            wait_until(lambda: len(going_on(word)) >= 2)
            os.killpg(process.pid, signal.SIGINT)
            status = process.wait(PATIENCE)

        assert status == 130
        assert going_on(word) == going_on(str(tmp_path), "environ") == []

    def test_a_killed_run_goes_on(self, busybox_image: str, tmp_path: Path) -> None:
        """Its checks end themselves and clean up; what it had checked is not checked again."""
        word = f"32{os.getpid()}"
        lines = {"anna": "RUN exit 3", "ben": f"RUN sleep {word}", "clara": "RUN exit 4"}
        write(tmp_path / "class", {learner: f"FROM {busybox_image}\n{line}\n" for learner, line in lines.items()})
        with grading(tmp_path, tmp_path / "class", "--jobs", "1") as process:
            wait_until(lambda: going_on(word))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        wait_until(lambda: not going_on(word) and not going_on(str(tmp_path), "environ"))
        write(tmp_path / "class", {"ben": f"FROM {busybox_image}\nRUN exit 5\n"})

        marks = grade(tmp_path, tmp_path / "class", "--jobs", "1")

        assert [one["verdict"]["blame"] for one in marks.values()] == ["dockerfile"] * 3
        assert re.findall(r"cached +(\w+)", (tmp_path / "err").read_text()) == ["anna"]


def test_classroom_50_gets_its_result(busybox_image: str, tmp_path: Path) -> None:
    """The autograder, run in a checkout as Classroom 50's runner does, writes a result with integers for points."""
    program = ROOT / "class/classroom50/autograder.py"
    write(tmp_path, {"checkout": f"FROM {busybox_image}\nRUN exit 3\n"})
    names = ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL")
    own = {"LAB": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache"), **{name: name.lower() for name in names}}

    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path / "checkout",
        env={**os.environ, **own},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    told = json.loads((tmp_path / "checkout/result.json").read_text())
    assert (told["schema"], told["submission"], told["score"]) == ("classroom50/result/v1", "submission_tag", 0)
    assert len(told["tests"]) == told["max-score"] == 7
    assert len(program.read_text().splitlines()) <= 40


@pytest.mark.long
def test_hostile_submissions_cost_their_own_rows(busybox_image: str, tmp_path: Path) -> None:
    """A hang, a log without end and processes without end: their neighbour has the mark that it has alone."""
    # The processes that check take their limits from here, since the real ones last ten minutes.
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import sys\n"
        "if 'layerlab.classroom.check_one' in sys.orig_argv:\n"
        "    from layerlab.exercise.evidence import workspace_builds as builds\n"
        "    builds.build_final.__kwdefaults__['timeout'] = 5.0\n"
    )
    word = f"33{os.getpid()}"
    lines = {
        "hangs": f"RUN trap '' TERM INT; ({word} & ); sleep {word}",
        "floods": f"RUN yes {word}",
        "forks": f"RUN echo {word}; f() {{ f | f & }}; f; sleep 60",
        "innocent": f"RUN echo {word} && USER=a sh -c 'for i in $(seq 200); do true | true; done'",
    }
    write(tmp_path / "class", {who: f"FROM {busybox_image}\n{line}\nUSER 1000\n" for who, line in lines.items()})
    shutil.copytree(tmp_path / "class/innocent", tmp_path / "alone/innocent")

    marks = grade(
        tmp_path, tmp_path / "class", "--jobs", "4", "--csv", tmp_path / "m.csv", PYTHONPATH=str(tmp_path / "site")
    )
    alone = grade(tmp_path, tmp_path / "alone", "--again")

    assert sorted(marks) == ["floods", "forks", "hangs", "innocent"]
    assert {one: marks[one]["verdict"]["image"] for one in ("floods", "forks", "hangs")} == dict.fromkeys(
        ("floods", "forks", "hangs")
    )
    same = [[task["status"] for task in one["verdict"]["tasks"]] for one in (marks["innocent"], alone["innocent"])]
    assert same[0] == same[1]
    assert marks["innocent"]["verdict"]["image"] is not None
    wait_until(lambda: not going_on(word))
