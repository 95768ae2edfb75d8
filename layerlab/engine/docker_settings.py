"""Docker's own settings, read as the docker client reads them: where an engine may be, and who keeps the logins.

The SDK reads them, too, but finds no context without a ``config.json``, knows none of Docker's defaults for an
address, trips over a file that holds something else, and gives up where a credential helper is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
from docker import DockerClient
from docker.auth import AuthConfig
from docker.errors import DockerException
from docker.tls import TLSConfig

from layerlab.errors import EngineError
from layerlab.ui.progress import Report, Step
from layerlab.ui.text import one_line

USUAL_SOCKET: Final = "/var/run/docker.sock"
HELPER_PREFIX: Final = "docker-credential-"
_Kind = TypeVar("_Kind", str, dict[str, Any])


@dataclass(frozen=True)
class Candidate:
    """A place where an engine may be."""

    endpoint: str  # its address, such as ``unix:///var/run/docker.sock``
    source: str  # where that address comes from, in words
    chosen: bool  # whether the user named it: then it is used or reported, never passed over for another
    context: str = ""  # the docker context that names it; empty if none does
    tls: TLSConfig | None = None  # certificates, where the user has given some


@dataclass(frozen=True)
class Configuration:
    """What ``config.json`` says, as far as it matters here."""

    path: Path  # the file, whether or not it is there
    current_context: str  # the name of a docker context; empty for the default
    proxies: Mapping[str, Any]  # the proxies for builds, by the engine's address or ``default``
    logins: Mapping[str, Any]  # those that it holds, and the helpers that keep others, in the SDK's form
    trouble: str  # what of it cannot be read, and is passed over as by the docker client

    @property
    def helpers(self) -> list[str]:
        """The programs that it names to ask for logins, sorted."""
        names = {self.logins.get("credsStore"), *self.logins.get("credHelpers", {}).values()}
        return sorted(HELPER_PREFIX + name for name in names if name)


def candidates() -> Iterator[Candidate]:
    """The places where an engine may be, the most wanted first.

    Raises:
        EngineError: the docker context that is set does not exist or cannot be read, or a certificate is missing.
    """
    name = os.environ.get("DOCKER_CONTEXT") or configuration().current_context or "default"
    if host := os.environ.get("DOCKER_HOST"):
        tls = _tls_from_environment()
        yield Candidate(address(host, tls=tls is not None), "DOCKER_HOST", chosen=True, tls=tls)
    elif name != "default":
        yield _of_context(name)
    else:
        for path in usual_sockets():
            yield Candidate(f"unix://{path}", "a usual socket", chosen=False)


def usual_sockets() -> list[Path]:
    """The sockets at which engines usually listen, whether or not they exist."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    of_user = (".docker/run", ".docker/desktop", ".colima/default", ".orbstack/run", ".rd")
    return [Path(USUAL_SOCKET), runtime / "docker.sock", *(Path.home() / name / "docker.sock" for name in of_user)]


def address(host: str, *, tls: bool = False) -> str:
    """An engine's address with what Docker adds to it where it is not said.

    >>> address("localhost"), address("tcp://"), address("unix://")
    ('tcp://localhost:2375', 'tcp://127.0.0.1:2375', 'unix:///var/run/docker.sock')
    >>> address("127.0.0.2:2376"), address("::1", tls=True)
    ('tcp://127.0.0.2:2376', 'tcp://[::1]:2376')
    """
    scheme, has_scheme, rest = (host.strip() or "unix://").partition("://")
    if not has_scheme:
        scheme, rest = "tcp", scheme
    if scheme == "unix":
        return f"unix://{Path(rest or USUAL_SOCKET).absolute()}"
    where, slash, path = rest.partition("/")
    if where.count(":") > 1 and not where.startswith("["):
        where = f"[{where}]"
    parts = re.fullmatch(r"(.*?)(?::([^:\]]*))?", where)
    if scheme != "tcp" or parts is None:
        return host.strip()
    return f"tcp://{parts[1] or '127.0.0.1'}:{parts[2] or (2376 if tls else 2375)}{slash}{path}"


def configuration() -> Configuration:
    """What ``config.json`` says now; what has not the form that it should is left out."""
    path = _folder() / "config.json"
    troubles: list[str] = []
    content: Any = {}
    try:
        text = path.read_text(encoding="utf-8").lstrip()
        content, _ = json.JSONDecoder().raw_decode(text or "{}")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        troubles.append(str(error))

    def value(key: str, kind: type[_Kind]) -> _Kind:
        found = content.get(key) if isinstance(content, dict) else None
        if isinstance(found, kind):
            return found
        if found is not None:
            troubles.append(f"{key} has to be {'a string' if kind is str else 'an object'}")
        return kind()

    try:
        auths = AuthConfig.parse_auth(value("auths", dict), raise_on_error=True)
    except (DockerException, ValueError, TypeError) as error:
        troubles.append(f"auths: {error}")
        auths = {}
    helpers = {at: each for at, each in value("credHelpers", dict).items() if isinstance(each, str)}
    return Configuration(
        path,
        current_context=value("currentContext", str),
        proxies={at: each for at, each in value("proxies", dict).items() if isinstance(each, dict)},
        logins={"auths": auths, "credsStore": value("credsStore", str), "credHelpers": helpers},
        trouble="; ".join(troubles),
    )


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

    A credential helper that fails is told of once, and asked no more; there is no login then, as where it knows none.
    """

    is_empty = False  # else the SDK would read the file by itself

    def __init__(self) -> None:
        super().__init__({})
        self.troubles: dict[str, str] = {}  # by the helper's name; empty once it was told

    def resolve_authconfig(self, registry: str | None = None) -> dict[str, Any] | None:
        """The login for a registry as `configuration` has it now; None if there is none."""
        logins = AuthConfig(dict(configuration().logins))
        helper = f"{HELPER_PREFIX}{logins.get_credential_store(registry)}"
        login: dict[str, Any] | None
        try:
            if helper not in self.troubles:
                with warnings.catch_warnings(action="ignore"):  # the SDK warns of one that is missing, and raises
                    login = logins.resolve_authconfig(registry)
                return login
        except (DockerException, ValueError, LookupError, TypeError) as error:
            self.troubles[helper] = str(error.__cause__ or f"{helper} answers what is no login")
        login = AuthConfig({"auths": logins.auths}).resolve_authconfig(registry)
        return login


def tell_of_logins(client: DockerClient, report: Report) -> None:
    """Report each credential helper that has failed when this client asked it, once."""
    logins = client.api._auth_configs  # type: ignore[attr-defined]
    for helper, why in getattr(logins, "troubles", {}).items():
        if why:
            report(Step(helper, f"going on without a login: {one_line(why).rstrip('.')}", "failed"))
            logins.troubles[helper] = ""
