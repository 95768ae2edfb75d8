"""Programs that the lab is measured beside, or with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from layerlab.errors import LabError

REMEDIES: Final[Mapping[str, str]] = {
    "dive": "run ./lab test --fast once, which installs requirements/test.txt",
    "docker": "install the docker client",
    "wrk": "install it: apt-get install wrk (Debian, Ubuntu), dnf install wrk (Fedora), brew install wrk (macOS)",
}
"""Where the programs come from that a part of the benchmarks may name in its ``PROGRAMS``."""


def find(name: str) -> str:
    """A program beside this Python, or on the path.

    Raises:
        LabError: there is none.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise LabError(f"there is no {name} here, which this benchmark needs", remedy=REMEDIES[name])
    return found


def output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; what it prints on stdout. Raises: see `run`."""
    return (run(command, environment, subprocess.PIPE).stdout or b"").decode(errors="replace")


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, stdout: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, without what it prints on stdout.

    Raises:
        LabError: it failed; says the last line that it printed on stderr.
    """
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise LabError(f"{Path(command[0]).name} failed: {said[-1]}", remedy="mend what it says and repeat")
    return done


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that goes on until the block ends; its output goes to a file. It ends as by Ctrl-C, or is killed."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C here reaches it once, by this block's end
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
