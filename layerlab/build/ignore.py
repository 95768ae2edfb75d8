"""Which files of a folder belong to a build context: ``.dockerignore``.

The rules are those of github.com/moby/patternmatcher, with which BuildKit's own client filters a context.
``docker.utils.build.PatternMatcher`` of the Docker SDK does not follow them: it never looks into an ignored
folder for ``!**/*.py``, and takes ``a/**/b`` and ``[^a]`` for something else.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlab.errors import ContextError

_WILDCARDS: Final = frozenset("*[]?^\\")


@dataclass(frozen=True)
class Pattern:
    """One line of a ``.dockerignore``.

    Attributes:
        text: The line, cleaned, without its ``!``.
        keeps: Whether it began with ``!``: what it matches is kept.
        regex: Matches the paths that it stands for, without what lies below them.
    """

    text: str
    keeps: bool
    regex: re.Pattern[str]

    def may_match_below(self, folder: str) -> bool:
        """Whether a path below this folder can match, as far as that can be told cheaply."""
        text = self.text.removesuffix("/**").removesuffix("/*")
        return not _WILDCARDS.isdisjoint(text) or f"{text}/".startswith(f"{folder}/")


def read(path: Path) -> tuple[Pattern, ...]:
    """The patterns of a ``.dockerignore``.

    Raises:
        ContextError: it cannot be read, or one of its lines is no pattern.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise ContextError(
            f"{path.name} cannot be read ({error.strerror})", remedy="correct its permissions"
        ) from error
    return parse(text, name=path.name)


def parse(text: str, name: str = ".dockerignore") -> tuple[Pattern, ...]:
    """The patterns in the text of a ``.dockerignore``, called `name` in errors.

    Raises:
        ContextError: one of its lines is no pattern.
    """
    patterns = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#") or not line.strip():
            continue
        keeps = line.strip().startswith("!")
        glob = line.strip().removeprefix("!").strip()
        glob = posixpath.normpath(glob) if glob else ""
        if len(glob) > 1:
            glob = re.sub("^/+", "", glob)
        try:
            if not glob:
                raise ValueError("nothing after !")  # noqa: TRY301
            patterns.append(Pattern(glob, keeps, re.compile(_regex(glob), re.DOTALL)))
        except (ValueError, re.error) as error:
            raise ContextError(
                f"line {number} of {name} is no pattern: {line.strip()}", remedy="correct that line"
            ) from error
    return tuple(patterns)


def matches(patterns: tuple[Pattern, ...], path: str, above: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
    """Whether a path is ignored, and which patterns match it or a folder that it lies in.

    Args:
        patterns: All of them, in their order: the last one that matches decides.
        path: Relative to the context, with slashes.
        above: What this function said second about the folder that it lies in; empty at the top.
    """
    ignored = False
    hits = []
    for index, pattern in enumerate(patterns):
        hit = bool(above and above[index])
        # One that could change nothing is not asked, as in patternmatcher, on whose answers this must agree.
        if not hit and pattern.keeps == ignored:
            hit = pattern.regex.fullmatch(path) is not None
        if hit:
            ignored = not pattern.keeps
        hits.append(hit)
    return ignored, tuple(hits)


def _regex(glob: str) -> str:
    """The regular expression that patternmatcher makes of a pattern."""
    if glob.startswith("**") and not glob.startswith("**/") and _WILDCARDS.isdisjoint(glob[2:]):
        return ".*" + re.escape(glob[2:])  # only here does ** match a part of a name
    result = ""
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if glob.startswith("**", position - 1):
            position += 1
            position += glob.startswith("/", position)
            result += ".*" if position == len(glob) else "(?:.*/)?"
        elif char == "*":
            result += "[^/]*"
        elif char == "?":
            result += "[^/]"
        elif char == "[":
            end = _end_of_class(glob, position)
            result += "[" + re.sub(r"([\[&~|])", r"\\\1", glob[position : end - 1]) + "]"
            position = end
        elif char == "\\":
            if position == len(glob):
                raise ValueError("nothing after \\")
            result += re.escape(glob[position])
            position += 1
        else:
            result += re.escape(char)
    return result


def _end_of_class(glob: str, start: int) -> int:
    """The position after the ``]`` that ends the character class whose text begins at `start`."""
    position = start + glob.startswith("^", start)
    if glob.startswith("]", position):
        raise ValueError("empty [] ")
    while position < len(glob):
        if glob[position] == "]":
            return position + 1
        position += 2 if glob[position] == "\\" else 1
    raise ValueError("[ without ]")
