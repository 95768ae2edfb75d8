"""Where layers are read from; the engine here is a small server at a socket, which can also go away."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import docker
import pytest

from layerlab.engine import Engine
from layerlab.errors import ArchiveError, EngineError, EngineGone, ImageNotFound
from layerlab.image.formats import archive, platforms
from layerlab.image.formats.platforms import Platform
from layerlab.image.store import overlay, sources
from layerlab.ui import progress
from layerlab.ui.progress import Step
from tests.unit.image_truth import (
    Layout,
    digest,
    file,
    image_config,
    oci_parts,
    pack,
    saved,
    tar,
    whiteout,
    write_layout,
)

LAYERS = [tar([file("a", 5), file("b", 3)]), tar([whiteout("a")])]
ID = digest(json.dumps(image_config(LAYERS)).encode())


@dataclass
class FakeEngine:
    """What the server has, and what it was asked for."""

    engine: Engine
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    export: bytes = b""
    breaks_off: bool = False
    hangs_up: bool = False
    fails: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def exports(self) -> int:
        return sum(path.endswith("/get") for path in self.asked)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    """An engine whose layers lie nowhere on this machine."""
    folder = tempfile.mkdtemp()  # a socket's path is short
    path = f"{folder}/engine.sock"

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = urlsplit(self.path).path.removeprefix("/v1.41")
            fake.asked.append(wanted)
            name = unquote(wanted).removeprefix("/images/").rpartition("/")[0]
            if fake.hangs_up:
                self.close_connection = True
            elif fake.fails and wanted.endswith(fake.fails):
                self.answer(500, {"message": "no space left on device"})
            elif wanted == "/images/json":
                self.answer(200, [{"RepoTags": [tag]} for tag in fake.images])
            elif wanted.endswith("/json") and name in fake.images:
                self.answer(200, fake.images[name])
            elif wanted.endswith("/get") and fake.export:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                content = fake.export[: len(fake.export) // 2] if fake.breaks_off else fake.export
                self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                self.wfile.write(b"" if fake.breaks_off else b"0\r\n\r\n")
                self.close_connection = fake.breaks_off
            else:
                self.answer(404, {"message": f"No such image: {name}"})

        def answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "a socket"

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that go away are part of the tests."""

    server = Server(path, Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = docker.DockerClient(base_url=f"unix://{path}", version="1.41")
    fake = FakeEngine(
        Engine(
            client=client, endpoint=f"unix://{path}", source="a test", version="20.10",
            storage_driver="overlay2", root_directory="/nowhere", host="127.0.0.1", is_local=True,
        )
    )  # fmt: skip
    yield fake
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()
    shutil.rmtree(folder)


@pytest.fixture
def with_image(fake: FakeEngine) -> FakeEngine:
    """The engine with an image, `demo:1`."""
    directory = {"UpperDir": "/nowhere/1/diff", "LowerDir": "/nowhere/0/diff"}
    fake.images["demo:1"] = {"Id": ID, "GraphDriver": {"Name": "overlay2", "Data": directory}}
    fake.export = saved(LAYERS)
    return fake


def paths(source: archive.StoredImage) -> list[list[str]]:
    return [layer.paths for layer in source.layers]


class TestExport:
    def test_is_read_where_directories_cannot_be(self, with_image: FakeEngine) -> None:
        """An engine whose directories are not here is asked to export the image."""
        source = sources.load(with_image.engine, "demo:1")

        assert (source.origin, source.id, paths(source)) == ("export", ID, [["/a", "/b"], []])

    def test_is_not_read_twice(self, with_image: FakeEngine) -> None:
        """Layers whose bytes have been read are known by their digests from then on."""
        first = sources.load(with_image.engine, "demo:1")
        second = sources.load(with_image.engine, "demo:1")

        assert with_image.exports == 1
        assert (paths(first), first.config, first.diff_ids) == (paths(second), second.config, second.diff_ids)

    def test_is_read_again_when_the_cache_is_lost(self, with_image: FakeEngine, cache_folder: Path) -> None:
        """Without the cache everything is read anew."""
        sources.load(with_image.engine, "demo:1")
        shutil.rmtree(cache_folder)

        assert paths(sources.load(with_image.engine, "demo:1")) == [["/a", "/b"], []]
        assert with_image.exports == 2

    def test_an_engine_that_stops_in_the_middle(self, with_image: FakeEngine) -> None:
        """An export that breaks off is the engine's fault, and nothing of it is kept."""
        with_image.breaks_off = True
        with pytest.raises(EngineGone):
            sources.load(with_image.engine, "demo:1")

        with_image.breaks_off = False
        assert paths(sources.load(with_image.engine, "demo:1")) == [["/a", "/b"], []]

    def test_an_image_that_goes_away(self, with_image: FakeEngine) -> None:
        """An image that is removed before it is exported is not there."""
        with_image.export = b""
        with pytest.raises(ImageNotFound):
            sources.load(with_image.engine, "demo:1")


class TestDirectories:
    DATA: ClassVar = {"UpperDir": "/l/2/diff", "LowerDir": "/l/1/diff:/l/0/diff", "MergedDir": "/l/2/merged"}

    def test_are_named_from_the_bottom(self, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The engine names the uppermost directory first, and no lower ones of an image with one layer."""
        monkeypatch.setattr(overlay, "can_read", lambda: True)
        upper = {"UpperDir": "/l/0/diff"}

        assert [
            sources._directories(fake.engine, {"GraphDriver": {"Name": "overlay2", "Data": data}})
            for data in (self.DATA, upper, None)
        ] == [["/l/0/diff", "/l/1/diff", "/l/2/diff"], ["/l/0/diff"], []]

    @pytest.mark.parametrize(
        ("changes", "may_read"),
        [
            ({}, False),
            ({"is_local": False}, True),
            ({"storage_driver": "overlayfs"}, True),
            ({"storage_driver": "btrfs"}, True),
            ({"maps_users": True}, True),
        ],
        ids=["no rights", "another machine", "containerd", "another driver", "mapped users"],
    )
    def test_are_read_only_where_they_tell_all(
        self, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], may_read: bool
    ) -> None:
        """Directories of another machine or driver, or with shifted owners, are left alone."""
        monkeypatch.setattr(overlay, "can_read", lambda: may_read)
        engine = dataclasses.replace(fake.engine, **changes)

        assert sources._directories(engine, {"GraphDriver": {"Name": "overlay2", "Data": self.DATA}}) is None


class TestNames:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("demo:2", "demo:1"),
            ("demo", "demo:1"),
            ("dmeo:1", "demo:1"),
            ("service", "example.org/service:latest"),
            ("multi-stage-demo:optimised", "multi-stage-demo:optimized"),
        ],
    )
    def test_near_misses_are_named(self, fake: FakeEngine, name: str, near: str) -> None:
        """An image that is not there is an error that names what there is instead."""
        fake.images |= {"demo:1": {}, "example.org/service:latest": {}, "multi-stage-demo:optimized": {}}

        with pytest.raises(ImageNotFound) as raised:
            sources.load(fake.engine, name)
        assert repr(name) in str(raised.value)
        assert near in raised.value.remedy

    def test_nothing_near(self, fake: FakeEngine) -> None:
        """Where nothing is similar, the remedy says how to see what there is."""
        with pytest.raises(ImageNotFound) as raised:
            sources.load(fake.engine, "unlike:anything")

        assert "docker images" in raised.value.remedy

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "../containers",
            "a/../../containers",
            "a b",
            "x?all=1",
            "x#y",
            "-x",
            "é",
            "a\0b",
            "a" * 5000,
            "x%2e%2e/y",
        ],
    )
    def test_what_is_no_name_never_becomes_part_of_a_request(self, fake: FakeEngine, name: str) -> None:
        """Only names of images are asked for."""
        with pytest.raises(ImageNotFound):
            sources.load(fake.engine, name)

        assert set(fake.asked) <= {"/images/json", f"/images/{'a' * 5000}/json"}

    def test_an_engine_that_is_gone(self, fake: FakeEngine) -> None:
        """An engine that does not answer any more is said to be gone."""
        fake.hangs_up = True

        with pytest.raises(EngineGone):
            sources.load(fake.engine, "demo:1")

    @pytest.mark.parametrize("what", ["/json", "/get"])
    def test_an_engine_that_fails(self, with_image: FakeEngine, what: str) -> None:
        """An engine that answers with an error is quoted."""
        with_image.fails = what

        with pytest.raises(EngineError, match="no space left on device"):
            sources.load(with_image.engine, "demo:1")

    def test_folders_that_are_no_layout(self, fake: FakeEngine, tmp_path: Path) -> None:
        """A folder may have the name of an image; where there is none, the error says what the folder lacks."""
        (tmp_path / "demo").mkdir()
        for engine in (None, fake.engine):
            with pytest.raises(ImageNotFound, match="folder of that name is no OCI layout"):
                sources.load(engine, str(tmp_path / "demo"))

    def test_no_engine(self) -> None:
        """Without an engine only files can be looked at."""
        with pytest.raises(ImageNotFound, match="no file 'demo:1'"):
            sources.load(None, "demo:1")


class TestFiles:
    def test_are_read_without_an_engine(self, tmp_path: Path) -> None:
        """A file needs no engine; its id is that of its config."""
        path = tmp_path / "image.tar"
        path.write_bytes(saved(LAYERS))
        source = sources.load(None, str(path))

        assert (source.origin, source.id, paths(source)) == ("file", ID, [["/a", "/b"], []])

    def test_come_before_images_of_their_name(
        self, fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An existing file is meant by its name."""
        monkeypatch.chdir(tmp_path)
        Path("demo").write_bytes(saved(LAYERS))
        fake.images["demo"] = {"Id": ID}

        assert sources.load(fake.engine, "demo").origin == "file"
        assert fake.asked == []

    def test_are_not_read_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that has not changed is known by its inode and times."""
        path = tmp_path / "image.tar"
        path.write_bytes(saved(LAYERS))
        first = sources.load(None, str(path))
        monkeypatch.setattr(archive, "read_path", None)

        assert paths(sources.load(None, str(path))) == paths(first)

    def test_are_read_again_when_they_have_changed(self, tmp_path: Path) -> None:
        """Another file at the same place is another image."""
        path = tmp_path / "image.tar"
        path.write_bytes(saved(LAYERS))
        sources.load(None, str(path))
        path.write_bytes(saved([LAYERS[0], tar([file("new", 1)])]))

        assert paths(sources.load(None, str(path))) == [["/a", "/b"], ["/new"]]

    def test_that_claim_known_digests_are_not_believed(self, tmp_path: Path) -> None:
        """What an archive holds counts, not what it says it holds."""
        (tmp_path / "true.tar").write_bytes(saved(LAYERS))
        sources.load(None, str(tmp_path / "true.tar"))
        (tmp_path / "false.tar").write_bytes(saved([tar([file("evil", 1)]), LAYERS[1]], image_config(LAYERS)))

        with pytest.raises(ArchiveError, match="not the one"):
            sources.load(None, str(tmp_path / "false.tar"))

    def test_of_several_platforms(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each platform's image is one of its own, on the second look, too."""
        monkeypatch.setattr(platforms, "host", lambda: Platform("linux", "amd64"))
        layout = Layout()
        images = [layout.image([tar([file(name)])], f"linux/{name}") for name in ("arm64", "amd64")]
        write_layout(tmp_path / "layout", layout.close(layout.index(images)))
        (tmp_path / "image.tar").write_bytes(pack(layout.parts.items()))

        for _ in range(2):
            for name in ("layout", "image.tar"):
                assert [
                    paths(sources.load(None, str(tmp_path / name), platform=platform))
                    for platform in (None, Platform("linux", "arm64"), Platform("linux", "amd64"))
                ] == [[["/amd64"]], [["/arm64"]], [["/amd64"]]]
            monkeypatch.setattr(archive, "read_path", None)

    def test_layouts_are_known_by_their_index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A layout is not read twice while its index, which names all else by digests, is what it was."""
        write_layout(tmp_path / "layout", oci_parts(LAYERS))
        first = paths(sources.load(None, str(tmp_path / "layout")))
        with monkeypatch.context() as patched:
            patched.setattr(archive, "read_path", None)
            assert paths(sources.load(None, str(tmp_path / "layout"))) == first

        index = tmp_path / "layout/index.json"
        index.write_bytes(index.read_bytes())
        assert paths(sources.load(None, str(tmp_path / "layout"))) == first
        index.write_bytes(b"another")
        with pytest.raises(ArchiveError):
            sources.load(None, str(tmp_path / "layout"))

    def test_layouts_that_have_another_image(self, tmp_path: Path) -> None:
        """Another index in the same folder is another image."""
        write_layout(tmp_path, oci_parts(LAYERS))
        assert paths(sources.load(None, str(tmp_path))) == [["/a", "/b"], []]
        write_layout(tmp_path, oci_parts([LAYERS[0]]))

        assert paths(sources.load(None, str(tmp_path))) == [["/a", "/b"]]

    def test_that_change_while_they_are_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was read of a file that changed meanwhile is not taken for what it holds now."""
        path = tmp_path / "image.tar"
        path.write_bytes(saved(LAYERS))
        read_path = archive.read_path

        def while_it_changes(*args: Any, **options: Any) -> archive.StoredImage:
            contents = read_path(*args, **options)
            path.write_bytes(saved([tar([file("new", 1)])]))
            return contents

        with monkeypatch.context() as patched:
            patched.setattr(archive, "read_path", while_it_changes)
            assert paths(sources.load(None, str(path))) == [["/a", "/b"], []]
        assert paths(sources.load(None, str(path))) == [["/new"]]

    def test_pipes(self, tmp_path: Path) -> None:
        """What comes out of a pipe is read, and not remembered under the pipe's name."""
        os.mkfifo(tmp_path / "pipe")
        for layers, expected in ((LAYERS, [["/a", "/b"], []]), ([LAYERS[0]], [["/a", "/b"]])):
            writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(saved(layers),))
            writer.start()
            assert paths(sources.load(None, str(tmp_path / "pipe"))) == expected
            writer.join()


class TestPlatforms:
    @pytest.fixture
    def both(self, with_image: FakeEngine) -> FakeEngine:
        """The engine's export of an image for two platforms; the engine's own is not this machine's."""
        layout = Layout()
        names = ("riscv64", "s390x")
        images = [layout.image([tar([file(name)])], f"linux/{name}") for name in names]
        with_image.export = pack(layout.close(layout.index(images)).items())
        with_image.images["demo:1"] |= {"Os": "linux", "Architecture": "s390x"}
        return with_image

    def test_the_engines_choice(self, both: FakeEngine) -> None:
        """Of several platforms the one that the engine itself would run is taken."""
        assert paths(sources.load(both.engine, "demo:1")) == [["/s390x"]]

    def test_another_one(self, both: FakeEngine) -> None:
        """Any of those that the engine has can be chosen, and is kept as one of its own."""
        for _ in range(2):
            assert paths(sources.load(both.engine, "demo:1", platform=Platform("linux", "riscv64"))) == [["/riscv64"]]
            assert paths(sources.load(both.engine, "demo:1")) == [["/s390x"]]
        assert both.exports == 2

    def test_one_that_the_engine_does_not_have(self, both: FakeEngine) -> None:
        """The error names those that it has."""
        with pytest.raises(ImageNotFound, match="for linux/riscv64, linux/s390x"):
            sources.load(both.engine, "demo:1", platform=Platform("linux", "amd64"))

    def test_of_directories(self) -> None:
        """An image in overlay2's directories is for one platform."""
        config = {"os": "linux", "architecture": "amd64"}
        for wanted in (None, Platform("linux", "amd64")):
            sources._expect(config, wanted)
        sources._expect({}, Platform("linux", "arm64"))

        with pytest.raises(ImageNotFound, match="for linux/amd64, and not for linux/arm64"):
            sources._expect(config, Platform("linux", "arm64"))


class TestProgress:
    def test_of_a_long_look(self, with_image: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        """A look that takes long says what is read and how far it is, and that it is done."""
        monkeypatch.setattr(sources, "PATIENCE", 0.001)
        monkeypatch.setattr(progress, "EVERY", 0.0)
        read_stream = archive.read_stream

        def slowly(pieces: Iterator[bytes], **options: Any) -> archive.StoredImage:
            assert said.wait(10)
            return read_stream(pieces, **options)

        said = threading.Event()
        steps: list[Step] = []
        monkeypatch.setattr(archive, "read_stream", slowly)
        sources.load(with_image.engine, "demo:1", report=lambda step: (steps.append(step), said.set())[0])

        assert {step.title for step in steps} == {"read demo:1"}
        assert [step.state for step in steps] == ["running"] * (len(steps) - 1) + ["done"]
        assert any("MB read" in step.detail for step in steps)

    def test_of_a_long_look_that_fails(self) -> None:
        """A look that fails says so."""
        steps: list[Step] = []

        def fail() -> None:
            with progress.ongoing(steps.append, "read demo", patience=0.001) as watch:
                while not steps:
                    watch.say("still there")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert steps[-1].state == "failed"

    def test_of_a_short_look(self, with_image: FakeEngine) -> None:
        """A look that is over at once says nothing."""
        steps: list[Step] = []
        sources.load(with_image.engine, "demo:1", report=steps.append)

        assert steps == []
