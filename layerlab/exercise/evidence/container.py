"""Runs a learner's image as a learner would, and looks at it: processes, answers, interpreter, how it stops.

The container gets no mount and no privilege, is limited in memory, processors, processes and log, and is removed
whatever happens. ``asking`` talks to the service, ``interpreter`` and ``probe`` ask its Python, ``processes`` looks
at what runs, ``diagnosis`` says why it does not answer.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.errors import ServiceError, ServiceNotReady
from layerlab.exercise.evidence import diagnosis
from layerlab.exercise.evidence.diagnosis import Script
from layerlab.exercise.evidence.model import Answer, Failure, Process, Running, Stop
from layerlab.service import asking, interpreter, processes, programs, run
from layerlab.service.launch import address, created
from layerlab.service.processes import Seen
from layerlab.service.sockets import Listener, listeners
from layerlab.service.talk import SIGNALS, engine_errors, explanation
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import one_line, plain, shorten

MEMORY: Final = "1g"
CPUS: Final = 2.0
PIDS: Final = 512
WAIT: Final = 30.0  # seconds until `/status` must have answered
GRACE: Final = 10.0  # seconds that ``docker stop`` leaves by default

# Where the machine has more to do than it can, a service that is still at work is given more time, as long as it has
# had less of the processors than it may have on a machine of its own: a verdict must not depend on who else works.
LONGER: Final = 3.0  # seconds at a time
MOST_PATIENCE: Final = 4.0  # times the wait
LEAST_SHARE: Final = 0.03  # of one processor: less is no work, but waiting

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.15  # seconds between two probes; each pause is 1.3 times the one before
LOOK_EVERY: Final = 1.0  # seconds between two looks at where it listens
# Seconds after which a mistake that stays the same is not waited for any longer. A service may open another port
# first, or answer 404 through a proxy, while it loads; who listens on 127.0.0.1 has loaded.
PATIENCE: Final = {"loopback": 4.0, "elsewhere": 15.0, "wrong answer": 10.0}
LOG_LINES, LOG_WIDTH, LOG_BYTES = 100, 300, 100_000  # of the end of what it printed


def observe(engine: Engine, image_id: str, *, wait: float = WAIT, report: Report = silent) -> Running:
    """Run an image and look at all that the tasks judge by.

    Args:
        engine: Where it runs.
        image_id: The image.
        wait: Seconds from its start until ``/status`` must have answered 200.
        report: Is told again and again how far it is; what it raises ends the run, and the container is removed.

    Raises:
        EngineGone: the engine does not answer any more.
        ServiceError: the engine refuses what was asked of it while the container ran.
        ImageNotFound: there is no such image.
    """
    begun = time.perf_counter()

    def tell(detail: str, *, done: bool = False) -> None:
        seconds = time.perf_counter() - begun
        report(Step("run", "run the image", "done" if done else "running", seconds, detail))

    tell("starting")
    try:
        with created(
            engine, image_id, hardened=False, memory=MEMORY, cpus=_processors(engine), pids=PIDS
        ) as container:
            running = _Run(engine, container, wait, tell).observe()
    except ServiceNotReady as error:  # no command
        running = Running(up=False, failure=Failure("dockerfile", one_line(f"{error}: {error.remedy}.")))
    tell("", done=True)
    return running


def observe_hardened(engine: Engine, image_id: str, *, wait: float = WAIT) -> tuple[bool, str]:
    """Whether an image answers with a read-only root, without capabilities and new privileges; and if not, why.

    Raises:
        EngineGone: the engine does not answer any more.
    """
    try:
        with run(engine, image_id, memory=MEMORY, cpus=_processors(engine), pids=PIDS, wait=wait):
            return True, ""
    except ServiceError as error:
        return False, shorten(plain(str(error)), 500)


def is_busy() -> bool:
    """Whether this machine has more to do than it has processors for."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def _processors(engine: Engine) -> float:
    """How many a container gets: the engine refuses more than it has."""
    with engine_errors(engine, "asking for its processors"):
        return min(CPUS, float(engine.client.api.info().get("NCPU") or CPUS))


@dataclass
class _Waited:
    """How the wait for the first answer went: seconds if it came, else what was seen last."""

    seconds: float | None = None
    status: int | None = None
    found: frozenset[Listener] | None = None
    waited: float = 0.0


class _Run:
    """One run of a container, from its start to its stop."""

    def __init__(self, engine: Engine, container: Container, wait: float, tell: Any) -> None:
        self.engine, self.container, self.wait, self.tell = engine, container, wait, tell

    def observe(self) -> Running:
        begun = time.perf_counter()
        if (refused := self._start()) is not None:
            return Running(up=False, failure=refused)
        url = address(self.engine, self.container)
        waited = self._wait(url, begun) if url else _Waited()
        if not self._is_running():
            return self._ended(waited)
        self.tell("looking at its processes")
        seen = self._look()
        status, info, debugger = Answer(None), Answer(None), False
        if url and waited.status is not None:
            status, info, debugger = self._ask(url, self.wait - waited.waited)
            seen += self._look()
        found = interpreter.ask(
            self.engine, str(self.container.id), [one.command for one in seen], processes.asker(seen)
        )
        seen += self._look()
        if url and status.status is not None and not (found and "eventlet" in found.distributions):
            status = replace(status, server=unmasked(status.server, asking.is_http_server(url)))
        failure = None if waited.seconds is not None else self._why_silent(waited)
        self.tell("stopping it")
        handles_signal = self._handles_stop_signal()
        stop = self._stop()
        waits_in_vain = waited.status is None and waited.waited >= self.wait and not waited.found
        return Running(
            up=bool(seen),
            processes=self._named(seen),
            status=status,
            info=info,
            seconds=waited.seconds,
            debugger=debugger,
            interpreter=found,
            stop=stop,
            logs=self._logs(),
            failure=failure,
            hurried=waits_in_vain or bool(stop and stop.killed and handles_signal),
            hostname=str(self.container.attrs["Config"].get("Hostname") or ""),
        )

    def _start(self) -> Failure | None:
        with engine_errors(self.engine, "starting it"):
            self.container.reload()
            try:
                self.container.start()
            except APIError as error:
                text = explanation(error)
                refusal = diagnosis.refusal(text)
                script = programs.look_up(self.container, refusal.program) if refusal else None
                return diagnosis.not_started(text, script)
            self.container.reload()
        return None

    def _is_running(self) -> bool:
        with engine_errors(self.engine, "inspecting it"):
            self.container.reload()
        return bool(self.container.attrs["State"]["Running"])

    def _wait(self, url: str, begun: float) -> _Waited:
        """Probe until it answers 200, ends, keeps making a mistake that no waiting cures, or the time is over."""
        pause, next_look, waited = FIRST_PAUSE, begun + LOOK_EVERY, _Waited()
        mistake, since = "", begun
        end, used = begun + self.wait, 0.0
        while True:
            left = end - time.perf_counter()
            reply = asking.ask(url, "/status", timeout=min(asking.TIMEOUT, max(left, 0.1)))
            now = time.perf_counter()
            waited.status, waited.waited = reply.status if reply else None, now - begun
            if waited.status == 200:
                waited.seconds = now - begun
                return waited
            self.tell("waiting for its first answer")
            if not self._is_running():
                return waited
            if now >= end and is_busy() and now - begun < MOST_PATIENCE * self.wait:
                before_used, used = used, self._processor_seconds()
                if used < self.wait and used - before_used >= LEAST_SHARE * LONGER:
                    end = now + LONGER
            if now >= next_look or now >= end:
                waited.found = listeners(self.engine, self.container)
                before, mistake = mistake, _mistake(waited)
                since = since if mistake == before else now
                if now >= end or (mistake and now - since >= PATIENCE[mistake]):
                    return waited
                next_look = now + LOOK_EVERY
            time.sleep(max(0.0, min(pause, end - now)))
            pause = min(pause * 1.3, LONGEST_PAUSE)

    def _processor_seconds(self) -> float:
        """How long the container's processes have had a processor, all together."""
        with engine_errors(self.engine, "measuring it"):
            stats = self.engine.client.api.stats(str(self.container.id), stream=False, one_shot=True)
        return float(stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)) / 1e9

    def _ask(self, url: str, left: float) -> tuple[Answer, Answer, bool]:
        """The answers of the endpoints within the seconds that are left, and whether a debugger is open."""
        self.tell("asking /info")
        replies = [asking.ask(url, path, timeout=max(asking.TIMEOUT, left)) for path in ("/status", "/info")]
        status, info = (reply.answer if reply else Answer(None) for reply in replies)
        return status, info, asking.has_debugger(url)

    def _look(self) -> list[Seen]:
        return processes.look(self.engine, self.container)

    def _named(self, seen: list[Seen]) -> tuple[Process, ...]:
        return processes.named(self.engine, self.container, seen)

    def _logs(self) -> str:
        with engine_errors(self.engine, "reading its logs"):
            text = plain(self.container.logs(tail=LOG_LINES)[-LOG_BYTES:])
        return "\n".join(line[:LOG_WIDTH] for line in text.splitlines()[-LOG_LINES:])

    def _script(self, log: str) -> Script | None:
        refusal = diagnosis.refusal(log)
        return programs.look_up(self.container, refusal.program) if refusal else None

    def _memory(self) -> int:
        return int(self.container.attrs["HostConfig"]["Memory"])

    def _ended(self, waited: _Waited) -> Running:
        log = self._logs()
        failure = diagnosis.ended(self.container.attrs["State"], log, self._memory(), self._script(log))
        return Running(up=False, status=Answer(waited.status), logs=log, failure=failure)

    def _why_silent(self, waited: _Waited) -> Failure:
        log = self._logs()
        killed = bool(self.container.attrs["State"].get("OOMKilled"))
        return diagnosis.silent(
            waited.status,
            waited.found,
            log,
            seconds=waited.waited,
            out_of_memory=self._memory() if killed else None,
            script=self._script(log),
        )

    def _stop(self) -> Stop | None:
        """What ``docker stop`` does, step by step, so that it is known which signal ended it.

        None if it has ended before.
        """
        signal = str(self.container.attrs["Config"].get("StopSignal") or "SIGTERM")
        begun = time.perf_counter()
        if not self._kill(signal):
            return None
        killed = is_kill(signal)
        if not self._has_ended(GRACE):
            killed = True
            self._kill("SIGKILL")
            self._has_ended(GRACE)
        seconds = time.perf_counter() - begun
        code = int(self.container.attrs["State"]["ExitCode"])
        return Stop(seconds, code, killed, signal_name(signal))

    def _handles_stop_signal(self) -> bool:
        """Whether process 1 has a handler for the stop signal, as far as the kernel tells us; proc(5), SigCgt.

        Without one, the signal does nothing to it, however long one waits.
        """
        name = signal_name(str(self.container.attrs["Config"].get("StopSignal") or "SIGTERM"))
        number = next((number for number, known in SIGNALS.items() if known == name), 0)
        pid = int(self.container.attrs["State"]["Pid"])
        if not self.engine.is_local or not number or not pid:
            return True
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except OSError:
            return True
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        inside = re.search(r"^NSpid:.*\s1$", status, re.MULTILINE)  # of a container, not of another machine's engine
        return not (caught and inside) or bool(int(caught[1], 16) >> (number - 1) & 1)

    def _kill(self, signal: str) -> bool:
        """Send a signal to its first process; False if it has ended."""
        with engine_errors(self.engine, "stopping it"):
            try:
                self.engine.client.api.kill(str(self.container.id), signal)
            except APIError:
                if self._is_running():
                    raise
                return False
        return True

    def _has_ended(self, seconds: float) -> bool:
        deadline = time.perf_counter() + seconds
        while self._is_running():
            if time.perf_counter() >= deadline:
                return False
            self.tell("stopping it")
            time.sleep(0.05)
        return True


def _mistake(waited: _Waited) -> str:
    """Which of the mistakes that `PATIENCE` knows is being made, if any."""
    if waited.status is not None:
        # 5xx may be a proxy whose service is still loading.
        return "wrong answer" if 300 <= waited.status < 500 else ""
    here = [listener for listener in waited.found or () if listener.port == diagnosis.PORT]
    if any(not listener.is_loopback for listener in here) or not waited.found:
        return ""
    return "loopback" if here else "elsewhere"


def unmasked(server: str, is_http_server: bool) -> str:
    """What a server calls itself, and what it is where that is another: a development server may take any name.

    >>> unmasked("gunicorn", True)
    'http.server, as gunicorn'
    """
    if not is_http_server or server.lower().startswith(("werkzeug/", "wsgiserver/")):
        return server
    return f"http.server, as {server or 'nobody'}"


def signal_name(signal: str) -> str:
    """A stop signal as STOPSIGNAL may say it, by its full name.

    >>> signal_name("9"), signal_name("int"), signal_name("SIGRTMIN+3")
    ('SIGKILL', 'SIGINT', 'SIGRTMIN+3')
    """
    if signal.isdecimal():
        return SIGNALS.get(int(signal), signal)
    return signal.upper() if signal.upper().startswith("SIG") else f"SIG{signal.upper()}"


def is_kill(signal: str) -> bool:
    """Whether a stop signal leaves a process no choice."""
    return signal_name(signal) == "SIGKILL"
