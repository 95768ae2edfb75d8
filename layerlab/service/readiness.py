"""Waiting for a service's first answer, and finding out why none comes."""

from __future__ import annotations

import time
from typing import Any, Final

import requests
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.errors import ServiceNotReady
from layerlab.service.handle import fetch
from layerlab.service.sockets import Listener, listeners
from layerlab.service.talk import engine_errors, how_it_ended, last_lines
from layerlab.ui.units import how_large, listed

PROBE: Final = "/status"
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two probes; each pause is 1.3 times the one before
LOOK_EVERY: Final = 1.0  # seconds; what two looks in a row find wrong is not cured by waiting
PROBE_TIMEOUT: Final = 5.0  # seconds

Mistake = tuple[str, str]
"""What is wrong, and what to do about it."""


def wait_until_ready(
    engine: Engine, container: Container, url: str, *, port: int, started: float, wait: float
) -> float:
    """Probe the service until it answers 200, at most ``wait`` seconds from its start.

    Args:
        engine: The engine on which it runs.
        container: Its container, which has been started.
        url: Where its port is published.
        port: The port on which it is expected to listen, inside the container.
        started: When it was started, on `time.perf_counter`'s clock.
        wait: Seconds to wait.

    Returns:
        Seconds from its start to its first answer.

    Raises:
        ServiceNotReady: the container ended, it listens where it cannot be reached, it answers something else,
            or the time is over. Says which, and the last lines that it printed.
        EngineGone: the engine does not answer any more.
    """
    pause, next_look = FIRST_PAUSE, started + LOOK_EVERY
    mistake: Mistake | None = None
    while True:
        left = started + wait - time.perf_counter()
        status = _probe(url, min(PROBE_TIMEOUT, max(left, 0.1)))
        now = time.perf_counter()
        if status == requests.codes.ok:
            return now - started
        with engine_errors(engine, "inspecting it"):
            container.reload()
        if not container.attrs["State"]["Running"]:
            raise ended(engine, container)
        if now >= started + wait:
            raise _not_ready(engine, container, *_why_silent(engine, container, status, port, wait))
        if now >= next_look:
            before, mistake = mistake, _mistake(status, listeners(engine, container), port)
            if mistake is not None and mistake == before:
                raise _not_ready(engine, container, *mistake)
            next_look = now + LOOK_EVERY
        time.sleep(max(0.0, min(pause, started + wait - now)))
        pause = min(pause * 1.3, LONGEST_PAUSE)


def ended(engine: Engine, container: Container) -> ServiceNotReady:
    """The error for a container that ended before its service answered."""
    state = container.attrs["State"]
    what = f"the container {how_it_ended(state)} before the service answered"
    with engine_errors(engine, "reading its logs"):
        log = last_lines(container)
    return ServiceNotReady(_with_log(what, log), remedy=_remedy_of_end(container.attrs, log))


def _remedy_of_end(attributes: dict[str, Any], log: str) -> str:
    state, host = attributes["State"], attributes["HostConfig"]
    if state.get("OOMKilled"):
        return f"give it more than {how_large(host['Memory'])} of memory, or let it run fewer workers"
    if host["ReadonlyRootfs"] and "read-only file system" in log.lower():
        return "let it write to /tmp only; with `hardened=False` all of its filesystem can be written"
    if state["ExitCode"] == 0:
        return (
            "let the command stay in the foreground, as `gunicorn app.wsgi:app` does: the container ends with its "
            "first process"
        )
    if "exec format error" in log:
        return "build the image for this machine's platform; a script needs its #! line"
    if state["ExitCode"] in {126, 127} or "no such file or directory" in log:
        return (
            "see that the program which CMD or ENTRYPOINT names is in the final stage, and so is the interpreter "
            "in its #! line: a virtual environment works only at the path where it was made"
        )
    return "mend what its last lines say and build the image again"


def _probe(url: str, timeout: float) -> int | None:
    """The status of the answer to the probe, or None if there was none."""
    try:
        return fetch(url + PROBE, (timeout, timeout)).status_code
    except requests.RequestException:
        return None


def _mistake(status: int | None, found: frozenset[Listener] | None, port: int) -> Mistake | None:
    """What no waiting cures, if anything."""
    if status is not None:
        # 5xx may be a service that is still warming up.
        return _wrong_answer(status) if 300 <= status < 500 else None
    return _wrong_socket(found, port) if found else None


def _wrong_answer(status: int) -> Mistake:
    return (
        f"the service answers GET {PROBE} with {status}, not 200",
        f"see that the image runs the lab's app (`gunicorn app.wsgi:app`) and that GET {PROBE} works",
    )


def _wrong_socket(found: frozenset[Listener], port: int) -> Mistake | None:
    """What is wrong with where a container listens, if anything."""
    here = [listener for listener in found if listener.port == port]
    if any(not listener.is_loopback for listener in here):
        return None
    if here:
        return (
            f"it listens on {here[0].address} port {port}, which only the container itself can reach",
            f"let it listen on all addresses: `gunicorn --bind 0.0.0.0:{port}`, `flask run --host 0.0.0.0`",
        )
    ports = listed(sorted({listener.port for listener in found}))
    open_ports = sorted(listener.port for listener in found if not listener.is_loopback)
    other = f", or say the port that it uses (container_port={open_ports[0]})" if open_ports else ""
    return f"it listens on port {ports}, not {port}", f"let it listen on 0.0.0.0:{port}{other}"


def _why_silent(engine: Engine, container: Container, status: int | None, port: int, wait: float) -> Mistake:
    """What to say when the time is over."""
    if status is not None:
        return _wrong_answer(status)
    silent = f"it did not answer GET {PROBE} in {wait:g} s"
    if container.attrs["State"].get("OOMKilled"):
        limit = how_large(container.attrs["HostConfig"]["Memory"])
        return (
            f"{silent}: a process of it was killed for needing more memory than its {limit}",
            "give it more memory, or let it run fewer workers",
        )
    found = listeners(engine, container)
    if found is None:
        return silent, f"see that it listens on 0.0.0.0:{port}, and wait longer if it is slow"
    if not found:
        return (
            f"{silent}: it runs, but listens on no port",
            f"see that its command starts a server on 0.0.0.0:{port}, and wait longer if it is slow",
        )
    return _wrong_socket(found, port) or (
        f"{silent}, though it listens on port {port}",
        "see what keeps it busy; where the lab itself runs in a container, its ports may be out of reach",
    )


def _not_ready(engine: Engine, container: Container, what: str, remedy: str) -> ServiceNotReady:
    with engine_errors(engine, "reading its logs"):
        log = last_lines(container)
    return ServiceNotReady(_with_log(f"the service is not ready: {what}", log), remedy=remedy)


def _with_log(what: str, log: str) -> str:
    return f"{what}, having printed last:\n{log}" if log else f"{what}, having printed nothing"
