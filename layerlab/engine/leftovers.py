"""What a check makes is removed when it ends: images, copies of files. What a killed one left goes with the next."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import docker.errors
import requests

from layerlab.engine.connection import Engine
from layerlab.engine.locks import exclusive
from layerlab.engine.ownership import image_labels
from layerlab.paths import state_directory

LABEL: Final = "layerlab.check"
"""On images that a check builds; its value is the check."""


@contextmanager
def removing_images(engine: Engine) -> Iterator[dict[str, str]]:
    """Labels for images to build in this block, all of which are gone after it; so is what a killed check left.

    A check holds a lock of its own as long as it runs, and the kernel lets go of it however the process ends. What
    has somebody's tag stays.
    """
    check = uuid.uuid4().hex
    sweep(engine)
    with exclusive("checks"):
        lock = _lock(check).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield {**image_labels("check"), LABEL: check}
    finally:
        with lock:
            if _remove(engine, check):
                _lock(check).unlink(missing_ok=True)


@contextmanager
def scratch_folder(labels: Mapping[str, str]) -> Iterator[Path]:
    """A folder for the files of the check that has these labels."""
    with tempfile.TemporaryDirectory(prefix=_prefix(labels[LABEL])) as folder:
        yield Path(folder)


def _prefix(check: str) -> str:
    return f"layerlab-check-{check}-"


def sweep(engine: Engine) -> None:
    """Remove what checks have left whose process is gone."""
    with exclusive("checks"):
        for path in state_directory().glob("check-*.lock"):
            with path.open("w") as lock, suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                check = path.stem.removeprefix("check-")
                for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(check)}*"):
                    shutil.rmtree(folder, ignore_errors=True)
                if _remove(engine, check):
                    path.unlink(missing_ok=True)


def _lock(check: str) -> Path:
    return state_directory() / f"check-{check}.lock"


def _remove(engine: Engine, check: str) -> bool:
    """Remove the images of a check; whether none is left."""
    try:
        images = engine.client.api.images(all=True, filters={"label": f"{LABEL}={check}"})
    except (docker.errors.DockerException, requests.RequestException):
        return False  # the next check tries again
    gone = True
    for image in images:
        if any(tag != "<none>:<none>" for tag in image.get("RepoTags") or []):
            continue
        try:
            engine.client.api.remove_image(image["Id"], force=True, noprune=True)
        except docker.errors.ImageNotFound:
            continue
        except (docker.errors.DockerException, requests.RequestException):
            gone = False
    return gone
