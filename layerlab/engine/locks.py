"""Locks between the lab's processes. The kernel lets go of one however its process ends: there are no stale ones."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from layerlab.paths import state_directory, unusable
from layerlab.ui.progress import Report, ongoing, silent


@contextmanager
def exclusive(name: str, *, doing: str = "", report: Report = silent) -> Iterator[None]:
    """Hold the lock of this name; where another process holds it, wait, and report what it is `doing` with it.

    Raises:
        StorageError: there is no place for the lock.
    """
    with _opened(_path(name), "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20)
            who = f" (process {holder})" if holder.isdecimal() else ""
            with ongoing(report, f"wait for another ./lab that {doing}{who}", key=name):
                fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(OSError):  # a full disk
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield


def hold(name: str, note: str = "") -> TextIO:
    """Hold the lock of this name, as others may at the same time, until the file is closed or the process ends.

    Like `unheld`, to be called by one process at a time.

    Raises:
        StorageError: there is no place for the lock.
    """
    file = _opened(_path(name), "w")
    try:
        file.write(note)
        file.flush()
    except OSError as error:
        file.close()
        raise unusable(file.name, error) from error
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def held(pattern: str) -> list[Path]:
    """The files of locks that were held once, and may still be; ``*`` in their name stands for anything."""
    return list(state_directory().glob(_path(pattern).name))


def unheld(pattern: str) -> Iterator[tuple[Path, str]]:
    """Those that nobody holds any more, with their notes. Whoever has seen to what one is about removes its file."""
    for path in held(pattern):
        with suppress(OSError), path.open() as file:  # one that is held: BlockingIOError
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, file.read()


def _path(name: str) -> Path:
    return state_directory() / f"{name}.lock"


def _opened(path: Path, mode: str) -> TextIO:
    try:
        return path.open(mode)  # type: ignore[return-value]  # a text mode
    except OSError as error:
        raise unusable(path, error) from error
