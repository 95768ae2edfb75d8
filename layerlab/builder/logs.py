"""What a step prints: decoded, harmless and of bounded size."""

from __future__ import annotations

from typing import Final

from layerlab.ui.text import plain

HEAD: Final = 64_000  # bytes kept of the beginning of a log
TAIL: Final = 64_000  # bytes kept of its end


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


def tail(text: str, lines: int = 10) -> str:
    """The last lines of a text."""
    return "\n".join(text.split("\n")[-lines:])
