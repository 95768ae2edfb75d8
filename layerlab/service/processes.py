"""What runs in a container, and as which user: seen from outside, by the engine's ``top``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from layerlab.engine import Engine
from layerlab.exercise.evidence.model import Process
from layerlab.service.handle import user_names
from layerlab.service.interpreter import is_python
from layerlab.service.talk import engine_errors
from layerlab.ui.text import shorten

_LONGEST: Final = 500  # characters of a command line
# Effective, real and saved user: a process that has put only the first of them aside can take root back.
_ASKED: Final = "-eo pid,ppid,uid,ruid,suid,gid,args"
_BUSYBOX: Final = "-o pid,ppid,user,args"


@dataclass(frozen=True)
class Seen:
    """A process as it was seen.

    Attributes:
        uid: Its user; 0 also if it can become root again by itself.
        gid: Its group; None where that was not told.
        command: Its command line.
    """

    uid: int
    gid: int | None
    command: str


def look(engine: Engine, container: Container) -> list[Seen]:
    """The container's processes now; none if it has ended meanwhile."""
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
            return []
    return read(top, int(container.attrs["State"]["Pid"]))


def read(top: Mapping[str, Any], first: int) -> list[Seen]:
    """The processes of the engine's answer to ``top``, but for those that were started from outside.

    Process 1 and what was started beside it by ``docker exec``, as health checks are, have one parent outside the
    container. The latter and their children are not the image's service. (An orphan's parent is process 1.)

    Args:
        top: The answer.
        first: The number of process 1.
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

    return [_seen(row) for row in rows if is_ours(int(row["PID"]))]


def _seen(row: Mapping[str, str]) -> Seen:
    users = [_number(row[title]) for title in ("UID", "RUID", "SUID", "USER") if title in row]
    gid = row.get("GID", "")
    command = shorten(row.get("COMMAND") or row.get("CMD") or "", _LONGEST)
    return Seen(0 if 0 in users else users[0], int(gid) if gid.isdecimal() else None, command)


def _number(user: str) -> int:
    return int(user) if user.isdecimal() else 0 if user == "root" else -1


def asker(seen: Sequence[Seen]) -> str:
    """As whom the server's process can be asked, as ``uid:gid``: the first Python's user, or the first process's.

    Empty, for the image's user, where that is not known.
    """
    pythons = [one for one in seen if any(is_python(word) for word in one.command.split()[:4])]
    named = [one for one in seen if re.match(r"gunicorn|uwsgi", one.command)]
    for one in (*pythons, *named, *seen):
        return f"{one.uid}:{one.gid}" if one.uid >= 0 and one.gid is not None else ""
    return ""


def named(engine: Engine, container: Container, seen: Sequence[Seen]) -> tuple[Process, ...]:
    """As evidence, each once, with the names that the image's /etc/passwd gives to the users."""
    with engine_errors(engine, "reading its users"):
        names = user_names(container)
    return tuple(dict.fromkeys(Process(one.uid, names.get(one.uid, str(one.uid)), one.command) for one in seen))
