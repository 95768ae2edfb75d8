"""An engine on another machine, over tcp and over ssh: in a network of its own, it shares nothing with this one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlab.builder import build
from layerlab.engine import Candidate, open_engine
from tests.engine.namespaces import programs
from tests.engine.small_lab import PATIENCE, SERVES, Ended, SmallLab, give_bases, small_lab
from tests.engine.spare_engine import SpareEngine, spare_engine

ON_LOOPBACK = ("tcp://127.0.0.1:2375", "tcp://127.0.0.2:2376")
"""Where it listens beside that, in its own network."""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpareEngine]:
    """The engine over there."""
    with spare_engine(has_address=True, options=[f"--host={host}" for host in ON_LOOPBACK]) as made:
        first = made.connect()
        give_bases(first, tmp_path_factory.mktemp("bases"))
        first.client.close()
        made.corner.run("ln", "-s", made.socket, "/run/docker.sock")
        yield made


@pytest.fixture(scope="module")
def secure_shell(remote: SpareEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server for ssh beside that engine, and a folder with a client that knows it and may log in."""
    programs("ssh", "sshd", "docker")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "server").write_text(
        f"Port 22\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
    )
    (folder / "known").write_text(f"{remote.address} {(folder / 'host.pub').read_text()}")
    client = folder / "bin/ssh"  # it reads its settings from the home that the system knows, not from HOME
    client.parent.mkdir()
    client.write_text(
        f'#!/bin/sh\nexec /usr/bin/ssh -F none -i {folder}/user -o UserKnownHostsFile={folder}/known "$@"\n'
    )
    client.chmod(0o755)
    remote.corner.run("mkdir", "-p", "/run/sshd")
    server = subprocess.Popen(remote.corner.inside("/usr/sbin/sshd", "-D", "-e", "-f", folder / "server"))
    deadline = time.monotonic() + PATIENCE
    while not _listens(remote.address):
        assert server.poll() is None, "sshd has ended"
        assert time.monotonic() < deadline, "sshd does not listen"
        time.sleep(0.05)
    yield client.parent
    server.terminate()
    server.wait()


def _listens(address: str) -> bool:
    with socket.socket() as line:
        return line.connect_ex((address, 22)) == 0


@pytest.fixture
def lab(remote: SpareEngine) -> Iterator[SmallLab]:
    """A small lab on this machine."""
    with small_lab(remote.tcp_endpoint) as made:
        yield made


@pytest.fixture
def lab_over_ssh(remote: SpareEngine, secure_shell: Path) -> Iterator[SmallLab]:
    """The same, which has to log in there."""
    with small_lab(f"ssh://root@{remote.address}") as made:
        made.environment["PATH"] = f"{secure_shell}:{os.environ['PATH']}"
        yield made


def run_a_service(lab: SmallLab) -> Ended:
    """Run the optimised image until it answers, then type Ctrl-C."""
    running = lab.start("run")
    running.wait_for("answers at")
    running.send(signal.SIGINT)
    return running.end()


@pytest.mark.long
def test_everything_works_as_with_an_engine_here(remote: SpareEngine, lab: SmallLab) -> None:
    """Contexts go there as streams, layers come from its export, a service is reached at its address."""
    lab.write(SERVES, "RUN dd if=/dev/zero of=/big bs=1M count=3\nRUN rm /big\n")
    started = lab.run("--no-serve")
    document = lab.run("compare", "--json")
    ran = run_a_service(lab)
    cleaned = lab.run("clean")

    assert started.status == 0, started.stderr
    single, optimized = json.loads(document.stdout)["images"]
    assert single["wasted_bytes"] == 3 * 2**20
    assert single["live_bytes"] == single["bytes"] - 3 * 2**20
    assert optimized["bytes"] - single["live_bytes"] == len("{}\n")
    assert ran.status == 0
    assert re.search(rf"answers at http://{re.escape(remote.address)}:5000 ", ran.stderr)
    assert cleaned.stdout.count(": removed\n") == 2


@pytest.fixture
def settings(remote: SpareEngine, tmp_path: Path) -> Path:
    """A folder of Docker's settings with a context, made by the docker client, and no ``config.json``."""
    programs("docker")
    command = ["docker", "context", "create", "farm", f"--docker=host={ON_LOOPBACK[1]}"]
    subprocess.run(command, env={**os.environ, "DOCKER_CONFIG": str(tmp_path)}, check=True, capture_output=True)
    assert not (tmp_path / "config.json").exists()
    return tmp_path


@pytest.mark.variants
@pytest.mark.parametrize(
    ("environment", "config", "endpoint"),
    [
        ({"DOCKER_HOST": "localhost:2375"}, None, "tcp://localhost:2375"),
        ({"DOCKER_HOST": "tcp://"}, None, "tcp://127.0.0.1:2375"),
        ({"DOCKER_HOST": "unix://"}, None, "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "nonsense://"}, None, None),
        ({"DOCKER_CONTEXT": "farm"}, None, ON_LOOPBACK[1]),
        ({"DOCKER_CONTEXT": "gone"}, None, None),
        ({"DOCKER_CONTEXT": "default"}, '{"currentContext": "farm"}', "unix:///var/run/docker.sock"),
        ({}, '{"currentContext": "farm"}', ON_LOOPBACK[1]),
        ({}, '{"currentContext": null}', "unix:///var/run/docker.sock"),
    ],
)
def test_docker_finds_the_same(
    remote: SpareEngine, settings: Path, environment: dict[str, str], *, config: str | None, endpoint: str | None
) -> None:
    """Where the docker client finds an engine, the lab does, and where it finds none, neither does the lab."""
    if config is not None:
        (settings / "config.json").write_text(config)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    environment = {**clean, **environment, "DOCKER_CONFIG": str(settings)}
    code = "from layerlab import engine; found = engine.connect(); print(found.endpoint); found.client.close()"
    lab, docker = (
        subprocess.run(
            [*remote.corner.seen_from(Path("/")), *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in ([sys.executable, "-c", code], ["docker", "version"])
    )

    assert lab.stdout.strip() == (endpoint or ""), lab.stderr
    assert (lab.returncode == 0) == (docker.returncode == 0) == (endpoint is not None)


@pytest.mark.long
def test_a_service_is_reached_at_the_engines_own_address(remote: SpareEngine) -> None:
    """Of an engine on 127.0.0.2, which need not be this machine, that is no other address of this machine's."""
    with small_lab("127.0.0.2:2376", remote.corner.seen_from) as lab:
        lab.write(SERVES)
        built = lab.run("build", "optimized")
        ran = run_a_service(lab)

    assert built.status == 0, built.stderr
    assert "answers at http://127.0.0.2:5000 " in ran.stderr


def test_a_build_gets_its_secret(remote: SpareEngine, tmp_path: Path) -> None:
    """The engine asks for it over the connection that we have opened: it need not reach this machine."""
    engine = open_engine(Candidate(remote.tcp_endpoint, "a test", chosen=True))
    (tmp_path / "Dockerfile").write_text(
        "FROM python:3.13-slim-trixie\nRUN --mount=type=secret,id=token cat /run/secrets/token\n"
    )

    built = build(engine, tmp_path, secrets={"token": b"hunter2"})

    assert built.steps["log"].iloc[-1] == "hunter2"
    engine.client.images.remove(built.image_id)
    engine.client.close()


@pytest.mark.long
def test_so_it_does_over_ssh(remote: SpareEngine, lab_over_ssh: SmallLab) -> None:
    """A build, a look and a service; each command logs in many times, which takes long."""
    lab_over_ssh.write(f"{SERVES}RUN dd if=/dev/zero of=/big bs=1M count=3\nRUN rm /big\n")
    built = lab_over_ssh.run("build", "optimized")
    document = lab_over_ssh.run("xray", "optimized", "--json")
    ran = run_a_service(lab_over_ssh)

    assert built.status == 0, built.stderr
    assert json.loads(document.stdout)["images"][0]["wasted_bytes"] == 3 * 2**20
    assert ran.status == 0
    assert re.search(rf"answers at http://{re.escape(remote.address)}:5000 ", ran.stderr)
