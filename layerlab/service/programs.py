"""Looks into a container, running or not, for a program that could not be started."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import requests
import urllib3
from docker.errors import DockerException
from docker.models.containers import Container
from docker.utils import decode_json_header

from layerlab.exercise.evidence.diagnosis import Script
from layerlab.ui.text import shorten

_BEGINNING: Final = 1024  # bytes that are read of a file
_TIMEOUT: Final = 10.0  # seconds for the engine
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINK: Final = 1 << 27  # Go's os.ModeSymlink, which the engine's answers use


def look_up(container: Container, name: str) -> Script | None:
    """What the container has under a program's name or path, with what its ``#!`` line names; None if nothing."""
    config = container.attrs["Config"]
    for path in _places(config, name or first_word(config)):
        if (beginning := _read(container, path)) is not None:
            return _script(container, path, beginning)
    return None


def first_word(config: Mapping[str, Any]) -> str:
    """The program that ENTRYPOINT, or else CMD, names."""
    words: Sequence[str] = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    return words[0] if words else ""


def _places(config: Mapping[str, Any], name: str) -> list[str]:
    directory = PurePosixPath(config.get("WorkingDir") or "/")
    if not name or "\0" in name:
        return []
    if "/" in name:
        return [str(directory / name)]
    variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    folders = (variables.get("PATH") or _DEFAULT_PATH).split(":")
    return [str(directory / folder / name) for folder in folders[:50]]


def _script(container: Container, path: str, beginning: bytes) -> Script:
    if not beginning.startswith(b"#!"):
        return Script(path, "", closed=_closed(container, path))
    line = beginning[2:].split(b"\n")[0].decode(errors="replace").lstrip(" \t")
    words = line.split(" ")[0].split("\t")
    interpreter = shorten(words[0], 300) + ("\r" if words[0].endswith("\r") else "")
    stat = _stat(container, words[0])
    link = str(stat["linkTarget"]) if stat and int(stat["mode"]) & _LINK else ""
    exists = stat is not None and (not link or _stat(container, link) is not None)
    closed = _closed(container, path) or _closed(container, words[0])
    return Script(path, interpreter, link, exists, closed)


def _closed(container: Container, path: str) -> str:
    """The first folder on the way to a file, or the file, that is for its owner and its group alone; or empty.

    Where the file is a link, the way to what it leads to counts as well.
    """
    link = ""
    for place in (*reversed(PurePosixPath(path).parents), path):
        stat = _stat(container, str(place))
        if stat is None:
            return ""
        if int(stat["mode"]) & _LINK:
            link = str(stat["linkTarget"])
        elif not int(stat["mode"]) & 0o001:
            return str(place)
    return _closed(container, link) if link and link != path else ""


def _stat(container: Container, path: str) -> dict[str, Any] | None:
    """What the engine says of a path, the last link not followed; None if it is not there."""
    try:
        with _ask(container, path, "HEAD") as response:
            stat = response.headers.get("X-Docker-Container-Path-Stat")
            return dict(decode_json_header(stat)) if response.ok and stat else None
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
        return None


def _read(container: Container, path: str) -> bytes | None:
    """The beginning of a file, links followed; None if there is none."""
    stat = _stat(container, path)
    if stat is None:
        return None
    path = str(stat["linkTarget"]) if int(stat["mode"]) & _LINK else path
    archive = bytearray()
    try:
        with _ask(container, path, "GET") as response:
            if not response.ok:
                return None
            for chunk in response.iter_content(tarfile.BLOCKSIZE):
                archive += chunk
                if len(archive) > 8 * tarfile.BLOCKSIZE:
                    break
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|", bufsize=tarfile.BLOCKSIZE) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            return file.read(min(member.size, _BEGINNING)) if member is not None and file is not None else b""
    except (tarfile.TarError, requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return None


def _ask(container: Container, path: str, method: str) -> requests.Response:
    """The engine's archive of a path; the SDK's own call leaves a connection open that is not read to its end."""
    api: Any = container.client.api  # type: ignore[union-attr]  # it came from a client
    url = api._url("/containers/{0}/archive", container.id)
    response: requests.Response = api.request(method, url, params={"path": path}, stream=True, timeout=_TIMEOUT)
    return response
