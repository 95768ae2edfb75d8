"""The script that is run inside a container: each of its parts here, the whole of it in tests/engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import numpy as np
import pytest

from layerlab.service import interpreter, probe

MARK = "0123456789abcdef"
TEXT = Path(probe.__file__).read_text()


def told(known: dict[str, object], *, variables: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """What the second step prints, run by this machine's Python."""
    command = [sys.executable, "-B", "-c", probe.BOOT, TEXT, MARK, "tell", json.dumps(known)]
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True).stdout


def distribution(folder: Path, name: str, version: str) -> None:
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


class TestTell:
    def test_distributions(self):
        """The distributions that it tells are those that pip's own module finds, with their versions."""
        found = interpreter.read_answer(told({"first": [], "roots": []}).encode(), MARK)

        assert found is not None
        assert found.executable == sys.executable
        assert found.prefix == sys.prefix
        for name in ("numpy", "flask", "python-dateutil", "pytest"):
            assert found.distributions[name].version == metadata.version(name)
        assert Path(found.distributions["numpy"].location).is_dir()
        assert Path(found.distributions["numpy"].location).parent == Path(np.__file__).parents[1]

    def test_first_wins(self, tmp_path):
        """Of a distribution that is there twice the first on the path counts, and its name is normalised."""
        distribution(tmp_path / "new", "Some.Thing", "2.0")
        distribution(tmp_path / "old", "some_thing", "1.0")
        path = os.pathsep.join([str(tmp_path / "new"), str(tmp_path / "old")])

        document = interpreter.read_answer(
            told({"first": [], "roots": []}, variables={"PYTHONPATH": path}).encode(), MARK
        )

        assert document is not None
        assert document.distributions["some-thing"].version == "2.0"

    def test_learner_code(self, tmp_path):
        """Modules of the working directory that are called as the standard library's are not imported."""
        for name in ("json", "re", "signal", "shutil"):
            (tmp_path / f"{name}.py").write_text("print('imported'); raise SystemExit")

        output = told({"first": [str(tmp_path)], "roots": []}, folder=tmp_path)

        assert "imported" not in output
        assert interpreter.read_answer(output.encode(), MARK) is not None

    def test_chatter(self, tmp_path):
        """What a sitecustomize prints does not matter."""
        (tmp_path / "sitecustomize.py").write_text("print('{}', end='')")

        output = told({"first": [], "roots": []}, variables={"PYTHONPATH": str(tmp_path)})

        assert output.startswith("{}")
        assert interpreter.read_answer(output.encode(), MARK) is not None

    def test_no_bytecode(self):
        """Both steps are told to write no bytecode."""
        assert "-B" in probe.command("python", TEXT, MARK)


class TestOwnOptions:
    @pytest.mark.parametrize(
        ("words", "kept", "script"),
        [
            (["python", "-m", "gunicorn", "app.wsgi:app"], [], ""),
            (["/opt/venv/bin/python3.13", "/opt/venv/bin/gunicorn", "-b"], [], "/opt/venv/bin/gunicorn"),
            (["python", "-I", "-u", "serve.py"], ["-I"], "serve.py"),
            (["python", "-sE", "-X", "utf8", "-W", "error", "serve.py"], ["-s", "-E"], "serve.py"),
            (["python", "-Xdev", "-c", "import app"], [], ""),
            (["python", "-Im", "waitress"], [], ""),
            (["gunicorn: master [app.wsgi:app]"], [], ""),
            ([], [], ""),
        ],
    )
    def test_words(self, words, kept, script):
        """Options that change the path are kept, and what is run is told from them."""
        assert probe.own_options(words) == (kept, script)


class TestFirstOnPath:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["python", "/opt/venv/bin/gunicorn", "app.wsgi:app"], ["/srv", "/opt/venv/bin"]),
            (
                ["python", "/opt/venv/bin/gunicorn", "--chdir", "/code", "app.wsgi:app"],
                ["/code", "/srv", "/opt/venv/bin"],
            ),
            (["python", "-m", "gunicorn", "--pythonpath=/deps,lib", "x"], ["/deps", "/srv/lib", "/srv"]),
            (["python", "-m", "uvicorn", "--app-dir", "src", "x"], ["/srv/src", "/srv"]),
            (["python", "run/serve.py"], ["/srv/run"]),
            (["uwsgi", "--pp", "/deps", "--http", ":5000"], ["/deps", "/srv"]),
        ],
    )
    def test_words(self, words, expected):
        """What servers put first on their path follows from their command lines and working directory."""
        assert probe.first_on_path(words, {}, "/srv") == expected

    def test_variable(self):
        """Gunicorn's options may be in its variable."""
        variables = {"GUNICORN_CMD_ARGS": "--workers 2 --pythonpath /deps"}

        assert probe.first_on_path(["python", "/bin/gunicorn", "x"], variables, "/srv")[0] == "/deps"


class TestInterpreters:
    @pytest.fixture
    def folder(self, tmp_path):
        """A Python, an environment whose python is a link to it, and another Python."""
        for name in ("usr/bin", "venv/bin", "other/bin"):
            (tmp_path / name).mkdir(parents=True)
        for name in ("usr/bin/python3.13", "other/bin/python3", "venv/bin/gunicorn"):
            (tmp_path / name).write_text("")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "venv/bin/python").symlink_to(tmp_path / "usr/bin/python3.13")
        (tmp_path / "venv/bin/python3").symlink_to("python")
        return tmp_path

    def found(self, folder: Path, words: list[str], *, path: str, variables: dict[str, str] | None = None) -> str:
        variables = {"PATH": ":".join(str(folder / one) for one in path.split(":")), **(variables or {})}
        first = next(probe.interpreters(words, str(folder / "usr/bin/python3.13"), variables))
        return str(Path(first).relative_to(folder))

    def test_called_by_path(self, folder):
        """An environment's Python is named as it was called, not by what it links to."""
        words = [f"{folder}/venv/bin/python", f"{folder}/venv/bin/gunicorn"]

        assert self.found(folder, words, path="usr/bin") == "venv/bin/python"

    def test_called_by_name(self, folder):
        """A bare name is looked for in the process's PATH, and one that is another program is passed over."""
        assert self.found(folder, ["python3", "-m", "gunicorn"], path="venv/bin:usr/bin") == "venv/bin/python3"
        assert self.found(folder, ["python3", "-m", "gunicorn"], path="other/bin:usr/bin") == "usr/bin/python3.13"

    def test_title(self, folder):
        """A process that has written over its command line is found through its program and PATH."""
        words = ["gunicorn: master [app.wsgi:app]"]

        assert self.found(folder, words, path="other/bin:venv/bin") == "venv/bin/python"

    def test_virtual_env(self, folder):
        """VIRTUAL_ENV tells where nothing else does."""
        words = ["gunicorn: master [app.wsgi:app]"]
        variables = {"VIRTUAL_ENV": str(folder / "venv")}

        assert self.found(folder, words, path="other/bin", variables=variables) == "venv/bin/python"

    def test_behind_an_init(self, folder):
        """The Python that an init or a wrapper runs is found behind it."""
        words = ["/usr/bin/tini", "--", f"{folder}/venv/bin/python", "-m", "gunicorn"]

        assert self.found(folder, words, path="other/bin") == "venv/bin/python"


class TestProcess:
    def test_loaded_from(self):
        """The folder from which this process has loaded numpy is told by the kernel."""
        assert np.__version__
        assert str(Path(np.__file__).parents[1]) in probe.loaded_from(os.getpid())

    def test_environment(self):
        """A process's arguments and environment are read as they were given."""
        code = "import sys; print(flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "a b"],
            env={"PATH": "/bin", "EMPTY": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert probe.environment(process.pid) == {"PATH": "/bin", "EMPTY": ""}
            assert probe.arguments(process.pid) == [sys.executable, "-c", code, "a b"]
            assert probe.parent(process.pid) == os.getpid()
            process.communicate()

    def test_unreadable(self):
        """Of a process that is gone nothing is known, and that is no error."""
        assert probe.environment(2**22 + 1) == {}
        assert probe.arguments(2**22 + 1) == []
        assert probe.loaded_from(2**22 + 1) == []


class TestBehind:
    @pytest.fixture
    def served(self, monkeypatch):
        """Lets a WSGI app be served by wsgiref, as the only other listener."""
        servers = []

        def serve(app):
            class Quiet(WSGIRequestHandler):
                def log_message(self, *_):
                    pass

            server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
            servers.append((server, threading.Thread(target=server.serve_forever, args=(0.02,))))
            servers[-1][1].start()
            listener = ("127.0.0.1", server.server_port, "")
            monkeypatch.setattr(probe, "listeners", lambda: [listener])
            return server.server_port

        yield serve
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()

    @pytest.mark.parametrize(("body", "counts"), [(b'{"status": "ok"}', True), (b"# HELP metrics", False)])
    def test_http_server(self, served, body, counts):
        """Python's own server that answers /status counts; one that tells metrics is nobody's service."""

        def app(environ, start):
            start("200 OK", [("Content-Type", "application/json")])
            return [body]

        port = served(app)
        assert probe.behind() == ([f"port {port}"] if counts else [])

    def test_silence(self, monkeypatch):
        """Something that listens and says nothing holds nobody up."""
        monkeypatch.setattr(probe, "PATIENCE", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            listener = (*silent.getsockname(), "")
            monkeypatch.setattr(probe, "listeners", lambda: [listener] * 1000)
            began = time.monotonic()
            assert probe.behind() == []
        assert time.monotonic() - began < 10

    def test_listeners(self, tmp_path):
        """The kernel names what listens, on addresses and on sockets in the file system."""
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
            local.bind(str(tmp_path / "s"))
            local.listen()
            wanted = {tcp.getsockname(), (str(tmp_path / "s"), 0)}
            assert wanted <= {listener[:2] for listener in probe.listeners()}


class TestWholePath:
    def test_unknown_root(self, tmp_path):
        """A folder from which modules were loaded, and that is not on the path, comes first; one that is stays."""
        (tmp_path / "link").symlink_to(tmp_path)
        known = [str(tmp_path / "link"), "/lib"]

        assert probe.whole_path(known, ["/srv"], [str(tmp_path), "/deps"]) == ["/deps", "/srv", *known]
