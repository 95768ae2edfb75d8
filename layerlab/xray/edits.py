"""Edits of a Dockerfile that a program can make: RUNs become one, and a RUN gets one more command.

Several can be made at once. Comments stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction

_RUN: Final = re.compile(r"(\s*RUN(?:\s+--\S+)*)\s+(.*)", re.DOTALL | re.IGNORECASE)
_COMMENT: Final = re.compile(r"(?:^|[\s;&|()])#")  # within quotes too: then nothing is lost but an edit
_ESCAPE: Final = re.compile(r"^\s*#\s*escape\s*=", re.IGNORECASE | re.MULTILINE)
_TRANSPARENT: Final = frozenset(
    ["CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "STOPSIGNAL"]
)


@dataclass(frozen=True)
class Edit:
    """An edit that a program can make.

    Attributes:
        runs: Lines of RUNs, in their order; several become one.
        command: What is added to the last of them; empty for nothing.
        ignored: Lines that are added to ``.dockerignore``.
    """

    runs: tuple[int, ...] = ()
    command: str = ""
    ignored: tuple[str, ...] = ()


def edited(dockerfile: Dockerfile, edits: Iterable[Edit]) -> str:
    """The text of a Dockerfile after these edits; doing the same twice is doing it once."""
    edits = list(edits)
    ends = {each.line: each.end_line for each in dockerfile.instructions}
    texts = {each.line: each.text for each in dockerfile.instructions}
    for line, command in dict.fromkeys((edit.runs[-1], edit.command) for edit in edits if edit.command):
        texts[line] = f"{texts[line].rstrip().rstrip(';').rstrip()} \\\n && {command}"
    changed = {line for edit in edits for line in edit.runs}
    for group in joined(frozenset(edit.runs) for edit in edits if len(edit.runs) > 1):
        runs = [found for line in sorted(group) if (found := _RUN.fullmatch(texts[line]))]
        # In parentheses, what one does to its shell (cd, set, exit) is nothing to the next.
        one = f"{runs[0][1]} " + " \\\n && ".join(f"( {run[2].strip()} )" for run in runs)
        texts |= {**dict.fromkeys(group, ""), min(group): one}
    lines = dockerfile.text.split("\n")
    for line in sorted(changed, reverse=True):
        lines[line - 1 : ends[line]] = [texts[line]] if texts[line] else []
    return "\n".join(lines)


def joined(sets: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """Sets that share a member become one."""
    found: list[frozenset[int]] = []
    for each in sets:
        touching = [other for other in found if other & each]
        found = [*(other for other in found if not other & each), each.union(*touching)]
    return found


def can_append(dockerfile: Dockerfile, instruction: Instruction) -> bool:
    """Whether a command can be added to a RUN: it is a line for a shell, and BuildKit's usual one.

    What follows a shell's comment would become part of it, since a RUN is one line to the shell.
    """
    return (
        instruction.keyword == "RUN"
        and not instruction.is_json
        and not instruction.heredocs
        and not _ESCAPE.search(dockerfile.text)
        and not instruction.value.rstrip().endswith("&")
        and not _COMMENT.search(instruction.value)
        and _RUN.fullmatch(instruction.text) is not None
        and not any(each.keyword == "SHELL" for each in dockerfile.instructions)
    )


def neighbours(dockerfile: Dockerfile, stage: int) -> list[list[Instruction]]:
    """The RUNs of a stage that may become one, group by group: nothing between them changes what they do."""
    groups: list[list[Instruction]] = [[]]
    for each in dockerfile.stages[stage].instructions:
        if each.keyword == "RUN" and can_append(dockerfile, each):
            if groups[-1] and groups[-1][-1].flags != each.flags:
                groups.append([])
            groups[-1].append(each)
        elif each.keyword not in _TRANSPARENT:
            groups.append([])
    return [group for group in groups if group]
