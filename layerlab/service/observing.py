"""Running an image as a learner would, and looking at all of it: processes, answers, its Python, how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from docker.errors import APIError
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.errors import Failure, ServiceError, ServiceNotReady
from layerlab.service import interpreter
from layerlab.service.answers import TIMEOUT, Answer, ask, has_debugger, is_http_server
from layerlab.service.containers import address, created, limits, published, run
from layerlab.service.diagnosis import LOG_LINES, why_not_ready, why_not_started, with_last_words
from layerlab.service.ending import Stop, is_running, printed, stop
from layerlab.service.engine_calls import engine_errors, explanation
from layerlab.service.interpreter import Interpreter
from layerlab.service.processes import Process, list_processes, user_names
from layerlab.service.waiting import PROBE, Wait, wait_for_answer
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import one_line, plain, shorten

MEMORY: Final = "1g"
CPUS: Final = 2.0
PIDS: Final = 512
WAIT: Final = 30.0  # seconds until the probe must have answered
_HARDENED_WAIT: Final = 10.0  # seconds; who takes longer with less has another reason to fail
GRACE: Final = 10.0  # seconds that ``docker stop`` leaves by default
IN_VAIN: Final = 1.0  # seconds of them for a process 1 for which the kernel drops the signal, whatever it waits
# Seconds after which a mistake that stays the same is not waited for any longer. A service may open another port
# first, or answer 404 through a proxy, while it loads; who listens on 127.0.0.1 has loaded.
PATIENCE: Final = {"loopback": 4.0, "elsewhere": 15.0, "wrong answer": 10.0}
_LOG_WIDTH: Final = 300  # characters of each line of the log


@dataclass(frozen=True)
class Running:
    """What was seen of a container, from its start to its stop."""

    up: bool  # whether a process stayed up to be looked at
    processes: tuple[Process, ...] = ()  # while it ran (several looks, taken together)
    status: Answer = field(default_factory=Answer)  # of /status on port 5000, from outside
    info: Answer = field(default_factory=Answer)  # of /info
    seconds: float | None = None  # from its start until /status answered 200; None if it did not in time
    debugger: bool = False  # whether Werkzeug's debugger or its console answered
    is_http_server: bool = False  # whether Python's own ``http.server`` does, on which development servers are built
    interpreter: Interpreter | None = None  # None where it could not be asked
    stop: Stop | None = None  # None if it was not up
    logs: str = ""  # the end of what it printed, plain
    failure: Failure | None = None  # why it did not start or did not answer
    hardened: bool | None = None  # whether it also answers in a hardened run; None if that was not tried
    hardened_why: str = ""  # what happened in that run, if it did not answer
    hurried: bool = False  # whether it was late in a way that a machine with too much to do may explain
    hostname: str = ""  # the container's; empty if it is not known


def observe(
    engine: Engine, image_id: str, *, wait: float = WAIT, hardened: bool = False, report: Report = silent
) -> Running:
    """Run an image and look at all that can be seen of it, until it has been stopped and removed.

    Args:
        engine: Where it runs.
        image_id: The image.
        wait: Seconds from its start until ``/status`` must have answered 200.
        hardened: Whether to run it a second time, hardened, beside the first.
        report: Is told again and again how far it is; what it raises ends the run, and the container is removed.

    Raises:
        EngineGone: the engine does not answer any more.
        ServiceError: the engine refuses what was asked of it while the container ran.
        ImageNotFound: there is no such image.

    >>> seen = observe(engine, "multi-stage-demo:optimized")
    >>> seen.status.status, seen.is_http_server, seen.stop.by_signal
    (200, False, True)
    """
    begun = time.perf_counter()

    def tell(detail: str, *, done: bool = False) -> None:
        seconds = time.perf_counter() - begun
        report(Step("run", "run the image", "done" if done else "running", seconds, detail))

    tell("starting")
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(_answers_hardened, engine, image_id) if hardened else None
        try:
            options = {**published(engine), **limits(MEMORY, _processors(engine), PIDS)}
            with created(engine, image_id, options) as container:
                running = _from_start_to_stop(engine, container, wait, tell)
        except ServiceNotReady as error:  # no command
            running = Running(up=False, failure=Failure("dockerfile", one_line(f"{error}: {error.remedy}.")))
        if second:
            answers, why = second.result()
            running = replace(running, hardened=answers, hardened_why=why)
    tell("", done=True)
    return running


def _answers_hardened(engine: Engine, image_id: str) -> tuple[bool, str]:
    """Whether an image answers with a read-only root, without capabilities and new privileges; and if not, why."""
    try:
        with run(engine, image_id, memory=MEMORY, cpus=_processors(engine), pids=PIDS, wait=_HARDENED_WAIT):
            return True, ""
    except ServiceError as error:
        return False, shorten(plain(str(error)), 500)


def _processors(engine: Engine) -> float:
    """How many a container gets: the engine refuses more than it has."""
    with engine_errors(engine, "asking for its processors"):
        return min(CPUS, float(engine.client.api.info().get("NCPU") or CPUS))


def _from_start_to_stop(engine: Engine, container: Container, wait: float, tell: Callable[[str], None]) -> Running:
    with engine_errors(engine, "starting it"):
        container.reload()
        try:
            container.start()
        except APIError as error:
            return Running(up=False, failure=why_not_started(explanation(error), container))
        container.reload()
    waited = Wait()
    if url := address(engine, container):
        said = partial(tell, "waiting for its first answer")
        waited = wait_for_answer(engine, container, url, wait=wait, patience=PATIENCE, tell=said)
    if not is_running(engine, container):
        failure = _failure(engine, container, waited)
        return Running(up=False, status=Answer(waited.status), logs=_log(engine, container), failure=failure)
    tell("looking at its processes")
    names = user_names(container)
    seen = list_processes(engine, container, names)
    status, info, debugger, is_pythons = Answer(), Answer(), False, False
    if url and waited.status is not None:
        tell("asking /info")
        longest = max(TIMEOUT, wait - waited.waited)
        status, info = (ask(url, path, timeout=longest) for path in (PROBE, "/info"))
        debugger, is_pythons = has_debugger(url), is_http_server(url)
        seen += list_processes(engine, container, names)
    found = interpreter.ask_python(engine, container, seen)
    seen += list_processes(engine, container, names)
    why_silent = None if waited.seconds is not None else _failure(engine, container, waited)
    tell("stopping it")
    ended = stop(engine, container, GRACE, lambda: tell("stopping it"), in_vain=IN_VAIN)
    waits_in_vain = waited.status is None and waited.waited >= wait and not waited.found
    return Running(
        up=bool(seen),
        processes=tuple(dict.fromkeys(seen)),
        status=status,
        info=info,
        seconds=waited.seconds,
        debugger=debugger,
        is_http_server=is_pythons,
        interpreter=found,
        stop=ended if ended.signal else None,
        logs=_log(engine, container),
        failure=why_silent,
        # One that has a handler for its stop signal may only have been slow.
        hurried=waits_in_vain or (ended.killed and not ended.is_deaf),
        hostname=str(container.attrs["Config"].get("Hostname") or ""),
    )


def _failure(engine: Engine, container: Container, waited: Wait) -> Failure:
    failure = why_not_ready(engine, container, waited)
    if waited.mistake in {"loopback", "elsewhere"}:  # which says it all
        return failure
    return with_last_words(failure, _log(engine, container))


def _log(engine: Engine, container: Container) -> str:
    lines = printed(engine, container, LOG_LINES).splitlines()[-LOG_LINES:]
    return "\n".join(line[:_LOG_WIDTH] for line in lines)
