"""Words, quotes and variables, as BuildKit's ``shell`` package reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_CLOSED_QUOTES: Final = re.compile(r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|[^'"\\])*""", re.DOTALL)
_NAME: Final = r"\d+|\w+|[@*#?$!-]"  # digits alone and the shell's own parameters, which are never set
_PIECE: Final = re.compile(
    r"""\\(?P<escaped>.)|'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)\""""
    rf"|\$(?:(?P<name>{_NAME})|\{{(?P<braced>{_NAME})"
    r"(?:(?P<operator>:?[-+?]|%%?|##?)(?P<other>(?:[^${}]|\$\w|\$\{[^{}]*\})*))?\})",
    re.DOTALL,
)
_LONGEST: Final = 5_000  # characters of a word, and of what becomes of it
_LONGEST_MATCHED: Final = 200  # characters of a value that a pattern is tried on


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
    """A word without its quotes, its variables replaced; ``${X/…}`` alone, of all operators, is left as it is.

    Args:
        word: What stands in the Dockerfile. One that BuildKit would refuse stays as it is, and so does what is nested
            more deeply than anybody would write it.
        values: Of the variables. One that is missing is not set; where it is None, its value is not known here, and
            it stays as it is written.

    >>> expand("${BASE:-python}-slim-'$BASE'", {})
    'python-slim-$BASE'
    >>> expand("tool-${TARGETARCH}", {"TARGETARCH": None})
    'tool-${TARGETARCH}'
    """

    def replaced(found: re.Match[str]) -> str:
        if found["double"] is not None:
            return expand(found["double"].replace("'", r"\'"), values)
        if not (name := found["name"] or found["braced"]):
            return found["escaped"] or found["single"] or ""
        value, operator = values.get(name), found["operator"] or ""
        is_set = bool(value) if operator.startswith(":") else value is not None
        is_long = operator.startswith(("%", "#")) and len(value or "") > _LONGEST_MATCHED
        if (value is None and name in values) or (operator.endswith("?") and not is_set) or is_long:
            return found[0]
        if operator.startswith(("%", "#")):
            return _without(value or "", operator, expand(found["other"], values))
        if operator and is_set == operator.endswith("+"):
            return expand(found["other"], values)
        return value or ""

    return _PIECE.sub(replaced, word[:_LONGEST])[:_LONGEST]


def _without(value: str, operator: str, pattern: str) -> str:
    """A value without what a pattern matches at its end (``%``) or beginning (``#``), the longest where doubled."""
    places = range(len(value) + 1)
    order = places if operator in {"#", "%%"} else reversed(places)
    if operator.startswith("#"):
        return next((value[at:] for at in order if fnmatchcase(value[:at], pattern)), value)
    return next((value[:at] for at in order if fnmatchcase(value[at:], pattern)), value)
