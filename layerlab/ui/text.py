"""Text that comes from elsewhere (logs, Dockerfiles, engines), made fit to be shown."""

from __future__ import annotations

import codecs
import re
import unicodedata
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


def wide_encoding(content: bytes) -> str:
    """UTF-16 or UTF-32 if a file of text is in that; empty if not.

    >>> wide_encoding("FROM scratch".encode("utf-16-le")), wide_encoding(b"FROM scratch")
    ('UTF-16', '')
    """
    start = content[:4]
    if b"\0\0" in start:  # before the mark of UTF-16, with which that of UTF-32 begins
        return "UTF-32"
    is_marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "UTF-16" if is_marked or b"\0\0" in {start[::2], start[1::2]} else ""


def unseen(line: str) -> str:
    r"""The first character of a line that an editor shows like a space or not at all, with its column; empty if none.

    >>> unseen("RUN\u00a0true")
    'column 4 holds U+00A0 (no-break space)'
    """
    found = next((sign for sign in line if not sign.isprintable() and sign != "\t"), "")
    return placed(line, found) if found else ""


def placed(line: str, character: str) -> str:
    """A character by its number and name, and the column of a line that holds it first."""
    name = unicodedata.name(character, "a control character").lower()
    return f"column {line.find(character) + 1} holds U+{ord(character):04X} ({name})"


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


def printable(text: str) -> str:
    """The text with every control character (escape codes among them) and broken byte shown instead of sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


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
