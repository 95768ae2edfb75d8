"""Images that no build here makes: where overlay2 and the OCI image specification differ."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from layerlab import image
from layerlab.engine import Engine
from layerlab.image.store import overlay, sources
from tests.engine.test_image import OF_THE_CONTAINER, mounted
from tests.unit.image_truth import Entry, directory, file, image_config, opaque, saved, tar, whiteout

# What the specification says is gone, by the file that engines on overlay2 go on showing.
STACKS: dict[str, list[list[Entry]]] = {
    "/d/old": [
        [directory("d"), file("d/old", 5), file("d/kept/deep", 3), file("keep", 1)],
        [whiteout("d"), directory("d"), file("d/new", 2), whiteout("caf\udce9")],
    ],
    "/old": [
        [directory("d"), file("old", 5), file("d/older", 3)],
        [opaque(""), directory("d"), file("new", 2)],
    ],
}


@dataclass(frozen=True)
class Foreign:
    """An image that was made elsewhere and loaded here."""

    path: Path
    tag: str
    shown: str


@pytest.fixture(params=sorted(STACKS))
def foreign(
    engine: Engine, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Foreign]:
    """An image that no engine on overlay2 can show as the specification says; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layers = [tar(entries) for entries in STACKS[request.param]]
    tag = f"layerlab-test-{uuid.uuid4().hex[:12]}:latest"
    path = tmp_path / "image.tar"
    path.write_bytes(saved(layers, image_config(layers, created="2024-01-01T00:00:00Z"), tag))
    with path.open("rb") as content:
        engine.client.images.load(content)
    yield Foreign(path, tag, request.param)
    engine.client.images.remove(tag, force=True)


class TestWhereOverlay2Differs:
    def test_the_specification_is_followed(self, engine: Engine, foreign: Foreign) -> None:
        """The engine's image and the file that it was loaded from are the same, whatever the directories hold."""
        from_engine, from_file = image.read(engine, foreign.tag), image.read(None, str(foreign.path))

        for name in ("layers", "files", "waste", "packages"):
            pd.testing.assert_frame_equal(getattr(from_engine, name), getattr(from_file, name))
        assert foreign.shown in set(from_engine.waste["path"])

    def test_nothing_else_differs(self, engine: Engine, foreign: Foreign) -> None:
        """What a container on this engine sees beyond that is what the mark should have hidden."""
        found = set(image.read(engine, foreign.tag).files["path"])
        waste = set(image.read(engine, foreign.tag).waste["path"])
        seen = mounted(engine, foreign.tag).entries.keys() - OF_THE_CONTAINER

        assert found <= seen
        assert {path for path in seen - found if not path.startswith("/d/kept")} <= waste
        if engine.storage_driver == "overlay2":
            assert foreign.shown in seen

    def test_such_a_whiteout_is_noticed(self, engine: Engine, foreign: Foreign) -> None:
        """A layer's directory that does not tell of a whiteout is not taken for the layer."""
        source = sources.load(engine, foreign.tag)
        can_read = engine.storage_driver == "overlay2" and engine.is_local and overlay.can_read()

        assert source.origin == ("directories" if can_read and foreign.shown == "/old" else "export")
