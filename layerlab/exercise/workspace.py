"""A learner's folder: what it holds, read carefully and within limits; no symbolic link is followed."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from layerlab import dockerfile as dockerfiles
from layerlab.builder import context as contexts
from layerlab.dockerfile import Dockerfile
from layerlab.errors import Blame, ContextError, DockerfileError, Failure, LabError, UsageError
from layerlab.exercise.evidence.facts import NoImage
from layerlab.paths import ROOT
from layerlab.ui.text import plain, shorten

NAME: Final = "Dockerfile"
MAX_CONTENT: Final = 1_000_000
"""Bytes of a file that the tasks get to see."""
_MAX_KEPT: Final = 64_000_000  # bytes of all of them: beyond that, files are known by their names alone
_MOST_MODULES: Final = 2_000  # entries of the app's folder that are looked at
_LINUX: Final = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


@dataclass(frozen=True)
class Workspace:
    """What a learner's folder holds."""

    dockerfile: Dockerfile  # parsed
    sent: contexts.Context = field(repr=False)  # the build context, after `.dockerignore`
    # The contents of the context's files, by relative path, each cut at `MAX_CONTENT`.
    context: Mapping[str, bytes] = field(repr=False)
    # The same of the service's modules (`app/*.py`), whether or not `.dockerignore` names them.
    app: Mapping[str, bytes] = field(repr=False)
    requirements: Mapping[str, str]  # the pins of `requirements.txt`, version by normalised name
    level: int  # 2 if `requirements.txt` pins psycopg2, else 1
    is_worked_example: bool  # whether the Dockerfile is the lab's own but for comments and blanks


def open_workspace(folder: Path, platform: str = "") -> Workspace | NoImage:
    """Look at a learner's folder.

    What is wrong within the folder is no exception: the checker can tell more of it. The platform is that of
    `layerlab.dockerfile.parse`.

    Raises:
        UsageError: there is no such folder, or it is none.
        DockerfileError: there is no Dockerfile in it.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{plain(str(folder))} is a file, not a folder",
            remedy=f"name the folder that holds the Dockerfile: ./lab check {plain(str(folder.parent))}",
        )
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {plain(str(folder))}",
            remedy="make one with `./lab new DIR`, or name the folder that holds your Dockerfile",
        )
    pinned = _pinned(folder)
    try:
        sent = contexts.collect(folder, NAME)
        dockerfile = dockerfiles.parse(sent.text, platform=platform)
    except DockerfileError as error:
        if not os.path.lexists(folder / NAME):
            raise
        return NoImage(failure_from("dockerfile", error, error.line), pinned)
    except ContextError as error:
        return NoImage(failure_from("limit" if "too big" in str(error) else "workspace", error), pinned)
    except OSError as error:  # a file went away, a name that is too long
        why = f"The workspace cannot be read ({error.strerror}). What to do: repeat."
        return NoImage(Failure("workspace", why), pinned)
    return Workspace(
        dockerfile=dockerfile,
        sent=sent,
        context=_contents(each for each in sent.entries if not (sent.dockerfile_is_ignored and each.name == NAME)),
        app=_app(folder),
        requirements=pinned,
        level=level_of(folder),
        is_worked_example=is_worked_example(dockerfile),
    )


def level_of(folder: Path) -> int:
    """The level of a workspace: 2 if its ``requirements.txt`` pins psycopg2, else 1."""
    return 2 if "psycopg2" in _pinned(folder) else 1


def _pinned(folder: Path) -> dict[str, str]:
    return pins(read_regular(folder / "requirements.txt", MAX_CONTENT).decode("utf-8-sig", errors="replace"))


def _app(folder: Path) -> dict[str, bytes]:
    """The modules in the service's folder, unless that is a link."""
    if (folder / "app").is_symlink():
        return {}
    try:
        found = itertools.islice((folder / "app").glob("*.py"), _MOST_MODULES)
        return _contents(contexts.Entry(f"app/{each.name}", each, each.lstat()) for each in found)
    except OSError:
        return {}


def _contents(entries: Iterable[contexts.Entry]) -> dict[str, bytes]:
    """The contents of regular files, the smallest first as long as there is room for them."""
    found, room = dict[str, bytes](), _MAX_KEPT
    for entry in sorted(entries, key=lambda entry: entry.bytes):
        if stat.S_ISREG(entry.status.st_mode):
            found[entry.name] = read_regular(entry.path, min(room, MAX_CONTENT))
            room -= len(found[entry.name])
    return dict(sorted(found.items()))


def pins(text: str) -> dict[str, str]:
    """The versions that a requirements.txt pins with ``==``, by normalised name; those for other systems left out.

    >>> pins("Flask[async]==3.1.3 ; python_version > '3'  # the web")
    {'flask': '3.1.3'}
    >>> pins("colorama==0.4 ; sys_platform == 'win32'")
    {}
    """
    found: dict[str, str] = {}
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = re.split(r"(?:^|\s)#|\s--", line, maxsplit=1)[0].strip()
        if not words or words.startswith("-"):
            continue
        try:
            requirement = Requirement(words)
        except InvalidRequirement:
            continue
        exact = [
            one.version for one in requirement.specifier if one.operator in {"==", "==="} and "*" not in one.version
        ]
        if exact and (requirement.marker is None or requirement.marker.evaluate(dict(_LINUX))):
            found[canonicalize_name(requirement.name)] = exact[0]
    return found


def is_worked_example(dockerfile: Dockerfile) -> bool:
    """Whether it is the lab's own Dockerfile, comments, blank lines and spaces at line ends aside."""
    own = dockerfiles.parse((ROOT / NAME).read_text())

    def gist(one: Dockerfile) -> list[tuple[str, tuple[str, ...]]]:
        return [(i.summary, tuple(heredoc.content for heredoc in i.heredocs)) for i in one.instructions]

    return gist(own) == gist(dockerfile)


def read_regular(path: Path, limit: int) -> bytes:
    """The beginning of a regular file; nothing of anything else, such as a link, a pipe or a device."""
    try:
        with contexts.opened(path) as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


def failure_from(blame: Blame, error: LabError, line: int | None = None) -> Failure:
    """What went wrong, with what to do about it."""
    what = shorten(str(error), 400)
    message = f"{what[:1].upper()}{what[1:]}. What to do: {shorten(error.remedy, 300)}."
    return Failure(blame, message.encode(errors="replace").decode(), line)  # a file's name need not be UTF-8
