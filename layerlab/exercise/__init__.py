"""Judges a learner's Dockerfile, and explains.

::

    verdict = check(engine, Path("my-image"))
    print(verdict.score, [task.status for task in verdict.tasks])

``workspace`` looks at the folder, ``gather`` builds and runs it and puts the evidence together, the modules of
``tasks`` judge it (pure functions of the evidence), ``show`` prints what they found.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from layerlab.engine import Engine
from layerlab.exercise.evidence.facts import Evidence, NoImage
from layerlab.exercise.evidence.gather import OnImage, gather
from layerlab.exercise.tasks import (
    artifacts,
    build_stage,
    command,
    judging,
    python_packages,
    runtime_stage,
    security,
    system_packages,
)
from layerlab.exercise.verdict import Finding, Result, Verdict
from layerlab.exercise.workspace import open_workspace
from layerlab.ui.progress import Report, silent

__all__ = ["Finding", "Result", "Verdict", "check", "judge"]

_TASKS: Final = (
    build_stage.judge,
    system_packages.judge,
    python_packages.judge,
    runtime_stage.judge,
    artifacts.judge,
    security.judge,
    command.judge,
)
_WORKED_EXAMPLE: Final = Finding(
    "advice",
    "This Dockerfile is the lab's own worked example, but for comments and blanks: it passes, and it says little "
    "about what you have learnt.",
    (
        "Could you write it again from an empty file?",
        "Start from the starter, and take one TODO after the other without looking at the example.",
        "Stages, COPY --from: “The idea” in notebooks/03-a-multi-stage-image.ipynb.",
    ),
    "Dockerfile",
    1,
)


def check(
    engine: Engine,
    folder: Path,
    *,
    report: Report = silent,
    on_image: OnImage | None = None,
    hardened: bool = True,
    is_quick: bool = False,
    caches: str = "",
) -> Verdict:
    r"""Judge the Dockerfile in a folder.

    It is built and run on the engine, under limits; nothing of that is left, however it ends.

    Args:
        engine: Where.
        folder: The workspace.
        report: Is told of each step.
        on_image: Is given the learner's image (`layerlab.image.Image`) before it is removed.
        hardened: Whether to try a hardened run as well, which is for advice only.
        is_quick: Whether to leave out the experiments, which build a changed copy of the folder; what they would have
            shown is then unknown.
        caches: Whose cache mounts the builds use, such as a learner's; empty for those of everybody.

    Raises:
        UsageError: there is no such folder.
        DockerfileError: there is no Dockerfile in it.
        EngineGone: the engine stopped answering.

    >>> from layerlab.exercise import new_workspace
    >>> workspace = new_workspace.make(folder)
    >>> written = (workspace / "Dockerfile").write_text("FROM python:3.13-trixie\nNO SUCH INSTRUCTION\n")
    >>> verdict = check(engine, workspace)
    >>> verdict.score, verdict.image, verdict.tasks[0].findings[0].line
    (0, None, 2)
    """
    began = time.monotonic()
    workspace = open_workspace(folder, engine.platform)
    if isinstance(workspace, NoImage):
        evidence: Evidence | NoImage = workspace
    else:
        evidence = gather(engine, workspace, report, on_image, hardened=hardened, is_quick=is_quick, caches=caches)
    return replace(judge(evidence), seconds=time.monotonic() - began)


def judge(evidence: Evidence | NoImage) -> Verdict:
    """The verdict that follows from the evidence."""
    if isinstance(evidence, NoImage):
        tasks = [judging.not_built(task, evidence.failure) for task in range(1, len(_TASKS) + 1)]
        if not evidence.requirements:  # that is wrong without an image, too
            tasks[python_packages.TASK - 1] = python_packages.without_pins()
        return Verdict(None, tuple(tasks), blame=evidence.failure.blame)
    results = [judge_task(evidence) for judge_task in _TASKS]
    if evidence.is_worked_example:
        results[0] = replace(results[0], findings=(*results[0].findings, _WORKED_EXAMPLE))
    blame = evidence.failure.blame if evidence.failure else None
    return Verdict(evidence.image_id, tuple(results), blame=blame)
