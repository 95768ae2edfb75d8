"""What a step prints: decoded, harmless and of bounded size."""

from __future__ import annotations

import re
from typing import Final

HEAD: Final = 64_000  # bytes kept of the beginning of a log
TAIL: Final = 64_000  # bytes kept of its end
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and the other strings: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"  # two characters, or a stray one
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one character
)
# Everything that moves a cursor, hides text or turns its direction around, but not line ends and tabs.
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Log:
    """The output of one step. Of a very long one, the middle is left out."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._head_limit, self._tail_limit = head, tail
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take what the step printed next."""
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Cut now and then rather than always, since cutting moves all that stays.
        if len(self._tail) > 2 * self._tail_limit:
            self._cut()

    def text(self) -> str:
        """The output as plain lines; where something was left out, a line says so."""
        self._cut()
        if not self._dropped:
            return plain(bytes(self._head + self._tail))
        note = f"… {self._dropped} bytes left out …"
        return f"{plain(bytes(self._head))}\n{note}\n{plain(bytes(self._tail))}"

    def last_line(self) -> str:
        """The newest line that is not empty."""
        recent = bytes((self._tail or self._head)[-2000:])
        return next((line.strip() for line in reversed(plain(recent).split("\n")) if line.strip()), "")

    def _cut(self) -> None:
        surplus = len(self._tail) - self._tail_limit
        if surplus > 0:
            del self._tail[:surplus]
            self._dropped += surplus


def plain(data: bytes | str) -> str:
    """Text without terminal escape codes and control characters; of a line that overwrote itself, the last state."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines)).rstrip("\n")


def tail(text: str, lines: int = 10) -> str:
    """The last lines of a text."""
    return "\n".join(text.split("\n")[-lines:])
