"""Verdicts written down by hand, for the tests of how the checker talks."""

from __future__ import annotations

from layerlab.exercise.verdict import TASK_NAMES, Finding, Level, Result, Status, Verdict


def finding(
    message: str = "gcc, 143 MB, came with this line.",
    *,
    level: Level = "error",
    file: str | None = "Dockerfile",
    line: int | None = 2,
    about: str = "compilers",
) -> Finding:
    """A finding whose hints are told apart by what they are about."""
    hints = (f"{about}: a question?", f"{about}: a direction", f"{about}: see notebooks/03-a-multi-stage-image.ipynb")
    return Finding(level, message, hints, file, line)


def verdict(
    statuses: str = "fffffff", findings: dict[int, list[Finding]] | None = None, *, seconds: float = 4.25
) -> Verdict:
    """Seven results from a letter each (pass, fail, unknown), with the findings of some, by the task's number."""
    by_letter: dict[str, Status] = {"p": "pass", "f": "fail", "u": "unknown"}
    tasks = tuple(
        Result(number, by_letter[letter], tuple((findings or {}).get(number, ())))
        for number, letter in enumerate(statuses, start=1)
    )
    assert len(tasks) == len(TASK_NAMES)
    return Verdict("sha256:" + "0" * 64, tasks, seconds)
