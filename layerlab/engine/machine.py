"""Runs programs of the machine that the lab is on, and installs them where that is Debian or descends from it."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from layerlab.errors import LabError
from layerlab.ui.progress import Report, ongoing

# Another apt that runs (one of an earlier ./lab that was killed, or the system's own) is waited for.
APT_GET: Final = ("apt-get", "--quiet", "--option=Dpkg::Use-Pty=0", "--option=DPkg::Lock::Timeout=120")
_PATIENCE: Final = 20  # seconds for a program to end after SIGTERM


def is_debian() -> bool:
    """Whether this system is a Debian or descends from one."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:  # no Linux
        return False
    ids = {release["ID"], *release.get("ID_LIKE", "").split()}
    return bool(ids & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None


def install(
    wanted: str,
    packages: Sequence[str],
    report: Report,
    *,
    if_known: Sequence[str] = (),
    error: type[LabError] = LabError,
) -> None:
    """Install packages with apt-get, and report each of its lines; messages speak of what is wanted, such as Docker.

    Those of `if_known` are left out where apt does not know them. If it fails, an error of this kind says why.
    """

    def apt_get(title: str, *arguments: str) -> None:
        command = [*APT_GET, *arguments]

        def failed(lines: list[str]) -> LabError:
            wrong = [line for line in lines if line.startswith("E:")] or lines[-1:]
            return error(
                f"{wanted} could not be installed: {' '.join(command)} ended with {' '.join(wrong)}",
                remedy="mend what it says (often the network, or another apt that runs), then repeat",
            )

        run(command, title, report, failed=failed, environment={"DEBIAN_FRONTEND": "noninteractive"})

    apt_get(f"look for {wanted}", "update")
    shows = partial(subprocess.run, capture_output=True, check=False)
    known = [name for name in if_known if shows(["apt-cache", "show", "--no-all-versions", name]).stdout.strip()]
    apt_get(f"install {wanted}", "install", "--yes", "--no-install-recommends", *packages, *known)


def run(
    command: list[str],
    title: str,
    report: Report,
    *,
    failed: Callable[[list[str]], LabError],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program and report its lines. However this ends, the program and what it started have ended, too.

    If it fails, what `failed` makes of its lines is raised. `environment` is what it gets besides this process's.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where chroot and the like are
    lines: list[str] = []
    with (
        ongoing(report, title) as step,
        subprocess.Popen(
            command,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": path, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that it can be ended together with what it started
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                lines.append(line.strip())
                step.say(lines[-1])
            if process.wait():
                raise failed(lines)
        finally:
            _end_group(process)


def ending_with_us(command: list[str]) -> list[str]:
    """A command that gets SIGTERM when the lab is killed, where the system can do that: Linux, prctl(2)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig=TERM", "--", *command] if setpriv else command


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
