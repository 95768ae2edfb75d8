"""A service's container: made, started, reached at an address, held by its user, and removed whatever happens."""

from __future__ import annotations

import codecs
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TextIO

import docker.errors
import requests
from docker.errors import APIError, DockerException
from docker.models.containers import Container
from docker.types import LogConfig
from docker.utils import parse_bytes

from layerlab.engine import Engine, disk_full, gone, is_disk_full, runs
from layerlab.errors import ImageNotFound, LabError, PortInUse, ServiceError, UsageError
from layerlab.service.answers import fetch
from layerlab.service.diagnosis import LOG_LINES, not_ready, why_not_ready, why_not_started
from layerlab.service.ending import Stop, how_it_ended, printed, stop, with_line_end
from layerlab.service.engine_calls import engine_errors, explanation, read_beginning
from layerlab.service.processes import list_processes, user_names
from layerlab.service.waiting import PORT, Wait, wait_for_answer
from layerlab.ui.text import plain

if TYPE_CHECKING:
    import pandas as pd

LOG_LIMIT: Final = "10m"  # a service that prints without end must not fill the disk

DEFAULT_PORT: Final = 5000
LONGEST_LINE: Final = 65_536  # characters; a longer one is shown in pieces
STOP_TIMEOUT: Final = 10  # seconds from the stop signal to SIGKILL
REQUEST_TIMEOUT: Final = (5.0, 30.0)  # seconds to connect, and between two bytes of the answer

_HARDENED: Final = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108  # inside, and nobody else's
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
_PORT_TAKEN: Final = re.compile(r"port is already allocated|address already in use|ports are not available", re.I)


@dataclass(frozen=True)
class ExecResult:
    """What a command did that was run in a container beside its service."""

    exit_code: int  # as a shell gives it: 126 for a program that may not be executed, 127 for one that is not there
    output: str  # what it printed, on both of its streams


@dataclass(frozen=True)
class Service:
    """A service that runs and has answered.

    Every method raises `ServiceError` if the engine refuses, such as for a container that has ended, and
    `EngineGone` if the engine does not answer.
    """

    engine: Engine = field(repr=False)
    url: str  # where it is reached, without a slash at the end, such as ``http://127.0.0.1:49153``
    container_id: str  # the whole id of its container
    seconds_to_first_answer: float  # from the request to start the container to the first 200 of ``GET /status``

    def get(self, path: str, /, **query: Any) -> requests.Response:
        """What the service answers to ``GET path``, whatever its status; redirects are not followed.

        Args:
            path: Begins with a slash; may hold a query string.
            query: Parameters of the query string, encoded here.

        Raises:
            UsageError: the path does not begin with a slash.
            ServiceError: no answer came, or one without end; says so if the container ended.
        """
        if not path.startswith("/"):
            raise UsageError(f"{path!r} is no path of the service", remedy="begin it with a slash, as in '/status'")
        try:
            return fetch(self.url + path, REQUEST_TIMEOUT, query)
        except requests.RequestException as error:
            state = self.inspect()["State"]
            ended = "" if state["Running"] else f": its container {how_it_ended(state)}"
            raise ServiceError(
                f"the service did not answer GET {path} ({type(error).__name__}){ended}",
                remedy="see what it printed: `logs()` of the service",
            ) from error

    def logs(self) -> str:
        """What it has printed so far, on both of its streams, without terminal escapes."""
        return printed(self.engine, self.container())

    def processes(self) -> pd.DataFrame:
        """Its processes, as the engine's ``top`` sees them from outside: the image needs no ``ps``.

        Returns:
            A row per process, by pid: ``pid`` and ``uid`` int64, ``user`` and ``command`` str; see
            `layerlab.service.Process`.
        """
        import pandas as pd  # noqa: PLC0415  # a command that only runs a service needs no tables

        container = self.container()
        rows = list_processes(self.engine, container, user_names(container))
        if not rows:
            raise ServiceError("it has no processes: it does not run", remedy="start the service again")
        table = pd.DataFrame(rows)[["pid", "uid", "user", "command"]]
        return table.astype({"pid": "int64", "uid": "int64", "user": "str", "command": "str"})

    def memory_bytes(self) -> int:
        """The memory that it uses now, in bytes, counted as ``docker stats`` does: without idle file cache."""
        with engine_errors(self.engine, "measuring its memory"):
            stats = self.engine.client.api.stats(self.container_id, stream=False, one_shot=True)
        if not (memory := stats.get("memory_stats")):
            raise ServiceError("its memory cannot be measured: it does not run", remedy="start the service again")
        return used_bytes(memory)

    def health(self) -> str | None:
        """What its HEALTHCHECK says: ``starting``, ``healthy`` or ``unhealthy``; None where the image has none."""
        health = self.inspect()["State"].get("Health") or {}
        return None if health.get("Status", "none") == "none" else str(health["Status"])

    def inspect(self) -> dict[str, Any]:
        """All that the engine knows of its container, as ``docker inspect`` prints it."""
        return dict(self.container().attrs)

    def exec(self, command: Sequence[str], *, user: str | int | None = None) -> ExecResult:
        """Run a command in its container, beside the service, and wait for its end.

        Args:
            command: The program and its arguments; no shell is involved.
            user: Who runs it; the image's user by default.
        """
        with engine_errors(self.engine, "running a command in it"):
            try:
                result = self.container().exec_run(list(command), user="" if user is None else str(user))
                code, output = result.exit_code, bytes(result.output)  # type: ignore[arg-type]  # not a stream
            except APIError as error:
                # Newer engines refuse what older ones answer with an exit code: a program that cannot be run.
                if "exec failed" not in explanation(error):
                    raise
                code, output = None, explanation(error).encode()
        text = with_line_end(output)
        if code is None or text.startswith("OCI runtime exec failed"):
            code = 127 if "not found" in text or "no such file" in text else 126
        return ExecResult(int(code), text)

    def stop(self, timeout: float = 10.0) -> Stop:
        """Send the stop signal, and SIGKILL if it has not ended after this many seconds."""
        return stop(self.engine, self.container(), timeout)

    def container(self) -> Container:
        """The SDK's object for it, inspected now."""
        with engine_errors(self.engine, "inspecting it"):
            return self.engine.client.containers.get(self.container_id)


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
        with engine_errors(engine, f"starting {image}"):
            try:
                container.start()
            except APIError as error:
                raise _cannot_start(engine, error, container, port) from error
            container.reload()
        url = address(engine, container)
        if url is None and container.attrs["State"]["Running"]:
            raise ServiceError("the engine has published no port", remedy="see `./lab doctor` and the engine's log")
        begun = time.perf_counter() - started
        waited = wait_for_answer(engine, container, url, wait=wait - begun) if url else Wait()
        if url is None or waited.seconds is None:
            raise not_ready(why_not_ready(engine, container, waited), printed(engine, container, LOG_LINES))
        yield Service(engine, url, str(container.id), begun + waited.seconds)


def run_foreground(
    engine: Engine, image: str, *, port: int | None = None, on_ready: Callable[[Service], None], output: TextIO
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
    with engine_errors(service.engine, "reading its logs"):
        stream = service.container().logs(stream=True, follow=True)
        with closing(stream._response):  # type: ignore[attr-defined]  # its own close() leaves that open
            for line in lines(stream):
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
    """A container that has been created with these options of the SDK, not started, and is removed in the end.

    It is created in a thread: Ctrl-C interrupts the main one only, so that the answer with the container's id is
    never lost. Leaving the pool waits for it. What it raises: see `run`.
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
    """The beginning of a file in an image, which needs no program for that; None if there is none. See `run`.

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
    with engine_errors(engine, f"running {image}"):
        try:
            return engine.client.containers.create(image, **options)
        except docker.errors.ImageNotFound as error:
            raise ImageNotFound(
                f"there is no image {image!r}",
                remedy="build it first (`./lab build`), or choose one from `docker images`",
            ) from error
        except APIError as error:
            text = explanation(error)
            if is_disk_full(text):
                raise
            if "no command specified" in text.lower():  # engines differ in the first letter
                raise not_ready(why_not_started(text)) from error
            remedy = "see the name and the options that were given"
            raise UsageError(f"{image} cannot be run: {text}", remedy=remedy) from error
        except ValueError as error:  # the SDK's own look at its arguments
            raise UsageError(f"{image} cannot be run: {error}", remedy="see the options that were given") from error


def _cannot_start(engine: Engine, error: APIError, container: Container, port: int | None) -> LabError:
    text = explanation(error)
    if is_disk_full(text):
        return disk_full(text)
    if port is not None and _PORT_TAKEN.search(text):
        for summary in engine.client.api.containers():
            if any(p.get("PublicPort") == port and p.get("Type") == "tcp" for p in summary.get("Ports") or ()):
                holder = str(summary["Names"][0]).lstrip("/")
                return PortInUse(
                    f"port {port} is taken by the container {holder!r}",
                    remedy=f"stop it (`docker stop {holder}`), or choose another port",
                )
        return PortInUse(
            f"port {port} is taken by another program",
            remedy="end that program, or choose another port (on macOS, AirPlay Receiver holds port 5000)",
        )
    return not_ready(why_not_started(text, container))


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
    """Where a started container's service is reached; None where nothing is published, as of one that has ended."""
    published = container.attrs["NetworkSettings"]["Ports"].get(f"{PORT}/tcp")
    if not published:
        return None
    host = "127.0.0.1" if _is_this_machine(engine) else engine.host
    return f"http://{f'[{host}]' if ':' in host else host}:{published[0]['HostPort']}"


def _remove(engine: Engine, container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        if error.status_code not in {404, 409}:  # somebody else has removed it, or is about to
            raise ServiceError(
                f"the container {container.short_id} could not be removed: {explanation(error)}",
                remedy=f"remove it with `docker rm -f {container.short_id}`",
            ) from error
    except (requests.RequestException, OSError) as error:
        raise gone(engine, error) from error


def used_bytes(memory: dict[str, Any]) -> int:
    """The memory in use, from the engine's ``memory_stats``: without the inactive part of the file cache.

    That is ``total_inactive_file`` under cgroup v1, ``inactive_file`` under v2; see docker/cli,
    ``calculateMemUsageUnixNoCache``.
    """
    usage, details = int(memory["usage"]), memory.get("stats", {})
    idle = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    return usage - idle if idle < usage else usage
