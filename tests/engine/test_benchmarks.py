"""A part of the benchmarks on a real engine, and what is left of it: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

import docker.errors
import pytest

from benchmarks import builds
from benchmarks.rows import Setting
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.paths import ROOT
from tests.documents import DOCUMENTS


def test_a_part_prints_its_rows(engine: Engine) -> None:
    """The command of docs/contributing.md, with the quickest of its parts and as JSON, gives rows."""
    line = next(
        line
        for block in DOCUMENTS["docs/contributing.md"].shell_blocks()
        for line in block
        if "-m benchmarks" in line
    )
    done = subprocess.run(
        ["sh", "-c", f"{line} sizes --json"],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": engine.endpoint},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["machine"]["engine"] == engine.version
    sizes = {row["what"]: (row["value"], row["instead_value"]) for row in document["rows"]}
    multi, single = sizes["the multi-stage image"]
    assert 0 < multi < single / 4


def test_what_was_built_is_removed_after_ctrl_c(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    """The image goes, whatever interrupts it."""
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nENV ONE={uuid.uuid4().hex}\n")
    images: list[str] = []

    def interrupted() -> None:
        with builds.removed_afterwards(Setting(engine, tmp_path)) as made:
            built = build(engine, tmp_path)
            made.append(built.image_id)
            images.append(built.image_id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    with pytest.raises(docker.errors.ImageNotFound):
        engine.client.images.get(images[0])
