"""The exercise's commands work as the README gives them, with the plain ``docker`` client."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import docker.errors
import pytest

from layerlab.engine import Engine
from layerlab.ownership import is_own_image
from layerlab.paths import ROOT
from layerlab.serve import is_taken

NAME, TAG = "multi-stage-container", "multi-stage-demo:optimized"


def readme_commands() -> list[str]:
    """The commands of README.md's section on the plain commands, in their order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## The exercise's plain commands")[2].partition("\n## ")[0]
    return re.findall(r"^(?:docker|curl) .*$", section, flags=re.MULTILINE)


@pytest.fixture
def _free_names(engine: Engine) -> Iterator[None]:
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
        image = engine.client.images.get(TAG)
        if not is_own_image(image):
            pytest.fail(f"the image {TAG} is not the lab's and may be yours: remove it (docker rmi {TAG}) and repeat")
        own = image
    except docker.errors.ImageNotFound:
        pass
    yield
    with contextlib.suppress(docker.errors.NotFound):
        engine.client.containers.get(NAME).remove(force=True)
    if own is not None:
        own.tag(*TAG.split(":"))


@pytest.mark.usefixtures("_free_names")
class TestPlainCommands:
    def test_they_work_as_written(self, engine: Engine) -> None:
        """Build, run, curl, images, stop, rm and rmi, one after the other, in the repository's root."""
        assert shutil.which("docker"), "the docker client is missing: install docker-cli (or docker.io)"
        commands = readme_commands()
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

        answers: dict[str, str] = {}
        for command in commands:
            if command.startswith("curl"):
                wait_for_the_service()
            answers[command] = shell(command, engine)

        status, info = (json.loads(text) for command, text in answers.items() if command.startswith("curl"))
        assert status["status"] == "ok"
        assert info["user_id"] != 0
        assert TAG.partition(":")[2] in next(text for c, text in answers.items() if c.startswith("docker images"))


def shell(command: str, engine: Engine) -> str:
    """Run a line of the README as a user types it, in a shell; it must succeed."""
    environment = {**os.environ, "DOCKER_HOST": engine.endpoint}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
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
