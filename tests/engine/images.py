"""The images of the Dockerfiles, built under tags of their own, and what is in their layers."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

import docker.errors

from layerlab import bases
from layerlab.builder import Build, build
from layerlab.engine import Engine
from layerlab.paths import ROOT

ENDPOINTS = {
    "/": "text/html; charset=utf-8",
    "/status": "application/json",
    "/info": "application/json",
    "/plot": "image/png",
    "/plot?format=svg": "image/svg+xml",
    "/data": "application/json",
    "/data?format=csv": "text/csv; charset=utf-8",
    "/data/summary": "application/json",
    "/openapi.json": "application/json",
}
"""What the service answers to, and with which type."""


@dataclass(frozen=True)
class Entry:
    """A file of a layer."""

    path: str
    size: int
    mode: int
    uid: int
    is_file: bool
    is_link: bool


@dataclass(frozen=True)
class Built:
    """An image of one of the Dockerfiles.

    Attributes:
        build: How it was built.
        config: Its configuration.
        history: What the engine says of each instruction, the last first.
    """

    build: Build
    config: dict[str, Any]
    history: list[dict[str, Any]] = field(repr=False)

    @property
    def id(self) -> str:
        return self.build.image_id

    def stored_by(self, pattern: str) -> int:
        """The bytes of the layer of the last instruction that matches."""
        return next(int(step["Size"]) for step in self.history if re.search(pattern, step["CreatedBy"]))


@contextmanager
def built(engine: Engine, name: str) -> Iterator[Built]:
    """The image of this Dockerfile, under a tag of its own."""
    bases.ensure(engine)
    tag = f"layerlab-test-{uuid.uuid4().hex[:12]}:latest"
    result = build(engine, ROOT, dockerfile=name, tag=tag)
    try:
        image = engine.client.images.get(result.image_id)
        yield Built(result, image.attrs["Config"], image.history())
    finally:
        with suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(tag, force=True)


def read_layers(engine: Engine, image_id: str) -> list[list[Entry]]:
    """The files of each layer, from the bottom: straight from `docker save`, without the lab's own reader."""
    with tempfile.TemporaryFile() as file:
        for chunk in engine.client.images.get(image_id).save():
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            (manifest,) = json.load(extracted(archive, "manifest.json"))
            return [entries(extracted(archive, name)) for name in manifest["Layers"]]


def extracted(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.getmember(name)
    if member.issym():  # a layer that occurs twice
        member = archive.getmember(str(PurePosixPath(name).parent / member.linkname).replace("/../", "/"))
    file = archive.extractfile(member)
    assert file is not None
    return file


def entries(layer: IO[bytes]) -> list[Entry]:
    with tarfile.open(fileobj=layer) as archive:
        return [Entry(f"/{m.name}", m.size, m.mode, m.uid, m.isfile(), m.issym() or m.islnk()) for m in archive]
