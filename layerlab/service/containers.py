"""A service's container: made, started, reached at an address, and removed whatever happens."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import docker.errors
import requests
from docker.errors import APIError, DockerException
from docker.models.containers import Container
from docker.types import LogConfig
from docker.utils import parse_bytes

from layerlab.engine import Engine, disk_full, gone, is_disk_full, runs
from layerlab.errors import ImageNotFound, LabError, PortInUse, ServiceError, UsageError
from layerlab.service.diagnosis import LOG_LINES, not_ready, why_not_ready, why_not_started
from layerlab.service.ending import printed
from layerlab.service.engine_calls import engine_errors, explanation, read_beginning
from layerlab.service.running_service import Service
from layerlab.service.waiting import Wait, wait_for_answer

CONTAINER_PORT: Final = 5000
LOG_LIMIT: Final = "10m"  # a service that prints without end must not fill the disk

_HARDENED: Final = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108  # inside, and nobody else's
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
_PORT_TAKEN: Final = re.compile(r"port is already allocated|address already in use|ports are not available", re.I)


@contextmanager
def run(
    engine: Engine,
    image: str,
    *,
    command: str | Sequence[str] | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    hardened: bool = True,
    memory: str = "512m",
    cpus: float = 1.0,
    pids: int = 256,
    wait: float = 30.0,
    user: str | int | None = None,
    container_port: int = CONTAINER_PORT,
    name: str | None = None,
) -> Iterator[Service]:
    """Run an image of the service, and remove its container in the end, whatever happens.

    Args:
        engine: Where it runs.
        image: A name or an id.
        command: Instead of the image's CMD.
        port: The port of the engine's machine at which it is published; a free one by default. Only on
            127.0.0.1, unless the engine is remote: then on all addresses of that machine.
        environment: Variables beside those of the image.
        hardened: Read-only root, a small /tmp in memory, no capabilities, no new privileges. If False, as
            ``docker run -d -p`` has it. The limits below hold in both cases.
        memory: The most that it may use, without swap, as ``docker run --memory`` takes it.
        cpus: The most processors that it may keep busy.
        pids: The most processes and threads that it may have.
        wait: Seconds from its start until it must have answered ``GET /status`` with 200; more where this machine
            has too much to do while the service is still at work.
        user: Who runs it, instead of the image's USER.
        container_port: The port on which it listens.
        name: The container's name; the engine gives one by default.

    Raises:
        UsageError: an option that cannot be.
        ImageNotFound: no such image.
        PortInUse: that port is taken; says by whom if it is a container.
        ServiceNotReady: it could not be started, ended, or did not answer; says why.
        EngineGone: the engine does not answer any more.

    >>> with run(engine, "multi-stage-demo:optimized") as service:
    ...     status = service.get("/status").json()["status"]
    ...     first = service.processes()["command"].iloc[0]
    >>> status, first.split()[0].endswith("python")
    ('ok', True)
    """
    with created(
        engine,
        image,
        command=command,
        port=port,
        environment=environment,
        hardened=hardened,
        memory=memory,
        cpus=cpus,
        pids=pids,
        user=user,
        container_port=container_port,
        name=name,
    ) as container:
        started = time.perf_counter()
        _start(engine, container, image, port)
        url = address(engine, container, container_port)
        if url is None and container.attrs["State"]["Running"]:
            raise ServiceError("the engine has published no port", remedy="see `./lab doctor` and the engine's log")
        begun = time.perf_counter() - started
        waited = wait_for_answer(engine, container, url, port=container_port, wait=wait - begun) if url else Wait()
        if url is None or waited.seconds is None:
            failure = why_not_ready(engine, container, waited, container_port)
            raise not_ready(failure, printed(engine, container, LOG_LINES))
        yield Service(engine, url, str(container.id), begun + waited.seconds)


@contextmanager
def created(
    engine: Engine,
    image: str,
    *,
    command: str | Sequence[str] | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    hardened: bool = True,
    memory: str = "512m",
    cpus: float = 1.0,
    pids: int = 256,
    user: str | int | None = None,
    container_port: int = CONTAINER_PORT,
    name: str | None = None,
) -> Iterator[Container]:
    """A container that has been created but not started, and is removed in the end, whatever happens.

    Args and errors: see `run`. It is created in a thread: Ctrl-C interrupts the main one only, so that the answer
    with the container's id is never lost. Leaving the pool waits for it.
    """
    options: dict[str, Any] = {
        "command": command if command is None or isinstance(command, str) else list(command),
        "environment": dict(environment or {}),
        "user": None if user is None else str(user),
        "name": name,
        "labels": runs.container_labels(engine),
        "ports": {
            f"{_checked(container_port)}/tcp": (_bind_address(engine), None if port is None else _checked(port))
        },
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": LOG_LIMIT, "max-file": "1"}),
        **_limits(memory, cpus, pids),
        **(_HARDENED if hardened else {}),
    }
    creation: Future[Container] | None = None
    try:
        with ThreadPoolExecutor(1) as pool:
            creation = pool.submit(_create, engine, image, options)
            container = creation.result()
        yield container
    finally:
        if creation is not None and creation.exception() is None:
            _remove(engine, creation.result())


def read_file(engine: Engine, image: str, path: str, *, most: int = 1_000_000) -> bytes | None:
    """The beginning of a file in an image, which needs no program for that and is not started; None if there is none.

    Raises: see `run`.

    >>> read_file(engine, "multi-stage-demo:optimized", "/etc/passwd").split(b":")[0]
    b'root'
    """
    with created(engine, image, command=["-"]) as container:
        return read_beginning(container, path, most)


def _limits(memory: str, cpus: float, pids: int) -> dict[str, Any]:
    try:
        most = int(parse_bytes(memory))
    except (DockerException, ValueError) as error:
        raise UsageError(f"{memory!r} is no amount of memory", remedy="write it as in '512m' or '1g'") from error
    if cpus <= 0 or pids <= 0:
        raise UsageError(f"a service cannot run with {cpus} cpus and {pids} pids", remedy="give it more than 0")
    return {
        "mem_limit": most,
        "memswap_limit": most,  # memory and swap together: no swap
        "nano_cpus": int(cpus * 1e9),
        "pids_limit": pids,
    }


def _checked(port: int) -> int:
    if not 0 < port < 65536:
        raise UsageError(f"{port} is no port", remedy="choose one from 1 to 65535")
    return port


def _create(engine: Engine, image: str, options: dict[str, Any]) -> Container:
    try:
        with engine_errors(engine, f"running {image}"):
            try:
                return engine.client.containers.create(image, **options)
            except APIError as error:
                raise _cannot_create(error, image) from error
    except ValueError as error:  # the SDK's own look at its arguments
        raise UsageError(f"{image} cannot be run: {error}", remedy="see the options that were given") from error


def _cannot_create(error: APIError, image: str) -> LabError:
    text = explanation(error)
    if is_disk_full(text):
        return disk_full(text)
    if isinstance(error, docker.errors.ImageNotFound):
        return ImageNotFound(
            f"there is no image {image!r}",
            remedy="build it first (`./lab build`), or choose one from `docker images`",
        )
    if "no command specified" in text.lower():  # engines differ in the first letter
        return not_ready(why_not_started(text))
    return UsageError(f"{image} cannot be run: {text}", remedy="see the name and the options that were given")


def _start(engine: Engine, container: Container, image: str, port: int | None) -> None:
    with engine_errors(engine, f"starting {image}"):
        try:
            container.start()
        except APIError as error:
            raise _cannot_start(engine, error, container, port) from error
        container.reload()


def _cannot_start(engine: Engine, error: APIError, container: Container, port: int | None) -> LabError:
    text = explanation(error)
    if is_disk_full(text):
        return disk_full(text)
    if port is not None and _PORT_TAKEN.search(text):
        holder = port_holder(engine, port)
        return PortInUse(
            f"port {port} is taken" + (f" by the container {holder!r}" if holder else " by another program"),
            remedy=f"stop it (`docker stop {holder}`), or choose another port"
            if holder
            else "end that program, or choose another port (on macOS, AirPlay Receiver holds port 5000)",
        )
    return not_ready(why_not_started(text, container))


def port_holder(engine: Engine, port: int) -> str | None:
    """The name of the running container that publishes this TCP port, if one does."""
    for summary in engine.client.api.containers():
        if any(p.get("PublicPort") == port and p.get("Type") == "tcp" for p in summary.get("Ports") or ()):
            return str(summary["Names"][0]).lstrip("/")
    return None


def _is_this_machine(engine: Engine) -> bool:
    return engine.is_local or engine.host in {"localhost", "127.0.0.1", "::1"}


def _bind_address(engine: Engine) -> str:
    return "127.0.0.1" if _is_this_machine(engine) else "0.0.0.0"  # noqa: S104  # else it could not be reached


def address(engine: Engine, container: Container, container_port: int = CONTAINER_PORT) -> str | None:
    """Where a started container's service is reached (the engine has chosen the port if none was asked for).

    None where nothing is published, as of a container that has ended.
    """
    published = container.attrs["NetworkSettings"]["Ports"].get(f"{container_port}/tcp")
    if not published:
        return None
    host = "127.0.0.1" if _is_this_machine(engine) else engine.host
    return f"http://{f'[{host}]' if ':' in host else host}:{published[0]['HostPort']}"


def _remove(engine: Engine, container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        # Somebody else has removed it, or is about to.
        if error.status_code not in {404, 409}:
            raise ServiceError(
                f"the container {container.short_id} could not be removed: {explanation(error)}",
                remedy=f"remove it with `docker rm -f {container.short_id}`",
            ) from error
    except (requests.RequestException, OSError) as error:
        raise gone(engine, error) from error
