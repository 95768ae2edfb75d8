"""What one holds while a service runs."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pandas as pd
import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.errors import ServiceError, UsageError
from layerlab.service.talk import engine_errors, explanation, how_it_ended, printable
from layerlab.ui.units import how_large

REQUEST_TIMEOUT: Final = (5.0, 30.0)  # seconds to connect, and between two bytes of the answer
HEALTH_PAUSE: Final = 0.2  # seconds between two looks at its health
ANSWER_LIMIT: Final = 50_000_000  # bytes of an answer; a longer one is refused
PASSWD_LIMIT: Final = 1_000_000  # bytes; a larger /etc/passwd is not read
SIGKILLED: Final = 128 + 9


@dataclass(frozen=True)
class Stopped:
    """How a service stopped.

    Attributes:
        seconds: How long it took.
        exit_code: The exit code of its first process.
        by_signal: Whether the stop signal (SIGTERM, or the image's STOPSIGNAL) was enough. False where the
            engine had to kill it, and where it had ended before.
    """

    seconds: float
    exit_code: int
    by_signal: bool


@dataclass(frozen=True)
class ExecResult:
    """What a command did that was run in a container beside its service.

    Attributes:
        exit_code: As a shell gives it: 126 for a program that may not be executed, 127 for one that is not there.
        output: What it printed, on both of its streams.
    """

    exit_code: int
    output: str


@dataclass(frozen=True)
class Service:
    """A service that runs and has answered.

    Every method raises `ServiceError` if the engine refuses, such as for a container that has ended, and
    `EngineGone` if the engine does not answer.

    Attributes:
        url: Where it is reached, without a slash at the end, such as ``http://127.0.0.1:49153``.
        container_id: The whole id of its container.
        seconds_to_first_answer: From the request to start the container to the first 200 of ``GET /status``.
    """

    engine: Engine = field(repr=False)
    url: str
    container_id: str
    seconds_to_first_answer: float

    def get(self, path: str, /, **query: Any) -> requests.Response:
        """What the service answers to ``GET path``, whatever its status; redirects are not followed.

        Args:
            path: Begins with a slash; may hold a query string.
            query: Parameters of the query string, encoded here.

        Raises:
            UsageError: the path does not begin with a slash.
            ServiceError: no answer came, or one of over `ANSWER_LIMIT` bytes; says so if the container ended.
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
        with engine_errors(self.engine, "reading its logs"):
            return printable(self._container().logs().decode(errors="replace"))

    def log_stream(self) -> Generator[bytes]:
        """What it prints, from its start until it ends, raw, as it comes; to be closed if not read to its end."""
        with engine_errors(self.engine, "reading its logs"):
            stream = self._container().logs(stream=True, follow=True)
            try:
                yield from stream
            finally:
                # The stream's own close() leaves the connection to the garbage collector.
                stream._response.close()  # type: ignore[attr-defined]

    def processes(self) -> pd.DataFrame:
        """Its processes, as the engine's ``top`` sees them from outside: the image needs no ``ps``.

        Returns:
            A row per process, by pid: ``pid`` int64 (the engine's machine's number for it), ``uid`` int64 (what
            the kernel checks: another number than inside where the engine remaps users; -1 where the engine's
            ``ps`` does not tell), ``user`` str (the name that the image's /etc/passwd gives to this uid, or the
            number), ``command`` str.
        """
        with engine_errors(self.engine, "listing its processes"):
            container = self._container()
            try:
                top = container.top(ps_args="-eo pid,uid,args")
            except NotFound:
                raise
            except APIError:
                top = container.top(ps_args="-o pid,user,args")  # busybox's ps, which knows no uid
            return process_table(top, user_names(container))

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

    def wait_for_health(self, timeout: float = 60.0) -> str | None:
        """What its HEALTHCHECK says as soon as that is not ``starting``, or after this many seconds; see `health`."""
        deadline = time.monotonic() + timeout
        while (health := self.health()) == "starting" and time.monotonic() < deadline:
            time.sleep(HEALTH_PAUSE)
        return health

    def inspect(self) -> dict[str, Any]:
        """All that the engine knows of its container, as ``docker inspect`` prints it."""
        with engine_errors(self.engine, "inspecting it"):
            return dict(self._container().attrs)

    def exec(self, command: Sequence[str], *, user: str | int | None = None) -> ExecResult:
        """Run a command in its container, beside the service, and wait for its end.

        Args:
            command: The program and its arguments; no shell is involved.
            user: Who runs it; the image's user by default.
        """
        with engine_errors(self.engine, "running a command in it"):
            try:
                result = self._container().exec_run(list(command), user="" if user is None else str(user))
                code, output = result.exit_code, bytes(result.output)  # type: ignore[arg-type]  # not a stream
            except APIError as error:
                # Newer engines refuse what older ones answer with an exit code: a program that cannot be run.
                if "exec failed" not in explanation(error):
                    raise
                code, output = None, explanation(error).encode()
        text = printable(output.decode(errors="replace"))
        if code is None or text.startswith("OCI runtime exec failed"):
            code = 127 if "not found" in text or "no such file" in text else 126
        return ExecResult(int(code), text)

    def stop(self, timeout: int = 10) -> Stopped:
        """Send the stop signal, and SIGKILL if it has not ended after this many seconds."""
        before = time.perf_counter()
        with engine_errors(self.engine, "stopping it"):
            container = self._container()
            was_running = bool(container.attrs["State"]["Running"])
            container.stop(timeout=timeout)
        seconds = time.perf_counter() - before
        code = int(self.inspect()["State"]["ExitCode"])
        killed = code == SIGKILLED and seconds >= timeout
        return Stopped(seconds, code, by_signal=was_running and not killed)

    def _container(self) -> Container:
        return self.engine.client.containers.get(self.container_id)


def fetch(url: str, timeout: tuple[float, float], query: dict[str, Any] | None = None) -> requests.Response:
    """``GET`` this, straight from the service.

    Proxies of the environment would be asked for 127.0.0.1, a redirect may lead anywhere, and an answer may have
    no end: none of that is wanted.
    """
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, params=query, timeout=timeout, allow_redirects=False, stream=True) as response:
            body = bytearray()
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise ServiceError(
                        f"the service answered GET {urlsplit(url).path} with more than {how_large(ANSWER_LIMIT)}",
                        remedy="ask for less at once",
                    )
            response._content = bytes(body)  # where `content`, `text` and `json()` look for it
        return response


def process_table(top: Mapping[str, Any], names: dict[int, str]) -> pd.DataFrame:
    """The engine's answer to ``top`` as `Service.processes` gives it."""
    rows = []
    for values in top["Processes"]:
        row = dict(zip(top["Titles"], values, strict=True))
        uid = str(row.get("UID") or row.get("USER") or "")
        number = int(uid) if uid.isdecimal() else 0 if uid == "root" else -1
        rows.append((int(row["PID"]), number, names.get(number, uid), printable(row["COMMAND"])))
    table = pd.DataFrame(sorted(rows), columns=["pid", "uid", "user", "command"])
    return table.astype({"pid": "int64", "uid": "int64", "user": "str", "command": "str"})


def user_names(container: Container) -> dict[int, str]:
    """The names that the container's /etc/passwd gives to user ids; none where it has no such file."""
    try:
        stream, stat = container.get_archive("/etc/passwd")
    except NotFound:
        return {}
    if stat is None or stat["size"] > PASSWD_LIMIT:
        return {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isfile() else None
        text = content.read().decode(errors="replace") if content else ""
    fields = [line.split(":") for line in text.splitlines()]
    # The first entry of a uid counts, as for getpwuid(3).
    return {int(f[2]): printable(f[0]) for f in reversed(fields) if len(f) > 2 and f[2].isdecimal()}


def used_bytes(memory: dict[str, Any]) -> int:
    """The memory in use, from the engine's ``memory_stats``, as the docker client computes it.

    The kernel counts the file cache as used though it gives it up at once, so its inactive part is taken off:
    ``total_inactive_file`` under cgroup v1, ``inactive_file`` under v2. (docker/cli,
    ``calculateMemUsageUnixNoCache``.)
    """
    usage, details = int(memory["usage"]), memory.get("stats", {})
    idle = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    return usage - idle if idle < usage else usage
