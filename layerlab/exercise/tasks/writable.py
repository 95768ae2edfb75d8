"""Files that every user of a container may change, and those that the service's own user may."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import app_folders, installed_distributions

_OTHERS_WRITE: Final = 0o002
_STICKY: Final = 0o1000
_PACKAGES: Final = re.compile(r"/(?:site|dist)-packages(?:/|$)")
_SHARED: Final = frozenset({"", "/", "/usr", "/usr/local"})


def world_writable(evidence: Evidence, snapshot: Snapshot) -> tuple[File, ...]:
    """The entries of the app, its packages and /etc that everybody may change.

    Not symbolic links, sticky directories and empty files; nor what the base has just so.
    """
    is_guarded = _guarded(evidence, snapshot)
    return tuple(
        file
        for file in snapshot.files
        if file.visible
        and file.mode & _OTHERS_WRITE
        and _counts(file)
        and not _is_bases(snapshot, file)
        and (is_guarded(file.path) or snapshot.origins(file).kind == "context")
    )


def own(evidence: Evidence, snapshot: Snapshot, uids: frozenset[int]) -> tuple[File, ...]:
    """The files of the app and its packages that belong to one of these users, who therefore may change them."""
    is_guarded = _guarded(evidence, snapshot)
    return tuple(
        file
        for file in snapshot.files
        if file.visible and file.kind == "file" and file.uid in uids and is_guarded(file.path)
    )


def _counts(file: File) -> bool:
    if file.kind == "directory":
        return not file.mode & _STICKY
    return file.kind == "file" and file.bytes > 0


def _is_bases(snapshot: Snapshot, file: File) -> bool:
    base = snapshot.base_image_files.get(file.path)
    return base is not None and base.mode == file.mode and base.kind == file.kind


def _guarded(evidence: Evidence, snapshot: Snapshot) -> Callable[[str], bool]:
    """Whether a path is one that nobody but its owner should change: of the app, its packages and /etc.

    The folder that holds the app's counts too: whoever may write there may put another app in its place.
    """
    apps = app_folders(evidence)
    places = tuple(f"{folder}/" for folder in {"/etc", *apps, *_environments(evidence, snapshot)} - {"", "/"})
    above = {posixpath.dirname(folder) for folder in apps} - {"", "/"}
    return lambda path: path in above or f"{path}/".startswith(places) or bool(_PACKAGES.search(path))


def _environments(evidence: Evidence, snapshot: Snapshot) -> Iterator[str]:
    """The folders that hold Python packages: virtual environments, and wherever else the interpreter finds them."""
    for file in snapshot.files:
        if file.visible and posixpath.basename(file.path) == "pyvenv.cfg":
            yield posixpath.dirname(file.path)
    interpreter = evidence.running.interpreter if evidence.running else None
    if interpreter and interpreter.prefix not in _SHARED:
        yield interpreter.prefix
    for distribution in installed_distributions(evidence).values():
        folder = posixpath.dirname(distribution.location)
        if folder not in _SHARED:
            yield folder
        scripts = posixpath.normpath(f"{folder}/../../../bin")
        if _PACKAGES.search(folder) and scripts != "/bin":
            yield scripts
