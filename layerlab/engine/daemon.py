"""Gets an engine where none runs: installs Docker on Debian and Ubuntu, starts it, and stops what it started.

The engine is started where everybody expects it, by the service manager if there is one, else ``dockerd`` itself at
its default socket: so the exercise's plain ``docker`` commands work in any terminal. It outlives the lab, on purpose.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from layerlab.engine import machine
from layerlab.engine.connection import Engine, connect
from layerlab.engine.docker_settings import USUAL_SOCKET, candidates
from layerlab.engine.locks import exclusive
from layerlab.engine.machine import is_debian
from layerlab.errors import EngineError, EngineNotFound
from layerlab.paths import read_object, state_directory
from layerlab.ui.progress import Report, ongoing, silent

START_TIMEOUT: Final = 60  # seconds; a first start on a slow disk takes about ten
STOP_TIMEOUT: Final = 30
ENGINE_PACKAGES: Final = ("docker.io", "iptables", "ca-certificates")
CLIENT_PACKAGES: Final = ("docker-cli", "docker-buildx")
"""Packages of their own since Debian 13; before, docker.io holds the client."""

PROCESS_NOTES: Final[Mapping[str, Path]] = {
    "dockerd": Path("/var/run/docker.pid"),
    "containerd": Path("/var/run/docker/containerd/containerd.pid"),
}
"""Where the engine, and the containerd that it starts, write down their process ids."""

CONFIGURATION: Final = Path("/etc/docker/daemon.json")
"""Where an engine looks for its configuration. One that is there is the user's, and stays as it is."""
BOUNDED_CACHE: Final[Mapping[str, Any]] = {
    "builder": {"gc": {"enabled": True, "defaultKeepStorage": "15GB", "defaultMaxUsedSpace": "15GB"}}
}
"""Bounds BuildKit's cache: by the first size in older engines (20.10, 26.1), by the second in newer ones (28.5)."""


def ensure(*, report: Report = silent) -> Engine:
    """The engine that is reachable, else one that is installed and started now.

    Raises:
        EngineNotFound: none answers and this user or this system does not let the lab start one.
        EngineError: installing or starting failed; or what `layerlab.engine.connect` raises.
    """
    try:
        return connect()
    except EngineNotFound:
        if not can_start():
            raise

    with exclusive("engine", doing="starts the engine", report=report):
        installs = not shutil.which("dockerd")
        if installs:
            install(report)
        try:
            engine = connect()
        except EngineNotFound:
            return start(report)
        if installs:  # the package's own script has started it
            _remember(_engine_process())
        return engine


def can_start() -> bool:
    """Whether the lab could start an engine here, or install one: as root, and unless the user named another."""
    if os.name != "posix" or os.geteuid() != 0 or any(candidate.chosen for candidate in candidates()):
        return False
    return shutil.which("dockerd") is not None or is_debian()


def install(report: Report = silent) -> None:
    """Install Docker from the packages of Debian or Ubuntu.

    Raises:
        EngineError: they could not be installed.
    """
    _configure()  # first, since the package's own script may start the engine
    clients = () if shutil.which("docker") else CLIENT_PACKAGES
    machine.install("Docker", ENGINE_PACKAGES, report, if_known=clients, error=EngineError)


def start(report: Report = silent) -> Engine:
    """Start the engine that is installed, and wait until it answers.

    Raises:
        EngineError: it did not start; the message has the end of its log.
    """
    log = Path("/var/log/layerlab-dockerd.log")
    process: subprocess.Popen[bytes] | None = None
    with ongoing(report, "start the Docker engine") as step:
        _configure()
        if not _has_systemd():
            remove_stale()
            process = _start_dockerd(log)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                engine = connect()
            except EngineNotFound as error:
                if problem := _why_not_started(process, log):
                    raise EngineError(
                        f"the Docker engine did not start: {problem}", remedy=f"see {log} and mend what it says"
                    ) from error
                time.sleep(0.2)
                step.say("")
            else:
                _remember(process.pid if process else _engine_process())
                step.say(f"version {engine.version}")
                return engine
        raise EngineError(
            f"the Docker engine did not answer within {START_TIMEOUT} s of its start",
            remedy=f"see {log if process else 'journalctl -u docker'} and repeat",
        )


def _why_not_started(process: subprocess.Popen[bytes] | None, log: Path) -> str:
    """Why an engine that does not answer yet will not, as systemd or its own log says; empty if nothing is wrong."""
    if process is None:
        done = subprocess.run(["systemctl", "start", "docker"], capture_output=True, text=True, check=False)
        return (done.stderr.strip() or "systemctl start docker failed") if done.returncode else ""
    if process.poll() is None:
        return ""
    try:
        return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    except OSError as error:
        return f"its log cannot be read ({error})"


def remove_stale(notes: Mapping[str, Path] = PROCESS_NOTES) -> None:
    """Remove process ids that an engine which was killed has left, and that other programs have by now.

    The engine takes any living process with that id for itself (or for its containerd), and does not start.
    """
    for program, note in notes.items():
        try:
            process = int(note.read_text())
            name = Path(f"/proc/{process}/comm").read_text().strip()
        except (OSError, ValueError):
            continue  # no note, or no such process: the engine deals with that itself
        if name != program:
            note.unlink(missing_ok=True)


def _start_dockerd(log: Path) -> subprocess.Popen[bytes]:
    """Start it detached: in a session of its own, and with no descriptor of ours, which callers would wait for."""
    nothing = subprocess.DEVNULL
    with log.open("ab") as output:
        return subprocess.Popen(
            ["dockerd"], stdin=nothing, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )


def _configure() -> None:
    """Bound the build cache of an engine that is to start, unless it has a configuration."""
    with suppress(OSError):  # it is there, or cannot be written: `./lab doctor` says what the cache holds
        CONFIGURATION.parent.mkdir(exist_ok=True)
        with CONFIGURATION.open("x") as file:
            file.write(json.dumps(BOUNDED_CACHE, indent=2) + "\n")


def _has_systemd() -> bool:
    return Path("/run/systemd/system").exists()


def _engine_process() -> int:
    """The id that the engine itself has written down; 0 if there is none."""
    try:
        return int(PROCESS_NOTES["dockerd"].read_text())
    except (OSError, ValueError):
        return 0


def _note() -> Path:
    return state_directory() / "engine.json"


def _remember(process: int) -> None:
    """Note an engine that the lab has started: process ids are used again, so when it began belongs to it."""
    _note().write_text(json.dumps({"process": process, "process_start": _process_start(process)}))


def _process_start(process: int) -> int:
    """When a process began, in clock ticks after boot (field 22 of proc_pid_stat(5)); 0 for none and for a zombie."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def started() -> int | None:
    """The process of the engine that the lab started and that still runs, if there is one."""
    known = read_object(_note())
    process, begun = known.get("process"), known.get("process_start")
    return process if begun and isinstance(process, int) and _process_start(process) == begun else None


def started_by_lab(engine: Engine) -> bool:
    """Whether the lab started this engine."""
    return engine.endpoint == f"unix://{USUAL_SOCKET}" and started() is not None


def stop(report: Report = silent, *, kill: Callable[[int, int], None] = os.kill) -> bool:
    """Stop the engine that the lab started, and no other. Returns whether there was one.

    Raises:
        EngineError: it did not end in time.
    """
    process = started()
    if process is None:
        return False
    with ongoing(report, "stop the Docker engine") as step:
        if _has_systemd():
            subprocess.run(["systemctl", "stop", "docker.socket", "docker"], capture_output=True, check=False)
        else:
            kill(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while started() is not None:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the Docker engine (process {process}) did not end within {STOP_TIMEOUT} s",
                    remedy="stop its containers (docker ps) and repeat",
                )
            time.sleep(0.1)
            step.say("")
        _note().unlink(missing_ok=True)
    return True
