"""What is remembered of a workspace from one check to the next: how its tasks stood, and which hints were asked for.

It is only ever shown. A verdict never depends on it: it may be lost, damaged or deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from layerlab.exercise.verdict import HINTS, Finding, Result, Status, Verdict
from layerlab.paths import cache_directory, read_object, write_whole
from layerlab.ui.units import listed


@dataclass(frozen=True)
class Memory:
    """What is known of a workspace."""

    # How each task stood at the last check, by its name; empty before the first one.
    tasks: Mapping[str, Status] = field(default_factory=dict)
    hints: Mapping[str, int] = field(default_factory=dict)  # how many hints have been shown, by `hint_key`

    def shown(self, task: Result, finding: Finding) -> tuple[str, ...]:
        """The hints of a finding that were asked for."""
        return finding.hints[: self.hints.get(hint_key(task, finding), 0)]


def recall(folder: Path) -> Memory:
    """What is remembered of a workspace; nothing where there is nothing, or nothing that can be read."""
    statuses: dict[str, Status] = {"pass": "pass", "fail": "fail", "unknown": "unknown"}
    try:
        known = read_object(_file(folder))
        tasks = {str(name): statuses[status] for name, status in known["tasks"].items()}
        return Memory(tasks, {str(key): min(max(int(count), 0), HINTS) for key, count in known["hints"].items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        return Memory()


def changes(memory: Memory, verdict: Verdict) -> tuple[str, ...]:
    """What got better or worse since the last check, a sentence each; nothing at the first one."""
    better, worse = list[str](), list[str]()
    for task in verdict.tasks:
        before = memory.tasks.get(task.name, task.status)
        if task.status == "pass" != before:
            better.append(f"task {task.id} passes now")
        elif before == "pass" != task.status:
            how = "does not pass" if task.status == "fail" else "cannot be judged"
            worse.append(f"task {task.id} {how} any more")
    told = (("Better", better), ("Worse", worse))
    return tuple(f"{which} than at the last check: {listed(each)}." for which, each in told if each)


def remember(folder: Path, verdict: Verdict) -> None:
    """Keep how the tasks stand now. Hints of findings that are settled are forgotten."""
    present = {hint_key(task, finding) for task in verdict.tasks for finding in task.findings}
    passed = tuple(f"{task.name} " for task in verdict.tasks if task.status == "pass")
    hints = {
        key: count for key, count in recall(folder).hints.items() if key in present or not key.startswith(passed)
    }
    _write(folder, Memory({task.name: task.status for task in verdict.tasks}, hints))


def reveal(folder: Path, task: Result, finding: Finding | None = None) -> Memory:
    """Let one more hint be shown: of this finding, or of the task's first that has one to give.

    Advice has its turn when no error has one left.

    Returns:
        What is remembered now.
    """
    memory = recall(folder)
    if finding is None:
        ordered = sorted(task.findings, key=lambda each: each.level != "error")
        finding = next((each for each in ordered if len(memory.shown(task, each)) < HINTS), None)
    if finding is not None:
        key = hint_key(task, finding)  # findings of one kind, on several lines, share their hints
        memory = Memory(memory.tasks, {**memory.hints, key: min(memory.hints.get(key, 0) + 1, HINTS)})
        _write(folder, memory)
    return memory


def hint_key(task: Result, finding: Finding) -> str:
    """The same for the same finding, on whichever line and with whatever figures it is met again."""
    return f"{task.name} {hashlib.sha256(chr(0).join(finding.hints).encode()).hexdigest()[:16]}"


def tell_class(verdict: Verdict) -> tuple[str, ...]:
    """Tell a class's overview, where the hub has one, how the tasks stand; returns what the learner is told."""
    if not (overview := os.environ.get("LAB_CLASS_OVERVIEW")):
        return ()
    try:
        tasks = {task.name: task.status for task in verdict.tasks}
        token = {"Authorization": f"token {os.environ.get('JUPYTERHUB_API_TOKEN')}"}  # says whose it is
        requests.post(overview, json=tasks, headers=token, timeout=5).raise_for_status()
    except requests.RequestException:
        return ("The class's overview cannot be reached: your instructor does not see how the tasks stand now.",)
    return ("Your instructor sees how the tasks stand now, in the class's overview.",)


def _file(folder: Path) -> Path:
    """A file for each workspace, whatever path it is reached by."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    return cache_directory() / "checks" / f"{name}.json"


def _write(folder: Path, memory: Memory) -> None:
    document = {"tasks": dict(memory.tasks), "hints": dict(memory.hints)}
    # The check has been made: that it cannot be remembered (a full disk, a cache of somebody else's) spoils nothing.
    with contextlib.suppress(OSError):
        file = _file(folder)
        file.parent.mkdir(exist_ok=True)
        write_whole(file, lambda fresh: fresh.write(json.dumps(document).encode()))
