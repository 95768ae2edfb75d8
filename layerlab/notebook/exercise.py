"""What notebook 08 imports: the exercise and its checker. It is part of ``layerlab.notebook``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from layerlab import exercise as checker
from layerlab import image, plots
from layerlab.demo import images as workshop
from layerlab.engine import Engine
from layerlab.errors import ImageNotFound
from layerlab.exercise import history, new_workspace, words
from layerlab.exercise.panel import Panel
from layerlab.exercise.verdict import Verdict
from layerlab.paths import ROOT
from layerlab.plots import Picture
from layerlab.ui import displays
from layerlab.ui.progress import Report

MINE: Final = "your image"
"""What a learner's own image is called in a picture."""


def new(folder: str | Path, *, level: int = 1) -> Path:
    """Make a workspace for the exercise, or go on with the one that is there.

    Args:
        folder: Where; relative to the repository's root, as for ``./lab new``.
        level: 2: a package has to be compiled.

    Returns:
        The folder.

    Raises:
        UsageError: it holds something else, or cannot be made.

    >>> workspace = lab.new(folder)
    folder is ready: Dockerfile, ...
    >>> workspace = lab.new(folder)
    folder is there already: go on with its Dockerfile
    """
    path = ROOT / folder
    if (path / "Dockerfile").is_file():
        print(f"{path.name} is there already: go on with its Dockerfile")
    else:
        new_workspace.make(path, level=level)
        print(f"{path.name} is ready: {', '.join(new_workspace.CONTENTS)}")
    return path


def check_folder(engine: Engine, folder: str | Path) -> Verdict:
    """Check a solution of the exercise, and show the steps while it goes on."""
    path = ROOT / folder
    with displays.notebook(f"checking {path.name}") as report:
        verdict = checker.check(engine, path, report=report)
    history.remember(path, verdict)
    print(f"{path.name}: {words.score(verdict)}")
    return verdict


def panel_for(engine: Engine, folder: str | Path) -> Panel:
    """A live panel of a workspace: it checks now, and again whenever a file is saved.

    The cell ends at once; the panel goes on until its `close`, its button, or the end of the kernel.
    """
    path = ROOT / folder

    def checked(workspace: Path, report: Report) -> tuple[Verdict, Picture | None]:
        images: list[image.Image] = []
        verdict = checker.check(engine, workspace, report=report, on_image=images.append)
        return verdict, layers_beside(engine, images[-1]) if images else None

    made = Panel(path, checked)
    displays.publish_widget(made.widget)
    made.start()
    print(f"The panel watches {path.name}.")
    return made


def layers_beside(engine: Engine, mine: image.Image) -> Picture:
    """The picture of an image's layers beside those of the lab's own images, as far as they are here."""
    tables = {MINE: mine.layers}
    for name in workshop.RECIPES:
        try:
            tables[name] = workshop.look(engine, name).layers
        except ImageNotFound:
            continue
    return plots.beside(pd.concat(tables, names=["image", None]).reset_index("image"))


def results(verdict: Verdict) -> pd.DataFrame:
    """A row per task.

    Returns:
        `task` int64, `name` str, `what` str (its name in words), `status` str, `errors` int64, `advice` int64.

    >>> from layerlab.exercise.verdict import Result, Verdict
    >>> results(Verdict(None, (Result(1, "pass", ()),)))[["task", "name", "status"]].to_dict("records")
    [{'task': 1, 'name': 'build-stage', 'status': 'pass'}]
    """
    rows = [
        (
            task.id,
            task.name,
            words.TITLES[task.id],
            task.status,
            sum(finding.level == "error" for finding in task.findings),
            sum(finding.level == "advice" for finding in task.findings),
        )
        for task in verdict.tasks
    ]
    columns = {"task": "int64", "name": "str", "what": "str", "status": "str", "errors": "int64", "advice": "int64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def findings(verdict: Verdict) -> pd.DataFrame:
    """A row per finding.

    Returns:
        `task` int64, `level` str, `file` str (empty where it has no place), `line` Int64, `message` str, and
        `hint_1`, `hint_2`, `hint_3` str.

    >>> from layerlab.exercise.verdict import Finding, Result, Verdict
    >>> hints = ("Which?", "Look there.", "Do this.")
    >>> found = Finding("error", "It runs as root.", hints, "Dockerfile", 9)
    >>> findings(Verdict(None, (Result(6, "fail", (found,)),)))[["task", "line", "message"]].to_dict("records")
    [{'task': 6, 'line': 9, 'message': 'It runs as root.'}]
    """
    rows = [
        (task.id, finding.level, finding.file or "", finding.line, finding.message, *finding.hints)
        for task in verdict.tasks
        for finding in task.findings
    ]
    texts = dict.fromkeys(["message", "hint_1", "hint_2", "hint_3"], "str")
    columns = {"task": "int64", "level": "str", "file": "str", "line": "Int64", **texts}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
