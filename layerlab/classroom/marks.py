"""What came of a submission, how it is kept from one run to the next, and which version of the checker said it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from layerlab.exercise import wording
from layerlab.exercise.verdict import TASK_NAMES, Finding, Result, Status, Verdict
from layerlab.paths import ROOT, cache_directory, read_object, write_whole
from layerlab.ui.text import shorten

_JUDGES: Final = ("layerlab", "app", "exercise", "requirements.txt", "Dockerfile", "Dockerfile.single")
"""What decides about a mark, beside the submission."""


@dataclass(frozen=True)
class Checked:
    """What checking a submission gave."""

    verdict: Verdict | None = None  # what the checker says; None if it could not say anything
    image_bytes: int | None = None  # what the image's layers store; None if there is no image
    # Its layers beside those of the lab's images, as HTML; empty if there is none
    picture: str = field(default="", repr=False)
    why_not: str = ""  # why there is no verdict

    @property
    def is_doubtful(self) -> bool:
        """Whether it may be the neighbours' doing: no image, or something that could not be seen."""
        if self.verdict is None or self.verdict.image is None or self.verdict.blame:
            return True
        # Where no process stays up, nobody can see whose they are; why, task 7 says.
        unknown = {task.name for task in self.verdict.tasks if task.status == "unknown"}
        return bool(unknown - ({"security"} if self.statuses[-1] == "fail" else set()))

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Of the seven tasks, in order."""
        unknown: Status = "unknown"
        return tuple(task.status for task in self.verdict.tasks) if self.verdict else (unknown,) * len(TASK_NAMES)

    @property
    def is_lasting(self) -> bool:
        """Whether it would be the same again: neither the engine nor the network had a part in it."""
        if self.verdict is None:
            return False
        return self.verdict.blame in {"dockerfile", "workspace", "limit"} or not self.is_doubtful

    def document(self) -> dict[str, Any]:
        """As JSON."""
        one = self.verdict
        told = one and {**one.document(), "seconds": one.seconds, "blame": one.blame}
        return {"verdict": told, "image_bytes": self.image_bytes, "picture": self.picture, "why_not": self.why_not}


@dataclass(frozen=True)
class Mark:
    """A learner's mark."""

    learner: str  # as the platform names them
    checked: Checked  # what checking gave
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # what was handed in, by path
    notes: tuple[str, ...] = ()  # what was taken for what, and what was left out
    similar: tuple[str, ...] = ()  # the learners whose Dockerfiles are nearly the same; no verdict on why

    @property
    def score(self) -> int:
        """How many of the seven tasks pass."""
        return self.checked.verdict.score if self.checked.verdict else 0

    @property
    def seconds(self) -> float:
        """How long the check took."""
        return self.checked.verdict.seconds if self.checked.verdict else 0.0

    @property
    def why_not(self) -> str:
        """Why it is not seven of seven: the first finding of each such task that has its own; one line."""
        verdict = self.checked.verdict
        if verdict is None:
            return self.checked.why_not
        told = wording.told_once(verdict)
        said = []
        for task in verdict.tasks:
            if task.status != "pass" and told[task.id]:
                first = told[task.id][0]
                place = f"{wording.place(first)}: " if first.file else ""
                message = first.message.partition("\n")[0]
                said.append(f"{task.id}: {place}{shorten(message, 200)}")
        return "; ".join(said)

    def document(self) -> dict[str, Any]:
        """As JSON, without the picture."""
        told = {"learner": self.learner, "score": self.score, "max_score": len(TASK_NAMES), **self.checked.document()}
        del told["picture"]
        return {**told, "notes": list(self.notes), "similar": list(self.similar)}


def read_checked(document: Mapping[str, Any]) -> Checked:
    """What `Checked.document` has written.

    Raises:
        KeyError, TypeError: it was not that.
    """
    told = document["verdict"]
    verdict = None
    if told is not None:
        tasks = []
        for task in told["tasks"]:
            findings = tuple(Finding(**{**one, "hints": tuple(one["hints"])}) for one in task["findings"])
            tasks.append(Result(task["id"], task["status"], findings))
        verdict = Verdict(told["image"], tuple(tasks), told["seconds"], told["blame"])
    return Checked(verdict, document["image_bytes"], document["picture"], document["why_not"])


def recall(digest: str) -> Checked | None:
    """What this version of the checker has said of a submission before; None if it has not, or was not certain."""
    with suppress(KeyError, TypeError):
        return read_checked(read_object(_file(digest)))
    return None


def remember(digest: str, checked: Checked) -> None:
    """Keep it: a run that was killed goes on from here, and one that is repeated says the same."""
    with suppress(OSError):  # a full disk, a cache of somebody else's: the mark has been given all the same
        file = _file(digest)
        file.parent.mkdir(exist_ok=True)
        write_whole(file, lambda fresh: fresh.write(json.dumps(checked.document()).encode()))


@cache
def checker_version() -> str:
    """Stands for all that decides about a mark, beside the submission and the engine's base images."""
    found = hashlib.sha256()
    for name in _JUDGES:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _file(digest: str) -> Path:
    name = hashlib.sha256(f"{digest} {checker_version()}".encode()).hexdigest()[:40]
    return cache_directory() / "marks" / f"{name}.json"
