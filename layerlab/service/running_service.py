"""A service that runs, as its user holds it: asked, measured, looked at and stopped."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests
from docker.errors import APIError
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.errors import ServiceError, UsageError
from layerlab.service.answers import fetch
from layerlab.service.ending import Stop, how_it_ended, printed, stop, with_line_end
from layerlab.service.engine_calls import engine_errors, explanation
from layerlab.service.processes import list_processes, user_names

if TYPE_CHECKING:
    import pandas as pd

REQUEST_TIMEOUT: Final = (5.0, 30.0)  # seconds to connect, and between two bytes of the answer
HEALTH_PAUSE: Final = 0.2  # seconds between two looks at its health


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
        return printed(self.engine, self._container())

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
        import pandas as pd  # noqa: PLC0415  # a command that only runs a service needs no tables

        container = self._container()
        rows = list_processes(self.engine, container, user_names(container))
        if not rows:
            raise ServiceError("it has no processes: it does not run", remedy="start the service again")
        columns = ["pid", "uid", "user", "command"]
        table = pd.DataFrame([[getattr(row, column) for column in columns] for row in rows], columns=columns)
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
        text = with_line_end(output)
        if code is None or text.startswith("OCI runtime exec failed"):
            code = 127 if "not found" in text or "no such file" in text else 126
        return ExecResult(int(code), text)

    def stop(self, timeout: float = 10.0) -> Stop:
        """Send the stop signal, and SIGKILL if it has not ended after this many seconds."""
        return stop(self.engine, self._container(), timeout)

    def _container(self) -> Container:
        with engine_errors(self.engine, "inspecting it"):
            return self.engine.client.containers.get(self.container_id)


def used_bytes(memory: dict[str, Any]) -> int:
    """The memory in use, from the engine's ``memory_stats``, as the docker client computes it.

    The kernel counts the file cache as used though it gives it up at once, so its inactive part is taken off:
    ``total_inactive_file`` under cgroup v1, ``inactive_file`` under v2. (docker/cli,
    ``calculateMemUsageUnixNoCache``.)
    """
    usage, details = int(memory["usage"]), memory.get("stats", {})
    idle = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    return usage - idle if idle < usage else usage
