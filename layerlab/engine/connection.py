"""The Docker Engine that everything here talks to: the one that the user already has.

Looked for in this order: ``DOCKER_HOST``, the current docker context (where Docker Desktop, Colima, OrbStack and
rootless engines live), the usual sockets. Installing and starting one is ``layerlab.engine.daemon``'s business.
"""

from __future__ import annotations

import re
import socket
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.utils import config as sdk_config

from layerlab.engine.docker_settings import Candidate, Logins, candidates, configuration
from layerlab.engine.symptoms import disk_full, is_disk_full
from layerlab.errors import EngineError, EngineGone, EngineNotFound, EngineTooOld

MINIMUM_VERSION: Final = (20, 10)
CONNECT_TIMEOUT: Final = 15  # seconds; an engine on a busy machine may need some to say its version
_FIRST_API: Final = "1.41"  # that of `MINIMUM_VERSION`; what the engine speaks is asked for first of all
_TIMEOUT_AT_END: Final = 30  # seconds for each answer, once the user has asked for an end
SDK_ERRORS: Final = (DockerException, requests.RequestException)
"""What the SDK raises where an engine refuses something or does not answer."""

# The kernel asks the other side after 15 s of silence, 3 times within 15 s (tcp(7)): so it is noticed when the other
# machine, or the way to it, is gone.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
urllib3.connection.HTTPConnection.default_socket_options += [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in _KEEPALIVE if hasattr(socket, name)),
]

_clients: weakref.WeakSet[docker.APIClient] = weakref.WeakSet()

# The SDK takes it for granted that config.json holds what it should.
sdk_config.load_general_config = lambda *_: {"proxies": configuration().proxies}


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers."""

    client: docker.DockerClient = field(repr=False)  # the SDK's
    endpoint: str  # its address, fit for ``DOCKER_HOST``
    source: str  # where that address came from, in words
    version: str  # such as ``20.10.24+dfsg1``
    storage_driver: str  # ``overlay2``, ``overlayfs`` (the containerd image store) ...
    root_directory: str  # where it keeps its data, on its own machine
    host: str  # the name or address under which the ports that it publishes are reached
    is_local: bool  # whether it is reached over a socket of this machine
    is_podman: bool = False  # which speaks the engine's API and has no BuildKit
    maps_users: bool = False  # whether its containers' files have other owners on its machine: rootless, userns-remap
    context: str = ""  # the docker context that names it; empty if none does
    platform: str = ""  # such as ``linux/amd64``, as BuildKit's TARGETPLATFORM has it; empty where it does not say

    @property
    def environment(self) -> dict[str, str]:
        """By which a docker client finds it. A context may hold certificates, and DOCKER_HOST would win over it."""
        return {"DOCKER_CONTEXT": self.context} if self.context else {"DOCKER_HOST": self.endpoint}

    @property
    def has_containerd_store(self) -> bool:
        """Whether images live in containerd, where overlay2's directories do not exist."""
        known = {"overlay2", "btrfs", "zfs", "vfs", "fuse-overlayfs", "aufs"}
        return not self.is_podman and self.storage_driver not in known


def connect() -> Engine:
    """The engine that is reachable now; nothing is installed or started.

    Raises:
        EngineNotFound: nothing answers.
        EngineTooOld: the engine is older than `MINIMUM_VERSION`.
        EngineError: one is there, but may not be opened or does not answer, or the docker context cannot be read.

    >>> connect().client.ping() == engine.client.ping()
    True
    """
    failure: EngineError | None = None
    for candidate in candidates():
        try:
            return open_engine(candidate)
        except EngineError as error:
            if candidate.chosen or isinstance(error, EngineTooOld):
                raise
            if not isinstance(error, EngineNotFound):
                failure = failure or error
    if failure:
        raise failure
    raise EngineNotFound(
        "no Docker engine answers (tried DOCKER_HOST, the docker context and the usual sockets)",
        remedy="start Docker, or run ./lab as root on Debian or Ubuntu, which installs it",
    )


def open_engine(candidate: Candidate) -> Engine:
    """Connect to this one, and learn what it is.

    Raises:
        EngineError: see `connect`.
    """
    endpoint = candidate.endpoint
    try:
        url = urlsplit(endpoint)
    except ValueError as error:
        raise _why_not(candidate, error) from error
    if url.scheme == "unix" and not Path(url.path).is_socket():
        raise EngineNotFound(f"there is no socket at {url.path}", remedy="start Docker")
    client = None
    if url.scheme == "ssh":  # the SDK wants paramiko for it, even where it only runs `ssh`
        sys.modules.setdefault("paramiko", ModuleType("paramiko"))
        docker.api.client.SSHHTTPAdapter = import_module("docker.transport.sshconn").SSHHTTPAdapter  # type: ignore[attr-defined]
    try:
        client = docker.DockerClient(
            base_url=endpoint,
            version=_FIRST_API,
            timeout=CONNECT_TIMEOUT,
            tls=candidate.tls or False,
            use_ssh_client=url.scheme == "ssh",
        )
        # Else REQUESTS_CA_BUNDLE wins over the user's certificates, and a proxy is asked for this very machine.
        client.api.trust_env = False
        if url.hostname and url.hostname not in {"localhost", "::1"} and not url.hostname.startswith("127."):
            client.api.proxies = requests.utils.get_environ_proxies(client.api.base_url)
        version = client.api.version(api_version=False)
        client.api._version = str(version["ApiVersion"])  # type: ignore[attr-defined]
        info = client.info()
    except (DockerException, requests.RequestException, OSError, ValueError, LookupError, TypeError) as error:
        if client is not None:
            client.close()
        raise _why_not(candidate, error) from error
    # Builds, pulls and exports say nothing for minutes; whoever needs a limit sets one of its own.
    client.api.timeout = None  # type: ignore[assignment]  # requests takes None, the stubs do not know
    client.api._auth_configs = Logins()  # type: ignore[attr-defined]
    _clients.add(client.api)
    engine = Engine(
        client=client,
        endpoint=endpoint,
        source=candidate.source,
        version=str(version.get("Version", "?")),
        storage_driver=str(info.get("Driver", "?")),
        root_directory=str(info.get("DockerRootDir", "")),
        host=url.hostname if url.scheme in {"tcp", "http", "https", "ssh"} and url.hostname else "127.0.0.1",
        is_local=url.scheme in {"unix", "http+unix", "npipe"},
        is_podman=any("Podman" in str(part.get("Name")) for part in version.get("Components") or ()),
        context=candidate.context,
        maps_users=bool({"name=rootless", "name=userns"} & set(info.get("SecurityOptions") or ())),
        platform=_platform(version, info),
    )
    numbers = tuple(int(n) for n in re.findall(r"\d+", engine.version)[:2])
    if numbers and numbers < MINIMUM_VERSION and not engine.is_podman:  # which counts its own versions
        client.close()
        wanted = ".".join(map(str, MINIMUM_VERSION))
        raise EngineTooOld(
            f"the Docker engine at {endpoint} is version {engine.version}, and the lab needs {wanted} or newer",
            remedy="update Docker, or point DOCKER_HOST to a newer engine",
        )
    return engine


def _platform(version: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """The engine's platform; of the architectures, ARM alone has a variant, which its kernel tells."""
    system, architecture = version.get("Os"), version.get("Arch")
    if not system or not architecture:
        return ""
    generation = re.match(r"armv(\d)", str(info.get("Architecture")))
    variant = f"/v{generation[1] if generation else 7}" if architecture == "arm" else ""
    return f"{system}/{architecture}{variant}"


def hurry() -> None:
    """Let each further answer of an engine take a short while at most: the user has asked for an end."""
    for client in list(_clients):
        client.timeout = _TIMEOUT_AT_END


def _why_not(candidate: Candidate, error: Exception) -> EngineError:
    text = str(error)
    where = f"{candidate.endpoint} ({candidate.source})"
    if "Permission denied" in text or "PermissionError" in text:
        return EngineError(
            f"the Docker engine's socket {where} may not be opened by this user",
            remedy="run `sudo usermod -aG docker $USER` and log in again, or run ./lab with sudo",
        )
    if "Read timed out" in text or (candidate.endpoint.startswith("unix://") and "timed out" in text):
        return EngineError(
            f"the Docker engine at {where} has not answered within {CONNECT_TIMEOUT} s",
            remedy="it is busy, suspended or stuck: wait and repeat, or start it again",
        )
    return EngineNotFound(
        f"no Docker engine answers at {where}",
        remedy="start it, or unset what points there (`unset DOCKER_HOST`, `docker context use default`)",
    )


def gone(engine: Engine, error: BaseException) -> EngineGone:
    """The error to raise when an engine that answered before does not any more."""
    return EngineGone(
        f"the Docker engine at {engine.endpoint} stopped answering ({_in_words(error)})",
        remedy="see `./lab doctor`, start the engine again and repeat the command",
    )


def _in_words(error: BaseException) -> str:
    """What became of the connection."""
    text = f"{type(error).__name__} {error}"
    if re.search(r"timed? ?out", text, re.IGNORECASE):
        return "no answer in time"
    if re.search(r"refused|No such file|FileNotFound|unreachable|No route", text):
        return "nobody can be reached there"
    if re.search(r"ChunkedEncoding|Incomplete|Protocol|reset|aborted|broken|closed|Disconnected|EOF", text, re.I):
        return "the connection broke off"
    return type(error).__name__


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Turn what the SDK raises in this block into the lab's errors.

    Raises:
        EngineError: the engine answered, and said no.
        EngineGone: the engine stopped answering.
    """
    try:
        yield
    except APIError as error:  # first: the SDK derives it from requests' exception
        said = str(error.explanation or error)
        if is_disk_full(said):
            raise disk_full(said) from error
        raise EngineError(
            f"the Docker engine did not do what it was asked for ({said})",
            remedy="see `./lab doctor` and the engine's own log, then repeat",
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise gone(engine, error) from error
