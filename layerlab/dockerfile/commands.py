"""Which commands a RUN runs, read for advice: its words as a shell splits them, wrappers such as ``sudo`` taken off.

Any script can be written that this reads wrongly. It is good enough for advice, which is built and looked at before
it is given. Whoever has to know what a step did looks at its layer.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.dockerfile.shell_words import expand
from layerlab.dockerfile.variables import environment

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_KEYWORDS: Final = frozenset(
    {"!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac", "time"}
)
_WRAPPERS: Final = frozenset(
    {"sudo", "doas", "env", "exec", "nice", "ionice", "command", "nohup", "setsid", "eatmydata", "timeout", "xargs"}
    | {"busybox"}
)
_VALUES: Final = frozenset({"-u", "-g", "-n", "-k", "-s", "-P", "-I", "-L", "-d", "-a", "-C"})  # options of those
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#[^\n]*")
_SUBSTITUTION: Final = re.compile(r"[$<>]\(([^()]*)\)|`([^`]*)`")
_SIGNS: Final = ";&|()<>\n"
_DEEPEST: Final = 6  # scripts within scripts
_MOST_CHARACTERS: Final = 20_000  # of a script that are read
_PYTHON_INSTALL: Final = re.compile(
    r"\b(?:pip[\d.]*|uv pip|poetry|pdm|pipenv|conda|mamba|uv)\s(?:[^\n;&|]*\s)?(?:install|sync|wheel|download)\b"
)
_APT: Final = frozenset({"apt-get", "apt", "aptitude"})
_APT_VALUES: Final = frozenset({"-o", "--option", "-c", "--config-file", "-t", "--target-release"})
_NO_RECOMMENDS: Final = re.compile(r"--no-install-recommends|APT::Install-Recommends=(?:0|false|no)", re.IGNORECASE)


@dataclass(frozen=True)
class Command:
    """A simple command.

    Attributes:
        words: The program and its arguments, quotes taken off and known variables replaced.
    """

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The program's name without its folder."""
        return posixpath.basename(self.words[0])


@dataclass(frozen=True)
class Apt:
    """A command of apt.

    Attributes:
        verb: Such as ``update`` or ``install``; empty if there is none.
        packages: What it names.
        no_recommends: Whether it says that recommended packages are left out.
    """

    verb: str
    packages: tuple[str, ...]
    no_recommends: bool


def commands(dockerfile: Dockerfile, run: Instruction) -> tuple[Command, ...]:
    r"""The commands of a RUN, both sides of each ``||`` and ``if`` included.

    >>> from layerlab.dockerfile import parse
    >>> dockerfile = parse("FROM a\nENV P='gcc make'\nRUN sudo apt-get install $P && (cd /x; rm -r '/a b')\n")
    >>> for command in commands(dockerfile, dockerfile.instructions[-1]):
    ...     print(command.words)
    ('apt-get', 'install', 'gcc', 'make')
    ('cd', '/x')
    ('rm', '-r', '/a b')
    """
    values = {name: value for name, value in environment(dockerfile, run).items() if value is not None}
    if run.is_json:
        return tuple(_run(list(run.arguments), values, "", 0))
    heredocs = "\n".join(each.content for each in run.heredocs)
    return tuple(_read(heredocs if run.value.startswith("<<") else run.value, values, heredocs))


def apt(command: Command) -> Apt | None:
    """What a command of apt is told; None for any other command."""
    if command.name not in _APT:
        return None
    rest = [
        word for before, word in pairwise(command.words) if not word.startswith("-") and before not in _APT_VALUES
    ]
    no_recommends = _NO_RECOMMENDS.search(" ".join(command.words)) is not None
    return Apt("".join(rest[:1]), tuple(rest[1:]), no_recommends)


def installs_python(run: Instruction) -> bool:
    """Whether a RUN seems to install Python packages."""
    return _PYTHON_INSTALL.search(run.text.replace("\\\n", " ")) is not None


def split(script: str) -> tuple[list[list[str]], set[str]]:
    """The words of a script's simple commands, substitutions left out, and the signs between them."""
    lexer = shlex.shlex(_COMMENT.sub("", script), posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    found: list[list[str]] = [[]]
    signs: set[str] = set()
    is_target = False  # of a redirection
    try:
        for token in lexer:
            if set(token) <= set(_SIGNS):
                is_target = token[-1] in "<>" or token in {">&", "<&"}
                if is_target and found[-1][-1:] and found[-1][-1].isdigit():
                    found[-1].pop()
                if token[0] not in "<>" and not token.startswith("&>"):
                    signs.add(token.strip("\n") or "\n")
                    found.append([])
            elif is_target:
                is_target = False
            else:
                found[-1].append(token)
    except ValueError:  # a quote that does not end
        pass
    return [words for words in found if words], signs


def _read(script: str, values: dict[str, str], heredocs: str = "", depth: int = 0) -> Iterator[Command]:
    """The commands of a script; what it sets is set in `values`."""
    if depth > _DEEPEST:
        return
    script = script[:_MOST_CHARACTERS]
    for _ in range(_DEEPEST):  # the innermost ones first
        for inner in _SUBSTITUTION.finditer(script):
            yield from _read(inner[1] or inner[2] or "", dict(values), depth=depth + 1)
        script = _SUBSTITUTION.sub("$_", script)
    for words in split(script)[0]:
        expanded = [part for word in words for part in (expand(word, values).split() if "$" in word else [word])]
        while expanded and expanded[0] in _KEYWORDS:
            expanded = expanded[1:]
        if expanded[:1] == ["for"]:
            values["".join(expanded[1:2])] = " ".join(expanded[3:])
        elif expanded and expanded[0] != "case":
            yield from _run(expanded, values, heredocs, depth)


def _run(words: list[str], values: dict[str, str], heredocs: str, depth: int) -> Iterator[Command]:
    """The command that these words are, its wrappers taken off, or those of the script that they hand to a shell."""
    assigned = {}
    while words:
        if found := _ASSIGNMENT.fullmatch(words[0]):
            assigned[found[1]] = found[2]
            words = words[1:]
        elif posixpath.basename(words[0]) in _WRAPPERS:
            is_timed = posixpath.basename(words[0]) == "timeout"
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[1 + (words[0] in _VALUES) :]
            words = words[is_timed:]
        else:
            break
    if not words:
        values |= assigned
    elif posixpath.basename(words[0]) in _SHELLS:
        scripts = [after for before, after in pairwise(words) if re.fullmatch(r"-\w*c", before)]
        yield from _read("".join(scripts[:1]) or heredocs, dict(values), depth=depth + 1)
    else:
        yield Command(tuple(words))
