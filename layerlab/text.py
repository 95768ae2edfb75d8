"""Text that comes from elsewhere (logs, Dockerfiles, engines), made fit to be shown."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and the other strings: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"  # two characters, or a stray one
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one character
)
# Everything that moves a cursor, hides text or turns its direction around, but not line ends and tabs.
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def plain(text: str | bytes) -> str:
    """Text without terminal escape codes and control characters; of a line that overwrote itself, its last state.

    Line ends become plain newlines; those at the very end go.
    """
    text = text if isinstance(text, str) else text.decode(errors="replace")
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines)).rstrip("\n")


def one_line(text: str | bytes) -> str:
    """The same on one line, spaces folded."""
    return " ".join(plain(text).split())


def shorten(text: str, limit: int) -> str:
    """The text on one line, with … for what is beyond the limit."""
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(name: str) -> str:
    r"""A file's name with its bytes that are not UTF-8 (which Python keeps as lone surrogates) as escapes.

    >>> shown("caf\udce9")
    'caf\\xe9'
    >>> shown("\ud800")
    '\\ud800'
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        with suppress(UnicodeEncodeError):
            return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return name.encode("utf-8", "backslashreplace").decode()  # JSON may have others, which no bytes become
    return name
