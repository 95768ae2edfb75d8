"""What runs in a container, and as which user, seen from outside by the engine's ``top``: no image needs a ``ps``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.service.engine_calls import engine_errors, read_beginning
from layerlab.ui.text import plain, shorten

_LONGEST: Final = 500  # characters of a command line
_PASSWD_LIMIT: Final = 1_000_000  # bytes that are read of /etc/passwd
# Effective, real and saved user: a process that has put only the first of them aside can take root back.
_ASKED: Final = "-eo pid,ppid,uid,ruid,suid,gid,args"
_BUSYBOX: Final = "-o pid,ppid,user,args"  # its ps knows no uid


@dataclass(frozen=True)
class Process:
    """A process of a container.

    Its `uid` is what the kernel checks, another number than inside where the engine remaps users; 0 also if it can
    become root again by itself; -1 where the engine's ``ps`` does not tell.
    """

    uid: int
    user: str  # the name that the image's /etc/passwd gives to this uid, or else the number
    command: str
    pid: int = field(default=0, compare=False)  # the engine's machine's number for it
    gid: int | None = field(default=None, compare=False)  # its group; None where that is not told
    is_first: bool = field(default=False, compare=False)  # whether it is process 1 of the container


def list_processes(engine: Engine, container: Container, names: Mapping[int, str]) -> tuple[Process, ...]:
    """The processes, by pid, of a container that was inspected since its start; none if it has ended."""
    with engine_errors(engine, "listing its processes"):
        try:
            try:
                top = container.top(ps_args=_ASKED)
            except NotFound:
                raise
            except APIError:
                top = container.top(ps_args=_BUSYBOX)
        except APIError:
            container.reload()
            if container.attrs["State"]["Running"]:
                raise
            return ()
    return parse_top(top, int(container.attrs["State"]["Pid"]), names)


def parse_top(top: Mapping[str, Any], first: int, names: Mapping[int, str]) -> tuple[Process, ...]:
    """The processes of the engine's answer to ``top``, but for those that were started from outside.

    Process 1 and what was started beside it by ``docker exec``, as health checks are, have one parent outside the
    container. The latter and their children are not the image's service. (An orphan's parent is process 1.)
    """
    rows = [dict(zip(top["Titles"], values, strict=True)) for values in top.get("Processes") or ()]
    parents = {int(row["PID"]): int(row["PPID"]) for row in rows}
    outside = parents.get(first)

    def is_ours(pid: int) -> bool:
        for _ in parents:  # at most as many steps as there are processes
            if pid == first or pid not in parents:
                break
            if parents[pid] == outside:
                return False
            pid = parents[pid]
        return True

    def read(row: Mapping[str, str]) -> Process:
        users = [row[title] for title in ("UID", "RUID", "SUID", "USER") if title in row]
        uids = [int(user) if user.isdecimal() else 0 if user == "root" else -1 for user in users]
        uid = 0 if 0 in uids else uids[0]
        pid, gid = int(row["PID"]), row.get("GID", "")
        command = shorten(row.get("COMMAND") or row.get("CMD") or "", _LONGEST)
        name = names.get(uid, str(uid) if users[0].isdecimal() else users[0])
        return Process(uid, name, command, pid, int(gid) if gid.isdecimal() else None, pid == first)

    return tuple(sorted((read(row) for row in rows if is_ours(int(row["PID"]))), key=lambda each: each.pid))


def user_names(container: Container) -> dict[int, str]:
    """The names that the container's /etc/passwd gives to user ids; none where it has no such file."""
    text = (read_beginning(container, "/etc/passwd", _PASSWD_LIMIT) or b"").decode(errors="replace")
    fields = [line.split(":") for line in text.splitlines()]
    # The first entry of a uid counts, as for getpwuid(3).
    return {int(f[2]): plain(f[0]) for f in reversed(fields) if len(f) > 2 and f[2].isdecimal()}
