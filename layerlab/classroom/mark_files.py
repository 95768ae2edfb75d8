"""Marks in the forms that others read: a spreadsheet and nbgrader, JSON, JUnit, Markdown and Classroom 50."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree import ElementTree

from layerlab.classroom.marks import Mark
from layerlab.errors import UsageError
from layerlab.exercise import wording
from layerlab.exercise.verdict import TASK_NAMES
from layerlab.ui.text import one_line, shown

_FORMULA: Final = re.compile(r"[\s'\"]*[=+\-@|%]")
_NOT_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_csv(marks: Sequence[Mark]) -> str:
    """A row each, for a spreadsheet, and for ``nbgrader db student import``, which takes the column ``id``.

    It begins with the mark by which spreadsheets know UTF-8. No cell is taken for a formula.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    tasks = [f"task_{number}" for number in wording.TITLES]
    # The first column is one that nobody looks up by name: some readers take the mark for a part of that.
    head = ["row", "learner", "score", "max_score", *tasks]
    head += ["image_mb", "seconds", "why_not", "notes", "similar", "id"]
    rows.writerow(head)
    for number, mark in enumerate(marks, start=1):
        size = "" if mark.checked.image_bytes is None else f"{mark.checked.image_bytes / 1e6:.1f}"
        texts = mark.why_not, "; ".join(mark.notes), "; ".join(mark.similar), mark.learner
        figures = [str(mark.score), str(len(TASK_NAMES)), *mark.checked.statuses, size, f"{mark.seconds:.1f}"]
        rows.writerow([number, _cell(mark.learner), *figures, *map(_cell, texts)])
    return "\ufeff" + out.getvalue()


def as_json(marks: Sequence[Mark]) -> str:
    """All that is known of each, findings and hints included."""
    return json.dumps([mark.document() for mark in marks], indent=2) + "\n"


def as_junit(marks: Sequence[Mark]) -> str:
    """A test suite for each learner and a test case for each task."""
    root = ElementTree.Element("testsuites", name="./lab grade")
    for mark in marks:
        statuses = mark.checked.statuses
        counts = {"tests": len(statuses), "failures": statuses.count("fail"), "errors": statuses.count("unknown")}
        attributes = {key: str(count) for key, count in counts.items()} | {"time": f"{mark.seconds:.1f}"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(mark.learner), **attributes})
        findings = {task.id: task.findings for task in mark.checked.verdict.tasks} if mark.checked.verdict else {}
        for number, status in enumerate(statuses, start=1):
            name = f"{number} {wording.TITLES[number]}"
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(mark.learner), name=name)
            if status != "pass":
                told = [f"{wording.place(one)}: {one.message}" for one in findings.get(number, ())] or [mark.why_not]
                kind = "failure" if status == "fail" else "error"
                element = ElementTree.SubElement(case, kind, message=_xml(one_line(told[0])))
                element.text = _xml("\n".join(told))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_markdown(marks: Sequence[Mark]) -> str:
    """A table, for a wiki or an issue."""
    lines = ["| learner | score | tasks | MB | seconds | why not |", "|---|---|---|--:|--:|---|"]
    for mark in marks:
        signs = " ".join(wording.SIGNS[status] for status in mark.checked.statuses)
        size = "" if mark.checked.image_bytes is None else f"{mark.checked.image_bytes / 1e6:.1f}"
        cells = [mark.learner, f"{mark.score}/{len(TASK_NAMES)}", signs, size, f"{mark.seconds:.1f}", mark.why_not]
        lines.append(f"| {' | '.join(map(_markdown, cells))} |")
    return "\n".join(lines) + "\n"


def as_classroom50(marks: Sequence[Mark], environment: Mapping[str, str] = os.environ) -> str:
    """The ``result.json`` of one submission by the schema ``classroom50/result/v1``, with a point for each task.

    Its fields are those of the service's published description; it has not been tried with the service itself.

    Args:
        marks: One.
        environment: Has what Classroom 50's runner says of the submission.

    Raises:
        UsageError: there are several submissions, or what the runner sets is missing.
    """
    fields = {"classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG"}
    fields |= {"commit": "COMMIT_URL", "release": "RELEASE_URL"}
    missing = [name for name in fields.values() if not environment.get(name)]
    if len(marks) != 1 or missing:
        why = f"{', '.join(missing)} not set" if missing else f"{len(marks)} submissions were given"
        raise UsageError(
            f"a result for Classroom 50 is that of one submission, within its runner ({why})",
            remedy="grade the one workspace there, as class/classroom50/autograder.py does",
        )
    tests = [
        {"test-name": f"{number} {wording.TITLES[number]}", "passed": passed, "score": int(passed), "max-score": 1}
        for number, passed in enumerate((status == "pass" for status in marks[0].checked.statuses), start=1)
    ]
    document: dict[str, Any] = {
        "schema": "classroom50/result/v1",
        **{field: environment[name] for field, name in fields.items()},
        "review": environment.get("REVIEW_URL") or environment["COMMIT_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": marks[0].score,
        "max-score": len(TASK_NAMES),
        "tests": tests,
    }
    return json.dumps(document, indent=2) + "\n"


WRITERS: Final[Mapping[str, Callable[[Sequence[Mark]], str]]] = {
    "csv": as_csv,
    "junit": as_junit,
    "markdown": as_markdown,
    "classroom50": as_classroom50,
}
"""What writes the marks into a file, by the option's name."""


def _cell(text: str) -> str:
    """Text for a cell, which no spreadsheet takes for a formula (OWASP: CSV injection)."""
    text = shown(one_line(text))
    return f"'{text}" if _FORMULA.match(text) else text


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", shown(one_line(text)).replace("&", "&amp;").replace("<", "&lt;"))
