"""Calls to the engine about a container: errors that become the lab's, and files of a container, running or not."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.utils import decode_json_header

from layerlab.engine import Engine, disk_full, gone, is_disk_full
from layerlab.errors import ServiceError
from layerlab.ui.text import one_line

LINK: Final = 1 << 27  # Go's os.ModeSymlink, in the mode that `file_status` gives
_TIMEOUT: Final = 10.0  # seconds for the engine
SILENT: Final = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What is raised where an engine gives no answer that is of use."""


@contextmanager
def engine_errors(engine: Engine, doing: str) -> Iterator[None]:
    """Raise what goes wrong in a call about a container as an error of ours.

    Raises:
        ServiceError: the engine refused, or the container is gone.
        EngineError, EngineGone: as of `layerlab.engine.answering`.
    """
    try:
        yield
    except NotFound as error:
        raise ServiceError(
            f"{doing} is not possible: the container is not there any more", remedy="start the service again"
        ) from error
    except APIError as error:
        if is_disk_full(explanation(error)):
            raise disk_full(explanation(error)) from error
        raise ServiceError(
            f"{doing} is not possible: {explanation(error)}",
            remedy="see that the service still runs (`docker ps -a`)",
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise gone(engine, error) from error


def explanation(error: APIError) -> str:
    """The engine's own words, in one line."""
    return one_line(str(error.explanation or error)).removesuffix(": unknown")


def file_status(container: Container, path: str) -> dict[str, Any] | None:
    """What the engine says of a path, the last link not followed; None if it is not there."""
    try:
        with _archive(container, path, "HEAD") as response:
            stat = response.headers.get("X-Docker-Container-Path-Stat")
            return dict(decode_json_header(stat)) if response.ok and stat else None
    except (*SILENT, ValueError):
        return None


def read_beginning(container: Container, path: str, most: int) -> bytes | None:
    """The first bytes of a file, at most so many, one link followed; None if there is none."""
    stat = file_status(container, path)
    if stat is None:
        return None
    path = str(stat["linkTarget"]) if int(stat["mode"]) & LINK else path
    archive = bytearray()
    try:
        with _archive(container, path, "GET") as response:
            if not response.ok:
                return None
            for chunk in response.iter_content(tarfile.BLOCKSIZE):
                archive += chunk
                if len(archive) > most + 8 * tarfile.BLOCKSIZE:
                    break
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|", bufsize=tarfile.BLOCKSIZE) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            return file.read(min(member.size, most)) if member is not None and file is not None else b""
    except (tarfile.TarError, *SILENT):
        return None


def _archive(container: Container, path: str, method: str) -> requests.Response:
    """The engine's archive of a path; the SDK's own call leaves a connection open that is not read to its end."""
    api: Any = container.client.api  # type: ignore[union-attr]  # it came from a client
    url = api._url("/containers/{0}/archive", container.id)
    response: requests.Response = api.request(method, url, params={"path": path}, stream=True, timeout=_TIMEOUT)
    return response


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
    except SILENT:
        return None
    text = bytes(result.output).decode(errors="replace")  # type: ignore[arg-type]  # not a stream: none was asked for
    return text or None if result.exit_code == 0 or "local_address" in text else None
