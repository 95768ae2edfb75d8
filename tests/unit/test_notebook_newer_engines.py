"""Which engine can what, and what is shown where it cannot."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import docker
import nbformat
import pytest

from layerlab.engine import Engine
from layerlab.errors import UsageError
from layerlab.notebook import newer_engines
from layerlab.paths import ROOT

NEW = Engine(
    docker.DockerClient("tcp://127.0.0.1:9", version="1.41"),
    "tcp://127.0.0.1:9",
    "",
    "28.5.2+dfsg4",
    "overlayfs",
    "",
    "",
    True,
)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker client that says where it is asked to go; it has buildx."""
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\necho "$DOCKER_HOST $PWD $@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


class TestLacking:
    def test_an_engine_that_can_lacks_nothing(self, client: Path) -> None:
        """New enough, with its images in containerd, and a client with buildx."""
        assert newer_engines.lacking(NEW, "28.5", containerd=True) == ""

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"version": "20.10.24+dfsg1"}, "your Docker Engine is 20.10.24, and this needs 28.5"),
            ({"version": "28.4.0"}, "your Docker Engine is 28.4.0, and this needs 28.5"),
            ({"storage_driver": "overlay2"}, "does not keep its images in containerd"),
        ],
    )
    def test_what_it_lacks_is_said(self, client: Path, changed: dict[str, str], why: str) -> None:
        """Its age, or where its images are."""
        assert why in newer_engines.lacking(replace(NEW, **changed), "28.5", containerd=True)

    def test_a_client_without_buildx(self, client: Path) -> None:
        """It does not know the command, and ends with an error."""
        client.write_text("#!/bin/sh\nexit 1\n")

        assert newer_engines.lacking(NEW, "28.5", containerd=True) == "your docker client has no buildx"


class TestDocker:
    def test_it_talks_to_the_notebooks_engine(self, client: Path, tmp_path: Path) -> None:
        """In the folder that it is given."""
        assert newer_engines.docker(NEW, tmp_path, "version") == f"tcp://127.0.0.1:9 {tmp_path} version\n"

    def test_a_failure_tells_what_it_printed(self, client: Path, tmp_path: Path) -> None:
        """On whichever stream."""
        client.write_text("#!/bin/sh\necho why >&2; exit 3\n")

        with pytest.raises(UsageError, match=r"^docker build . ended with 3:\nwhy\n"):
            newer_engines.docker(NEW, tmp_path, "build", ".")

    def test_no_client(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody may have an engine and no client."""
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(UsageError, match="No such file"):
            newer_engines.docker(NEW, tmp_path, "version")


def test_what_the_notebook_asks_for_is_saved() -> None:
    """Each experiment has its saved result, and none is left from one that has gone."""
    cells = nbformat.read(ROOT / "notebooks" / "10-newer-tools.ipynb", as_version=4).cells
    asked = [
        name for cell in cells for name in re.findall(r"lab\.newer\((\w+)", cell.source) if cell.cell_type == "code"
    ]

    assert asked == list(json.loads(newer_engines.SAVED.read_text(encoding="utf-8"))["results"])
