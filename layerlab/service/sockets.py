"""What the processes of a container listen on: why a service that runs may not be reachable."""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
import urllib3
from docker.errors import DockerException
from docker.models.containers import Container

from layerlab.engine import Engine

TABLES: Final = ("net/tcp", "net/tcp6")
# Slot, local address and port, remote ones, state. 0A is TCP_LISTEN in the kernel's include/net/tcp_states.h.
_LISTENING: Final = re.compile(r"^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F:]+ 0A ", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Listener:
    """A TCP socket that waits for connections.

    Attributes:
        port: Its port, inside the container.
        address: The address that it is bound to: ``0.0.0.0`` and ``::`` stand for all of them.
    """

    port: int
    address: str

    @property
    def is_loopback(self) -> bool:
        """Whether nothing outside the container can reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return address.is_loopback or (mapped is not None and mapped.is_loopback)


def listeners(engine: Engine, container: Container) -> frozenset[Listener] | None:
    """The sockets on which the container listens; None where that cannot be told.

    All its processes share a network namespace, so that one look tells of all.
    """
    text = read_proc(engine, container, *TABLES)
    return None if text is None else parse_tables(text)


def parse_tables(text: str) -> frozenset[Listener]:
    """The listening sockets in text of the form of ``/proc/net/tcp`` and ``tcp6``.

    Format: https://docs.kernel.org/networking/proc_net_tcp.html. An address is printed as 32-bit words in the
    byte order of the machine, a port in hexadecimal.
    """
    return frozenset(Listener(int(port, 16), _address(words)) for words, port in _LISTENING.findall(text))


def _address(words: str) -> str:
    packed = b"".join(int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8))
    return str(ipaddress.ip_address(packed))


def read_proc(engine: Engine, container: Container, *names: str) -> str | None:
    """What the kernel's /proc says of a container's first process, in these files of its folder; None if nothing.

    Read from outside where the engine's processes are this machine's; else (Docker Desktop, a remote engine) by the
    container's own ``cat``, which an image from scratch does not have.
    """
    text = _from_outside(container, names) if engine.is_local else None
    return _from_inside(container, names) if text is None else text


def _from_outside(container: Container, names: tuple[str, ...]) -> str | None:
    process = Path("/proc") / str(container.attrs["State"]["Pid"])
    try:
        # With the engine in a virtual machine, this machine's process of that number is another one.
        if str(container.id) not in (process / "cgroup").read_text():
            return None
        files = [process / name for name in names]
        return "".join(file.read_text() for file in files if file.exists())  # tcp6 needs IPv6 in the kernel
    except OSError:
        return None


def _from_inside(container: Container, names: tuple[str, ...]) -> str | None:
    try:
        paths = (f"/proc/{name}" if name.startswith("net/") else f"/proc/1/{name}" for name in names)
        result = container.exec_run(["cat", *paths], stderr=False)
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return None
    text = bytes(result.output).decode(errors="replace")  # type: ignore[arg-type]  # not a stream: none was asked for
    return text or None if result.exit_code == 0 or "local_address" in text else None


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens on this port of this machine.

    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     is_taken(server.getsockname()[1])
    True
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
