"""Prints a verdict in a terminal: how the seven tasks stand, which to do next, and a summary where the eye is.

Everything that comes from a learner's files is plain text here: no markup, no escape codes. Signs and words say what
colours say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from layerlab.dockerfile.parsed import excerpt
from layerlab.exercise import wording
from layerlab.exercise.earlier_checks import Memory
from layerlab.exercise.verdict import HINTS, Finding, Result, Status, Verdict
from layerlab.exercise.workspace import MAX_CONTENT, read_regular
from layerlab.ui.text import one_line, plain

STYLES: Final[dict[Status, str]] = {"pass": "cyan", "fail": "bold red", "unknown": "yellow"}
_INDENT: Final = 4
_LONGEST_LINE: Final = 200  # characters of an excerpt where nobody knows the width


def print_verdict(
    console: Console,
    verdict: Verdict,
    *,
    name: str,  # of the workspace, as it was given
    source: Callable[[str], str | None],  # gives the text of a file of the workspace; see `source_of`
    memory: Memory,  # which hints were asked for
    changes: Sequence[str] = (),  # what got better or worse since the last check, a sentence each
    tasks: Sequence[int] = (),  # those whose findings are shown, in place of the next one's
    show_all: bool = False,  # whether to show all findings of all tasks
) -> None:
    """Print how the tasks stand, what is to be done next, and a summary."""
    told = wording.told_once(verdict)
    following = wording.next_task(verdict)
    chosen = [each for each in verdict.tasks if each.id in tasks] or ([following] if following else [])
    for each in verdict.tasks:
        _print(console, f"{wording.heading(each)}: {wording.told_of(each, told[each.id])}", style=STYLES[each.status])
        if show_all:
            _print_findings(console, each, told[each.id], source, memory)
    for each in () if show_all else chosen:
        title = f"task {each.id}, {wording.TITLES[each.id]}"
        heading = f"Next: {title if verdict.image else 'let it build'}" if each == following else title
        _print(console, f"\n{heading}", style="bold")
        _print_findings(console, each, wording.opened(told[each.id], memory, each), source, memory)
    console.print()
    for sentence in changes:
        _print(console, sentence)
    _print(console, f"{one_line(name)}: {wording.score(verdict)} ({verdict.seconds:.1f} s)", style="bold")
    for line in _ways_on(chosen, told, memory, show_all=show_all):
        _print(console, line)


def _ways_on(
    chosen: Sequence[Result], told: Mapping[int, Sequence[Finding]], memory: Memory, *, show_all: bool
) -> Iterator[str]:
    """How to ask for a hint about the tasks that are shown, and for whatever is not shown."""
    for task in chosen:
        if left := [each for each in told[task.id] if len(memory.shown(task, each)) < HINTS]:
            again = "one more" if any(memory.shown(task, each) for each in left) else "a"
            yield f"For {again} hint add --hint {task.id}"
    shown = sum(len(wording.opened(told[task.id], memory, task)) for task in chosen)
    if not show_all and (more := sum(map(len, told.values())) - shown):
        yield f"For {'the other finding' if more == 1 else f'the other {more} findings'} add --all"


def source_of(folder: Path) -> Callable[[str], str | None]:
    """Reads files of a workspace: regular ones that really lie in it, up to 1 MB."""
    root = Path(os.path.realpath(folder))

    def source(name: str) -> str | None:
        path = Path(os.path.realpath(root / name))
        content = read_regular(path, MAX_CONTENT) if path.is_relative_to(root) else b""
        return content.decode(errors="replace") or None

    return source


def excerpt_of(finding: Finding, source: Callable[[str], str | None]) -> str:
    """The lines that a finding is about; empty where it is about none, or they are no longer there."""
    text = source(finding.file) if finding.file is not None and finding.line is not None else None
    if text is None or finding.line is None or not 1 <= finding.line <= text.count("\n") + 1:
        return ""
    return excerpt(text, finding.line, context=1)


def _print_findings(
    console: Console, task: Result, findings: Sequence[Finding], source: Callable[[str], str | None], memory: Memory
) -> None:
    """Print findings, the lines of the file that each is about, and the hints that were asked for; nothing twice."""
    place, hinted = "", set[tuple[str, ...]]()
    for finding in findings:
        before, place = place, wording.place(finding)
        _print(console, f"{place + ': ' if place else ''}{finding.level}", indent=_INDENT, style="bold")
        for line in "" if place == before else excerpt_of(finding, source).splitlines():
            _print_cut(console, line, indent=_INDENT)
        message, *log = finding.message.split("\n")
        _print(console, message, indent=_INDENT)
        for line in log:
            _print_cut(console, line, indent=_INDENT + 2)
        for number, hint in enumerate(() if finding.hints in hinted else memory.shown(task, finding), start=1):
            last = ", the last one" if number == HINTS else ""
            _print(console, f"Hint {number} of {HINTS}{last}: {hint}", indent=_INDENT, style="italic")
        hinted.add(finding.hints)


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
