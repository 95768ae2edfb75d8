"""An engine of the tests' own: to be stopped, killed, filled up or put on another network, which the user's never is.

It runs in a `tests.engine.namespaces.Corner`, with its data in a folder of its own. What a test that was killed has
left (a folder, empty cgroups) is removed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from layerlab.engine import Candidate, Engine, open_engine
from tests.engine.namespaces import Corner, corner, programs

START_TIMEOUT: Final = 60.0  # seconds
PREFIX: Final = "layerlab-spare-"
PORT: Final = 2375
"""Where an engine with an address listens for everybody: its network is one that only this machine sees."""
_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass
class SpareEngine:
    """An engine that belongs to a test.

    Attributes:
        corner: Where it runs.
        folder: Its data, its socket and its log; short, since the paths of sockets have to be.
        address: Where this machine reaches it; empty if it has no network but its own loopback.
        options: What dockerd is given besides.
        root: The folder of another system, whose dockerd it is; this machine's if None.
    """

    corner: Corner
    folder: Path
    address: str = ""
    options: tuple[str, ...] = ()
    root: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        """The socket on which it listens."""
        return self.folder / "docker.sock"

    @property
    def endpoint(self) -> str:
        """Its address, fit for ``DOCKER_HOST``."""
        return f"unix://{self.socket}"

    @property
    def tcp_endpoint(self) -> str:
        """Its address on the network, fit for ``DOCKER_HOST``."""
        return f"tcp://{self.address}:{PORT}"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "dockerd.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            *("dockerd", f"--data-root={self.folder / 'data'}", f"--exec-root={self.folder / 'run'}"),
            *(f"--pidfile={self.folder / 'docker.pid'}", f"--config-file={self.folder / 'daemon.json'}"),
            *(f"--host={self.endpoint}", "--iptables=false", "--ip6tables=false"),
            f"--cgroup-parent={self.folder.name}",
            *([f"--host=tcp://{self.address}:{PORT}", "--tls=false"] if self.address else []),
            *self.options,
        ]
        if self.root is not None:
            command = ["chroot", str(self.root), *command]
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.corner.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.05)
        raise AssertionError(f"the spare engine did not start:\n{self.log[-3000:]}")

    def _answers(self) -> bool:
        # Not by way of the SDK, which leaves sockets that it could not connect to the garbage collector.
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(START_TIMEOUT)
            try:
                line.connect(str(self.socket))
                line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 OK" in line.recv(64)
            except OSError:
                return False

    def stop(self) -> None:
        """Stop it in order, and wait for its end; its containers end with it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a crash would; its containerd dies with it, and what both have written down stays."""
        self._signal(signal.SIGKILL)

    def end(self) -> None:
        """End it for good, however it is."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()

    def freeze(self) -> None:
        """Let it hear everything and say nothing, as in a virtual machine that is suspended."""
        self.corner.run("kill", "-STOP", (self.folder / "docker.pid").read_text().strip())

    def thaw(self) -> None:
        """Let it go on."""
        with contextlib.suppress(FileNotFoundError):
            self.corner.run("kill", "-CONT", (self.folder / "docker.pid").read_text().strip())
        if self._process is not None:  # nsenter, which stops along with what it has started
            self._process.send_signal(signal.SIGCONT)

    def connect(self) -> Engine:
        """A connection to it."""
        return open_engine(Candidate(self.endpoint, "the test's own", chosen=True))

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(FileNotFoundError):
            self.corner.run("kill", f"-{number}", (self.folder / "docker.pid").read_text().strip())
        self._process.wait(timeout=START_TIMEOUT)
        self._process = None


@contextlib.contextmanager
def spare_engine(
    *,
    disk: int | None = None,
    has_address: bool = False,
    options: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Iterator[SpareEngine]:
    """An engine that has been started, and of which nothing is left in the end.

    Args:
        disk: Bytes of the file system, on a loop device, that holds its data; the folder for temporary files if None.
        has_address: Whether it is on a network that this machine reaches, and listens there.
        options: Further options of dockerd.
        settings: What its configuration file holds.
        root: A folder with another system, whose dockerd is to be taken.
    """
    programs("ip", *(["mkfs.ext4"] if disk else []))
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        with corner(*_disk(folder, disk), *_system(folder, root)) as place:
            address = _connect(place) if has_address else ""
            (folder / "daemon.json").write_text(json.dumps(settings or {}))
            spare = SpareEngine(place, folder, address, tuple(options), root)
            try:
                spare.start()
                yield spare
            finally:
                spare.end()
    finally:
        _remove(folder)


def _disk(folder: Path, size: int | None) -> list[list[str]]:
    """The commands that mount a small file system where the data go; the loop device goes with the mount."""
    data = folder / "data"
    data.mkdir()
    if size is None:
        return []
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, env={**os.environ, "PATH": _path()})
    return [["mount", "-o", "loop", str(image), str(data)]]


def _system(folder: Path, root: Path | None) -> list[list[str]]:
    """The commands that make another system's folder fit to run an engine."""
    if root is None:
        return []
    inside = Path(f"{root}{folder}")
    inside.mkdir(parents=True, exist_ok=True)
    # Its / has to be the root of a mount, since newer engines mount it again.
    mounts = [
        (root, root),
        (folder, inside),
        *((Path(f"/{name}"), root / name) for name in ("proc", "sys", "dev", "run")),
    ]
    return [["mount", "--rbind", str(source), str(target)] for source, target in mounts]


def _connect(place: Corner) -> str:
    """Lay a cable from this machine into the corner; returns the address at its far end."""
    number = int.from_bytes(os.urandom(2), "big") % 16000
    network = f"198.18.{number // 64}.{number % 64 * 4}"  # RFC 2544: for tests, nobody's real network
    near, far = (f"{network.rpartition('.')[0]}.{int(network.rpartition('.')[2]) + n}" for n in (1, 2))
    name = f"spare{number}"
    commands = [
        ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(place.process)],
        ["ip", "address", "add", f"{near}/30", "dev", name],
        ["ip", "link", "set", name, "up"],
        place.inside("ip", "address", "add", f"{far}/30", "dev", "eth0"),
        place.inside("ip", "link", "set", "eth0", "up"),
    ]
    for command in commands:
        subprocess.run(command, check=True)
    return far


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def sweep() -> None:
    """Remove what tests that were killed have left."""
    temporary = Path(tempfile.gettempdir())
    names = {found.name for found in [*temporary.glob(f"{PREFIX}*"), *_cgroups(f"{PREFIX}*")]}
    for name in names:
        made = re.fullmatch(rf"{PREFIX}(\d+)-\w+", name)
        if made and not Path("/proc", made[1]).exists():
            _remove(temporary / name)


def _cgroups(name: str) -> list[Path]:
    """Of every controller (version 1), or the one that there is (version 2)."""
    return [*_CGROUPS.glob(name), *_CGROUPS.glob(f"*/{name}")]


def _remove(folder: Path) -> None:
    """Remove an engine's folder, and its cgroups, which can be removed once nothing runs in them."""
    for group in _cgroups(folder.name):
        for path, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
    shutil.rmtree(folder, ignore_errors=True)
