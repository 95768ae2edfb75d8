"""What a verdict is called in words: the same in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from layerlab.exercise.earlier_checks import Memory
from layerlab.exercise.verdict import TASK_NAMES, TASKS, Finding, Result, Status, Verdict
from layerlab.ui.text import one_line
from layerlab.ui.units import counted

TITLES: Final = dict(enumerate(TASKS.values(), start=1))
SIGNS: Final[Mapping[Status, str]] = {"pass": "✓", "fail": "✗", "unknown": "?"}
STATUSES: Final[Mapping[Status, str]] = {"pass": "passes", "fail": "does not pass", "unknown": "could not be judged"}
AT_FIRST: Final = 2
"""How many findings of the next task are open, before somebody asks for more."""


def score(verdict: Verdict) -> str:
    """How far the learner is.

    >>> score(Verdict(None, ()))
    '0 of 7 tasks pass'
    """
    return f"{verdict.score} of {len(TASK_NAMES)} tasks pass"


def heading(task: Result) -> str:
    """Such as ``✓ 7 a production command``."""
    return f"{SIGNS[task.status]} {task.id} {TITLES[task.id]}"


def place(finding: Finding) -> str:
    """Where it is, such as ``Dockerfile:14``; empty where it has no place."""
    if finding.file is None:
        return ""
    return one_line(finding.file) + (f":{finding.line}" if finding.line is not None else "")


def told_once(verdict: Verdict) -> dict[int, tuple[Finding, ...]]:
    """Each task's findings, by its number, without those that an earlier task has as well: these are told there.

    What keeps an image from being built says the same about every task, and need be read only once.
    """
    told: dict[int, tuple[Finding, ...]] = {}
    seen = set[tuple[str | None, int | None, str]]()
    for task in verdict.tasks:
        new = [each for each in task.findings if (each.file, each.line, each.message) not in seen]
        told[task.id] = tuple(new)
        seen |= {(each.file, each.line, each.message) for each in new}
    return told


def next_task(verdict: Verdict) -> Result | None:
    """The one to go on with; None where all pass.

    What does not build, or does not stay up, comes first, since no other task can be judged well before it does; then
    what fails, from 1 to 7.
    """
    left = [task for task in verdict.tasks if task.status != "pass"]
    unknown = [task for task in left if task.status == "unknown"]
    if verdict.image is None and unknown:
        return unknown[0]
    if any(task.name == "security" for task in unknown) and left[-1].status == "fail":
        return left[-1]  # nothing stayed up to be looked at, and task 7 says why
    return min(left, key=lambda task: task.status == "unknown", default=None)


def opened(findings: Sequence[Finding], memory: Memory, task: Result) -> list[Finding]:
    """Those of a task's findings that are read first: two of different kinds, and whatever a hint was asked for.

    Kinds are told apart by their hints; advice has its turn when there is no error.
    """
    errors = [each for each in findings if each.level == "error"] or list(findings)
    kinds = list({each.hints: each for each in reversed(errors)}.values())[::-1]
    return [each for number, each in enumerate(kinds) if number < AT_FIRST or memory.shown(task, each)]


def told_of(task: Result, findings: Sequence[Finding]) -> str:
    """How a task stands, and how much there is to read about it, such as ``does not pass (2 errors)``."""
    errors = sum(each.level == "error" for each in findings)
    amounts = [counted(errors, "error")] if errors else []
    if advice := len(findings) - errors:
        amounts.append(f"{counted(advice, 'piece')} of advice")
    if task.status == "unknown":  # what is missing is no error
        amounts = []
    return STATUSES[task.status] + (f" ({', '.join(amounts)})" if amounts else "")
