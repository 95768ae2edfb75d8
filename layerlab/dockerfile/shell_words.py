"""Words, quotes and variables, as BuildKit's ``shell`` package reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_CLOSED_QUOTES: Final = re.compile(r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|[^'"\\])*""", re.DOTALL)
_ORDINARY: Final = re.compile(r"[^$'\"\\`/}]+")  # what no part of a word begins or ends with
_NAME: Final = re.compile(r"\d+|\w+|[@*#?$!-]")  # digits alone and the shell's own parameters, which are never set
_DEEPEST: Final = 50  # defaults within defaults
_LONGEST: Final = 20_000  # characters of a word, and of what becomes of it
_LONGEST_PATTERN: Final = 500
_LONGEST_TRIMMED: Final = 5_000  # characters of a value of which a pattern takes something away


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


def expand(word: str, values: Mapping[str, str | None], escape: str = "\\") -> str:
    """A word without its quotes, its variables replaced: ``$X``, ``${X}``, and ``${X`` followed by an operator.

    The operators are those of Dockerfile 1.7: ``:-``, ``:+``, ``:?`` and the same without colon; ``%``, ``%%``,
    ``#``, ``##``, ``/`` and ``//`` with patterns in which ``*`` and ``?`` stand for any characters.

    Args:
        word: What stands in the Dockerfile. One that BuildKit would refuse stays as it is, and so does what is longer
            or nested more deeply than anybody would write it.
        values: Of the variables. One that is missing is not set; where it is None, its value is not known here, and
            it stays as it is written.
        escape: The character that takes the next one literally.

    >>> expand("${BASE%-trixie}-slim-'$BASE'", {"BASE": "python:3.13-trixie"})
    'python:3.13-slim-$BASE'
    >>> expand("tool-${TARGETARCH}", {"TARGETARCH": None})
    'tool-${TARGETARCH}'
    """
    try:
        return _Reading(word, values, escape).until("")
    except ValueError:
        return unquote(word[:_LONGEST], escape)


class _Reading:
    """A word while it is read; whatever BuildKit would refuse is a ValueError."""

    def __init__(self, text: str, values: Mapping[str, str | None], escape: str) -> None:
        self._text = text
        self._values = values
        self._escape = escape
        self._position = 0
        self._depth = 0
        self._room = _LONGEST

    def until(self, end: str, *, keeps_escapes: bool = False) -> str:
        """What comes before this character, which is taken, too; or before the end of the word."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("nested too deeply")
        parts = []
        while (next_one := self._peek()) != end:
            if ordinary := _ORDINARY.match(self._text, self._position):
                self._position = ordinary.end()
                part = ordinary[0]
            elif next_one == "$":
                part = self._variable()
            elif next_one == "'":
                part = self._single_quoted()
            elif next_one == '"':
                part = self._double_quoted(keeps_escapes=keeps_escapes)
            else:
                part = self._take()
                if part == self._escape:
                    part = part * keeps_escapes + self._take()
            if not next_one:
                raise ValueError(f"{end} is missing")
            self._room -= len(part)
            if self._room < 0:
                raise ValueError("too long")
            parts.append(part)
        self._take()
        self._depth -= 1
        return "".join(parts)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        taken = self._peek()
        self._position += len(taken)
        return taken

    def _single_quoted(self) -> str:
        end = self._text.index("'", self._position + 1)
        quoted = self._text[self._position + 1 : end]
        self._position = end + 1
        return quoted

    def _double_quoted(self, *, keeps_escapes: bool) -> str:
        self._take()
        parts = []
        while (next_one := self._peek()) != '"':
            if not next_one:
                raise ValueError("a quote is not closed")
            if next_one == "$":
                parts.append(self._variable())
                continue
            part = self._take()
            if part == self._escape and (escaped := self._peek()) and escaped in {'"', "$", self._escape}:
                part = part * keeps_escapes + self._take()
            parts.append(part)
        self._take()
        return "".join(parts)

    def _variable(self) -> str:
        begin = self._position
        self._take()
        braced = self._peek() == "{"
        if braced:
            self._take()
        name = _NAME.match(self._text, self._position)
        if name is None:
            if braced:
                raise ValueError("no name")
            return "$"
        self._position = name.end()
        value = self._values.get(name[0])
        replaced = self._operated(value) if braced else value
        is_unknown = value is None and name[0] in self._values
        return self._text[begin : self._position] if is_unknown else replaced or ""

    def _operated(self, value: str | None) -> str | None:
        """What becomes of a value by what stands between its name and the closing brace."""
        operator = self._take()
        if operator == "}":
            return value
        if operator == "/":
            everywhere = self._peek() == "/"
            if everywhere:
                self._take()
            pattern = self.until("/", keeps_escapes=True)
            replacement = self.until("}", keeps_escapes=True)
            return _replaced(value or "", pattern, replacement, everywhere=everywhere)
        if operator in {"%", "#"}:
            pattern = self.until("}", keeps_escapes=True)
            longest = pattern.startswith(operator)
            return _trimmed(value or "", pattern.removeprefix(operator), longest=longest, at_end=operator == "%")
        is_set = value is not None
        if operator == ":":
            operator, is_set = self._take(), bool(value)
        other = self.until("}")
        if operator == "+":
            return other if is_set else ""
        if operator not in {"-", "?"} or (operator == "?" and not is_set):
            raise ValueError("not set, or no such operator")
        return value if is_set else other


def _trimmed(value: str, pattern: str, *, longest: bool, at_end: bool) -> str:
    """A value without what matches at its beginning or its end."""
    pieces = _pieces(pattern)
    if at_end:  # the shortest or longest beginning of both read backwards
        pieces = [piece[::-1] for piece in pieces[::-1]]
        value = value[::-1]
    found = _regex(value, pieces, longest=longest).match(value)
    rest = value[found.end() :] if found else value
    return rest[::-1] if at_end else rest


def _replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """A value with something else for the first match, or for each."""
    regex = _regex(value, _pieces(pattern), longest=True)
    return regex.sub(lambda _: replacement, value, count=0 if everywhere and not regex.match("") else 1)


def _regex(value: str, pieces: list[list[str]], *, longest: bool) -> re.Pattern[str]:
    """What matches these pieces with anything between them.

    Each but the last may take the first place where it fits. That is never tried again, so no pattern takes long.
    """
    if len(value) > _LONGEST_TRIMMED:
        raise ValueError("too long")
    first, *others = map("".join, pieces)
    middle = "".join(f"(?>.*?{piece})" for piece in others[:-1])
    last = f".*{'' if longest else '?'}{others[-1]}" if others else ""
    return re.compile(first + middle + last, re.DOTALL)


def _pieces(pattern: str) -> list[list[str]]:
    """What stands between the ``*`` of a pattern, each character as a regular expression of its own."""
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError("too long")
    pieces: list[list[str]] = [[]]
    for escaped, plain in re.findall(r"\\(.?)|(.)", pattern, re.DOTALL):
        if plain == "*":
            pieces.append([])
        elif plain == "?":
            pieces[-1].append(".")
        elif plain or escaped in {"*", "?", "\\", "}", "/"}:
            pieces[-1].append(re.escape(plain or escaped))
        else:
            raise ValueError("nothing to escape")
    return pieces
