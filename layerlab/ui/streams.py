"""Standard output and error as they come: closed, full, with nobody who reads, of few characters.

`prepare` sees to all of it, so that whoever prints need not. Nothing of ``.venv`` is needed for it.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READER_GONE: Final = 128 + signal.SIGPIPE
"""The exit status where nobody reads on: what a shell says of a program that SIGPIPE has ended."""

_SUBSTITUTES: Final = dict(zip("✓✗▸→≈·…–—−×│─├└“”„‘’", '+x>>~-.---x|-++"""\'\'', strict=True))
"""A character of ASCII for each sign that the lab uses: as wide, so that tables stay tables."""


def prepare() -> None:
    """Make standard output and error fit for whatever is printed, and whatever becomes of them.

    What they cannot show is replaced. Where nobody reads on, the process ends as by SIGPIPE, but in order; where
    standard output is closed or full, with status 2 and a line on standard error. Standard error may be both.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would take its place
            _to_nowhere(number)
    if sys.stdout is None:
        _fail("standard output is closed: give it somewhere to go, such as >/dev/null, and repeat")
    _read_files_as_utf_8()
    codecs.register_error("layerlab", _replaced)
    sys.stdout = _writing(sys.stdout)
    sys.stderr = _writing(sys.stderr or open(2, "w", closefd=False))  # noqa: SIM115


def _read_files_as_utf_8() -> None:
    """Start anew in Python's UTF-8 mode where the locale has another encoding: files have not, only the terminal."""
    is_utf_8 = sys.flags.utf8_mode or codecs.lookup(locale.getencoding()).name == "utf-8"
    if not is_utf_8 and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.environ["PYTHONIOENCODING"] = os.environ.get("PYTHONIOENCODING") or sys.stdout.encoding
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _writing(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno())),
        encoding=stream.encoding,
        errors="layerlab",
        line_buffering=bool(stream.line_buffering or getattr(stream, "write_through", False)),  # PYTHONUNBUFFERED
    )


class _Descriptor(io.FileIO):
    """A standard stream that fails once, for good: what is written to it after that goes nowhere."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: ReadableBuffer) -> int:
        try:
            while (written := super().write(data)) is None:  # it does not block, as where another program shares it
                select.select([], [self], [])
        except OSError as error:
            _to_nowhere(self.fileno())
            if error.errno == errno.EPIPE:
                raise SystemExit(READER_GONE) from None
            if self.fileno() == 1:
                _fail(f"standard output cannot be written ({error.strerror}): see where it goes, and repeat")
            return memoryview(data).nbytes
        return written


def _to_nowhere(number: int) -> None:
    """Let what is read from this descriptor be nothing, and what is written to it be lost; programs inherit it."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def _fail(line: str) -> NoReturn:
    if sys.stderr is not None:
        print(f"lab: {line}", file=sys.stderr)
    raise SystemExit(2) from None


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """For each character that a stream cannot show another that every stream can."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SUBSTITUTES.get(sign, "?") for sign in error.object[error.start : error.end]), error.end
