"""The labelled solutions are well-formed, differ in what they probe, and cover every task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.errors import DockerfileError
from layerlab.paths import ROOT
from tests.engine import solutions

FOLDERS = solutions.folders("right", "wrong", "cheat")
TASKS = set(range(1, 8))


def test_there_are_many_and_no_two_probe_the_same() -> None:
    """At least 60 solutions differ in what they probe, and all of them are collected."""
    probes = Counter(solutions.read(folder).probes for folder in FOLDERS)
    assert sorted(FOLDERS) == sorted(path.parent for path in solutions.SOLUTIONS.glob("*/expected.toml"))
    assert len(probes) >= 60
    assert not [probe for probe, count in probes.items() if count > 1]


def test_those_of_every_run_cover_every_task() -> None:
    """At least 30 are judged by every test run: of each kind, and for each task some that fail it."""
    core = [read for read in map(solutions.read, FOLDERS) if read.core]
    kinds = Counter(read.name.split("-")[0] for read in core)
    assert len(core) >= 30
    assert min(kinds[kind] for kind in ("right", "wrong", "cheat")) >= 6
    for task in TASKS:
        assert len([read for read in core if read.statuses[task] == {"fail"}]) >= 2


def test_no_two_have_the_same_files() -> None:
    """No solution is a copy of another one under another name."""
    contents = Counter(
        tuple(sorted((str(path.relative_to(folder)), path.read_bytes()) for path in files(folder)))
        for folder in FOLDERS
    )
    assert max(contents.values()) == 1


@pytest.mark.parametrize("task", sorted(TASKS))
def test_each_task_is_failed_in_several_ways(task: int) -> None:
    """For each task there are at least five solutions that fail it, and one that fails nothing else."""
    failing = [read for read in map(solutions.read, FOLDERS) if read.statuses[task] == {"fail"}]
    alone = [read for read in failing if [t for t, status in read.statuses.items() if status == {"fail"}] == [task]]
    assert len(failing) >= 5
    assert alone


@pytest.mark.parametrize("kind", ["right", "wrong", "cheat"])
class TestEach:
    """What holds for each solution of a kind; what a test lists is what it does not hold for."""

    def test_what_is_expected_is_well_formed(self, kind: str) -> None:
        """Each task is in exactly one list, only known keys are used, and the mechanism is named on one line."""
        assert [folder.name for folder in solutions.folders(kind) if not is_well_formed(folder)] == []

    def test_its_name_says_what_it_is(self, kind: str) -> None:
        """A right one passes everything; a wrong one and a cheat do not."""
        passing = [folder for folder in solutions.folders(kind) if set(solutions.document(folder)["pass"]) == TASKS]
        assert passing == (solutions.folders(kind) if kind == "right" else [])

    def test_its_findings_are_on_instructions(self, kind: str) -> None:
        """Each expected finding is of a task that does not pass, on a line where an instruction begins."""
        assert [folder.name for folder in solutions.folders(kind) if not has_findings_on_instructions(folder)] == []

    def test_its_dockerfile_is_one(self, kind: str) -> None:
        """The Dockerfile parses, unless no task can pass for that very reason."""
        unreadable = [folder for folder in solutions.folders(kind) if not has_stages(folder)]
        assert [folder.name for folder in unreadable if solutions.document(folder)["pass"]] == []

    def test_it_holds_nothing_but_its_workspace(self, kind: str) -> None:
        """The files are few and small, and none is a link or names this machine."""
        assert [folder.name for folder in solutions.folders(kind) if not is_small(folder)] == []


def is_well_formed(folder: Path) -> bool:
    said = solutions.document(folder)
    return (
        {"probes", "pass", "fail", "unknown"}
        <= set(said)
        <= {"probes", "core", "level", "whole", "finding", *solutions.ALLOWED}
        and sorted(task for key in solutions.ALLOWED for task in said.get(key, [])) == sorted(TASKS)
        and said["probes"].strip() == said["probes"] != ""
        and "\n" not in said["probes"]
        and said.get("level", 1) in {1, 2}
    )


def has_findings_on_instructions(folder: Path) -> bool:
    read = solutions.read(folder)
    lines = (folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return all(
        "pass" not in read.statuses[task]
        and lines[line - 1].strip()
        and (not lines[line - 1].startswith((" ", "#")) or lines[line - 1].startswith("# syntax="))
        for task, line in read.findings
    )


def has_stages(folder: Path) -> bool:
    try:
        return bool(dockerfile.parse((folder / "Dockerfile").read_text(encoding="utf-8")).stages)
    except DockerfileError:
        return False


def is_small(folder: Path) -> bool:
    return len(files(folder)) <= 8 and all(
        not path.is_symlink() and path.stat().st_size < 5_000 and str(ROOT) not in path.read_text(encoding="utf-8")
        for path in files(folder)
    )


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]
