"""The labelled solutions of ``tests/solutions``, and what the checker says of them.

Each is a folder: a Dockerfile, what else its workspace holds, and ``expected.toml`` with

* ``probes``: one line, which mechanism it probes;
* ``core``: whether every ``./lab test`` judges it; the others, mostly variants of these, are left to ``--all``;
* ``level``: of the exercise, 1 if it is not given;
* ``whole``: whether it needs the whole service. The others get the light one, without pandas and Matplotlib: the
  tasks ask nothing that depends on them, and they are nine tenths of what is installed, copied and started;
* ``pass``, ``fail``, ``unknown``: the tasks that must end so; ``not_pass``: those that may either fail or be unknown;
  ``either``: those on which the exercise's text says too little. Each task is in exactly one list, and whatever
  ``either`` holds, what is not right must not pass them all;
* ``[[finding]]``: ``task`` and ``line`` of an error that must be among the findings.

It is written by what the seven tasks say, and by nothing that the checker does.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.mark.structures import ParameterSet

from layerlab import bases
from layerlab import exercise as checker
from layerlab.engine import Engine
from layerlab.exercise import new_workspace
from layerlab.exercise.verdict import Result, Verdict
from layerlab.paths import ROOT
from tests.engine.solution_report import KINDS, VERDICT

SOLUTIONS: Final = ROOT / "tests" / "solutions"
EXPECTED: Final = "expected.toml"
LIGHT_APP: Final = Path(__file__).parent / "light_app"
HEAVY: Final = frozenset(
    ("contourpy", "fonttools", "kiwisolver", "matplotlib", "numpy", "pandas", "pillow", "pyparsing")
)
"""What the light service does without. The rest of what they need is small, and stays."""
BASES: Final = (*bases.BASES, "debian:trixie-slim", "ghcr.io/astral-sh/uv:latest")
"""The images that the solutions build on."""

ALLOWED: Final = {
    "pass": frozenset({"pass"}),
    "fail": frozenset({"fail"}),
    "unknown": frozenset({"unknown"}),
    "not_pass": frozenset({"fail", "unknown"}),
    "either": frozenset({"pass", "fail", "unknown"}),
}
"""The lists of ``expected.toml``, and the statuses that each allows."""


@dataclass(frozen=True)
class Solution:
    """A labelled solution.

    Attributes:
        folder: Where it is.
        probes: What it probes.
        core: Whether every test run judges it.
        level: Of the exercise.
        whole: Whether it needs the whole service.
        statuses: Which each task may have.
        findings: The task and the line of errors that must be reported.
    """

    folder: Path
    probes: str
    core: bool
    level: int
    whole: bool
    statuses: dict[int, frozenset[str]]
    findings: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        return self.folder.name


def document(folder: Path) -> dict[str, Any]:
    """What ``expected.toml`` says, as it is."""
    return tomllib.loads((folder / EXPECTED).read_text(encoding="utf-8"))


def read(folder: Path) -> Solution:
    said = document(folder)
    statuses = {task: allowed for key, allowed in ALLOWED.items() for task in said.get(key, [])}
    findings = tuple((finding["task"], finding["line"]) for finding in said.get("finding", []))
    core, level, whole = said.get("core", False), said.get("level", 1), said.get("whole", False)
    return Solution(folder, said["probes"], core, level, whole, statuses, findings)


def folders(*kinds: str) -> list[Path]:
    """The solutions whose names begin with one of these words."""
    return sorted(path for path in SOLUTIONS.iterdir() if path.name.split("-")[0] in kinds)


def cases(*kinds: str, part: int = 0, of: int = 1) -> list[ParameterSet]:
    """Test cases for these solutions; every `of`-th, so that test files share them out."""
    # Whoever comes first on a new machine builds the single-stage image of its level, too.
    marks = {False: [pytest.mark.timeout(900), pytest.mark.long], True: [pytest.mark.timeout(900)]}
    found = [pytest.param(folder, id=folder.name, marks=marks[read(folder).core]) for folder in folders(*kinds)]
    found.sort(key=lambda case: len(case.marks))  # so that the core ones are shared out evenly
    return found[part::of]


def make_workspace(solution: Solution, folder: Path) -> None:
    """A fresh workspace with the solution's files laid over it."""
    new_workspace.make(folder, level=solution.level)
    if not solution.whole:
        _lighten(folder)
    shutil.copytree(solution.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(EXPECTED))


def _lighten(folder: Path) -> None:
    """Take pandas, Matplotlib and what only they need out of a workspace and its service."""
    pins = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    light = [pin for pin in pins if pin.partition("==")[0] not in HEAVY]
    (folder / "requirements.txt").write_text("".join(light), encoding="utf-8")
    shutil.copytree(LIGHT_APP, folder / "app", dirs_exist_ok=True)
    routes = (folder / "app" / "routes.py").read_text(encoding="utf-8")
    (folder / "app" / "routes.py").write_text(routes.replace("import pandas as pd\n", ""), encoding="utf-8")


def mistakes(solution: Solution, verdict: Verdict) -> list[str]:
    """What is wrong with a verdict: false passes, false fails, and findings that are not there."""
    wrong = []
    for result in verdict.tasks:
        if result.status not in solution.statuses[result.id]:
            wrong.append(f"{KINDS[result.status]} of task {result.id} ({result.name})\n{_told(result)}")
        elif result.status == "fail" and not errors(result):
            wrong.append(f"task {result.id} fails and does not say why")
        elif result.status == "pass" and errors(result):
            wrong.append(f"task {result.id} passes with an error\n{_told(result)}")
    if verdict.score == len(verdict.tasks) and solution.statuses != dict.fromkeys(solution.statuses, ALLOWED["pass"]):
        wrong.append("FALSE PASS of all the tasks together")
    by_id = {result.id: result for result in verdict.tasks}
    for task, line in solution.findings:
        if line not in errors(by_id[task]):
            wrong.append(f"no error of task {task} is on line {line}\n{_told(by_id[task])}")
    return wrong


def errors(result: Result) -> list[int | None]:
    """The lines of a task's errors."""
    return [finding.line for finding in result.findings if finding.level == "error"]


def _told(result: Result) -> str:
    told = [f"    {finding.level}, line {finding.line}: {finding.message}" for finding in result.findings]
    return "\n".join(told) or "    (no findings)"


def judge(engine: Engine, folder: Path, workspace: Path, record: Callable[[str, object], None]) -> None:
    """Check a solution in a workspace of its own, and hold the verdict against what is expected."""
    solution = read(folder)
    make_workspace(solution, workspace)
    verdict = checker.check(engine, workspace, hardened=False)  # no solution expects an advice
    wrong = mistakes(solution, verdict)
    record(VERDICT, "; ".join(mistake.splitlines()[0] for mistake in wrong))
    assert not wrong, f"{solution.name} probes: {solution.probes}\n" + "\n".join(wrong)


@contextmanager
def prepared(engine: Engine) -> Iterator[None]:
    """With the images that the solutions build on."""
    bases.ensure(engine, BASES)
    yield
