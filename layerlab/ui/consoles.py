"""Consoles of rich, made when something is printed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console


def console(stream: TextIO) -> Console:
    """A console for this stream: as wide as the terminal; a file or a pipe gets every line whole.

    What is printed is shown as it is: a text in brackets is no markup.
    """
    return cast("Console", _Later(stream))


class _Later:
    """A console that is made when something is asked of it: most commands with ``--json`` print nothing by it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415  # takes longer than a second look at an image

        width = None if self._stream.isatty() else 240
        return Console(file=self._stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console, name)
