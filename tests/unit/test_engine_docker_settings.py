"""Docker's own settings, in files that a test writes; `tests/engine/test_remote.py` asks the docker client, too."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layerlab.engine.docker_settings import (
    HELPER_PREFIX,
    Candidate,
    Logins,
    address,
    candidates,
    configuration,
    tell_of_logins,
)
from layerlab.errors import EngineError
from layerlab.ui.progress import Step


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the settings, which is empty."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "settings"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder on the PATH, for credential helpers."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write_context(folder: Path, name: str, meta: object, *, certificates: tuple[str, ...] = ()) -> None:
    """Write a context where ``docker context create`` does."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    path = folder / "contexts/meta" / identity / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(meta if isinstance(meta, str) else json.dumps(meta))
    if certificates:
        tls = folder / "contexts/tls" / identity / "docker"
        tls.mkdir(parents=True)
        for certificate in certificates:
            (tls / f"{certificate}.pem").touch()


def at(host: str | None, **more: object) -> dict[str, Any]:
    """What a context's file holds."""
    endpoint = more if host is None else {"Host": host, **more}
    return {"Name": "farm", "Metadata": {}, "Endpoints": {"docker": endpoint}}


class TestAddress:
    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("localhost:2375", "tcp://localhost:2375"),
            ("localhost", "tcp://localhost:2375"),
            ("tcp://localhost", "tcp://localhost:2375"),
            ("tcp://", "tcp://127.0.0.1:2375"),
            (":", "tcp://127.0.0.1:2375"),
            ("tcp://:2399", "tcp://127.0.0.1:2399"),
            ("tcp://localhost/", "tcp://localhost:2375/"),
            ("tcp://localhost:", "tcp://localhost:2375"),
            ("127.0.0.2:2376", "tcp://127.0.0.2:2376"),
            ("tcp://[::1]:", "tcp://[::1]:2375"),
            ("::1", "tcp://[::1]:2375"),
            ("[::1]", "tcp://[::1]:2375"),
            ("tcp://engine.example:2375/below", "tcp://engine.example:2375/below"),
            (" tcp://localhost \n", "tcp://localhost:2375"),
            ("unix://", "unix:///var/run/docker.sock"),
            (" ", "unix:///var/run/docker.sock"),
            ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
            ("ssh://somebody@engine.example", "ssh://somebody@engine.example"),
            ("http://localhost:2375", "http://localhost:2375"),
        ],
    )
    def test_what_is_not_said_is_dockers_default(self, said: str, meant: str) -> None:
        """Scheme, host, port and socket, each where it is missing."""
        assert address(said) == meant

    @pytest.mark.parametrize("said", ["localhost", "tcp://localhost", "tcp://localhost:2376"])
    def test_with_certificates_the_port_is_another(self, said: str) -> None:
        """2376 is registered for it, and is where dockerd listens by default then."""
        assert address(said, tls=True) == "tcp://localhost:2376"

    def test_a_relative_socket_lies_here(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The address is passed on to programs that run elsewhere."""
        monkeypatch.chdir(tmp_path)

        assert address("unix://docker.sock") == f"unix://{tmp_path}/docker.sock"


def chosen() -> Candidate | None:
    """The engine that the settings name; None if they name none."""
    return next((candidate for candidate in candidates() if candidate.chosen), None)


class TestContext:
    def test_one_is_found_without_a_configuration(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """``config.json`` is there only once something is configured."""
        write_context(folder, "farm", at("tcp://127.0.0.1:9"))
        monkeypatch.setenv("DOCKER_CONTEXT", "farm")

        assert chosen() == Candidate("tcp://127.0.0.1:9", "the docker context 'farm'", chosen=True, context="farm")

    @pytest.mark.parametrize(
        "content",
        [
            *('{"currentContext": ""}', '{"currentContext": null}', '{"currentContext": "default"}', "{}"),
            *('{"currentContext": 7}', "[]", "null", "", "currentContext", '{"currentContext": "farm",}'),
        ],
    )
    def test_where_none_is_named_it_is_the_default_one(self, folder: Path, content: str) -> None:
        """Empty, null, or nothing that can be read."""
        write_context(folder, "farm", at("tcp://127.0.0.1:9"))
        (folder / "config.json").write_text(content)

        assert chosen() is None

    @pytest.mark.parametrize(
        "more", ["", ', "credsStore": {}', ', "auths": {"a": {"auth": "@"}}', ', "proxies": []', ', "auths": null']
    )
    def test_what_else_cannot_be_read_does_not_hide_it(self, folder: Path, more: str) -> None:
        """The docker client warns of it, and goes on with the rest."""
        write_context(folder, "farm", at("localhost"))
        (folder / "config.json").write_text(f'{{"currentContext": "farm"{more}}} and more')

        found = chosen()
        assert found is not None
        assert found.endpoint == "tcp://localhost:2375"
        assert bool(configuration().trouble) == (more not in {"", ', "auths": null'})

    @pytest.mark.parametrize("host", ["", None])
    def test_without_a_host_it_is_the_usual_socket(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, host: str | None
    ) -> None:
        """As with the docker client."""
        write_context(folder, "farm", at(host))
        monkeypatch.setenv("DOCKER_CONTEXT", "farm")

        found = chosen()
        assert found is not None
        assert found.endpoint == "unix:///var/run/docker.sock"

    @pytest.mark.parametrize(
        ("meta", "said"),
        [
            ({"Endpoints": {}}, "cannot be read"),
            ({"Endpoints": {"docker": None}}, "cannot be read"),
            ([], "cannot be read"),
            ("{", "cannot be read"),
            (None, "does not exist"),
        ],
    )
    def test_one_that_cannot_be_used_is_named(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, meta: object, said: str
    ) -> None:
        """It is the user's to mend; no other engine is taken instead."""
        if meta is not None:
            write_context(folder, "farm", meta)
        monkeypatch.setenv("DOCKER_CONTEXT", "farm")

        with pytest.raises(EngineError, match=f"docker context, farm, {said}") as caught:
            chosen()
        assert "docker context ls" in caught.value.remedy

    @pytest.mark.parametrize(
        ("certificates", "more", "verifies", "endpoint"),
        [
            (("ca", "cert", "key"), {}, True, "tcp://localhost:2376"),
            (("ca",), {}, True, "tcp://localhost:2376"),
            ((), {"SkipTLSVerify": True}, False, "tcp://localhost:2376"),
            ((), {}, None, "tcp://localhost:2375"),
        ],
        ids=["all", "only the engine's", "unverified", "none"],
    )
    def test_its_certificates_are_used(
        self,
        folder: Path,
        certificates: tuple[str, ...],
        more: dict[str, bool],
        *,
        verifies: bool | None,
        endpoint: str,
    ) -> None:
        """Those that it holds, and no others."""
        write_context(folder, "farm", at("localhost", **more), certificates=certificates)
        (folder / "config.json").write_text('{"currentContext": "farm"}')

        found = chosen()
        assert found is not None
        assert found.endpoint == endpoint
        assert (found.tls and found.tls.verify) is verifies
        assert bool(found.tls and found.tls.cert) == ("cert" in certificates)


class TestCertificates:
    def test_none_are_wanted(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Nobody asks for an encrypted connection."""
        monkeypatch.setenv("DOCKER_HOST", "tcp://localhost")

        found = chosen()
        assert found is not None
        assert (found.endpoint, found.tls) == ("tcp://localhost:2375", None)

    @pytest.mark.parametrize(("variable", "verifies"), [("DOCKER_TLS_VERIFY", True), ("DOCKER_TLS", False)])
    def test_they_lie_beside_the_configuration(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, variable: str, *, verifies: bool
    ) -> None:
        """Where DOCKER_CERT_PATH names no other place."""
        for name in ("ca", "cert", "key"):
            (folder / f"{name}.pem").touch()
        monkeypatch.setenv(variable, "1")
        monkeypatch.setenv("DOCKER_HOST", "localhost")

        found = chosen()
        assert found is not None
        assert found.tls is not None
        assert (found.tls.verify, found.tls.ca_cert) == (verifies, str(folder / "ca.pem"))

    def test_a_missing_one_is_named(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Without it nobody could say whose engine that is."""
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_HOST", "localhost")

        with pytest.raises(EngineError, match=r"no ca\.pem in") as caught:
            chosen()
        assert "DOCKER_CERT_PATH" in caught.value.remedy


ANSWER = json.dumps({"ServerURL": "x", "Username": "somebody", "Secret": "something"})


def tell(logins: Logins, steps: list[Step]) -> None:
    """Report as for a client that asks these for logins."""
    client: Any = SimpleNamespace(api=SimpleNamespace(_auth_configs=logins))
    tell_of_logins(client, steps.append)


class TestLogins:
    @pytest.mark.parametrize(
        ("program", "said"),
        [
            (None, "not installed"),
            ("#!/bin/sh\necho 'the keychain is locked'; exit 1\n", "the keychain is locked"),
            ("#!/bin/sh\necho hello\n", "answers what is no login"),
            ("#!/bin/sh\necho '{}'\n", "answers what is no login"),
            ("#!/no/such/shell\n", "not installed"),
        ],
        ids=["missing", "fails", "no JSON", "no login", "cannot be run"],
    )
    @pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
    def test_a_helper_that_fails_has_none_and_it_is_said_once(
        self, folder: Path, programs: Path, key: str, program: str | None, said: str
    ) -> None:
        """Public images need none; a warning of the SDK's would be an error here."""
        value = "desktop" if key == "credsStore" else {"registry.example": "desktop"}
        (folder / "config.json").write_text(json.dumps({key: value}))
        if program:
            (programs / f"{HELPER_PREFIX}desktop").write_text(program)
            (programs / f"{HELPER_PREFIX}desktop").chmod(0o755)
        logins, steps = Logins(), list[Step]()

        for _ in range(2):
            assert not logins.resolve_authconfig("registry.example")
            tell(logins, steps)
        (step,) = steps
        assert step.title.startswith("going on without a login: ")
        assert f"{HELPER_PREFIX}desktop" in step.title
        assert said in step.title

    def test_a_login_that_the_file_holds_is_used_then(self, folder: Path) -> None:
        """`docker login` writes it there where no helper keeps it."""
        auths = {"registry.example": {"auth": "c29tZWJvZHk6c29tZXRoaW5n"}}  # somebody:something
        (folder / "config.json").write_text(json.dumps({"credsStore": "desktop", "auths": auths}))

        login = Logins().resolve_authconfig("registry.example")
        assert login is not None
        assert (login["username"], login["password"]) == ("somebody", "something")

    def test_a_helper_that_works_is_asked(self, folder: Path, programs: Path) -> None:
        """And nothing is said."""
        (folder / "config.json").write_text('{"credsStore": "desktop"}')
        (programs / f"{HELPER_PREFIX}desktop").write_text(f"#!/bin/sh\necho '{ANSWER}'\n")
        (programs / f"{HELPER_PREFIX}desktop").chmod(0o755)
        logins, steps = Logins(), list[Step]()

        login = logins.resolve_authconfig("registry.example")
        tell(logins, steps)
        assert login is not None
        assert (login["Username"], login["Password"], steps) == ("somebody", "something", [])

    def test_one_that_fails_turns_off_no_other(self, folder: Path, programs: Path) -> None:
        """Each registry may have a helper of its own."""
        (folder / "config.json").write_text('{"credHelpers": {"a.example": "gone", "b.example": "desktop"}}')
        (programs / f"{HELPER_PREFIX}desktop").write_text(f"#!/bin/sh\necho '{ANSWER}'\n")
        (programs / f"{HELPER_PREFIX}desktop").chmod(0o755)
        logins, steps = Logins(), list[Step]()

        for _ in range(2):
            assert not logins.resolve_authconfig("a.example")
            assert logins.resolve_authconfig("b.example")
            tell(logins, steps)
        assert [step.key for step in steps] == [f"{HELPER_PREFIX}gone"]

    def test_who_logs_in_later_is_known(self, folder: Path) -> None:
        """A notebook's connection lasts for hours."""
        logins = Logins()
        before = logins.resolve_authconfig("registry.example")
        auths = {"registry.example": {"auth": "c29tZWJvZHk6c29tZXRoaW5n"}}
        (folder / "config.json").write_text(json.dumps({"auths": auths}))

        assert before is None
        assert logins.resolve_authconfig("registry.example") is not None

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            ('{"credsStore": "b", "credHelpers": {"x": "c", "y": "a", "z": 7}}', "abc"),
            ('{"credHelpers": []}', ""),
            ('{"credsStore": {}}', ""),
        ],
    )
    def test_the_helpers_are_named(self, folder: Path, content: str, names: str) -> None:
        """For who looks whether they are installed."""
        (folder / "config.json").write_text(content)

        assert configuration().helpers == [f"{HELPER_PREFIX}{name}" for name in names]
