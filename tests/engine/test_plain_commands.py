"""The exercise's commands work as the READMEs give them, with the plain ``docker`` client."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from layerlab import image, xray
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.engine.ownership import is_own_image
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from layerlab.service import is_taken
from tests.engine.images import Built, Entry, built, read_layers

NAME, TAG = "multi-stage-container", "multi-stage-demo:optimized"
SETTINGS = (
    *("User", "Env", "Cmd", "Entrypoint", "WorkingDir", "Healthcheck", "StopSignal", "ExposedPorts", "Labels"),
)


def readme_commands(readme: Path, heading: str, until: str = "\n## ") -> list[str]:
    """The commands below this heading of a README, in their order."""
    section = readme.read_text(encoding="utf-8").partition(heading)[2].partition(until)[0]
    return re.findall(r"^(?:docker|curl) .*$", section, flags=re.MULTILINE)


@pytest.fixture
def _free_names(engine: Engine, _readable_tags: None) -> Iterator[None]:
    """These names are the user's: where they are in use, the test stops and touches nothing."""
    if is_taken(5000, host=""):
        pytest.fail("port 5000 is in use: stop what uses it and repeat (./lab test --no-engine leaves this out)")
    try:
        engine.client.containers.get(NAME)
        pytest.fail(f"there is a container {NAME}, which may be yours: remove it (docker rm -f {NAME}) and repeat")
    except docker.errors.NotFound:
        pass
    own = None
    try:
        found = engine.client.images.get(TAG)
        if not is_own_image(found):
            pytest.fail(f"the image {TAG} is not the lab's and may be yours: remove it (docker rmi {TAG}) and repeat")
        own = found
    except docker.errors.ImageNotFound:
        pass
    yield
    with contextlib.suppress(docker.errors.NotFound):
        engine.client.containers.get(NAME).remove(force=True)
    if own is not None:
        own.tag(*TAG.split(":"))


@pytest.fixture
def optimized(engine: Engine) -> Iterator[Built]:
    with built(engine, "Dockerfile") as made:
        yield made


@pytest.mark.usefixtures("_free_names")
class TestPlainCommands:
    def test_they_work_as_written(self, engine: Engine, optimized: Built) -> None:
        """Build, run, curl, images, stop, rm and rmi, one after the other, in the repository's root.

        What the classic builder makes has the same configuration and the same files as what BuildKit makes, and each
        is traced to the same line.
        """
        commands = readme_commands(ROOT / "README.md", "## The exercise's plain commands")
        assert [" ".join(c.split()[:2]) for c in commands] == [
            "docker build",
            "docker run",
            "curl http://localhost:5000/status",
            "curl http://localhost:5000/info",
            "docker images",
            "docker stop",
            "docker rm",
            "docker rmi",
        ]

        type_in(commands[:1], ROOT, engine)
        made = engine.client.images.get(TAG)
        config, files = made.attrs["Config"], files_of(read_layers(engine, str(made.id)))
        lines = traced(engine, TAG, ROOT / "Dockerfile")
        answers = type_in(commands[1:], ROOT, engine)

        status, info = (json.loads(text) for command, text in answers.items() if command.startswith("curl"))
        assert status["status"] == "ok"
        assert info["user_id"] != 0
        assert TAG.partition(":")[2] in next(text for c, text in answers.items() if c.startswith("docker images"))
        assert {key: config[key] for key in SETTINGS} == {key: optimized.config[key] for key in SETTINGS}
        assert files == files_of(read_layers(engine, optimized.id))
        assert lines == traced(engine, optimized.id, ROOT / "Dockerfile")

    def test_they_work_in_a_solved_workspace(self, engine: Engine, tmp_path: Path) -> None:
        """With the worked example, in a folder far from the repository; the classic builder has its steps already."""
        folder = new_workspace.make(tmp_path / "mine")
        shutil.copy(ROOT / "Dockerfile", folder)
        assert typed_from_the_readme(folder, engine)["user_id"] != 0

    @pytest.mark.long  # minutes, for the same reason
    def test_the_single_stage_image_is_traced(
        self, engine: Engine, new_tag: Callable[[], str], tmp_path: Path
    ) -> None:
        """What the classic builder makes of Dockerfile.single comes from the same lines as what BuildKit makes."""
        folder = new_workspace.make(tmp_path / "mine")  # here Dockerfile.single.dockerignore is BuildKit's alone
        classic, buildkit = new_tag(), new_tag()
        type_in([f"docker build -q -f Dockerfile.single -t {classic} ."], folder, engine)
        build(engine, folder, dockerfile="Dockerfile.single", tag=buildkit)
        expected = traced(engine, buildkit, folder / "Dockerfile.single")
        # Without a session, BuildKit has to be sent the Dockerfile where it is ignored, and COPY . . takes it along.
        expected.pop("/app/Dockerfile.single", None)
        found = traced(engine, classic, folder / "Dockerfile.single")
        found.pop("/app/Dockerfile.single", None)
        assert found == expected

    @pytest.mark.long  # a minute: the classic builder keeps no step of what is removed afterwards
    def test_they_work_with_the_starter_as_it_is(self, engine: Engine, tmp_path: Path) -> None:
        """It builds and runs, badly."""
        folder = new_workspace.make(tmp_path / "mine")
        assert typed_from_the_readme(folder, engine)["user_id"] == 0


def traced(engine: Engine, name: str, dockerfile: Path) -> dict[str, tuple[object, ...]]:
    """Where each file came from: what kind of origin, and which stage and line."""
    source = xray.BuildSource(dockerfile, dockerfile.parent)
    looked = image.read(engine, name, dockerfile=source.built_from)
    found = xray.examine(engine, looked, source, read_contents=False).origins
    assert found is not None
    files = found[looked.files["kind"] == "file"]
    columns = (files[column].tolist() for column in ("origin", "stage", "line"))
    return dict(zip(files["path"], zip(*columns, strict=True), strict=True))


def typed_from_the_readme(folder: Path, engine: Engine) -> dict[str, Any]:
    """The commands of a workspace's README, one after the other; returns what ``/info`` says."""
    readme = folder / "README.md"
    test = readme_commands(readme, "## Test it", until="Before the next attempt")
    compare = readme_commands(readme, "## Compare it")
    clean = readme_commands(readme, "## Clean up")
    assert (len(test), len(compare), len(clean)) == (4, 2, 3)

    # The build of Dockerfile.single is left out: it takes long, and other tests build that file.
    answers = type_in([*test, *compare[1:], *clean], folder, engine)

    status, info = (json.loads(text) for command, text in answers.items() if command.startswith("curl"))
    assert status["status"] == "ok"
    assert TAG.partition(":")[2] in answers[compare[1]]
    return dict(info)


def type_in(commands: list[str], folder: Path, engine: Engine) -> dict[str, str]:
    """Type these commands one after the other; returns what each prints."""
    assert shutil.which("docker"), "the docker client is missing: install docker-cli (or docker.io)"
    answers: dict[str, str] = {}
    for command in commands:
        if command.startswith("curl"):
            wait_for_the_service()
        answers[command] = shell(command, folder, engine)
    return answers


def shell(command: str, folder: Path, engine: Engine) -> str:
    """Run a line of the README as a user types it, in a shell; it must succeed."""
    environment = {**os.environ, "DOCKER_HOST": engine.endpoint}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_for_the_service() -> None:
    """A person takes a second or two to type the next command."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if (
            subprocess.run(
                ["curl", "-sf", "http://localhost:5000/status"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return
        time.sleep(0.2)
    pytest.fail("the service did not answer within 15 s")


def files_of(layers: list[list[Entry]]) -> set[str]:
    return {entry.path for layer in layers for entry in layer if entry.is_file}
