"""Words, quotes and variables, as BuildKit's ``shell`` package reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_CLOSED_QUOTES: Final = re.compile(r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|[^'"\\])*""", re.DOTALL)
_VARIABLE: Final = re.compile(r"\{(\w+)(?:(:?[-+?])(.*))?\}", re.DOTALL)
_NAME: Final = re.compile(r"(\w+)()()")  # with the same groups
_BRACE: Final = re.compile(r"[{}]")
_DEEPEST: Final = 50  # defaults within defaults
# Set by BuildKit itself, from platforms that only the engine knows; they stay as they are written.
_PLATFORM_ARGS: Final = frozenset(
    f"{where}{what}" for where in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
)


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


def expand(text: str, values: Mapping[str, str], depth: int = 0) -> str:
    """Replace ``$X``, ``${X}``, ``${X:-default}``, ``${X:+other}`` and their forms without colon.

    A variable without a value becomes nothing; those that BuildKit sets itself (TARGETARCH ...) stay as they are,
    and so does what is nested more deeply than anybody would write it.
    """
    if depth > _DEEPEST:
        return text
    ends = _ends_of_braces(text)
    result = []
    position = 0
    while (start := text.find("$", position)) >= 0:
        result.append(text[position:start])
        end = ends.get(start + 1)
        found = _VARIABLE.fullmatch(text, start + 1, end) if end else _NAME.match(text, start + 1)
        result.append(_replacement(found, values, depth) if found else "$")
        position = found.end() if found else start + 1
    return "".join([*result, text[position:]])


def _replacement(found: re.Match[str], values: Mapping[str, str], depth: int) -> str:
    name, operator, other = found[1], found[2] or "", found[3] or ""
    value = values.get(name)
    if value is None and name in _PLATFORM_ARGS and not operator:
        return f"${found[0]}"
    is_set = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("-") and not is_set:
        return expand(other, values, depth + 1)
    if operator.endswith("+"):
        return expand(other, values, depth + 1) if is_set else ""
    return value or ""


def _ends_of_braces(text: str) -> dict[int, int]:
    """Where each pair of braces ends, by where it begins; those that never close are left out."""
    ends = {}
    opened = []
    for found in _BRACE.finditer(text):
        if found[0] == "{":
            opened.append(found.start())
        elif opened:
            ends[opened.pop()] = found.end()
    return ends
