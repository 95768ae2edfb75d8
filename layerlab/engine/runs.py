"""What a killed run has left is found and removed: here, and nowhere else.

Whoever makes something on an engine holds a lock as long as it goes on: a *run* (a ``./lab``, with the kernels of
the JupyterLab that it serves), or a block of code that makes what is not to stay (`temporary`). What bears the name
of one whose lock is there and free belongs to nobody any more. Those of other machines and users have no lock here,
and what they made is left alone.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

import docker.errors

from layerlab.engine import limits
from layerlab.engine.connection import SDK_ERRORS, Engine
from layerlab.engine.locks import exclusive, hold, unheld
from layerlab.engine.ownership import CONTAINER_LABEL, RUN_ID, image_labels, own_containers
from layerlab.errors import StorageError

TEMPORARY_LABEL: Final = "layerlab.check"
"""On images that are to go; its value is the name of the block of code that makes them."""

_held: Final[dict[str, TextIO]] = {}
"""The locks of this run, open as long as this process lives."""


def container_labels(engine: Engine) -> dict[str, str]:
    """Labels for a container that is about to be made on this engine; notes that this run goes on.

    Raises:
        StorageError: there is no place for the note.
    """
    name = _lock_name(engine, RUN_ID)
    if name not in _held:
        with exclusive("runs"):
            _held[name] = hold(name, RUN_ID)
            atexit.register(_held[name].close)
    return {CONTAINER_LABEL: RUN_ID}


@contextmanager
def temporary(engine: Engine) -> Iterator[tuple[dict[str, str], Path]]:
    """Labels for images, and a folder, of what is made in this block and gone after it, but for what somebody tags.

    What others have left who were killed is removed first.

    Raises:
        StorageError: there is no place for the lock.
        OSError: there is none for the folder.
    """
    sweep(engine)
    name = uuid.uuid4().hex
    with exclusive("runs"):
        lock = hold(_lock_name(engine, name), name)
    try:
        with tempfile.TemporaryDirectory(prefix=_prefix(name), dir=_on_disk()) as folder:
            yield {**image_labels("check"), TEMPORARY_LABEL: name}, Path(folder)
    finally:
        with lock:
            if _remove_images(engine, name):
                Path(lock.name).unlink(missing_ok=True)


def sweep(engine: Engine) -> list[str]:
    """Remove what those on this engine have left that were killed, and lift their limits; returns containers' names.

    What cannot be looked at or removed now is left to the next sweep.
    """
    swept: list[str] = []
    with suppress(StorageError), exclusive("runs"):  # without a place for locks there are none
        for path, name in unheld(_lock_name(engine, "*")):
            for folder in _on_disk().glob(f"{_prefix(name)}*"):
                shutil.rmtree(folder, ignore_errors=True)
            with suppress(*SDK_ERRORS):
                for container in own_containers(engine, name):
                    with suppress(docker.errors.NotFound):
                        container.remove(force=True, v=True)
                    swept.append(str(container.name))
                if _remove_images(engine, name):
                    path.unlink(missing_ok=True)
        limits.put_back()
    return swept


def _remove_images(engine: Engine, name: str) -> bool:
    """Remove the images that bear this name; whether none is left but those with somebody's tag."""
    try:
        images = engine.client.api.images(all=True, filters={"label": f"{TEMPORARY_LABEL}={name}"})
    except SDK_ERRORS:
        return False
    gone = True
    for image in images:
        if all(tag == "<none>:<none>" for tag in image.get("RepoTags") or ()):
            try:
                engine.client.api.remove_image(image["Id"], force=True, noprune=True)
            except docker.errors.ImageNotFound:
                pass
            except SDK_ERRORS:
                gone = False
    return gone


def _lock_name(engine: Engine, name: str) -> str:
    """One for each engine: who talks to another engine cannot look after what is on this one."""
    return f"run-{_digest(engine.endpoint)}-{name if name == '*' else _digest(name)}"


def _prefix(name: str) -> str:
    return f"layerlab-{_digest(name)}-"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _on_disk() -> Path:
    """Where temporary folders lie: on the disk rather than in memory, since they may hold gigabytes."""
    disk = Path("/var/tmp")  # noqa: S108  # mkdtemp makes a folder there that nobody else can write to
    return disk if disk.is_dir() else Path(tempfile.gettempdir())
