"""Counts requests over all worker processes."""

from __future__ import annotations

import mmap
import os
import threading
from typing import Final

SLOTS: Final = 4096


class RequestCounter:
    """A counter that the processes forked after its making share.

    A server with several workers loads the application once and forks (gunicorn's ``preload_app``), or loads it
    in each worker; in the second case each has a counter of its own, and `covers` says so.

    The memory is shared, and each process adds to its own place in it. So no lock is held across processes,
    which a worker that is killed at the wrong moment would leave locked for all the others.
    """

    def __init__(self) -> None:
        self._places = memoryview(mmap.mmap(-1, SLOTS * 8)).cast("Q")
        self._lock = threading.Lock()
        self._made_by = os.getpid()

    def add(self) -> None:
        """Count one more."""
        with self._lock:
            self._places[os.getpid() % SLOTS] += 1

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self._places)

    @property
    def covers(self) -> str:
        """Whose requests are counted: ``all workers`` or ``this process``."""
        return "this process" if os.getpid() == self._made_by else "all workers"
