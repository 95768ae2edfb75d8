"""Pulling from real registries on loopback: Debian's docker-registry, and servers that refuse."""

import contextlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest
import requests

from layerlab import bases
from layerlab.bases import registry, stand_ins
from layerlab.engine import Engine
from layerlab.engine import connection as engines
from layerlab.engine.ownership import marker_tag
from layerlab.engine.symptoms import NoRegistry
from layerlab.errors import BaseImageError, RegistryRefused, StandInError, UsageError
from layerlab.ui.progress import Report, Step


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def registry_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's docker-registry: installed, or its package unpacked in a temporary folder."""
    if path := shutil.which("docker-registry"):
        return Path(path)
    folder = tmp_path_factory.mktemp("docker-registry")
    for command in (["apt-get", "update"], ["apt-get", "download", "docker-registry"]):
        # The index may be missing or old; a failed update is no harm where it is neither.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (package,) = folder.glob("docker-registry*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder / "usr" / "bin" / "docker-registry"


@pytest.fixture(scope="module")
def address(registry_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry that runs."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    command = [registry_program, "serve", folder / "config.yml"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(requests.ConnectionError):
                    requests.get(f"http://127.0.0.1:{port}/v2/", timeout=5).raise_for_status()
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


# How a registry says no (the OCI distribution specification's error codes), and how a server that is none does.
REFUSALS = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 503: "UNAVAILABLE"}
PAGE = "<html><head><title>No</title></head></html>"


@pytest.fixture
def refusing() -> Iterator[Callable[..., str]]:
    """Starts a registry that answers everything with one status, and with a page if asked to; gives its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(status: int, *, page: bool = False) -> str:
        error = {"errors": [{"code": REFUSALS[status], "message": "not for you"}]}
        body = (PAGE if page else json.dumps(error)).encode()

        class Refuse(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if page else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def published(engine: Engine, address: str, busybox_image: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An image that is in the registry and not on the engine: its name on Docker Hub, and its id.

    It is built anew on busybox, so that the id is nobody else's.
    """
    name = f"layerlab-test-{uuid.uuid4().hex[:12]}:3.13"
    pushed = f"{address}/library/{name}"
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nLABEL test={uuid.uuid4().hex}\n")
    image, _ = engine.client.images.build(path=str(tmp_path), tag=pushed, rm=True, forcerm=True)
    lines = list(engine.client.images.push(pushed, stream=True, decode=True))
    assert not [line for line in lines if "error" in line]
    engine.client.images.remove(pushed)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.client.images.get(str(image.id))
    yield name, str(image.id)
    for tag in (pushed, name, marker_tag(str(image.id))):
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(tag, force=True)


@pytest.mark.long
class TestPull:
    def test_by_its_own_name(self, engine: Engine, address: str, published: tuple[str, str]) -> None:
        """An image of a registry that answers is pulled, with progress, and is the one that was pushed."""
        name, image_id = published
        steps: list[Step] = []

        image = registry.pull(engine, f"{address}/library/{name}", report=steps.append)

        assert image.id == image_id
        assert (steps[0].state, steps[-1].state) == ("running", "done")
        assert any(step.detail for step in steps)

    @pytest.mark.parametrize("settings", [{"credsStore": "desktop"}, {"credHelpers": {"ADDRESS": "desktop"}}])
    def test_without_the_credential_helper_that_is_configured(
        self, engine: Engine, address: str, published: tuple[str, str], tmp_path: Path, settings: dict[str, object]
    ) -> None:
        """Docker Desktop leaves such settings behind; whoever needs no login is not kept from pulling."""
        (tmp_path / "config.json").write_text(json.dumps(settings).replace("ADDRESS", address))
        name, image_id = published
        steps: list[Step] = []

        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("DOCKER_CONFIG", str(tmp_path))
            patched.setenv("DOCKER_HOST", engine.endpoint)
            connected = engines.connect()
            image = registry.pull(connected, f"{address}/library/{name}", report=steps.append)
            connected.client.close()

        assert image.id == image_id
        assert [step.title for step in steps if "login" in step.title] == [
            "going on without a login: docker-credential-desktop not installed or not available in PATH"
        ]

    def test_through_a_mirror(
        self, engine: Engine, address: str, published: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LAB_REGISTRY gives the image its name on Docker Hub, and leaves no name of the mirror behind."""
        name, image_id = published
        monkeypatch.setenv("LAB_REGISTRY", address)

        image = registry.pull(engine, name)

        assert (image.id, image.tags) == (image_id, [name])

    def test_an_image_that_the_registry_lacks(self, engine: Engine, address: str) -> None:
        """A registry without the image refuses, and the remedy speaks of its name."""
        with pytest.raises(RegistryRefused, match="no-such-image") as caught:
            registry.pull(engine, f"{address}/library/no-such-image:3.13")

        assert "name and tag" in caught.value.remedy

    @pytest.mark.parametrize(
        ("status", "remedy"),
        [(401, "docker login"), (403, "docker login"), (404, "name and tag"), (429, "wait"), (503, "later")],
    )
    @pytest.mark.parametrize("page", [False, True], ids=["as a registry", "with a page"])
    def test_a_registry_that_refuses(
        self, engine: Engine, refusing: Callable[..., str], *, status: int, remedy: str, page: bool
    ) -> None:
        """Each way to refuse has its own remedy, in the words of this very engine."""
        with pytest.raises(RegistryRefused) as caught:
            registry.pull(engine, f"{refusing(status, page=page)}/library/python:3.13")

        assert remedy in caught.value.remedy

    def test_nobody_listens(self, engine: Engine) -> None:
        """A connection that is refused is no registry."""
        with pytest.raises(NoRegistry, match="no registry can be reached"):
            registry.pull(engine, f"127.0.0.1:{free_port()}/library/python:3.13")

    def test_no_such_host(self, engine: Engine) -> None:
        """A name that nobody can resolve is no registry (RFC 6761 keeps .invalid for that)."""
        with pytest.raises(NoRegistry, match="no registry can be reached"):
            registry.pull(engine, "registry.invalid/library/python:3.13")


class TestEnsure:
    @pytest.fixture
    def made(self, engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """Puts a quick maker in the place of the slow one; the names that it knows are those of the test's image."""
        name = f"layerlab-test-{uuid.uuid4().hex[:12]}:base"
        asked: list[str] = [name]

        def make(engine: Engine, report: Report) -> None:
            asked.append("made")
            engine.client.images.get(busybox_image).tag(*name.split(":"))

        monkeypatch.setattr(stand_ins, "make", make)
        monkeypatch.setattr(bases, "TAGS", (name,))
        monkeypatch.delenv("LAB_STAND_INS", raising=False)
        monkeypatch.setattr("layerlab.engine.daemon.started_by_lab", lambda engine: False)
        yield asked
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(name)

    def test_pulled_images_are_the_labs(
        self, engine: Engine, address: str, published: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pulled image is marked as the lab's base, and is no stand-in."""
        name, image_id = published
        monkeypatch.setenv("LAB_REGISTRY", address)

        bases.ensure(engine, [name])

        assert engine.client.images.get(name).id == image_id
        assert image_id in {image.id for image in bases.own_bases(engine)}
        assert not bases.is_on_stand_ins(engine, image_id)

    def test_the_users_own_image_stays_the_users(
        self, engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An image that is there is used as it is, without asking anybody, and is not marked."""
        monkeypatch.setenv("LAB_REGISTRY", f"127.0.0.1:{free_port()}")
        image = engine.client.images.get(busybox_image)

        bases.ensure(engine, [busybox_image])

        assert engine.client.images.get(busybox_image).id == image.id
        assert image.id not in {image.id for image in bases.own_bases(engine)}

    @pytest.mark.parametrize("status", [401, 404, 429, 503])
    def test_a_refusal_makes_no_stand_ins(
        self,
        engine: Engine,
        refusing: Callable[..., str],
        made: list[str],
        status: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Where a registry answers no, no stand-in is made, even if they are allowed."""
        monkeypatch.setenv("LAB_REGISTRY", refusing(status))

        with pytest.raises(RegistryRefused):
            bases.ensure(engine, made[:1], allow_stand_ins=True)

        assert made[1:] == []

    @pytest.mark.parametrize(
        ("option", "variable", "started", "allowed"),
        [
            (None, None, False, False),
            (None, None, True, True),
            (None, "1", False, True),
            (None, "0", True, False),
            (True, None, False, True),
            (True, "0", False, True),
            (False, "1", True, False),
        ],
    )
    def test_who_may_make_stand_ins(
        self,
        engine: Engine,
        made: list[str],
        monkeypatch: pytest.MonkeyPatch,
        *,
        option: bool | None,
        variable: str | None,
        started: bool,
        allowed: bool,
    ) -> None:
        """Without a registry stand-ins are made by option, else by variable, else on the lab's own engine only."""
        monkeypatch.setenv("LAB_REGISTRY", f"127.0.0.1:{free_port()}")
        monkeypatch.setattr("layerlab.engine.daemon.started_by_lab", lambda engine: started)
        if variable is not None:
            monkeypatch.setenv("LAB_STAND_INS", variable)
        name = made[0]

        if allowed:
            bases.ensure(engine, [name], allow_stand_ins=option)
            assert made[1:] == ["made"]
        else:
            with pytest.raises(StandInError, match="official names") as caught:
                bases.ensure(engine, [name], allow_stand_ins=option)
            assert "--stand-ins or LAB_STAND_INS=1" in caught.value.remedy

        assert made[1:] == ["made"] * allowed

    def test_no_stand_in_for_other_images(
        self, engine: Engine, made: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For an image that the lab knows no stand-in for, it says so and makes nothing."""
        monkeypatch.setenv("LAB_REGISTRY", f"127.0.0.1:{free_port()}")

        with pytest.raises(StandInError, match="no stand-in for someone/image:1"):
            bases.ensure(engine, ["someone/image:1", made[0]], allow_stand_ins=True)

        assert made[1:] == []

    def test_half_official_half_stand_in_is_no_answer(
        self, engine: Engine, address: str, published: tuple[str, str], made: list[str]
    ) -> None:
        """A registry that goes away between two images is not made up for by a stand-in for the second one."""
        pulled = f"{address}/library/{published[0]}"
        lost = f"127.0.0.1:{free_port()}/library/python:3.13"

        with pytest.raises(BaseImageError, match="no registry can be reached") as caught:
            bases.ensure(engine, [pulled, lost], allow_stand_ins=True)

        assert "repeat" in caught.value.remedy
        assert made[1:] == []

    def test_a_wrong_mirror(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is wrong with LAB_REGISTRY is said before anything is pulled."""
        monkeypatch.setenv("LAB_REGISTRY", "https://mirror.example")

        with pytest.raises(UsageError, match="cannot be a registry"):
            bases.ensure(engine, [f"layerlab-test-{uuid.uuid4().hex[:12]}:1"])
