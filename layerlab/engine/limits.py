"""Limits for what a check builds: memory, processes and CPU of BuildKit's containers.

The API of a build ignores limits, and BuildKit has none. But an engine that keeps its containers' cgroups itself
(cgroup driver ``cgroupfs``) puts all of BuildKit's below one, ``docker/buildkit``; where the lab is root on the same
machine, it limits that one as long as checks go on, and then puts back what was there.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from layerlab.engine.connection import SDK_ERRORS, Engine
from layerlab.engine.locks import exclusive, held, hold, unheld
from layerlab.paths import read_object, state_directory

MEMORY: Final = 2_000_000_000  # bytes, swap included, of all builds of a check together
PROCESSES: Final = 1024
CPUS: Final = 2
_MOST_AT_ONCE: Final = 4  # checks at once that get as much memory and as many processes each
_PERIOD: Final = 100_000  # microseconds
_CGROUP: Final = Path("docker/buildkit")
_ROOT: Final = Path("/sys/fs/cgroup")
_LOCK: Final = "builder-limits"

Values = dict[str, str]
"""What is written into which file, in an order in which the kernel takes it."""


def what_holds(engine: Engine) -> str:
    """What `limited_builder` does here, in words; nothing is changed."""
    if why_not := why_unlimited(engine):
        return f"not limited in memory, processes and CPU: {why_not}"
    return f"at most {MEMORY / 1e9:g} GB of memory, {PROCESSES} processes and {CPUS} CPUs during checks"


@contextmanager
def limited_builder(engine: Engine) -> Iterator[None]:
    """Limit all that the engine's builder runs in this block, where that is possible.

    The first of several checks sets the limits, each further one adds its share, the last puts back what was there.
    A check that was killed counts no more.
    """
    if why_unlimited(engine):
        yield
        return
    with _take(_wanted(_ROOT, MEMORY, PROCESSES)) as share:
        try:
            yield
        finally:
            share.close()
            put_back()


def put_back() -> None:
    """Put back what was there before the first check, unless one goes on."""
    with exclusive(_LOCK):
        if not _going_on() and (before := read_object(_note())):
            _write(before)
            _note().unlink()


def why_unlimited(engine: Engine) -> str:
    """Why the builder cannot be limited; empty if it can."""
    url = urlsplit(engine.endpoint)
    if os.name != "posix" or not _ROOT.is_dir() or os.geteuid() != 0:
        return "only root on the engine's own machine can do that"
    if url.scheme not in {"unix", "http+unix"} or (process := _dockerd_here(url.path)) is None:
        return "the engine runs elsewhere, in a virtual machine or a container, or by way of systemd"
    try:
        info = engine.client.info()
    except SDK_ERRORS:
        return "the engine does not say where its builder runs"
    if info.get("CgroupDriver") != "cgroupfs":
        return f"the engine leaves its cgroups to {info.get('CgroupDriver') or 'something else'}"
    if info.get("CgroupParent") or b"--cgroup-parent" in process:
        return "the engine has a cgroup of its own for containers (--cgroup-parent)"
    return "" if _wanted(_ROOT, MEMORY, PROCESSES) else "the cgroups are not where they usually are"


def _dockerd_here(path: str) -> bytes | None:
    """The command line of an engine that listens on a socket, if it is a process here that sees the same cgroups."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(5)
        connection.connect(path)
        size = struct.calcsize("3i")
        number, *_ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        process = Path(f"/proc/{number}")
        is_engine = (process / "comm").read_text().strip() == "dockerd"
        if is_engine and (process / "ns/cgroup").samefile("/proc/self/ns/cgroup"):
            return (process / "cmdline").read_bytes()
    return None


def _wanted(root: Path, memory: int, processes: int) -> Values:
    """The limits, by the files of cgroup v2's one hierarchy or of v1's several; nothing if neither is there."""
    quota = CPUS * _PERIOD
    if (root / "cgroup.controllers").exists():
        group = root / _CGROUP
        return {
            f"{group}/memory.swap.max": "0",
            f"{group}/memory.max": str(memory),
            f"{group}/pids.max": str(processes),
            f"{group}/cpu.max": f"{quota} {_PERIOD}",
        }
    if not all((root / controller / "cgroup.procs").exists() for controller in ("memory", "pids", "cpu")):
        return {}
    return {
        f"{root}/memory/{_CGROUP}/memory.limit_in_bytes": str(memory),
        f"{root}/memory/{_CGROUP}/memory.memsw.limit_in_bytes": str(memory),
        f"{root}/pids/{_CGROUP}/pids.max": str(processes),
        f"{root}/cpu/{_CGROUP}/cpu.cfs_quota_us": str(quota),
    }


def _take(wanted: Values) -> TextIO:
    """Set the limits, for all checks that go on together, and note what was there before the first one.

    What it returns is the lock by which the others see that this one goes on.
    """
    with exclusive(_LOCK):
        times = min(1 + _going_on(), _MOST_AT_ONCE)  # memory and processes; the CPUs they share
        share = hold(f"{_LOCK}-{uuid.uuid4().hex}")
        with suppress(OSError):  # the kernel refuses
            _make(wanted)
        if not read_object(_note()):  # what a killed check has set is not what was there before it
            present = [Path(name) for name in wanted if Path(name).exists()]
            _note().write_text(json.dumps({str(path): path.read_text().strip() for path in present}))
        grows = {name for name in wanted if Path(name).name.startswith(("memory.", "pids."))}
        _write({name: str(int(value) * times) if name in grows else value for name, value in wanted.items()})
        return share


def _going_on() -> int:
    """How many checks go on that have set limits."""
    for path, _ in unheld(f"{_LOCK}-*"):
        path.unlink(missing_ok=True)
    return len(held(f"{_LOCK}-*"))


def _note() -> Path:
    return state_directory() / f"{_LOCK}-before.json"


def _make(wanted: Values) -> None:
    """Make the cgroup where the engine has not built anything yet, as it does itself."""
    for group in dict.fromkeys(Path(name).parent for name in wanted):
        if group.is_dir():
            continue
        for above in (group.parent.parent, group.parent):
            above.mkdir(exist_ok=True)
            if (above / "cgroup.subtree_control").exists():
                (above / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        group.mkdir(exist_ok=True)


def _write(values: Values) -> None:
    """Write these values as far as the kernel takes them, which knows no swap everywhere.

    Memory with swap may never be less than memory, so that one order is right for less and the other for more.
    """
    for name, value in (*values.items(), *reversed(values.items())):
        with suppress(OSError):
            Path(name).write_text(value)
