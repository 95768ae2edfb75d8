"""Lets one process at a time do what two must not do at once."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from layerlab.paths import state_directory


@contextmanager
def exclusive(name: str, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of this name; where another process holds it, call ``waiting`` once and wait.

    The kernel lets go of it when the process ends, however it ends.
    """
    with (state_directory() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
