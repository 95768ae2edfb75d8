"""Calls to the engine about a container: errors that become the lab's, and files of a container, running or not."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def engine_errors(engine: Engine, doing: str) -> Iterator[None]:
    """Raise what goes wrong in a call to the engine as an error of ours.

    Raises:
        ServiceError: the engine refused, or the container is gone.
        EngineDiskFull: its disk is full.
        EngineGone: it does not answer any more.
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
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
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
    except (tarfile.TarError, requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return None


def _archive(container: Container, path: str, method: str) -> requests.Response:
    """The engine's archive of a path; the SDK's own call leaves a connection open that is not read to its end."""
    api: Any = container.client.api  # type: ignore[union-attr]  # it came from a client
    url = api._url("/containers/{0}/archive", container.id)
    response: requests.Response = api.request(method, url, params={"path": path}, stream=True, timeout=_TIMEOUT)
    return response
