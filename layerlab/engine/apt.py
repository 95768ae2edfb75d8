"""Installs packages of the distribution's own, on Debian and what descends from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from layerlab.errors import LabError
from layerlab.ui.progress import Report, Step


def is_debian(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether this system is a Debian or descends from one."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return False
    ids = {
        word
        for line in lines
        if line.startswith(("ID=", "ID_LIKE="))
        for word in line.split("=")[1].strip('"').split()
    }
    return bool(ids & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None


def is_available(package: str) -> bool:
    """Whether apt knows this package."""
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package], capture_output=True, check=False)
    return shown.returncode == 0 and bool(shown.stdout.strip())


def apt_get(
    arguments: list[str], title: str, report: Report, *, wanted: str, error: type[LabError] = LabError
) -> None:
    """Run apt-get, and report each of its lines.

    Args:
        arguments: What it is asked to do, such as ``["update"]``.
        title: The same in words, for the progress.
        report: Is told of each line.
        wanted: What this is for, for the message: ``Docker``.
        error: What is raised if it fails.

    Raises:
        LabError: of the given kind; it failed, and the message says why.
    """
    # Another apt that runs (one of an earlier ./lab that was killed, or the system's own) is waited for.
    command = ["apt-get", "--quiet", "--option=Dpkg::Use-Pty=0", "--option=DPkg::Lock::Timeout=120", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    began = time.monotonic()
    report(Step(title, title, "running", 0.0))
    lines: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  # for the type checker
        for line in process.stdout:
            lines.append(line.rstrip())
            report(Step(title, title, "running", time.monotonic() - began, line.strip()))
    seconds = time.monotonic() - began
    if process.returncode:
        report(Step(title, title, "failed", seconds))
        wrong = [line for line in lines if line.startswith("E:")] or lines[-1:]
        raise error(
            f"{wanted} could not be installed: {' '.join(command)} ended with {' '.join(wrong)}",
            remedy="mend what it says (often the network, or another apt that runs), then repeat",
        )
    report(Step(title, title, "done", seconds))
