"""Commands that run another (``sudo``, ``env``, ``xargs``, ``find -exec`` ...) and shells that run a script."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_MOST_LAYERS: Final = 20
_MOST_VARIABLES: Final = 100


@dataclass(frozen=True)
class _Wrapper:
    """How the command begins that a wrapper runs: behind its options, and so many further words."""

    takes_value: frozenset[str] = frozenset()
    words: int = 0


def _wrapper(options: str = "", words: int = 0) -> _Wrapper:
    return _Wrapper(frozenset(options.split()), words)


_WRAPPERS: Final = {
    "sudo": _wrapper("-u -g -h -p -C -r -t -U -D -R -T --user --group --chdir --chroot --prompt"),
    "doas": _wrapper("-u -C"),
    "env": _wrapper("-u --unset -C --chdir"),
    "exec": _wrapper("-a"),
    "time": _wrapper("-f -o --format --output"),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata"),
    "command": _wrapper(),
    "builtin": _wrapper(),
    "nohup": _wrapper(),
    "setsid": _wrapper(),
    "eatmydata": _wrapper(),
    "chronic": _wrapper(),
    "unbuffer": _wrapper(),
    "busybox": _wrapper(),
    "timeout": _wrapper("-k -s --kill-after --signal", 1),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "xargs": _wrapper(
        "-n -P -I -L -d -a -E -s --max-args --max-procs --max-lines --delimiter --arg-file --max-chars"
    ),
    "gosu": _wrapper("", 1),
    "su-exec": _wrapper("", 1),
    "setuidgid": _wrapper("", 1),
    "runuser": _wrapper("-u -g -G --user --group --supp-group"),
    "setpriv": _wrapper("--reuid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits"),
    "chroot": _wrapper("", 1),
    "flock": _wrapper("-w -E --timeout --conflict-exit-code", 1),
    "tini": _wrapper("-p -e"),
    "dumb-init": _wrapper("-r --rewrite"),
    "catatonit": _wrapper(),
    "linux32": _wrapper(),
    "linux64": _wrapper(),
}


_RUNNERS: Final = {
    "conda": _wrapper("-n --name -p --prefix --cwd"),
    "mamba": _wrapper("-n --name -p --prefix --cwd"),
    "micromamba": _wrapper("-n --name -p --prefix --cwd -e --env -r --root-prefix"),
    "hatch": _wrapper("-e --env -p --project"),
    "pdm": _wrapper("-p --project --venv --site-packages"),
    "pipenv": _wrapper("--python"),
    "poetry": _wrapper("-C --directory -P --project"),
    "rye": _wrapper("--pyproject"),
    "uv": _wrapper(
        "--with --with-requirements --with-editable -p --python --project --directory --env-file --extra --group"
        " --only-group --no-group --package --index --default-index -i --index-url --extra-index-url -f --find-links"
        " --cache-dir --config-file --color"
    ),
}
"""Project tools whose ``run`` runs a command in the project's environment."""

_FOUND_BY_NAME: Final = re.compile(r"\$\((?:command -v|type -p|which(?: -a)?|pyenv which) +([\w./+-]+)\)")


@dataclass(frozen=True)
class Unwrapped:
    """A command without its wrappers.

    Attributes:
        words: The command; empty if a wrapper was given none.
        values: The environment, with what ``env`` and its like set.
        name: The base name of its first word.
        reads: The files from which its arguments are read (``xargs --arg-file``).
        script: What ``su -c`` runs; None if that is not how it was wrapped.
    """

    words: list[str]
    values: dict[str, str]
    name: str
    reads: tuple[str, ...] = ()
    script: str | None = None


def unwrap(words: Sequence[str], values: dict[str, str]) -> Unwrapped:
    """Take off all wrappers. `values` itself is handed back, unless a wrapper sets a variable."""
    left = list(words)
    reads: tuple[str, ...] = ()
    for _ in range(_MOST_LAYERS):
        if left and (found := _FOUND_BY_NAME.fullmatch(left[0])):
            left = [found[1], *left[1:]]
        name = posixpath.basename(left[0]) if left else ""
        if name in _RUNNERS and (behind := _behind_options(left[1:], _RUNNERS[name]))[:1] == ["run"]:
            left = _behind_options(behind[1:], _RUNNERS[name])
            continue
        script = _option(left, "-c", "--command") if name in {"su", "runuser"} else None
        if script is not None:
            return Unwrapped(left, values, name, reads, script)
        wrapper = _WRAPPERS.get(name)
        if wrapper is None or (name == "command" and left[1:2] and left[1] in {"-v", "-V"}):
            break
        source = _option(left, "-a", "--arg-file") if name == "xargs" else None
        reads += (source,) if source else ()
        left = _behind_options(left[1:], wrapper)[wrapper.words :]
        if name in {"env", "sudo", "doas"}:
            assigned = list(takewhile(bool, map(_ASSIGNMENT.fullmatch, left)))
            values = {**values, **{found[1]: found[2] for found in assigned[:_MOST_VARIABLES] if found}}
            left = left[len(assigned) :]
    return Unwrapped(left, values, posixpath.basename(left[0]) if left else "", reads)


def _behind_options(words: list[str], wrapper: _Wrapper) -> list[str]:
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        position += 1
        if word == "--":
            break
        if word in wrapper.takes_value:
            position += 1
    return words[position:]


def _option(words: list[str], *names: str) -> str | None:
    """The value of an option, which follows it or is joined to it by an equals sign."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word in names:
            return following
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value
    return None


def executed_by_find(words: list[str]) -> list[list[str]]:
    """The commands that ``find`` runs by ``-exec`` and its like."""
    found: list[list[str]] = []
    current: list[str] | None = None
    for word in words:
        if current is None:
            current = [] if word in {"-exec", "-execdir", "-ok", "-okdir"} else None
        elif word in {";", "+"}:
            found.append(current)
            current = None
        else:
            current.append(word)
    return [*found, current] if current else found


@dataclass(frozen=True)
class ShellScript:
    """What a shell was told to run.

    Attributes:
        text: The script that ``-c`` gives; None if there is none.
        name: The file of the script (for ``-c``: its ``$0``); empty for standard input.
        arguments: Of the script.
    """

    text: str | None
    name: str
    arguments: tuple[str, ...]


def shell_script(words: Sequence[str]) -> ShellScript:
    """What follows from the words of a shell's command line."""
    position = 1
    is_text = False
    while position < len(words) and words[position][:1] in {"-", "+"} and len(words[position]) > 1:
        word = words[position]
        position += 1
        if word == "--":
            break
        if word.startswith("--"):
            position += word in {"--rcfile", "--init-file"}
            continue
        is_text = is_text or "c" in word
        position += sum(letter in "oO" for letter in word[1:])
    rest = tuple(words[position:])
    if is_text:
        return ShellScript(rest[0] if rest else "", "".join(rest[1:2]), rest[2:])
    return ShellScript(None, "".join(rest[:1]), rest[1:])
