"""How a container ends: by its stop signal, by itself, or killed; and what it printed last."""

from __future__ import annotations

import re
import signal as signals
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from docker.errors import APIError
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.service.engine_calls import engine_errors, read_proc
from layerlab.ui.text import plain

SHOWN_LINES, SHOWN_WIDTH = 6, 200  # of the end of a log, in a message
# Those whose numbers are the same everywhere: the engine's machine may be another one.
SIGNALS: Final = {number: signals.Signals(number).name for number in (1, 2, 3, 4, 6, 8, 9, 11, 13, 15)}
_AFTER_KILL: Final = 10.0  # seconds; the kernel may have much to put away


@dataclass(frozen=True)
class Stop:
    """How a container ended when it was stopped."""

    seconds: float  # how long it took
    exit_code: int  # of its first process
    killed: bool  # whether the engine had to send SIGKILL (or the image asks for SIGKILL as its stop signal)
    signal: str = "SIGTERM"  # the stop signal that was sent; empty if the container had ended before
    # The signals that its first process caught, or blocked to wait for them; None where nothing tells.
    handles: frozenset[str] | None = None

    @property
    def by_signal(self) -> bool:
        """Whether the stop signal (SIGTERM, or the image's STOPSIGNAL) was enough."""
        return bool(self.signal) and not self.killed

    @property
    def is_deaf(self) -> bool:
        """Whether the signal did nothing to process 1, which did not ask for it; see pid_namespaces(7)."""
        return self.handles is not None and self.signal in SIGNALS.values() and self.signal not in self.handles


def stop(
    engine: Engine,
    container: Container,
    grace: float,
    tell: Callable[[], None] = lambda: None,
    *,
    in_vain: float | None = None,
) -> Stop:
    """What ``docker stop`` does, step by step, so that it is known which signal ended it.

    After so many seconds of grace SIGKILL is sent; after `in_vain` seconds, if given, where `Stop.is_deaf` says that
    it need not be waited for. `tell` is called again and again meanwhile.
    """
    signal = signal_name(str(container.attrs["Config"].get("StopSignal") or "SIGTERM"))
    handles = handled_signals(engine, container)
    begun = time.perf_counter()

    def has_ended(seconds: float) -> bool:
        deadline = time.perf_counter() + seconds
        while is_running(engine, container):
            if time.perf_counter() >= deadline:
                return False
            tell()
            time.sleep(0.05)
        return True

    sent = _kill(engine, container, signal)
    if in_vain is not None and Stop(0, 0, killed=False, signal=signal, handles=handles).is_deaf:
        grace = min(grace, in_vain)
    killed = sent and (not has_ended(grace) or signal == "SIGKILL")
    if killed:
        _kill(engine, container, "SIGKILL")
        has_ended(_AFTER_KILL)
    seconds = time.perf_counter() - begun
    return Stop(seconds, int(container.attrs["State"]["ExitCode"]), killed, signal if sent else "", handles)


def is_running(engine: Engine, container: Container) -> bool:
    """Whether a container runs; it is inspected anew."""
    with engine_errors(engine, "inspecting it"):
        container.reload()
    return bool(container.attrs["State"]["Running"])


def _kill(engine: Engine, container: Container, signal: str) -> bool:
    """Send a signal to its first process; False if it has ended."""
    with engine_errors(engine, "stopping it"):
        try:
            engine.client.api.kill(str(container.id), signal)
        except APIError:
            if is_running(engine, container):
                raise
            return False
    return True


def handled_signals(engine: Engine, container: Container) -> frozenset[str] | None:
    """The signals that a container's first process catches, or blocks: SigCgt and SigBlk of proc(5).

    None where nothing tells: while a process waits for signals with sigtimedwait(2), as tini does, the kernel does
    not count them as blocked.
    """
    text = read_proc(engine, container, "status", "wchan") or ""
    sets = re.findall(r"^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$", text, re.MULTILINE)
    if not sets or "sigtimedwait" in text.rpartition("\n")[2]:
        return None
    asked = int(sets[0], 16) | int(sets[-1], 16)
    return frozenset(name for number, name in SIGNALS.items() if asked >> (number - 1) & 1)


def signal_name(signal: str) -> str:
    """A stop signal as STOPSIGNAL may say it, by its full name.

    >>> signal_name("9"), signal_name("int"), signal_name("SIGRTMIN+3")
    ('SIGKILL', 'SIGINT', 'SIGRTMIN+3')
    """
    if signal.isdecimal():
        return SIGNALS.get(int(signal), signal)
    return signal.upper() if signal.upper().startswith("SIG") else f"SIG{signal.upper()}"


def how_it_ended(state: Mapping[str, Any]) -> str:
    """How a container ended, from the ``State`` that the engine's inspection gives.

    >>> how_it_ended({"ExitCode": 139, "OOMKilled": False})
    'ended by SIGSEGV (exit code 139)'
    """
    code = int(state["ExitCode"])
    if state.get("OOMKilled"):
        return f"was killed for needing more memory than its limit (exit code {code})"
    # As a shell does, the engine gives 128 + n for a process that signal n ended.
    by = SIGNALS.get(code - 128)
    return f"ended by {by} (exit code {code})" if by else f"ended with exit code {code}"


def excerpt(log: str) -> str:
    r"""The last lines of a log that tell something: the frames of a traceback, which are indented, do not.

    >>> excerpt("Traceback (most recent call last):\n  File ...\nKeyError: 'PORT'\n")
    "Traceback (most recent call last):\nKeyError: 'PORT'"
    """
    telling = [
        line[:SHOWN_WIDTH].rstrip() for line in log.splitlines() if line.strip(" \t~^") and not line[0].isspace()
    ]
    return "\n".join(telling[-SHOWN_LINES:])


def printed(engine: Engine, container: Container, lines: int | None = None) -> str:
    """What a container has printed so far, on both of its streams, without terminal escapes; the last lines of it."""
    with engine_errors(engine, "reading its logs"):
        return with_line_end(container.logs(tail="all" if lines is None else lines))


def with_line_end(said: bytes) -> str:
    """Text that a container wrote, fit to be shown, with the line end that it may have had."""
    return plain(said) + "\n" * said.endswith(b"\n")
