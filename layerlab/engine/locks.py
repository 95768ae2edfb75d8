"""Lets one process at a time do what two must not do at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from layerlab.paths import state_directory, unusable


@contextmanager
def exclusive(name: str, *, waiting: Callable[[str], None] = lambda holder: None) -> Iterator[None]:
    """Hold the lock of this name; where another process holds it, call ``waiting`` once and wait.

    The kernel lets go of it when the process ends, however it ends: there are no stale locks. But a process that
    is merely stopped (Ctrl-Z) holds on to it, so ``waiting`` is told who holds it: ``process 1234``, or an empty
    text where that is not known.

    Raises:
        StorageError: there is no place for the lock.
    """
    path = state_directory() / f"{name}.lock"
    try:
        lock = path.open("a+")
    except OSError as error:
        raise unusable(path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(_holder(lock))
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(OSError):  # a full disk
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield


def _holder(lock: TextIO) -> str:
    """Who has written itself down in a lock."""
    lock.seek(0)
    text = lock.read(20)
    return f"process {text}" if text.isdecimal() else ""
