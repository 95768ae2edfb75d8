"""Docker's own settings, read as the docker client reads them: where an engine may be, and who keeps the logins.

The SDK reads them, too, but finds no context without a ``config.json``, knows none of Docker's defaults for an
address, and gives up where a credential helper is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
from docker import DockerClient
from docker.auth import AuthConfig, load_config
from docker.errors import DockerException
from docker.tls import TLSConfig

from layerlab.errors import EngineError
from layerlab.paths import read_object
from layerlab.ui.progress import Report, Step
from layerlab.ui.text import one_line

USUAL_SOCKET: Final = "/var/run/docker.sock"
HELPER_PREFIX: Final = "docker-credential-"


@dataclass(frozen=True)
class Candidate:
    """A place where an engine may be.

    Attributes:
        endpoint: Its address, such as ``unix:///var/run/docker.sock``.
        source: Where that address comes from, in words.
        chosen: Whether the user named it. Then it is used or reported, never passed over for another.
        context: The docker context that names it; empty if none does.
        tls: Certificates, where the user has given some.
    """

    endpoint: str
    source: str
    chosen: bool
    context: str = ""
    tls: TLSConfig | None = None


def candidates() -> Iterator[Candidate]:
    """The places where an engine may be, the most wanted first.

    Raises:
        EngineError: the docker context that is set does not exist or cannot be read, or a certificate is missing.
    """
    name = os.environ.get("DOCKER_CONTEXT") or read_object(configuration_file()).get("currentContext") or "default"
    if host := os.environ.get("DOCKER_HOST"):
        tls = _tls_from_environment()
        yield Candidate(address(host, tls=tls is not None), "DOCKER_HOST", chosen=True, tls=tls)
    elif name != "default":
        yield _of_context(str(name))
    else:
        for path in usual_sockets():
            yield Candidate(f"unix://{path}", "a usual socket", chosen=False)


def usual_sockets() -> list[Path]:
    """The sockets at which engines usually listen, whether or not they exist."""
    home = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return [
        Path(USUAL_SOCKET),
        runtime / "docker.sock",
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        home / ".colima/default/docker.sock",
        home / ".orbstack/run/docker.sock",
        home / ".rd/docker.sock",
    ]


def address(host: str, *, tls: bool = False) -> str:
    """An engine's address with what Docker adds to it where it is not said.

    >>> address("localhost"), address("tcp://127.0.0.1", tls=True), address("unix://")
    ('tcp://localhost:2375', 'tcp://127.0.0.1:2376', 'unix:///var/run/docker.sock')
    """
    scheme, _, rest = (host if "://" in host else f"tcp://{host}").strip().partition("://")
    if scheme == "unix":
        rest = rest or USUAL_SOCKET
    elif scheme == "tcp" and not re.search(r":\d+(/|$)", rest):
        rest = f"{rest or '127.0.0.1'}:{2376 if tls else 2375}"
    return f"{scheme}://{rest}"


def configuration_file() -> Path:
    """Docker's ``config.json``, whether or not it is there."""
    return _folder() / "config.json"


def credential_helpers() -> list[str]:
    """The programs that ``config.json`` names to ask for logins, sorted."""
    content = read_object(configuration_file())
    names = {content.get("credsStore"), *(content.get("credHelpers") or {}).values()}
    return sorted(f"{HELPER_PREFIX}{name}" for name in names if name)


def _folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _of_context(name: str) -> Candidate:
    contexts, identity = _folder() / "contexts", hashlib.sha256(os.fsencode(name)).hexdigest()
    remedy = "see `docker context ls`, or choose one with `docker context use default`"
    try:
        meta = (contexts / "meta" / identity / "meta.json").read_text(encoding="utf-8")
        endpoint = json.loads(meta)["Endpoints"]["docker"]
        host, verifies = endpoint.get("Host") or "unix://", not endpoint.get("SkipTLSVerify")
    except FileNotFoundError as error:
        raise EngineError(f"the current docker context, {name}, does not exist", remedy=remedy) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"the current docker context, {name}, cannot be read ({error})", remedy=remedy) from error
    certificates = contexts / "tls" / identity / "docker"
    tls = _certificates(certificates, verifies=verifies) if certificates.is_dir() or not verifies else None
    source = f"the docker context {name!r}"
    return Candidate(address(host, tls=tls is not None), source, chosen=True, context=name, tls=tls)


def _tls_from_environment() -> TLSConfig | None:
    """What DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH ask for."""
    verifies = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verifies and not os.environ.get("DOCKER_TLS"):
        return None
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or _folder())
    if verifies and not (folder / "ca.pem").is_file():
        raise EngineError(
            f"DOCKER_TLS_VERIFY is set, and there is no ca.pem in {folder}",
            remedy="set DOCKER_CERT_PATH to the folder with the certificates, or unset DOCKER_TLS_VERIFY",
        )
    return _certificates(folder, verifies=verifies)


def _certificates(folder: Path, *, verifies: bool) -> TLSConfig:
    if not verifies:  # as somebody has asked for
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    ca, cert, key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
    return TLSConfig(
        client_cert=(str(cert), str(key)) if cert.exists() and key.exists() else None,
        ca_cert=str(ca) if ca.exists() else None,
        verify=verifies,
    )


class Logins(AuthConfig):
    """Whom the SDK asks for a login. The settings are read each time: somebody may have logged in meanwhile.

    A credential helper that fails is told of once, and asked no more.
    """

    is_empty = False  # else the SDK would read the settings by itself

    def __init__(self) -> None:
        super().__init__({})
        self.trouble = ""
        self._has_failed = False

    def resolve_authconfig(self, registry: str | None = None) -> dict[str, Any] | None:
        """The login for a registry; None if there is none."""
        logins = load_config()
        login: dict[str, Any] | None
        try:
            if not self._has_failed:
                with warnings.catch_warnings(action="ignore"):  # the SDK warns of one that is missing, and raises
                    login = logins.resolve_authconfig(registry)
                return login
        except (DockerException, ValueError, LookupError, TypeError) as error:
            helper = f"{HELPER_PREFIX}{logins.get_credential_store(registry)}"
            self.trouble = one_line(str(error.__cause__ or f"{helper} answers what is no login")).rstrip(".")
            self._has_failed = True
        login = AuthConfig({"auths": logins.auths}).resolve_authconfig(registry)
        return login


def tell_of_logins(client: DockerClient, report: Report) -> None:
    """Report a credential helper that has failed when this client asked it, once."""
    logins = client.api._auth_configs  # type: ignore[attr-defined]
    if why := getattr(logins, "trouble", ""):
        report(Step("logins", f"going on without a login: {why}", "failed"))
        logins.trouble = ""
