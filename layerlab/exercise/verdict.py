"""What the checker says: findings, the seven tasks' results, and the whole verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from layerlab.errors import Blame

Level = Literal["error", "advice"]
Status = Literal["pass", "fail", "unknown"]

TASKS: Final = {
    "build-stage": "a proper build stage",
    "system-packages": "system packages in one efficient command",
    "python-packages": "Python packages from requirements.txt",
    "runtime-stage": "a smaller runtime stage",
    "artifacts": "only the artifacts are copied",
    "security": "security",
    "command": "a production command",
}
"""The names of the tasks 1 to 7, in order, and what each is called in words."""
TASK_NAMES: Final = tuple(TASKS)
HINTS: Final = 3
"""How many hints each finding has."""


@dataclass(frozen=True)
class Finding:
    """Something that was seen, why it matters, and how to find the way on."""

    level: Level  # an error makes its task fail, or explains why it is unknown; advice never does
    # What was seen, with figures, and why it matters; one or two sentences, plain text. Where a build failed, the
    # lines follow that tell why.
    message: str
    # A question, a direction, the technique by name and the notebook that shows it; never the answer's code.
    hints: tuple[str, str, str]
    file: str | None = None  # the file it is about, relative to the workspace; None where it has no place
    line: int | None = None  # the line in it, counted from 1; None where it has no place

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "level": self.level,
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "hints": list(self.hints),
        }


@dataclass(frozen=True)
class Result:
    """What became of one task."""

    id: int  # 1 to 7
    status: Status  # ``unknown`` if its evidence could not be had, which counts as not passed
    findings: tuple[Finding, ...] = ()  # errors first

    @property
    def name(self) -> str:
        """Such as ``build-stage``."""
        return TASK_NAMES[self.id - 1]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        findings = [finding.document() for finding in self.findings]
        return {"id": self.id, "name": self.name, "status": self.status, "findings": findings}


def judge(task: int, findings: Iterable[Finding], *, unknown: bool = False) -> Result:
    """The result that follows from findings: any error fails; else `unknown` if evidence was missing; else a pass."""
    ordered = sorted(findings, key=lambda finding: (finding.level != "error", finding.line or 0))
    failed = any(finding.level == "error" for finding in ordered)
    return Result(task, "unknown" if unknown else "fail" if failed else "pass", tuple(ordered))


@dataclass(frozen=True)
class Verdict:
    """What the checker found out about a workspace."""

    # The id of the image that was built, ``sha256:...``; None if none was. It is removed afterwards.
    image: str | None
    tasks: tuple[Result, ...]  # the seven results, in order
    seconds: float = 0.0  # how long the check took
    # Whose fault it is that the image, or what it is compared with, could not be had; None if it could.
    blame: Blame | None = None

    @property
    def score(self) -> int:
        """How many tasks pass."""
        return sum(task.status == "pass" for task in self.tasks)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "image": self.image,
            "built": self.image is not None,
            "score": self.score,
            "max_score": len(TASK_NAMES),
            "tasks": [task.document() for task in self.tasks],
        }
