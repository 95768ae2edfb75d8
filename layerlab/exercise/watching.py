"""Waits until a workspace has changed: looks at its files again and again, and reads none of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Files = Mapping[str, tuple[int, ...]]
"""What a look has seen: for each file, by its path in the workspace, what changes when it is written or replaced."""

PAUSE: Final = 0.5  # seconds between two looks
SETTLED: Final = 0.3  # seconds without a change after which an editor, or a checkout, has done
UNREST: Final = 5.0  # seconds after which to go on although it does not come to rest
MOST_FILES: Final = 2_000
MOST_LOOKS: Final = 10_000  # at entries of folders, so that a look takes a fraction of a second
LARGEST: Final = 1_000_000  # bytes; what is larger is data that somebody else writes
WATCHED: Final = "Dockerfile, .dockerignore, requirements.txt and the other small files"
_NOT_WATCHED: Final = frozenset(
    {".git", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "venv"}
)
# What editors write beside a file while it is open: vim, Emacs, Kate, JetBrains, and vim's test of a folder.
_SCRATCH: Final = re.compile(r"4913|(?:\.#|#|\.~).*|.*(?:~|\.sw[opx]|\.tmp|\.kate-swp|___jb_(?:tmp|old)___)")


def look(folder: Path) -> Files:
    """How the workspace's files are now; nothing for a folder that is not there."""
    seen: dict[str, tuple[int, ...]] = {}
    for entry in _files(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:  # gone since the folder was read
            continue
        if status.st_size <= LARGEST or not stat.S_ISREG(status.st_mode):
            path = os.path.relpath(entry.path, folder)
            seen[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if len(seen) >= MOST_FILES:
            break
    return seen


def wait_for_change(folder: Path, seen: Files, *, stop: threading.Event | None = None) -> bool:
    """Wait until the workspace, which may go and come back, differs from what `look` has seen, and has come to rest.

    Look before a check begins: a change made meanwhile is then found at once.

    Returns:
        Whether there is a change; False if `stop` has ended the waiting.
    """
    stop = stop or threading.Event()
    while (now := look(folder)) == seen:
        if stop.wait(PAUSE):
            return False
    began = time.monotonic()
    while time.monotonic() - began < UNREST:
        if stop.wait(SETTLED):
            return False
        before, now = now, look(folder)
        if now == before:
            break
    return True


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The workspace's files, those at its top first, so that they are seen however many others there are.

    Symbolic links are looked at, not followed.
    """
    folders = deque([str(folder)])
    looks = 0
    while folders and looks < MOST_LOOKS:
        with contextlib.suppress(OSError), os.scandir(folders.popleft()) as entries:
            for entry in itertools.islice(entries, MOST_LOOKS - looks):
                looks += 1
                if entry.is_dir(follow_symlinks=False):
                    folders += [entry.path] if entry.name not in _NOT_WATCHED else []
                elif not _SCRATCH.fullmatch(entry.name):
                    yield entry
