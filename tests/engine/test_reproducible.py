"""The same commit gives the same files, however often it is built, and wherever nothing comes from a cache."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.engine.ownership import discard
from layerlab.paths import ROOT

Content = dict[str, tuple[int, int, int, bytes, str, str]]


def layers(engine: Engine, image_id: str) -> list[Content]:
    """By path, all that a layer says of it but the time: mode, owner, group, kind, link, digest of the content."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.client.images.get(image_id).save()))) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]  # it is there
        return [_content(archive.extractfile(name).read()) for name in manifest["Layers"]]  # type: ignore[union-attr]


def _content(layer: bytes) -> Content:
    found: Content = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for each in archive:
            file = archive.extractfile(each) if each.isreg() else None
            digest = hashlib.sha256(file.read()).hexdigest() if file else ""
            found[each.name] = (each.mode, each.uid, each.gid, each.type, each.linkname, digest)
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.minimal"])
def test_two_builds_without_cache_have_the_same_layers(engine: Engine, tmp_path: Path, name: str) -> None:
    """Bytecode, installers' notes, modes and owners are the same; when files were written is not looked at."""
    found, digests = [], []
    for folder in (tmp_path / "first", tmp_path / "second"):
        for part in ("app", "slim"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "requirements.txt", folder)
        shutil.copy(ROOT / name, folder / "Dockerfile")
        image_id = build(engine, folder, apart=True).image_id
        try:
            found.append(layers(engine, image_id))
            digests.append(engine.client.images.get(image_id).attrs["RootFS"]["Layers"])
        finally:
            discard(engine, image_id)

    if name == "Dockerfile.minimal":  # what is gathered has the same times as well, and so the same digest
        assert digests[0][0] == digests[1][0]
    first, second = found
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)} == set()
