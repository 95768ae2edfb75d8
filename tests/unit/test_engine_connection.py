"""Finding the engine, against engines and docker contexts that the test makes itself."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from layerlab.engine import connection, docker_settings
from layerlab.errors import EngineError, EngineNotFound, EngineTooOld


@contextmanager
def fake_engine(
    version: str,
    api_version: str = "1.41",
    *,
    driver: str = "overlay2",
    security: tuple[str, ...] = (),
    certificates: Path | None = None,
    platform: dict[str, str] | None = None,
) -> Iterator[str]:
    """An engine on loopback that knows its version and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"Version": version, "ApiVersion": api_version, "MinAPIVersion": "1.12", "Driver": driver}
            body |= platform or {}
            data = json.dumps({**body, "DockerRootDir": "/var/lib/docker", "SecurityOptions": security}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _a_machine_without_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / ".docker"))
    monkeypatch.setattr(docker_settings, "usual_sockets", lambda: [tmp_path / "docker.sock"])


def make_context(home: Path, name: str, host: str, *, current: bool = True) -> None:
    """Write a docker context as ``docker context create`` does."""
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    if current:
        (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))


def connected(found: connection.Engine) -> connection.Engine:
    """The engine, its connection closed: only what it says of itself is looked at here."""
    found.client.close()
    return found


class TestConnect:
    def test_docker_host_is_used_before_everything_else(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """DOCKER_HOST wins over the current docker context."""
        make_context(tmp_path, "elsewhere", "tcp://127.0.0.1:9")
        with fake_engine("20.10.24+dfsg1") as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            found = connected(connection.connect())

        assert (found.endpoint, found.version, found.source) == (endpoint, "20.10.24+dfsg1", "DOCKER_HOST")

    @pytest.mark.parametrize(
        ("security", "maps"),
        [
            (("name=seccomp,profile=default",), False),
            (("name=seccomp,profile=default", "name=rootless"), True),
            (("name=userns",), True),
        ],
    )
    def test_an_engine_with_other_users_is_known(
        self, monkeypatch: pytest.MonkeyPatch, security: tuple[str, ...], *, maps: bool
    ) -> None:
        """A rootless engine, and one that remaps users, keep files under other owners than their containers see."""
        with fake_engine("26.1.5", security=security) as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            assert connected(connection.connect()).maps_users is maps

    @pytest.mark.parametrize(
        ("said", "platform"),
        [
            ({"Os": "linux", "Arch": "amd64", "Architecture": "x86_64"}, "linux/amd64"),
            ({"Os": "linux", "Arch": "arm64", "Architecture": "aarch64"}, "linux/arm64"),
            ({"Os": "linux", "Arch": "arm", "Architecture": "armv6l"}, "linux/arm/v6"),
            ({"Os": "linux", "Arch": "arm", "Architecture": "armv7l"}, "linux/arm/v7"),
            ({}, ""),
        ],
    )
    def test_its_platform(self, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], platform: str) -> None:
        """What an engine builds for is what it says, as BuildKit writes it."""
        with fake_engine("26.1.5", platform=said) as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            assert connected(connection.connect()).platform == platform

    def test_the_current_docker_context_is_used(self, tmp_path: Path) -> None:
        """The SDK's from_env ignored contexts for years; the lab uses them."""
        with fake_engine("28.5.1", "1.51") as endpoint:
            make_context(tmp_path, "colima", endpoint)
            found = connected(connection.connect())

        assert (found.endpoint, found.source) == (endpoint, "the docker context 'colima'")
        assert found.context == "colima"

    def test_docker_context_in_the_environment_wins_over_the_current_one(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """DOCKER_CONTEXT names another context than the current one, as it does for the docker client."""
        make_context(tmp_path, "current", "tcp://127.0.0.1:9")
        with fake_engine("27.0.0") as endpoint:
            make_context(tmp_path, "wanted", endpoint, current=False)
            monkeypatch.setenv("DOCKER_CONTEXT", "wanted")
            found = connected(connection.connect())

        assert found.endpoint == endpoint

    def test_a_context_that_does_not_exist_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong DOCKER_CONTEXT is the user's to mend; no other engine is taken instead."""
        monkeypatch.setenv("DOCKER_CONTEXT", "gone")

        with pytest.raises(EngineError, match="does not exist") as caught:
            connection.connect()
        assert "docker context ls" in caught.value.remedy

    def test_an_engine_that_is_too_old_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """19.03 answers, and is told apart from an engine that is missing."""
        with fake_engine("19.03.15", "1.40") as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            with pytest.raises(EngineTooOld, match=r"19\.03\.15.*20\.10"):
                connection.connect()

    def test_a_dead_docker_host_is_reported_and_not_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who names an engine wants that one."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            with pytest.raises(EngineNotFound, match="DOCKER_HOST"):
                connection.connect()

    @pytest.mark.slow
    def test_certificates_win_over_those_of_other_programs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """REQUESTS_CA_BUNDLE is for the web, and a proxy for other machines; neither is for an engine here."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
        (tmp_path / "ca.pem").write_text((tmp_path / "cert.pem").read_text())
        (tmp_path / "none.pem").touch()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(tmp_path / "none.pem"))
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with fake_engine("28.0.0", certificates=tmp_path) as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint.removeprefix("tcp://"))
            found = connected(connection.connect())

        assert (found.endpoint, found.version) == (endpoint, "28.0.0")

    @pytest.mark.parametrize(
        "config",
        [
            *("[]", "null", '"x"', "{", "\xff", '{"auths": 7}', '{"auths": {"x": 7}}', '{"proxies": null}'),
            *('{"proxies": {"default": null}}', '{"proxies": {"default": "x"}}', '{"auths": {"x": {"auth": ""}}}'),
            *('{"auths": {"x": {"auth": null}}}', '{"auths": {"x": {"auth": "zz"}}}', '{"credHelpers": []}'),
        ],
    )
    def test_settings_of_another_form_do_no_harm(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
    ) -> None:
        """The SDK takes their form for granted, when it connects and when it looks for a login."""
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text(config, encoding="latin-1")
        with fake_engine("28.0.0") as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint)
            found = connected(connection.connect())

        assert found.version == "28.0.0"
        assert not found.client.api._auth_configs.resolve_authconfig("x")  # type: ignore[attr-defined]

    @pytest.mark.parametrize("host", ["nonsense", "tcp://[", "unix://x", "http://[", "tcp://127.0.0.1:notaport"])
    def test_nonsense_in_docker_host_is_a_clear_error(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        """Whatever DOCKER_HOST holds, the answer is an error with a remedy."""
        monkeypatch.setenv("DOCKER_HOST", host)

        with pytest.raises(EngineError) as caught:
            connection.connect()
        assert caught.value.remedy

    def test_nothing_anywhere_says_what_to_do(self) -> None:
        """Without any engine the message names a way on."""
        with pytest.raises(EngineNotFound) as caught:
            connection.connect()
        assert "start Docker" in caught.value.remedy

    # The SDK leaves the socket that it could not connect to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_socket_that_may_not_be_opened_is_not_a_missing_engine(self, tmp_path: Path) -> None:
        """Permission denied is told apart: the remedy is a group, not an installation."""
        path = tmp_path / "docker.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            path.chmod(0o000)
            with ordinary_user(tmp_path), pytest.raises(EngineError) as caught:
                connection.connect()

        assert caught.type is EngineError
        assert "docker" in caught.value.remedy
        del caught
        gc.collect()

    def test_the_host_of_published_ports_is_the_engines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ports that a tcp engine publishes are reached at its host, not at this machine's loopback."""
        with fake_engine("28.0.0", driver="overlayfs") as endpoint:
            monkeypatch.setenv("DOCKER_HOST", endpoint.replace("tcp://127.0.0.1", "localhost"))
            found = connected(connection.connect())

        assert (found.host, found.is_local, found.has_containerd_store) == ("localhost", False, True)


@contextmanager
def ordinary_user(home: Path) -> Iterator[None]:
    """Lay root's rights down for a while; nothing to do where the tests do not run as root."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (home, *home.parents):
        if folder.stat().st_mode & 0o001 == 0 and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
