"""Folders for copies of the lab."""

from __future__ import annotations

import fcntl
import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COPIES: Final = Path(sys.prefix) / "copies"


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, which is nobody else's until the block ends.

    It is one of a few, so that what Python has compiled of one copy counts for the next one there.
    """
    COPIES.mkdir(exist_ok=True)
    for number in itertools.count():
        with (COPIES / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            made = COPIES / str(number)
            shutil.rmtree(made, ignore_errors=True)  # of a test run that was killed
            made.mkdir()
            try:
                yield made
            finally:
                shutil.rmtree(made)
            return
