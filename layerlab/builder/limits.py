"""Limits for what a check builds: memory, processes and CPU of BuildKit's containers.

The API of a build ignores limits (seen on 20.10), and BuildKit has none. But an engine that keeps its containers'
cgroups itself (cgroup driver ``cgroupfs``) puts all of BuildKit's below one cgroup, ``docker/buildkit``; where the
lab is root on the same machine, it limits that one as long as checks go on, and then puts back what was there. An
engine that leaves its cgroups to systemd has no such place, and elsewhere the lab cannot reach it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import docker.errors
import requests

from layerlab.engine import Engine
from layerlab.engine.locks import exclusive
from layerlab.paths import state_directory

MEMORY: Final = 2_000_000_000  # bytes, swap included, of all builds of a check together
PROCESSES: Final = 1024
CPUS: Final = 2
_MOST_AT_ONCE: Final = 4  # checks at once that get as much memory and as many processes each
_PERIOD: Final = 100_000  # microseconds
_CGROUP: Final = Path("docker/buildkit")
_ROOT: Final = Path("/sys/fs/cgroup")

Values = dict[str, str]
"""What is written into which file, in an order in which the kernel takes it."""


@dataclass(frozen=True)
class Limited:
    """Whether what a build runs is limited.

    Attributes:
        is_limited: Whether it is.
        sentence: The limits, or why there are none.
    """

    is_limited: bool
    sentence: str


def what_holds(engine: Engine) -> Limited:
    """What `limited_builder` does here; nothing is changed."""
    if why_not := _obstacle(engine):
        return Limited(False, f"not limited in memory, processes and CPU: {why_not}")
    return Limited(
        True, f"at most {MEMORY / 1e9:g} GB of memory, {PROCESSES} processes and {CPUS} CPUs during checks"
    )


@contextmanager
def limited_builder(engine: Engine, *, memory: int = MEMORY, processes: int = PROCESSES) -> Iterator[Limited]:
    """Limit all that the engine's builder runs in this block, where that is possible.

    The first of several checks sets the limits, each further one adds its share, the last puts back what was there.
    A check that was killed counts no more, and the next one puts back what that one found.

    Args:
        engine: Whose builder.
        memory: Bytes, swap included.
        processes: How many, threads included.
    """
    held = what_holds(engine)
    if not held.is_limited:
        yield held
        return
    holder = f"{uuid.uuid4().hex} {os.getpid()} {_start_of(os.getpid())}"
    note = state_directory() / "builder-limits.json"
    try:
        _take(holder, _wanted(_ROOT, memory, processes), note)
    except OSError as error:
        yield Limited(False, f"not limited in memory, processes and CPU: the kernel refuses ({error.strerror})")
        return
    try:
        yield held
    finally:
        _release(holder, note)


def in_force() -> Values:
    """What the builder's limits are now, by the kernel's files; nothing where there are none of them."""
    values = {name: _read(name).decode().strip() for name in _wanted(_ROOT, MEMORY, PROCESSES)}
    return {name: value for name, value in values.items() if value}


def _obstacle(engine: Engine) -> str:  # noqa: PLR0911  # a reason each
    """Why the builder cannot be limited; empty if it can."""
    if os.name != "posix" or not _ROOT.is_dir() or os.geteuid() != 0:
        return "only root on the engine's own machine can do that"
    url = urlsplit(engine.endpoint)
    if url.scheme not in {"unix", "http+unix"}:
        return "the engine is not reached over a socket of this machine"
    process = _listener(url.path)
    if process is None or not _is_dockerd_here(process):
        return "the engine runs elsewhere, in a virtual machine or a container, or by way of systemd"
    try:
        info = engine.client.info()
    except (docker.errors.DockerException, requests.RequestException):
        return "the engine does not say where its builder runs"
    if info.get("CgroupDriver") != "cgroupfs":
        return f"the engine leaves its cgroups to {info.get('CgroupDriver') or 'something else'}"
    if info.get("CgroupParent") or b"--cgroup-parent" in _read(f"/proc/{process}/cmdline"):
        return "the engine has a cgroup of its own for containers (--cgroup-parent)"
    return "" if _wanted(_ROOT, MEMORY, PROCESSES) else "the cgroups are not where they usually are"


def _listener(path: str) -> int | None:
    """The process that listens on a socket."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(5)
        connection.connect(path)
        size = struct.calcsize("3i")
        process, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(process) or None
    return None


def _is_dockerd_here(process: int) -> bool:
    """Whether a process is an engine that sees the same cgroups as we do."""
    if _read(f"/proc/{process}/comm").strip() != b"dockerd":
        return False
    try:
        return Path(f"/proc/{process}/ns/cgroup").readlink() == Path("/proc/self/ns/cgroup").readlink()
    except OSError:
        return False


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
    limits = {
        f"{root}/memory/{_CGROUP}/memory.limit_in_bytes": str(memory),
        f"{root}/memory/{_CGROUP}/memory.memsw.limit_in_bytes": str(memory),
        f"{root}/pids/{_CGROUP}/pids.max": str(processes),
        f"{root}/cpu/{_CGROUP}/cpu.cfs_quota_us": str(quota),
    }
    if not (root / "memory/memory.memsw.limit_in_bytes").exists():  # a kernel that does not count swap
        del limits[f"{root}/memory/{_CGROUP}/memory.memsw.limit_in_bytes"]
    return limits


@dataclass(frozen=True)
class _Note:
    """What is remembered as long as there are limits.

    Attributes:
        holders: The checks that go on.
        before: What was there before the first of them.
    """

    holders: tuple[str, ...]
    before: Values

    @classmethod
    def read(cls, path: Path) -> _Note | None:
        try:
            known = json.loads(path.read_text())
            return cls(tuple(map(str, known["holders"])), {str(k): str(v) for k, v in known["before"].items()})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


def _take(holder: str, wanted: Values, path: Path) -> None:
    """Set the limits, unless another check that goes on has done so, and note what was there."""
    with exclusive("builder-limits"):
        note = _Note.read(path)
        others = tuple(one for one in note.holders if _is_alive(one)) if note else ()
        if note and others:
            _Note((*others, holder), note.before).write(path)
            _restore(_for_several(wanted, len(others) + 1))  # in the order in which values may grow
            return
        _make(wanted)
        present = {name: value for name, value in wanted.items() if Path(name).exists()}
        # What a killed check has set is not what was there before it.
        before = note.before if note else {name: _read(name).decode().strip() for name in present}
        _Note((holder,), before).write(path)
        try:
            for name, value in present.items():
                Path(name).write_text(value)
        except BaseException:
            _restore(before)
            path.unlink()
            raise


def _for_several(wanted: Values, checks: int) -> Values:
    """Memory and processes for several checks at once; the CPUs they share."""
    times = min(checks, _MOST_AT_ONCE)
    grows = {name for name in wanted if Path(name).name.startswith(("memory.", "pids."))}
    return {name: str(int(value) * times) if name in grows else value for name, value in wanted.items()}


def _release(holder: str, path: Path) -> None:
    """Put back what was there, unless another check goes on."""
    with exclusive("builder-limits"):
        if note := _Note.read(path):
            others = tuple(one for one in note.holders if one != holder and _is_alive(one))
            if others:
                _Note(others, note.before).write(path)
            else:
                _restore(note.before)
                path.unlink()


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


def _restore(before: Values) -> None:
    """Put values back, the last first: memory with swap may never be less than memory."""
    for name, value in reversed(before.items()):
        with suppress(OSError):
            Path(name).write_text(value)


def _is_alive(holder: str) -> bool:
    """Whether the process of a check still runs; its id alone may be another's by now."""
    _, process, start = holder.split(" ")
    return start == _start_of(int(process))


def _start_of(process: int) -> str:
    """When a process began, in clock ticks after boot; empty if there is none (field 22 of proc_pid_stat(5))."""
    stat = _read(f"/proc/{process}/stat").decode(errors="replace")
    return stat.rpartition(")")[2].split()[19] if stat else ""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
