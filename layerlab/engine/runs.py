"""Which runs of the lab go on, so that what a killed one has left is told from what another one is using.

A run holds a lock as long as one of its processes lives (JupyterLab's kernels belong to the run of the ``./lab`` that
serves them); the kernel lets go of it however they end. What carries the label of a run whose lock is there and free
belongs to nobody any more. Runs of other machines and users have no lock here: theirs is left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import docker.errors
import requests

from layerlab.engine.connection import Engine
from layerlab.engine.locks import exclusive
from layerlab.engine.ownership import CONTAINER_LABEL, RUN_ID, container_labels, is_own_container
from layerlab.errors import StorageError
from layerlab.paths import state_directory, unusable

_held: Final[dict[Path, int]] = {}
"""The locks of this run, open as long as this process lives."""


def labels(engine: Engine) -> dict[str, str]:
    """Labels for a container that is about to be made on this engine; notes that this run goes on.

    Raises:
        StorageError: there is no place for the note.
    """
    path = _lock(engine, RUN_ID)
    if path not in _held:
        with exclusive("runs"):
            try:
                lock = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.write(lock, RUN_ID.encode())
            except OSError as error:
                raise unusable(path, error) from error
            fcntl.flock(lock, fcntl.LOCK_SH)  # shared: the kernels of one ./lab are one run
            _held[path] = lock
    return container_labels()


def sweep(engine: Engine) -> list[str]:
    """Remove the containers of runs on this engine that have ended without doing so; returns their names.

    What cannot be looked at or removed now is left to the next sweep.
    """
    swept: list[str] = []
    with suppress(StorageError), exclusive("runs"):  # without a place for notes nothing was noted
        for path, run in _dead(engine):
            with suppress(docker.errors.DockerException, requests.RequestException):
                swept += _remove_containers(engine, run)
                path.unlink(missing_ok=True)
    return swept


def _remove_containers(engine: Engine, run: str) -> Iterator[str]:
    filters: dict[str, str | list[str] | bool] = {"label": f"{CONTAINER_LABEL}={run}"}
    for container in engine.client.containers.list(all=True, filters=filters, ignore_removed=True):
        inherited = dict(container.image.labels or {}) if container.image else {}
        if is_own_container(container, inherited):
            with suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)
            yield str(container.name)


def _dead(engine: Engine) -> Iterator[tuple[Path, str]]:
    """The runs on this engine whose lock nobody holds, with the lock's file."""
    for path in state_directory().glob(_lock(engine, "*").name):
        with suppress(OSError), path.open() as lock:  # one that is held: BlockingIOError
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, lock.read()


def _lock(engine: Engine, run: str) -> Path:
    """A file for each run on each engine: who talks to another engine cannot look after this one's containers."""
    where = hashlib.sha256(engine.endpoint.encode()).hexdigest()[:8]
    which = run if run == "*" else hashlib.sha256(run.encode()).hexdigest()[:16]
    return state_directory() / f"run-{where}-{which}.lock"
