"""Prints a verdict in a terminal: the seven tasks with their findings, and a summary at the end, where the eye is.

Everything that comes from a learner's files is plain text here: no markup, no escape codes. Signs and words say what
colours say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from layerlab.dockerfile.parsed import excerpt
from layerlab.exercise import wording
from layerlab.exercise.earlier_checks import Change, Memory
from layerlab.exercise.verdict import Finding, Status, Verdict
from layerlab.ui.text import one_line, plain
from layerlab.ui.units import listed

STYLES: Final[dict[Status, str]] = {"pass": "cyan", "fail": "bold red", "unknown": "yellow"}
_INDENT: Final = 4
_LARGEST_SOURCE: Final = 1_000_000  # bytes
_LONGEST_LINE: Final = 200  # characters of an excerpt where nobody knows the width


def print_verdict(
    console: Console,
    verdict: Verdict,
    *,
    name: str,
    source: Callable[[str], str | None],
    memory: Memory,
    changes: Sequence[Change] = (),
) -> None:
    """Print the tasks, their findings and a summary.

    Args:
        console: Where to.
        verdict: What the checker says.
        name: The workspace, as it was named.
        source: Gives the text of a file of the workspace, None where there is none; see `source_of`.
        memory: Which hints were asked for.
        changes: What got better or worse since the last check.
    """
    told_before = wording.told_before(verdict)
    for task in verdict.tasks:
        heading = f"{wording.SIGNS[task.status]} {task.id} {wording.TITLES[task.id]}: {wording.STATUSES[task.status]}"
        _print(console, heading, style=STYLES[task.status])
        before: Finding | None = None
        for finding in task.findings:
            is_there = before is not None and (before.file, before.line) == (finding.file, finding.line)
            lines = "" if is_there else excerpt_of(finding, source)
            _print_finding(console, finding, lines, same_as=told_before(task, finding))
            before = finding
            for number, hint in enumerate(memory.shown(task, finding), start=1):
                _print(console, f"Hint {number} of {wording.HINTS}: {hint}", indent=_INDENT, style="italic")
    console.print()
    better = [change.in_words for change in changes if change.is_better]
    worse = [change.in_words for change in changes if not change.is_better]
    for heading, sentences in (("Better", better), ("Worse", worse)):
        if sentences:
            _print(console, f"{heading} than at the last check: {listed(sentences)}.")
    _print(console, f"{one_line(name)}: {wording.score(verdict)} ({verdict.seconds:.1f} s)", style="bold")
    _print(console, wording.overview(verdict))
    if how := how_to_ask(verdict, memory):
        _print(console, how)


def how_to_ask(verdict: Verdict, memory: Memory) -> str:
    """How to ask for a hint, for the first task that has one to give; empty where none has."""
    for level in ("error", "advice"):
        for task in verdict.tasks:
            left = [
                one for one in task.findings if one.level == level and len(memory.shown(task, one)) < wording.HINTS
            ]
            if left:
                again = any(memory.shown(task, one) for one in left)
                return f"For {'one more' if again else 'a'} hint add --hint and the task's number: --hint {task.id}"
    return ""


def source_of(folder: Path) -> Callable[[str], str | None]:
    """Reads files of a workspace: regular ones that really lie in it, up to 1 MB."""
    root = Path(os.path.realpath(folder))

    def source(name: str) -> str | None:
        try:
            path = Path(os.path.realpath(root / name))
            if not path.is_relative_to(root) or not stat.S_ISREG(path.stat().st_mode):
                return None
            with path.open("rb") as file:
                return file.read(_LARGEST_SOURCE).decode(errors="replace")
        except (OSError, ValueError):
            return None

    return source


def excerpt_of(finding: Finding, source: Callable[[str], str | None]) -> str:
    """The lines that a finding is about; empty where it is about none, or they are no longer there."""
    text = source(finding.file) if finding.file is not None and finding.line is not None else None
    if text is None or finding.line is None or not 1 <= finding.line <= text.count("\n") + 1:
        return ""
    return excerpt(text, finding.line, context=1)


def _print_finding(console: Console, finding: Finding, lines: str, *, same_as: int | None) -> None:
    """Print a finding; `lines` are those of the file, empty where they have just been shown."""
    place = wording.place(finding)
    heading = f"{place + ': ' if place else ''}{finding.level}"
    if same_as is not None:
        _print(console, f"{heading}, the same as for task {same_as}", indent=_INDENT)
        return
    _print(console, heading, indent=_INDENT, style="bold")
    for line in lines.splitlines():
        _print_cut(console, line, indent=_INDENT)
    _print(console, finding.message, indent=_INDENT)


def _print(console: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print text, wrapped to the terminal's width and indented; a file gets every line whole."""
    for line in plain(text).split("\n"):
        whole = Text(line, style=style)
        rows = whole.wrap(console, max(console.width - indent, 20)) if console.is_terminal else [whole]
        for row in rows:
            row.rstrip()
            console.print(Text(" " * indent) + row, soft_wrap=True)


def _print_cut(console: Console, line: str, *, indent: int) -> None:
    """Print a line of code: what is beyond the width is left out, with an ellipsis."""
    text = Text(plain(line), style="dim")
    text.truncate(max(console.width - indent, 20) if console.is_terminal else _LONGEST_LINE, overflow="ellipsis")
    console.print(Text(" " * indent) + text, soft_wrap=True)
