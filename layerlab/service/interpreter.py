"""Asks the Python that runs a container's service what it is and what it finds; see ``probe`` for what is asked."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docker.models.containers import Container
from docker.types import CancellableStream

from layerlab.engine import Engine
from layerlab.service import probe
from layerlab.service.engine_calls import SILENT
from layerlab.service.probe import is_python
from layerlab.service.processes import Process
from layerlab.ui.text import plain

TIMEOUT: Final = 30.0  # seconds, all attempts together; on a busy machine a Python needs a few to start
OUTPUT_LIMIT: Final = 1_000_000  # bytes
_ATTEMPTS: Final = 12
# Where images have a Python that nothing in their processes names. The bare names are looked for in PATH.
_USUAL: Final = (
    "python3",
    "python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
    "/opt/venv/bin/python",
    "/venv/bin/python",
    "/app/.venv/bin/python",
)


@dataclass(frozen=True)
class Distribution:
    """A Python distribution, as the service's own interpreter finds it (or as the image's files show it)."""

    name: str  # normalised (PEP 503)
    version: str
    location: str  # absolute path of its ``.dist-info`` directory, links resolved


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs the service, asked within its container: what its ``sys`` says, and more."""

    executable: str
    prefix: str
    path: tuple[str, ...]  # as the server's process has it
    distributions: Mapping[str, Distribution]  # by normalised name, the first on the path only
    holder: str = ""  # the command line of the process that holds port 5000's listening socket, if that is seen
    behind: tuple[str, ...] = ()  # where else in the container Python's ``http.server`` answers /status


def candidates(commands: Sequence[str]) -> list[str]:
    """Interpreters to try in a container whose processes have these command lines, the likeliest first, each once.

    Any of the image's own will do to look for the service's process, and then becomes that process's Python.
    """
    named = (word for command in commands for word in command.split()[:8] if is_python(word))
    return list(dict.fromkeys([*named, *_USUAL]))[:_ATTEMPTS]


def ask_python(engine: Engine, container: Container, processes: Sequence[Process]) -> Interpreter | None:
    """What the service's Python says of itself; None if none could be asked.

    It is asked as the user of the first Python, since the kernel shows a process's environment to its own user alone.
    """
    text = Path(probe.__file__).read_text(encoding="utf-8")
    deadline = time.monotonic() + TIMEOUT
    for python in candidates([each.command for each in processes]):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        mark = secrets.token_hex(16)
        output = _output(
            engine, str(container.id), probe.command(python, text, mark), user_to_ask_as(processes), left
        )
        if found := read_answer(output, mark):
            return found
    return None


def user_to_ask_as(processes: Sequence[Process]) -> str:
    """As whom the server's process can be asked, as ``uid:gid``; empty, for the image's user, where nothing tells."""
    pythons = [each for each in processes if any(is_python(word) for word in each.command.split()[:4])]
    named = [each for each in processes if re.match(r"gunicorn|uwsgi", each.command)]
    for each in (*pythons, *named, *processes):
        return f"{each.uid}:{each.gid}" if each.uid >= 0 and each.gid is not None else ""
    return ""


def read_answer(output: bytes, mark: str) -> Interpreter | None:
    """What the probe printed behind this mark; None if that is not there, or not what it prints."""
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(mark):
            with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                document = json.loads(line[len(mark) :])
                return Interpreter(
                    plain(document["executable"]),
                    plain(document["prefix"]),
                    tuple(map(plain, document["path"])),
                    {
                        plain(name): Distribution(*map(plain, (name, *found)))
                        for name, found in document["distributions"].items()
                    },
                    holder=plain(document["holder"]),
                    behind=tuple(map(plain, document["behind"])),
                )
    return None


def _output(engine: Engine, container_id: str, command: Sequence[str], user: str, seconds: float) -> bytes:
    """What a command prints in the container, within this time; nothing if it cannot be run."""
    api = engine.client.api
    try:
        made = api.exec_create(container_id, list(command), stderr=False, user=user)
        stream = api.exec_start(made["Id"], stream=True)
    except SILENT:
        return b""
    output = bytearray()
    reader = threading.Thread(target=_read, args=(stream, output), daemon=True)
    reader.start()
    reader.join(seconds)
    if reader.is_alive():  # it ends with the container at the latest
        with suppress(*SILENT):
            stream.close()
        reader.join(1.0)
    return bytes(output)


def _read(stream: CancellableStream[bytes], output: bytearray) -> None:
    try:
        with suppress(*SILENT):
            for chunk in stream:
                output += chunk
                if len(output) > OUTPUT_LIMIT:
                    break
    finally:
        # The stream's own close() leaves the connection to the garbage collector.
        stream._response.close()  # type: ignore[attr-defined]
