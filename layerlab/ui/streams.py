"""Standard output and error as they come: closed, with nobody who reads, of few characters.

`prepare` sees to all of it, so that whoever prints need not. Nothing of ``.venv`` is needed for it.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READER_GONE: Final = 128 + signal.SIGPIPE
"""The exit status where nobody reads on: what a shell says of a program that SIGPIPE has ended."""


def prepare() -> None:
    """Make standard output and error fit for whatever is printed, and whatever becomes of them.

    What they cannot show becomes a question mark. Where nobody reads on, the process ends as by SIGPIPE, in order.
    """
    sys.stdout, sys.stderr = _writing(sys.stdout), _writing(sys.stderr)


def _writing(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed
        return open(os.devnull, "w")  # noqa: PTH123
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=bool(stream.line_buffering or getattr(stream, "write_through", False)),  # PYTHONUNBUFFERED
    )


class _Descriptor(io.FileIO):
    """A standard stream that fails once, for good: what is written to it after that goes nowhere."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            while (written := super().write(data)) is None:  # it does not block, as where another program shares it
                select.select([], [self], [])
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(READER_GONE) from None
            raise
        return written
