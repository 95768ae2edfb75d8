"""What goes to a terminal, and what must not."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console


def console(stream: TextIO) -> Console:
    """A console for this stream: as wide as the terminal; a file or a pipe gets every line whole."""
    width = None if stream.isatty() else 240
    return Console(file=stream, width=width, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """The text with every control character (escape codes among them) and broken byte shown instead of sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
