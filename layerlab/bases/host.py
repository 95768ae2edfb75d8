"""What making a root needs of the machine that runs the lab: root, mmdebstrap and the Debian archive's keys."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from layerlab.engine.apt import is_debian
from layerlab.engine.interrupts import ending_with_us
from layerlab.errors import StandInError
from layerlab.ui.progress import Report, ongoing
from layerlab.ui.text import shorten

PACKAGES: Final = ("mmdebstrap", "debian-archive-keyring", "mount")
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_SETTINGS: Final = re.compile(
    r"^Acquire::(?:https?::|Check-Valid-Until |Check-Date |Max-FutureTime |Retries |ForceIPv[46] ).*;$", re.MULTILINE
)
_PATIENCE: Final = 20  # seconds for a program to end after SIGTERM
_NETWORK: Final = re.compile(
    r"Could not resolve|Temporary failure|Could not connect|Unable to connect|Connection (?:failed|refused|reset)"
    r"|timed out|Network is unreachable|No route to host|Failed to fetch|Failed to download|Hash Sum mismatch"
    r"|SSLError|certificate verify failed|No matching distribution|Proxy",
    re.IGNORECASE,
)
_DISK: Final = re.compile(r"No space left on device|Disk quota exceeded|don't have enough free space", re.IGNORECASE)
_CLOCK: Final = re.compile(r"is (?:not valid yet|expired)|not live until|expired on", re.IGNORECASE)


def check(machine: str) -> None:
    """See to it that roots for an engine on such a machine can be made here.

    Args:
        machine: What the engine calls its machine, such as ``x86_64``; empty if it does not say.

    Raises:
        StandInError: this is no Debian or Ubuntu, the user is not root, or the engine's machine is of another kind.
    """
    elsewhere = "or use an engine that reaches a registry, or get the base images with `docker load`"
    if not is_debian():
        raise StandInError(
            "stand-ins for the base images can be made on Debian and Ubuntu only",
            remedy=f"run ./lab there, {elsewhere}",
        )
    if os.geteuid() != 0:
        raise StandInError(
            "making stand-ins for the base images needs root", remedy=f"run ./lab as root, {elsewhere}"
        )
    if machine not in {"", platform.machine()}:
        raise StandInError(
            f"stand-ins for an engine on {machine} cannot be made on {platform.machine()}",
            remedy=f"run ./lab on a machine like the engine's, {elsewhere}",
        )


def install(report: Report) -> None:
    """Install what making roots needs, where it is missing.

    Raises:
        StandInError: the packages cannot be installed.
    """
    if shutil.which("mmdebstrap") and shutil.which("mount") and KEYRING.is_file():
        return
    apt_get = ["apt-get", "--quiet", "--option=Dpkg::Use-Pty=0", "--option=DPkg::Lock::Timeout=120"]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run([*apt_get, "update"], "look for mmdebstrap", report, environment)
    arguments = ["install", "--yes", "--no-install-recommends", *PACKAGES]
    run([*apt_get, *arguments], "install mmdebstrap", report, environment)


def apt_settings() -> str:
    """How apt reaches its servers from this machine (proxies, retries, a clock that is off), as apt.conf lines.

    mmdebstrap does not read the machine's own configuration, and would not get through where apt does.
    """
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return "".join(f"{line}\n" for line in APT_SETTINGS.findall(dump.stdout))


def run(command: list[str], title: str, report: Report, environment: Mapping[str, str]) -> None:
    """Run a program and report its lines. However this ends, the program and what it started have ended, too.

    Args:
        command: The program and its arguments.
        title: What it does.
        report: Is told of each line.
        environment: What its environment has in addition to this process's.

    Raises:
        StandInError: it failed; the message has the reason that it gave.
    """
    lines: list[str] = []
    with ongoing(report, title, title) as step, _process(command, environment) as process:
        assert process.stdout is not None  # noqa: S101  # for the type checker
        for line in process.stdout:
            lines.append(line.strip())
            step.say(line.strip())
        if process.wait():
            raise failure(f"{Path(command[0]).name} failed", lines)


def failure(what: str, lines: list[str]) -> StandInError:
    """The error for a program or a step of a build that failed, with whose fault it most likely is.

    Args:
        what: What failed.
        lines: What it printed.
    """
    text = "\n".join(lines)
    wrong = [line for line in lines if re.match(r"E: |ERROR|error: |.*: error", line)] or [
        line for line in lines if line
    ]
    cause = shorten(" ".join(wrong[-2:]), 300) or "it said nothing"
    if _DISK.search(text):
        remedy = "the disk is full: make room (about 4 GB are needed) and repeat"
    elif _CLOCK.search(text):
        remedy = "the clock of this machine is off: set it (see `date`) and repeat"
    elif _NETWORK.search(text):
        remedy = "the network's fault, most likely: see whether Debian's archive and PyPI are reachable, and repeat"
    else:
        remedy = "read what it says, mend it and repeat; what was built is found again"
    return StandInError(f"no stand-in could be made: {what}: {cause}", remedy=remedy)


@contextmanager
def _process(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own, so that it can be ended together with what it started."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where chroot and the like are
    process = subprocess.Popen(
        ending_with_us(command),
        env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end_group(process)
        if process.stdout is not None:
            process.stdout.close()


def _end_group(process: subprocess.Popen[str]) -> None:
    """End the process's whole group: gently first, since mmdebstrap unmounts and removes what it made."""
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        for _ in range(50):
            os.killpg(process.pid, signal.SIGKILL)
            process.poll()
            time.sleep(0.1)
