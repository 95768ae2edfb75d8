"""The lab with images of two megabytes, on an engine of the test's own: what a user sees, in a second or two."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layerlab.bases import BASES
from layerlab.engine import Engine
from layerlab.paths import ROOT
from tests.engine import copies
from tests.engine.conftest import import_busybox

PATIENCE: Final = 60.0  # seconds; none of this takes as long, but the machine may be busy
QUICK: Final = "RUN echo quick > /quick\n"
SLOW: Final = "RUN echo slow && sleep 300\n"
SERVES: Final = (
    'RUN mkdir /www && echo "{}" > /www/status\nCMD ["busybox", "httpd", "-f", "-p", "5000", "-h", "/www"]\n'
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def line(self) -> str:
        """The last line of what it said: of an error, the one that counts."""
        return self.stderr.strip().rpartition("\n")[2]


class Command:
    """A command of the lab that runs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder

    def wait_for(self, pattern: str) -> None:
        """Wait until it has printed this."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self._said("out") + self._said("err")):
            assert self.process.poll() is None, f"it has ended: {self._said('err')}"
            assert time.monotonic() < deadline, f"{pattern!r} was not printed: {self._said('err')}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self) -> Ended:
        """Wait for its end."""
        status = self.process.wait(timeout=PATIENCE)
        return Ended(status, self._said("out"), self._said("err"))

    def _said(self, stream: str) -> str:
        return (self._folder / stream).read_text(errors="replace")


@dataclass
class SmallLab:
    """A copy of the lab, whose Dockerfiles the test writes.

    Attributes:
        root: Where the copy is.
        environment: Of its commands: the engine, and folders of their own for caches and notes.
        around: The beginning of each command line, such as what enters a namespace.
        started: Its commands so far.
    """

    root: Path
    environment: dict[str, str]
    around: Sequence[str] = ()
    started: list[Command] = field(default_factory=list, repr=False)

    def write(self, optimized: str = QUICK, single: str = QUICK) -> None:
        """Write both Dockerfiles: what follows their FROM."""
        (self.root / "Dockerfile").write_text(f"FROM {BASES[0]}\n{optimized}")
        (self.root / "Dockerfile.single").write_text(f"FROM {BASES[1]}\n{single}")

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start a command, such as ``build``."""
        folder = self.root / f"said-{len(self.started)}"
        folder.mkdir()
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [*self.around, sys.executable, "-m", "layerlab", *arguments],
                cwd=self.root,
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.started.append(Command(process, folder))
        return self.started[-1]

    def run(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, **environment).end()


@contextmanager
def small_lab(endpoint: str, around: Callable[[Path], Sequence[str]] = lambda _: ()) -> Iterator[SmallLab]:
    """A copy of the lab; what still runs of its commands is killed in the end.

    Args:
        endpoint: The address of the engine.
        around: Gives the beginning of each command line that runs in this folder.
    """
    with copies.folder() as root:
        yield from _small_lab(root, endpoint, around(root))


def _small_lab(root: Path, endpoint: str, around: Sequence[str]) -> Iterator[SmallLab]:
    shutil.copytree(ROOT / "layerlab", root / "layerlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "app", root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "exercise", root / "exercise")
    shutil.copy(ROOT / "requirements.txt", root)
    environment = {
        "DOCKER_HOST": endpoint,
        "PYTHONPATH": str(root),  # before the repository, which .venv names
        "XDG_CACHE_HOME": str(root / "cache"),
        "XDG_STATE_HOME": str(root / "state"),
    }
    made = SmallLab(root, environment, around)
    made.write()
    try:
        yield made
    finally:
        for command in made.started:
            if command.process.poll() is None:
                command.send(signal.SIGKILL)
                command.process.wait()


def give_bases(engine: Engine, folder: Path) -> None:
    """Give an engine the images on which the lab builds: busybox, under their names."""
    import_busybox(engine, BASES[0], folder)
    engine.client.images.get(BASES[0]).tag(*BASES[1].split(":"))
