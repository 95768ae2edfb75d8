"""Words, quotes and variables, as BuildKit's ``shell`` package reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_CLOSED_QUOTES: Final = re.compile(r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|[^'"\\])*""", re.DOTALL)
_NAME: Final = r"\d+|\w+|[@*#?$!-]"  # digits alone and the shell's own parameters, which are never set
_PIECE: Final = r"""\\.|'[^']*'|[^$'"\\/}]+|."""
_QUOTED_PIECE: Final = r"""\\.|[^$"\\]+|."""
_LONGEST: Final = 5_000  # characters of a word, of a value, and of what becomes of them
_LONGEST_PATTERN: Final = 500
_LONGEST_MATCHED: Final = 1_000  # characters of a value in which a pattern is looked for


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
    """A word without its quotes, its variables replaced: ``$X``, ``${X}``, and ``${X`` followed by an operator.

    The operators are those of Dockerfile 1.7: ``:-``, ``:+``, ``:?`` and the same without colon; ``%``, ``%%``,
    ``#``, ``##``, ``/`` and ``//`` with patterns in which ``*`` and ``?`` stand for any characters.

    Args:
        word: What stands in the Dockerfile. One that BuildKit would refuse stays as it is, and so does what is longer
            or nested more deeply than anybody would write it.
        values: Of the variables. One that is missing is not set; where it is None, its value is not known here, and
            it stays as it is written.

    >>> expand("${BASE%-trixie}-slim-'$BASE'", {"BASE": "python:3.13-trixie"})
    'python:3.13-slim-$BASE'
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

    def until(self, end: str, *, keeps_escapes: bool = False) -> str:
        """What comes before this character, which is taken, too; or before the end of the word."""
        read = ""
        is_quoted = end == '"'
        while (piece := self._take(_QUOTED_PIECE if is_quoted else _PIECE)) != end:
            if not piece or (piece == "'" and not is_quoted):
                raise ValueError(f"{end or piece} is missing")
            if piece == "$":
                piece = self._variable()
            elif piece == '"':
                piece = self.until('"', keeps_escapes=keeps_escapes)
            elif piece[0] == "'" and not is_quoted:
                piece = piece[1:-1]
            elif piece[0] == "\\" and not keeps_escapes and (not is_quoted or piece[1:] in {'"', "$", "\\"}):
                piece = piece[1:]
            read += piece
            if len(read) > _LONGEST:
                raise ValueError("too long")
        return read

    def _variable(self) -> str:
        begin = self._position - 1
        braced = self._take("{")
        name = self._take(_NAME)
        if not name:
            if braced:
                raise ValueError("no name")
            return "$"
        value = self._values.get(name)
        if len(value or "") > _LONGEST:
            raise ValueError("too long")
        replaced = self._operated(value) if braced else value
        is_unknown = value is None and name in self._values
        return self._text[begin : self._position] if is_unknown else replaced or ""

    def _operated(self, value: str | None) -> str | None:
        """What becomes of a value by what stands between its name and the closing brace."""
        operator = self._take("}|//?|[%#]|:?[-+?]")
        if operator == "}":
            return value
        if operator in {"/", "//", "%", "#"} and len(value or "") > _LONGEST_MATCHED:
            raise ValueError("too long")
        if operator in {"/", "//"}:
            regex = _regex(self.until("/", keeps_escapes=True))
            replacement = self.until("}", keeps_escapes=True)
            everywhere = operator == "//" and not regex.match("")
            return regex.sub(lambda _: replacement, value or "", count=0 if everywhere else 1)
        if operator in {"%", "#"}:
            pattern = self.until("}", keeps_escapes=True)
            step = -1 if operator == "%" else 1  # what ends in something begins with it, read backwards
            longest = pattern.startswith(operator)
            regex = _regex(pattern.removeprefix(operator), longest=longest, step=step)
            text = (value or "")[::step]
            found = regex.match(text)
            return text[found.end() if found else 0 :][::step]
        other = self.until("}")
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return other if is_set else ""
        if not operator or (operator.endswith("?") and not is_set):
            raise ValueError("not set, or no such operator")
        return value if is_set else other


def _regex(pattern: str, *, longest: bool = True, step: int = 1) -> re.Pattern[str]:
    """What a pattern of the shell matches, or the pattern read backwards, if the step is -1.

    Each star but the last takes the first place that fits. That is never tried again, so no pattern takes long.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError("too long")
    pieces: list[list[str]] = [[]]
    for escaped, plain in re.findall(r"\\(.?)|(.)", pattern, re.DOTALL)[::step]:
        if plain == "*":
            pieces.append([])
        elif plain or escaped in {"*", "?", "\\", "}", "/"}:
            pieces[-1].append("." if plain == "?" else re.escape(plain or escaped))
        else:
            raise ValueError("nothing to escape")
    first, *others = map("".join, pieces)
    middle = "".join(f"(?>.*?{piece})" for piece in others[:-1])
    last = f".*{'' if longest else '?'}{others[-1]}" if others else ""
    return re.compile(first + middle + last, re.DOTALL)
