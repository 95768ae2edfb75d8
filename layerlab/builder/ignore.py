"""Which files of a folder belong to a build context: ``.dockerignore``.

The rules are those of github.com/moby/patternmatcher, with which BuildKit's own client filters a context.
``docker.utils.build.PatternMatcher`` of the Docker SDK does not follow them: it never looks into an ignored
folder for ``!**/*.py``, and takes ``a/**/b`` and ``[^a]`` for something else.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlab.errors import ContextError
from layerlab.ui.text import wide_encoding

_WILDCARDS: Final = frozenset("*[]?^\\")


@dataclass(frozen=True)
class Pattern:
    """One line of a ``.dockerignore``.

    Attributes:
        text: The line, cleaned, without its ``!``.
        keeps: Whether it began with ``!``: what it matches is kept.
        parts: What the names on the way to a path have to be; None stands for any number of folders.
    """

    text: str
    keeps: bool
    parts: tuple[re.Pattern[str] | None, ...]

    def fits(self, path: str) -> bool:
        """Whether it stands for this path, without what lies below such a path."""
        reached = self._and_past_folders({0})
        for name in path.split("/"):
            rest = ((at, self.parts[at]) for at in reached if at < len(self.parts))
            reached = self._and_past_folders(
                {at if part is None else at + 1 for at, part in rest if part is None or part.match(name)}
            )
        return len(self.parts) in reached

    def _and_past_folders(self, reached: set[int]) -> set[int]:
        """The parts that may come next, and those behind a ``**``, which need not stand for any folder."""
        for at, part in enumerate(self.parts):
            if part is None and at in reached:
                reached.add(at + 1)
        return reached

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
        content = path.read_bytes()
    except OSError as error:
        raise ContextError(
            f"{path.name} cannot be read ({error.strerror})", remedy="correct its permissions"
        ) from error
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
            patterns.append(Pattern(glob, keeps, _parts(glob)))
        except ValueError as error:
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
            hit = pattern.fits(path)
        if hit:
            ignored = not pattern.keeps
        hits.append(hit)
    return ignored, tuple(hits)


def _parts(glob: str) -> tuple[re.Pattern[str] | None, ...]:
    """What the names on a path's way have to be; None stands for any number of folders.

    Within a name ``**`` counts as ``*``; patternmatcher lets one in its middle stand for folders as well.
    """
    if glob.startswith("**") and not glob.startswith("**/") and _WILDCARDS.isdisjoint(glob[2:]):
        glob = f"**/*{glob[2:]}"  # only here does ** match a part of a name
    parts = [None if name == "**" else re.compile(_name(name)) for name in glob.split("/")]
    return (*parts, re.compile("(?s:.*)")) if parts[-1] is None else tuple(parts)


def _name(glob: str) -> str:
    """A pattern for one name as a regular expression, which fnmatch makes so that it does not try for ever."""
    if not re.fullmatch(r"(?s:\\.|\[\^?[^\]]+\]|[^\[\\])*", glob):
        raise ValueError("an unfinished [ or \\")
    plain = re.sub(r"\\(.)", lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], glob)
    return fnmatch.translate(plain.replace("[^", "[!"))
