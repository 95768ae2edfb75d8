"""Edits of a Dockerfile's text that a program can make: each says what to do with one instruction, by its line.

Several can be made at once, in any order: each instruction is rewritten by those that are about it, and RUNs that
become one are joined last. Comments stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.dockerfile.commands import split

_RUN: Final = re.compile(r"(\s*RUN)((?:\s+--\S+)*)\s+(.*)", re.DOTALL | re.IGNORECASE)
_KEYWORD: Final = re.compile(r"\s*\w+")
_STATEFUL: Final = frozenset(
    [*("cd", "export", "set", "umask", "source", ".", "exec", "alias", "unset", "trap", "ulimit", "shopt", "exit")]
)
_SUBSTITUTED: Final = re.compile(r"\$\([^()]*\)|`[^`]*`")
_COMMENT: Final = re.compile(r"(?:^|[\s;&|()])#")  # within quotes too: then nothing is lost but an edit
_ESCAPE: Final = re.compile(r"^\s*#\s*escape\s*=", re.IGNORECASE | re.MULTILINE)
_TRANSPARENT: Final = frozenset(
    ["CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "STOPSIGNAL"]
)


@dataclass(frozen=True)
class InstructionChange:
    """What to do with one instruction.

    Attributes:
        line: The line on which it begins.
        what: ``append`` a command to a RUN; ``replace`` what matches a pattern by a text, everywhere in the
            instruction; ``flag`` give a COPY a flag; ``delete`` it.
        text: The command, the text, or the flag.
        pattern: What is replaced, a regular expression.
    """

    line: int
    what: Literal["append", "replace", "flag", "delete"]
    text: str = ""
    pattern: str = ""


def edited(
    dockerfile: Dockerfile,
    changes: Iterable[InstructionChange],
    merges: Iterable[frozenset[int]] = (),
    after: str = "",
) -> str:
    """The text of a Dockerfile after these changes.

    Args:
        dockerfile: What to change.
        changes: What to do; doing the same twice is doing it once.
        merges: Lines of RUNs that become one, the first of them.
        after: What is added at the end.
    """
    texts = {each.line: each.text for each in dockerfile.instructions}
    ends = {each.line: each.end_line for each in dockerfile.instructions}
    for change in dict.fromkeys(changes):
        if change.line in texts and texts[change.line] is not None:
            texts[change.line] = _changed(texts[change.line], change)
    for group in joined(merges):
        first, *others = sorted(group)
        texts[first] = _merged([texts[first], *(texts[line] for line in others)])
        texts |= dict.fromkeys(others, "")
    lines = dockerfile.text.split("\n")
    result: list[str] = []
    number = 1
    while number <= len(lines):
        if number in texts:
            if texts[number]:
                result += texts[number].split("\n")
            number = ends[number] + 1
        else:
            result.append(lines[number - 1])
            number += 1
    text = "\n".join(result)
    return f"{text.rstrip()}\n\n{after}" if after else text


def joined(merges: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """Sets that share a member become one."""
    found: list[frozenset[int]] = []
    for lines in merges:
        touching = [other for other in found if other & lines]
        found = [other for other in found if not other & lines]
        found.append(lines.union(*touching))
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


def _changed(text: str, change: InstructionChange) -> str:
    if change.what == "delete":
        return ""
    if change.what == "replace":
        return re.sub(change.pattern, change.text, text)
    if change.what == "flag":
        return _KEYWORD.sub(lambda found: f"{found[0]} {change.text}", text, count=1)
    body = text.rstrip().rstrip(";").rstrip()
    return f"{body} \\\n && {change.text}"


def _merged(texts: Sequence[str]) -> str:
    """One RUN that does what these do, one after the other."""
    parts = [_RUN.fullmatch(text) for text in texts if text]
    found = [part for part in parts if part]
    if not found:
        return ""
    bodies = [_isolated(part[3].rstrip()) for part in found]
    return f"{found[0][1]}{found[0][2]} " + " \\\n && ".join(bodies)


def _isolated(body: str) -> str:
    """A shell command that leaves nothing behind for the next one, and succeeds or fails as a whole."""
    one_line = re.sub(r"\\\s*\n(?:\s*#[^\n]*\n)*", " ", body)
    found, signs = split(_SUBSTITUTED.sub("", one_line))
    simple = signs <= {"&&"} and not any(words[0] in _STATEFUL or "=" in words[0] for words in found)
    return body if simple else f"({body})"
