"""Looks into a container, running or not, for a program that could not be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from docker.models.containers import Container

from layerlab.service.engine_calls import LINK, file_status, read_beginning
from layerlab.ui.text import shorten

_BEGINNING: Final = 1024  # bytes that are read of a file
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Script:
    """A program that could not be run, as the image has it.

    Attributes:
        path: Where it is.
        interpreter: What its ``#!`` line names; empty if it has none.
        link: What the interpreter is a link to, if it is one.
        exists: Whether that interpreter is in the image.
        closed: The first folder or file on the way to it, or to its interpreter, that is only its owner's or its
            group's to enter or run; empty if there is none.
    """

    path: str
    interpreter: str
    link: str = ""
    exists: bool = True
    closed: str = ""


def look_up(container: Container, name: str) -> Script | None:
    """What the container has under a program's name or path, with what its ``#!`` line names; None if nothing.

    An empty name stands for what ENTRYPOINT, or else CMD, names.
    """
    config = container.attrs["Config"]
    started = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()), ""][0]
    for path in _places(config, name or started):
        if (beginning := read_beginning(container, path, _BEGINNING)) is not None:
            return _script(container, path, beginning)
    return None


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
    stat = file_status(container, words[0])
    link = str(stat["linkTarget"]) if stat and int(stat["mode"]) & LINK else ""
    exists = stat is not None and (not link or file_status(container, link) is not None)
    closed = _closed(container, path) or _closed(container, words[0])
    return Script(path, interpreter, link, exists, closed)


def _closed(container: Container, path: str) -> str:
    """The first folder on the way to a file, or the file, that is for its owner and its group alone; or empty.

    Where the file is a link, the way to what it leads to counts as well.
    """
    link = ""
    for place in (*reversed(PurePosixPath(path).parents), path):
        stat = file_status(container, str(place))
        if stat is None:
            return ""
        if int(stat["mode"]) & LINK:
            link = str(stat["linkTarget"])
        elif not int(stat["mode"]) & 0o001:
            return str(place)
    return _closed(container, link) if link and link != path else ""
