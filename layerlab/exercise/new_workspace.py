"""Makes a workspace for the exercise: a folder with all that a learner needs, in which the plain commands work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from layerlab.errors import UsageError
from layerlab.paths import ROOT
from layerlab.ui.text import shorten
from layerlab.ui.units import first_few

LEVELS: Final = (1, 2)
"""1 is the exercise; 2 the same, where a package has to be compiled."""

CONTENTS: Final[Mapping[str, str]] = {
    "Dockerfile": "the starter: it builds and runs, and has TODO 1 to 7",
    "Dockerfile.single": "the same service in one stage, to compare with",
    "README.md": "the tasks; how to test, compare, check and clean up",
    "app": "the service",
    "requirements.txt": "its Python packages, pinned",
}
"""What a workspace holds, and what each is for. No ``.dockerignore``: to write one is part of a good answer."""


def make(folder: Path, *, level: int = 1) -> Path:
    """Make a workspace, all of it or nothing, and return its folder as it was asked for.

    Args:
        folder: A new folder beside others that exist, or an empty one.
        level: See `LEVELS`.

    Raises:
        UsageError: there is something in its place, its parent does not exist, or it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in make(Path(folder) / "my-image").iterdir())
    ['Dockerfile', 'Dockerfile.single', 'README.md', 'app', 'requirements.txt']
    """
    if level not in LEVELS:
        raise UsageError(f"the exercise has no level {level}", remedy=f"choose from {', '.join(map(str, LEVELS))}")
    try:
        _make(folder, files(level))
    except OSError as error:
        raise UsageError(
            f"the workspace {_shown(folder)} cannot be made ({error.strerror or error})",
            remedy="choose a new folder beside others, where you may write, such as in your home directory",
        ) from None
    return folder


def _make(folder: Path, content: Mapping[str, bytes]) -> None:
    is_there = _refuse_what_is_there(folder)
    if not is_there:
        folder.mkdir()
    try:
        if not is_there:
            folder.chmod(0o755)
        _write(folder, content)
    except BaseException:  # Ctrl-C included: nothing half made stays
        for path in folder.iterdir():  # which was empty
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        if not is_there:
            folder.rmdir()
        raise


def _refuse_what_is_there(folder: Path) -> bool:
    """Whether there is an empty folder; anything else in its place is refused by name."""
    if folder.is_symlink() or folder.is_file():
        what = f"a symbolic link to {_shown(folder.readlink())}" if folder.is_symlink() else "a file"
        raise UsageError(
            f"{_shown(folder)} is {what}, and nothing is overwritten", remedy="name a new folder, or an empty one"
        )
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if names:
        raise UsageError(
            f"the folder {_shown(folder)} is not empty (it holds {first_few(names, 4, width=60)}), and nothing is"
            " overwritten",
            remedy="name a new folder, or an empty one",
        )
    return folder.is_dir()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, whose own mode is not touched: it may be somebody else's.

    Their modes are the usual ones, whatever the umask and the modes in the repository: a service that is not root
    has to be able to read what COPY takes from here, and the learner to change it.
    """
    for name, content in files.items():
        path = folder / name
        for parent in reversed(path.parents[: len(Path(name).parts) - 1]):
            if not parent.is_dir():
                parent.mkdir()
                parent.chmod(0o755)
        path.write_bytes(content)
        path.chmod(0o644)


def files(level: int) -> dict[str, bytes]:
    """The contents of a workspace, by path relative to it."""
    exercise = ROOT / "exercise"
    readme = (exercise / "README.md").read_bytes()
    if level == 1:
        recipes, shared = exercise, ROOT
    else:
        recipes = shared = exercise / f"level-{level}"
        readme = (recipes / "README.md").read_bytes() + b"\n" + readme
    return {
        "Dockerfile": (recipes / "Dockerfile").read_bytes(),
        "Dockerfile.single": (shared / "Dockerfile.single").read_bytes(),
        "README.md": readme,
        "requirements.txt": (shared / "requirements.txt").read_bytes(),
        **{path.relative_to(ROOT).as_posix(): path.read_bytes() for path in _app()},
    }


def _app() -> Iterator[Path]:
    """The service's files, without what Python and editors leave beside them."""
    for path in sorted((ROOT / "app").rglob("*")):
        names = path.relative_to(ROOT).parts
        if path.is_file() and not any(name.startswith(".") or name == "__pycache__" for name in names):
            yield path


def _shown(path: Path) -> str:
    return shorten(str(path), 200)
