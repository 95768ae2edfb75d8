"""Where things lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
"""The repository's root."""


def cache_directory() -> Path:
    """Where what can be made again is kept (``XDG_CACHE_HOME``); exists afterwards."""
    return _made(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"))


def state_directory() -> Path:
    """Where what the lab has to remember is kept (``XDG_STATE_HOME``); exists afterwards."""
    return _made(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"))


def _made(parent: Path) -> Path:
    path = parent / "layerlab"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
