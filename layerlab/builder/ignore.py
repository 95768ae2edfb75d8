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
from layerlab.ui.text import wide_encoding

_WILDCARDS: Final = frozenset("*[]?^\\")
_MAX_BYTES: Final = 100_000
_TOKEN: Final = re.compile(r"\*\*/?|\\.|\[\^?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


@dataclass(frozen=True)
class Pattern:
    """One line of a ``.dockerignore``."""

    text: str  # cleaned, without its ``!``
    keeps: bool  # whether it began with ``!``: what it matches is kept
    regex: re.Pattern[str]  # matches the paths that it stands for, without what lies below them

    def may_match_below(self, folder: str) -> bool:
        """Whether a path below this folder can match, as far as that can be told cheaply."""
        text = self.text.removesuffix("/**").removesuffix("/*")
        return not _WILDCARDS.isdisjoint(text) or f"{text}/".startswith(f"{folder}/")


def read(path: Path) -> tuple[Pattern, ...]:
    """The patterns of a ``.dockerignore``.

    Raises:
        ContextError: it cannot be read, is too big, or one of its lines is no pattern.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ContextError(
            f"{path.name} cannot be read ({error.strerror})", remedy="correct its permissions"
        ) from error
    if len(content) > _MAX_BYTES:
        raise ContextError(
            f"{path.name} is too big: over {_MAX_BYTES / 1e3:g} kB",
            remedy="name folders rather than single files in it",
        )
    if encoding := wide_encoding(content):
        raise ContextError(
            f"{path.name} is encoded in {encoding}, and builders, which read UTF-8, would ignore nothing",
            remedy=f"save it as UTF-8, or convert it (iconv -f {encoding} -t UTF-8)",
        )
    return parse(content.decode("utf-8-sig", errors="surrogateescape"), name=path.name)


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
    """Whether a path is ignored, and which patterns match it or a folder that it lies in: the last of them decides.

    `above` is what this function said second about that folder; empty at the top.
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
    """The regular expression that patternmatcher makes of a pattern, made safe.

    There ``**/`` is ``(.*/)?`` and ``*`` is ``[^/]*``. Of many in a row, Python would try every combination, and
    a hostile pattern would never end. But all but the last may take the first place where what follows them fits
    (an atomic group), since the next one makes up for what they leave.
    """
    if glob.startswith("**") and not glob.startswith("**/") and _WILDCARDS.isdisjoint(glob[2:]):
        return ".*" + re.escape(glob[2:])  # only here does ** match a part of a name
    pieces = [""]  # what stands before, between and after the ** and **/
    for token in _TOKEN.findall(glob):
        if token.startswith("**"):
            pieces.append("")
        else:
            pieces[-1] += token
    first, *others = pieces
    result = _piece(first)
    for piece in others[:-1]:
        if piece.endswith("/"):
            result += f"(?>(?:.*?/)??{_piece(piece)})"
        else:  # such as the middle of a**b**c: rare, and nothing may be left out
            result += f"(?:.*/)?{_piece(piece)}"
    if others:
        result += f"(?:.*/)?{_piece(others[-1])}" if others[-1] else ".*"
    if sum(not piece.endswith("/") for piece in others[:-1]) > 1:
        raise ValueError("too many ** within names")
    return result


def _piece(glob: str) -> str:
    """A pattern without ``**`` as a regular expression."""
    chunks = [""]
    for part in _TOKEN.findall(glob):
        if part == "*":
            chunks.append("")
        elif part == "?":
            chunks[-1] += "[^/]"
        elif part.startswith("[") and len(part) > 2:
            chunks[-1] += "[" + re.sub(r"([\[&~|])", r"\\\1", part[1:-1]) + "]"
        elif part in {"[", "[]", "\\"}:
            raise ValueError("an unfinished [ or \\")
        else:
            chunks[-1] += re.escape(part.removeprefix("\\") if len(part) > 1 else part)
    first, *others = chunks
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in others[:-1])
    return first + middle + (f"[^/]*{others[-1]}" if others else "")
