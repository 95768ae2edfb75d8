"""Words, quotes and variables, as BuildKit's ``shell`` package reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_CLOSED_QUOTES: Final = re.compile(r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|[^'"\\])*""", re.DOTALL)
_NAME: Final = r"\d+|\w+|[@*#?$!-]"  # digits alone and the shell's own parameters, which are never set
_PIECE: Final = r"""\\.|'[^']*'|[^$'"\\}]+|."""
_QUOTED_PIECE: Final = r"""\\.|[^$"\\]+|."""
_LONGEST: Final = 5_000  # characters of a word, and of what becomes of it


def split(text: str, escape: str = "\\") -> list[str]:
    """The words of a text; quotes and escape characters hold them together and are kept."""
    e = re.escape(escape)
    return re.findall(rf"""(?:{e}.|'[^']*'?|"(?:{e}.|[^"{e}])*"?|[^\s'"])+""", text, re.DOTALL)


def unquote(word: str, escape: str = "\\") -> str:
    """A word without its quotes and escape characters."""
    e = re.escape(escape)
    parts = re.findall(rf"""{e}(.?)|'([^']*)'?|"((?:{e}.|[^"{e}])*)"?|(.)""", word, re.DOTALL)
    return "".join(
        escaped or single or re.sub(rf"{e}(.)", r"\1", double, flags=re.DOTALL) or other
        for escaped, single, double, other in parts
    )


def quotes_are_closed(text: str) -> bool:
    """Whether each quote that begins in the text ends in it."""
    return _CLOSED_QUOTES.fullmatch(text) is not None


def expand(word: str, values: Mapping[str, str | None]) -> str:
    """A word without its quotes, its variables replaced: ``$X``, ``${X}``, ``${X:-…}``, ``${X:+…}`` and ``${X:?…}``.

    Args:
        word: What stands in the Dockerfile. One that BuildKit would refuse, or old ones would (patterns), stays as it
            is, and so does what is longer or nested more deeply than anybody would write it.
        values: Of the variables. One that is missing is not set; where it is None, its value is not known here, and
            it stays as it is written.

    >>> expand("${BASE:-python}-slim-'$BASE'", {})
    'python-slim-$BASE'
    >>> expand("tool-${TARGETARCH}", {"TARGETARCH": None})
    'tool-${TARGETARCH}'
    """
    try:
        return _Reading(word, values).until("")
    except (ValueError, RecursionError):
        return unquote(word[:_LONGEST])


class _Reading:
    """A word while it is read; whatever BuildKit would refuse is a ValueError."""

    def __init__(self, text: str, values: Mapping[str, str | None]) -> None:
        self._text = text
        self._values = values
        self._position = 0

    def _take(self, pattern: str) -> str:
        """What matches here, and is passed; empty if nothing does."""
        found = re.compile(pattern, re.DOTALL).match(self._text, self._position)
        self._position = found.end() if found else self._position
        return found[0] if found else ""

    def until(self, end: str) -> str:
        """What comes before this character, which is taken, too; or before the end of the word."""
        read, is_quoted = "", end == '"'
        while (piece := self._take(_QUOTED_PIECE if is_quoted else _PIECE)) != end:
            if not piece or (piece == "'" and not is_quoted):
                raise ValueError(f"{end or piece} is missing")
            if piece == "$":
                piece = self._variable()
            elif piece == '"':
                piece = self.until('"')
            elif piece[0] == "'" and not is_quoted:
                piece = piece[1:-1]
            elif piece[0] == "\\" and (not is_quoted or piece[1:] in {'"', "$", "\\"}):
                piece = piece[1:]
            read += piece
            if len(read) > _LONGEST:
                raise ValueError("too long")
        return read

    def _variable(self) -> str:
        begin, braced, name = self._position - 1, self._take("{"), self._take(_NAME)
        if not name:
            if braced:
                raise ValueError("no name")
            return "$"
        value = replaced = self._values.get(name)
        if braced and (operator := self._take("}|:?[-+?]")) != "}":
            other = self.until("}")
            is_set = bool(value) if operator.startswith(":") else value is not None
            if not operator or (operator.endswith("?") and not is_set):
                raise ValueError("not set, or no such operator")
            replaced = other if is_set == operator.endswith("+") else value
        is_unknown = value is None and name in self._values
        return self._text[begin : self._position] if is_unknown else replaced or ""
