"""Where things lie."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from layerlab.errors import LabError, StorageError, UsageError

ROOT: Final = Path(__file__).resolve().parent.parent
"""The repository's root."""

if not (ROOT / "requirements.txt").is_file():  # as where somebody installed a wheel
    raise LabError(
        f"layerlab was installed in {ROOT}, without the Dockerfiles, the service and the notebooks that it is about",
        remedy="clone its repository, and type there ./lab, or `pip install -e .`",
    )


def cache_directory() -> Path:
    """Where what can be made again is kept (``XDG_CACHE_HOME``).

    It exists afterwards if it can be made. If not, nothing can be read or written there (`OSError`): whoever keeps
    something there does without it.
    """
    parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with suppress(OSError):
        _made(parent)
    return parent / "layerlab"


def state_directory() -> Path:
    """Where what the lab has to remember is kept (``XDG_STATE_HOME``); exists afterwards.

    Raises:
        StorageError: it cannot be made.
    """
    parent = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    try:
        return _made(parent)
    except OSError as error:
        raise unusable(parent / "layerlab", error) from error


def write_whole(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file whole or not at all, whoever else writes it at the same time.

    Args:
        path: The file; what was there before is replaced.
        write: Is given a file of bytes to write to.

    Raises:
        OSError: it cannot be written.
    """
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            write(file)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_output(path: Path, text: str) -> None:
    """Write what a user asked for; what was there before is replaced as a whole, or not at all. A link stays one.

    Raises:
        UsageError: it cannot be written there.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():  # such as /dev/null, which root could replace
        raise UsageError(
            f"{path} cannot be written (it is no ordinary file)", remedy="name another file, or one that is not there"
        )
    try:
        write_whole(path, lambda file: file.write(text.encode(errors="replace")))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror})", remedy="name a file in a folder that is there and yours"
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """What the lab has noted in a JSON file, by name; nothing where the file is missing or damaged."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def unusable(path: Path | str, error: OSError) -> StorageError:
    """The error to raise where something of the lab's cannot be written; `error` is what the system said."""
    return StorageError(
        f"{path} cannot be written ({error.strerror or error})",
        remedy="make room there, or see its permissions, or name another folder: XDG_STATE_HOME=/path ./lab",
    )


def _made(parent: Path) -> Path:
    path = parent / "layerlab"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
