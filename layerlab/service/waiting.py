"""Waiting for a service's first answer, and where its container listens: why one that runs may not be reachable."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.service.answers import TIMEOUT, ask
from layerlab.service.ending import is_running
from layerlab.service.engine_calls import engine_errors, read_proc

PROBE: Final = "/status"
PORT: Final = 5000  # on which a service listens, inside its container
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2  # seconds between two requests; each pause is 1.3 times the one before
LOOK_EVERY: Final = 1.0  # seconds between two looks at where it listens

_TABLES: Final = ("net/tcp", "net/tcp6")
# Slot, local address and port, remote ones, state. 0A is TCP_LISTEN in the kernel's include/net/tcp_states.h.
_LISTENING: Final = re.compile(r"^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F:]+ 0A ", re.MULTILINE)

# Where the machine has more to do than it can, a service that is still at work may be given more time, as long as it
# has had less of the processors than it may have on a machine of its own.
MOST_PATIENCE: Final = 4.0  # times the wait: what comes of it must not depend on who else works
LONGER: Final = 3.0  # seconds at a time
LEAST_SHARE: Final = 0.03  # of one processor: less is no work, but waiting


@dataclass(frozen=True, order=True)
class Listener:
    """A TCP socket inside the container that waits for connections."""

    port: int
    address: str  # ``0.0.0.0`` and ``::`` stand for all of them

    @property
    def is_loopback(self) -> bool:
        """Whether nothing outside the container can reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return address.is_loopback or (mapped is not None and mapped.is_loopback)


@dataclass(frozen=True)
class Wait:
    """How the wait for the first answer went."""

    seconds: float | None = None  # from the start of the container to its first 200
    waited: float = 0.0  # seconds, whatever came of it
    status: int | None = None  # of the last answer; None if none came
    found: frozenset[Listener] | None = None  # where it listened last; None if that cannot be told, or was not asked

    @property
    def mistake(self) -> str:
        """What waiting does not cure: ``wrong answer``, ``loopback``, ``elsewhere`` (another port), or nothing."""
        if self.status is not None:
            # 5xx may be a service, or one behind a proxy, that is still loading.
            return "wrong answer" if 300 <= self.status < 500 else ""
        here = [listener for listener in self.found or () if listener.port == PORT]
        if not self.found or any(not listener.is_loopback for listener in here):
            return ""
        return "loopback" if here else "elsewhere"


def wait_for_answer(
    engine: Engine,
    container: Container,
    url: str,
    *,
    wait: float,  # seconds; `MOST_PATIENCE` times that while the machine is busy and the service still at work
    patience: Mapping[str, float] | None = None,  # seconds that each `Wait.mistake` has to last, else `LOOK_EVERY`
    tell: Callable[[], None] = lambda: None,  # called after each request without a good answer
) -> Wait:
    """Ask a service until it answers 200, its container ends, a mistake does not go away, or the time is over."""
    begun = time.perf_counter()
    pause, next_look, end, used = FIRST_PAUSE, begun + LOOK_EVERY, begun + wait, 0.0
    found: frozenset[Listener] | None = None
    mistake, since = "", begun
    while True:
        status = ask(url, PROBE, timeout=min(TIMEOUT, max(end - time.perf_counter(), 0.1))).status
        now = time.perf_counter()
        if status == 200:
            return Wait(now - begun, now - begun, status, found)
        tell()
        if not is_running(engine, container):
            return Wait(None, now - begun, status, found)
        if now >= end and now - begun < MOST_PATIENCE * wait and is_busy():
            before, used = used, _processor_seconds(engine, container)
            if used < wait and used - before >= LEAST_SHARE * LONGER:
                end = now + LONGER
        if now >= min(next_look, end):
            found = listeners(engine, container)
            so_far = Wait(None, now - begun, status, found)
            before_it, mistake = mistake, so_far.mistake
            since = since if mistake == before_it else now
            if now >= end or (mistake and now - since >= (patience or {}).get(mistake, LOOK_EVERY)):
                return so_far
            next_look = now + LOOK_EVERY
        time.sleep(max(0.0, min(pause, end - now)))
        pause = min(pause * 1.3, LONGEST_PAUSE)


def is_busy() -> bool:
    """Whether this machine has more to do than it has processors for."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def _processor_seconds(engine: Engine, container: Container) -> float:
    """How long the container's processes have had a processor, all together."""
    with engine_errors(engine, "measuring it"):
        stats = engine.client.api.stats(str(container.id), stream=False, one_shot=True)
    return float(stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)) / 1e9


def listeners(engine: Engine, container: Container) -> frozenset[Listener] | None:
    """The sockets on which the container listens; None where that cannot be told."""
    text = read_proc(engine, container, *_TABLES)
    return None if text is None else parse_tables(text)


def parse_tables(text: str) -> frozenset[Listener]:
    """The listening sockets in text of the form of ``/proc/net/tcp`` and ``tcp6``.

    Format: https://docs.kernel.org/networking/proc_net_tcp.html. An address is printed as 32-bit words in the
    byte order of the machine, a port in hexadecimal.
    """
    found = set()
    for words, port in _LISTENING.findall(text):
        packed = b"".join(int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8))
        found.add(Listener(int(port, 16), str(ipaddress.ip_address(packed))))
    return frozenset(found)
