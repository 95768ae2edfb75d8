"""A corner of this machine for a test's own programs: mounts, processes and network apart, and gone with the test.

A holder process is the first of a process namespace, and ends as soon as its standard input does: so whatever
becomes of the test (kill -9 too), the kernel ends all that runs in there, and takes mounts, loop devices and network
interfaces away with it. Needs root, as Docker in CI has it; where that is missing, a test that needs this is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

_HOLDER: Final = """
import signal, subprocess, sys
for command in sys.argv[1].split("\\n"):
    subprocess.run(command.split("\\t"), check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children of children that end are nobody's zombies
print("ready", flush=True)
sys.stdin.read()
"""
_NAMESPACES: Final = ("--mount", "--pid", "--net", "--ipc", "--uts")


@dataclass(frozen=True)
class Corner:
    """Namespaces that are held open.

    Attributes:
        process: The id, on this machine, of their first process.
    """

    process: int

    def inside(self, *command: str | Path) -> list[str]:
        """The command that runs another one in there, in the folder ``/``."""
        enter = ["nsenter", f"--target={self.process}", *_NAMESPACES, "--wdns=/"]
        return [*enter, "--", *map(str, command)]

    def seen_from(self, folder: Path) -> list[str]:
        """The beginning of a command that has the mounts and the network of this corner, and runs in this folder."""
        return ["nsenter", f"--target={self.process}", "--mount", "--net", f"--wdns={folder}", "--"]

    def run(self, *command: str | Path) -> str:
        """Run a program in there; returns what it printed."""
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@contextmanager
def corner(*preparations: Sequence[str | Path]) -> Iterator[Corner]:
    """A corner in which these commands have been run, one after the other, before anything else."""
    if os.geteuid() != 0:
        pytest.skip("this test starts an engine of its own, which needs root: run ./lab test as root")
    first = [["ip", "link", "set", "lo", "up"], ["mount", "-t", "tmpfs", "tmpfs", "/run"]]
    commands = "\n".join("\t".join(map(str, command)) for command in [*first, *preparations])
    with ExitStack() as undo:
        holder = subprocess.Popen(
            ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "--", sys.executable, "-c", _HOLDER, commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        undo.callback(_end, holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n", "the namespaces could not be prepared: see above"
        (child,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        yield Corner(int(child))


def _end(holder: subprocess.Popen[str]) -> None:
    """Let the holder end, and with it everything else in there."""
    holder.communicate()


def programs(*names: str) -> None:
    """See to it that these programs are here; Debian's packages bring them."""
    packages = {"ip": "iproute2", "mkfs.ext4": "e2fsprogs", "sshd": "openssh-server", "ssh": "openssh-client"}
    packages["mmdebstrap"] = "mmdebstrap"
    packages["docker"] = (
        "docker-cli"
        if subprocess.run(["apt-cache", "show", "docker-cli"], capture_output=True, check=False).stdout
        else "docker.io"
    )
    missing = [name for name in names if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if missing:
        wanted = sorted({packages[name] for name in missing})
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *wanted]):
            subprocess.run(["apt-get", "--quiet", *command], env=environment, check=True, capture_output=True)
