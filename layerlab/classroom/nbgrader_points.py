"""What nbgrader's cells ask: the points of a task, for the Dockerfile in the folder, whatever became of the cells."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path

from layerlab.classroom.grading import grade
from layerlab.classroom.submissions import find
from layerlab.errors import LabError
from layerlab.exercise import wording
from layerlab.ui.text import one_line


def points(task: int, folder: Path = Path()) -> float:
    """1.0 if the task passes, else 0.0; what was found is printed. To be the last expression of a cell.

    The first call checks, which takes a while; the others know what came of it. Nothing goes to standard error, for
    which nbgrader gives 0 points; and the result is a `float`, since for many others it gives all of them.

    Args:
        task: 1 to 7.
        folder: Where the Dockerfile is, with what else was handed in; its notebooks are left out.

    Raises:
        LabError: nothing could be checked, such as where no engine answers.
    """
    with contextlib.redirect_stderr(io.StringIO()):
        (found,) = find([folder.resolve()])[0]
        files = {name: content for name, content in found.files.items() if not name.endswith(".ipynb")}
        (mark,) = grade([dataclasses.replace(found, files=files)], jobs=1)
    verdict = mark.checked.verdict
    if verdict is None and not found.why_not:
        raise LabError(
            f"the Dockerfile could not be checked: {mark.why_not}", remedy="mend that, and autograde again"
        )
    for finding in verdict.tasks[task - 1].findings if verdict else ():
        print(f"{wording.place(finding)}: {finding.level}: {one_line(finding.message)}")
    if verdict is None:
        print(found.why_not)
    return float(mark.checked.statuses[task - 1] == "pass")
