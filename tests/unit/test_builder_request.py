"""The conversation about a build, with an engine that the test plays itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest

from layerlab.builder import build, request
from layerlab.builder import context as contexts
from layerlab.engine import Engine
from layerlab.errors import BuildError, BuildTimeout, EngineGone, EngineTooOld, UsageError


class Player:
    """What the engine answers, and what it was asked."""

    def __init__(self, answer: bytes, status: int = 200, *, silent: bool = False) -> None:
        self.answer = answer
        self.status = status
        self.silent = silent
        self.parameters: dict[str, list[str]] = {}
        self.body = b""
        self.cancelled: list[str] = []
        self.over = threading.Event()


@contextlib.contextmanager
def playing(player: Player) -> Iterator[Engine]:
    """An engine on loopback that knows how to build, or seems to."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            url = urlsplit(self.path)
            if url.path.endswith("/build/cancel"):
                player.cancelled += parse_qs(url.query)["id"]
                player.over.set()
                self.reply(b"", 200)
                return
            player.parameters = parse_qs(url.query)
            while size := int(self.rfile.readline(), 16):
                player.body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            if player.silent:
                player.over.wait(20)
            self.reply(player.answer, player.status)

        def reply(self, body: bytes, status: int) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    endpoint = f"tcp://127.0.0.1:{server.server_address[1]}"
    client = docker.DockerClient(base_url=endpoint, version="1.41", timeout=60)
    client.api.timeout = None  # type: ignore[assignment]
    try:
        yield Engine(client, endpoint, "the test", "20.10", "overlay2", "/", "127.0.0.1", is_local=True)
    finally:
        client.close()
        player.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def context(tmp_path: Path) -> contexts.Context:
    """A context of a Dockerfile and a bigger file."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "big").write_bytes(b"x" * 700_000)
    return contexts.collect(tmp_path)


def lines(engine: Engine, context: contexts.Context, timeout: float | None = None) -> list[Any]:
    """The lines of the answer."""
    return [line for line in request.run(engine, context, {"t": "a b"}, timeout) if line is not None]


class TestRun:
    """What is asked and what comes back."""

    def test_conversation(self, context: contexts.Context) -> None:
        """The context is sent whole, BuildKit is asked for, and each line of the answer is given."""
        player = Player(b'{"a": 1}\r\n\r\n{"b": "\xc3\xa9"}\n')
        with playing(player) as engine:
            answer = lines(engine, context)

        assert answer == [{"a": 1}, {"b": "é"}]
        assert player.body == b"".join(contexts.stream(context))
        assert (player.parameters["version"], player.parameters["t"]) == (["2"], ["a b"])
        assert player.cancelled == []

    def test_refused(self, context: contexts.Context) -> None:
        """What the engine says where it refuses the request is an error like any other."""
        with playing(Player(json.dumps({"message": "no space"}).encode(), 500)) as engine:
            assert lines(engine, context) == [{"error": "no space"}]

    def test_refused_by_something_else(self, context: contexts.Context) -> None:
        """Where something answers that is no engine, such as a proxy, its status is told."""
        with playing(Player(b"<html>", 502)) as engine:
            assert lines(engine, context) == [{"error": "HTTP status 502"}]

    def test_garbage(self, context: contexts.Context) -> None:
        """An answer that makes no sense is an engine that has gone."""
        with playing(Player(b"<html>\n")) as engine, pytest.raises(EngineGone):
            lines(engine, context)

    def test_timeout(self, context: contexts.Context) -> None:
        """At the time limit the engine is told to cancel this very build."""
        player = Player(b"", silent=True)
        with playing(player) as engine, pytest.raises(BuildTimeout):
            lines(engine, context, timeout=0.2)

        assert set(player.cancelled) == set(player.parameters["buildid"])

    def test_silence(self, context: contexts.Context, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the engine says nothing, the listener has its turn; if it stops listening, the build is cancelled."""
        monkeypatch.setattr(request, "PAUSE", 0.01)
        player = Player(b"", silent=True)
        with playing(player) as engine, contextlib.closing(request.run(engine, context, {}, None)) as conversation:
            assert [next(conversation) for _ in range(3)] == [None, None, None]

        assert set(player.cancelled) == set(player.parameters["buildid"])


class TestBuild:
    """The whole, where the engine is odd."""

    def test_no_image(self, context: contexts.Context) -> None:
        """An engine that ends without naming an image has built none."""
        with playing(Player(b'{"stream": "hm"}\n')) as engine, pytest.raises(BuildError, match="without naming"):
            build(engine, context.folder)

    def test_parameters(self, context: contexts.Context) -> None:
        """Tag, labels, build arguments and target are passed on as the Engine API wants them."""
        player = Player(b'{"id": "moby.image.id", "aux": {"ID": "sha256:1"}}\n')
        (context.folder / "Dockerfile").write_text("FROM scratch AS One\nFROM scratch\n")
        with playing(player) as engine:
            built = build(
                engine, context.folder, tag="a:b", target="0", labels={"l": "1"}, build_args={"A": "&"}, no_cache=True
            )

        asked = {name: player.parameters[name][0] for name in ("t", "target", "nocache", "dockerfile")}
        assert asked == {"t": "a:b", "target": "one", "nocache": "1", "dockerfile": "Dockerfile"}
        assert json.loads(player.parameters["labels"][0]) == {"l": "1"}
        assert json.loads(player.parameters["buildargs"][0]) == {"A": "&"}
        assert (built.image_id, built.tag, len(built.steps)) == ("sha256:1", "a:b", 0)

    def test_proxies(
        self, context: contexts.Context, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """The proxies of the user's docker configuration reach the build, unless a build argument says otherwise."""
        folder = tmp_path_factory.mktemp("docker")
        proxies = {"default": {"httpProxy": "http://proxy:3128", "noProxy": "localhost"}}
        (folder / "config.json").write_text(json.dumps({"proxies": proxies}))
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
        player = Player(b'{"id": "moby.image.id", "aux": {"ID": "sha256:1"}}\n')
        with playing(player) as engine:
            build(engine, context.folder, build_args={"NO_PROXY": "mine"})

        given = json.loads(player.parameters["buildargs"][0])
        assert (given["HTTP_PROXY"], given["NO_PROXY"]) == ("http://proxy:3128", "mine")

    def test_nameless_target(self, context: contexts.Context) -> None:
        """A stage without a name is no target for BuildKit, unless it is the last, which needs none."""
        player = Player(b'{"id": "moby.image.id", "aux": {"ID": "sha256:1"}}\n')
        (context.folder / "Dockerfile").write_text("FROM scratch\nFROM scratch\n")
        with playing(player) as engine:
            with pytest.raises(UsageError, match="stage 0 of the Dockerfile has no name"):
                build(engine, context.folder, target="0")
            build(engine, context.folder, target="1")

        assert "target" not in player.parameters

    @pytest.mark.parametrize(
        ("version", "driver", "refused"),
        [
            ("26.1.5+dfsg1", "overlayfs", True),
            ("27.4.1", "overlayfs", True),
            ("27.5.0", "overlayfs", False),
            ("29.0.0", "overlayfs", False),
            ("20.10.24+dfsg1", "overlay2", False),
        ],
    )
    def test_containerd_store(self, context: contexts.Context, version: str, driver: str, refused: bool) -> None:
        """An engine that would lose the context (moby issue 47717) is told before anything is sent."""
        player = Player(b'{"id": "moby.image.id", "aux": {"ID": "sha256:1"}}\n')
        with playing(player) as any_engine:
            engine = dataclasses.replace(any_engine, version=version, storage_driver=driver)
            if refused:
                with pytest.raises(EngineTooOld, match="containerd"):
                    build(engine, context.folder)
            else:
                build(engine, context.folder)

        assert (player.body == b"") == refused
