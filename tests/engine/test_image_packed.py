"""What a registry would send, beside what gzip makes of the same layers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlab import image
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.image.store import sources
from tests.engine.test_images_minimal import packed_layers


@pytest.mark.long
def test_it_is_close_to_what_gzip_makes(
    engine: Engine,
    busybox_image: str,
    new_tag: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Zeros, noise and programs; a second look packs nothing again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "_SMALL", 0)  # so that these are sampled, too
    (tmp_path / "noise").write_bytes(os.urandom(12_000_000))
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox_image}\nCOPY noise /\nRUN head -c 12000000 /dev/zero > /none\n"
    )
    looked = image.read(engine, build(engine, tmp_path, tag=new_tag()).image_id)

    estimate = sources.packed_bytes(engine, looked)

    truth = sum(map(len, packed_layers(engine, looked.id)))
    assert abs(estimate - truth) < truth * 0.08
    monkeypatch.setattr(sources, "_packed_layers", None)
    assert sources.packed_bytes(engine, looked) == estimate
