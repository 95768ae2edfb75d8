"""What a verdict is called in words: the same in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from layerlab.exercise.verdict import TASK_NAMES, Finding, Result, Status, Verdict
from layerlab.ui.text import one_line

TITLES: Final[Mapping[int, str]] = {
    1: "a proper build stage",
    2: "system packages in one efficient command",
    3: "Python packages from requirements.txt",
    4: "a smaller runtime stage",
    5: "only the artifacts are copied",
    6: "security",
    7: "a production command",
}
SIGNS: Final[Mapping[Status, str]] = {"pass": "✓", "fail": "✗", "unknown": "?"}
STATUSES: Final[Mapping[Status, str]] = {"pass": "passes", "fail": "does not pass", "unknown": "could not be judged"}
HINTS: Final = 3
"""How many hints each finding has."""


def score(verdict: Verdict) -> str:
    """How far the learner is.

    >>> score(Verdict(None, ()))
    '0 of 7 tasks pass'
    """
    return f"{verdict.score} of {len(TASK_NAMES)} tasks pass"


def overview(verdict: Verdict) -> str:
    """The tasks' numbers by what became of them, such as ``✓ 1, 2, 3, 4 · ✗ 5, 7 · ? 6``."""
    groups = {
        sign: ", ".join(str(task.id) for task in verdict.tasks if task.status == status)
        for status, sign in SIGNS.items()
    }
    return " · ".join(f"{sign} {numbers}" for sign, numbers in groups.items() if numbers)


def place(finding: Finding) -> str:
    """Where it is, such as ``Dockerfile:14``; empty where it has no place."""
    if finding.file is None:
        return ""
    return one_line(finding.file) + (f":{finding.line}" if finding.line is not None else "")


def told_before(verdict: Verdict) -> Callable[[Result, Finding], int | None]:
    """Gives the earlier task that has the same finding, None if there is none.

    What keeps an image from being built says the same about every task, and need be read only once.
    """
    first: dict[tuple[str | None, int | None, str], int] = {}
    for task in verdict.tasks:
        for finding in task.findings:
            first.setdefault((finding.file, finding.line, finding.message), task.id)

    def earlier(task: Result, finding: Finding) -> int | None:
        number = first.get((finding.file, finding.line, finding.message), task.id)
        return number if number < task.id else None

    return earlier


def task_number(text: str) -> int | None:
    """The task that a learner means by its number or its name; None if there is none.

    >>> task_number("3"), task_number("Security"), task_number("8")
    (3, 6, None)
    """
    names = {name: number for number, name in enumerate(TASK_NAMES, start=1)}
    wanted = text.strip().lower()
    return int(wanted) if wanted in map(str, TITLES) else names.get(wanted)
