"""A service's container: made, started, reached at an address, and removed whatever happens."""

from __future__ import annotations

import codecs
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Final, TextIO

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
from layerlab.service.waiting import PORT, Wait, wait_for_answer
from layerlab.ui.text import plain

LOG_LIMIT: Final = "10m"  # a service that prints without end must not fill the disk

DEFAULT_PORT: Final = 5000
LONGEST_LINE: Final = 65_536  # characters; a longer one is shown in pieces
STOP_TIMEOUT: Final = 10  # seconds from the stop signal to SIGKILL

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
    options = {
        "command": command if command is None or isinstance(command, str) else list(command),
        "environment": dict(environment or {}),
        "user": None if user is None else str(user),
        "name": name,
        **published(engine, port),
        **limits(memory, cpus, pids),
        **(_HARDENED if hardened else {}),
    }
    with created(engine, image, options) as container:
        started = time.perf_counter()
        _start(engine, container, image, port)
        url = address(engine, container)
        if url is None and container.attrs["State"]["Running"]:
            raise ServiceError("the engine has published no port", remedy="see `./lab doctor` and the engine's log")
        begun = time.perf_counter() - started
        waited = wait_for_answer(engine, container, url, wait=wait - begun) if url else Wait()
        if url is None or waited.seconds is None:
            raise not_ready(why_not_ready(engine, container, waited), printed(engine, container, LOG_LINES))
        yield Service(engine, url, str(container.id), begun + waited.seconds)


def run_foreground(
    engine: Engine,
    image: str,
    *,
    port: int | None = None,
    on_ready: Callable[[Service], None],
    output: TextIO,
) -> int:
    """Run an image of the service until Ctrl-C or its own end, showing what it prints.

    Args:
        engine: Where it runs.
        image: A name or an id.
        port: Where to publish it. By default 5000, or a free port where that is taken, which is said.
        on_ready: Called once, with the service that has answered.
        output: Gets what the service prints, from its start to its end, without terminal escapes, and what we do.

    Returns:
        0 if it was stopped here, its exit code if it ended by itself.

    Raises:
        PortInUse: the port that was asked for is taken.
        LabError: see `run`.

    >>> import io
    >>> printed = io.StringIO()
    >>> def ready(service):
    ...     print(service.get("/status").status_code)
    ...     raise KeyboardInterrupt
    >>> run_foreground(engine, "multi-stage-demo:optimized", on_ready=ready, output=printed)
    200
    0
    """
    try:
        return _serve(engine, image, DEFAULT_PORT if port is None else port, on_ready, output)
    except PortInUse as error:
        if port is not None:
            raise
        print(f"{error}: a free port is used instead", file=output, flush=True)
    return _serve(engine, image, None, on_ready, output)


def _serve(engine: Engine, image: str, port: int | None, on_ready: Callable[[Service], None], output: TextIO) -> int:
    # The container goes first, which ends the log, which ends the thread.
    try:
        with ThreadPoolExecutor(1) as pool, run(engine, image, port=port) as service:
            on_ready(service)
            showing = pool.submit(_show, service, output)
            try:
                showing.result()
            except KeyboardInterrupt:
                print("stopping it", file=output, flush=True)
                if not service.stop(STOP_TIMEOUT).by_signal:
                    print(f"it did not heed the stop signal: killed after {STOP_TIMEOUT} s", file=output, flush=True)
                return 0
            with engine_errors(engine, "waiting for its end"):
                return int(engine.client.api.wait(service.container_id)["StatusCode"])
    except KeyboardInterrupt:  # before it was ready, or a second time
        return 0


def _show(service: Service, output: TextIO) -> None:
    with closing(service.log_stream()) as log:
        for line in lines(log):
            print(line, file=output, flush=True)


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a log that comes in pieces, fit to be shown.

    A piece may end within a line, a character or an escape sequence.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending = ""
    for chunk in chunks:
        *whole, pending = (pending + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield plain(line)
        if len(pending) > LONGEST_LINE:
            yield plain(pending)
            pending = ""
    if pending := pending + decoder.decode(b"", final=True):
        yield plain(pending)


@contextmanager
def created(engine: Engine, image: str, options: Mapping[str, Any]) -> Iterator[Container]:
    """A container that has been created but not started, and is removed in the end, whatever happens.

    It is created in a thread: Ctrl-C interrupts the main one only, so that the answer with the container's id is
    never lost. Leaving the pool waits for it.

    Args:
        engine: Where it is.
        image: A name or an id.
        options: As the SDK takes them.

    Raises: see `run`.
    """
    log = LogConfig(type=LogConfig.types.JSON, config={"max-size": LOG_LIMIT, "max-file": "1"})
    ours = {"labels": runs.container_labels(engine), "log_config": log}
    creation: Future[Container] | None = None
    try:
        with ThreadPoolExecutor(1) as pool:
            creation = pool.submit(_create, engine, image, {**ours, **options})
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
    with created(engine, image, {"command": ["-"]}) as container:
        return read_beginning(container, path, most)


def published(engine: Engine, port: int | None = None) -> dict[str, Any]:
    """The option that publishes the service's port at this one, or at a free one."""
    if port is not None and not 0 < port < 65536:
        raise UsageError(f"{port} is no port", remedy="choose one from 1 to 65535")
    # Elsewhere it could not be reached at a loopback address.
    return {"ports": {f"{PORT}/tcp": ("127.0.0.1" if _is_this_machine(engine) else "0.0.0.0", port)}}  # noqa: S104


def limits(memory: str, cpus: float, pids: int) -> dict[str, Any]:
    """The options for these limits."""
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


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens on this port of this machine.

    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     is_taken(server.getsockname()[1])
    True
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _is_this_machine(engine: Engine) -> bool:
    return engine.is_local or engine.host in {"localhost", "127.0.0.1", "::1"}


def address(engine: Engine, container: Container) -> str | None:
    """Where a started container's service is reached (the engine has chosen the port if none was asked for).

    None where nothing is published, as of a container that has ended.
    """
    published = container.attrs["NetworkSettings"]["Ports"].get(f"{PORT}/tcp")
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
