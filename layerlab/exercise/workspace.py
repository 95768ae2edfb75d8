"""A learner's folder: what it holds, read carefully and within limits; no symbolic link is followed."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from layerlab import dockerfile as dockerfiles
from layerlab.builder import context as contexts
from layerlab.builder import ignore
from layerlab.dockerfile import Dockerfile
from layerlab.errors import ContextError, DockerfileError, LabError, UsageError
from layerlab.exercise.evidence.facts import Blame, Failure
from layerlab.paths import ROOT
from layerlab.ui.text import plain, shorten

NAME: Final = "Dockerfile"
NEAR_MISSES: Final = frozenset(
    {"dockerfile", "dockerfile.txt", "dockerfile.dockerfile", "docker file", "containerfile"}
)
MAX_SEEN: Final = 200_000  # files and folders that are looked at, ignored ones included
MAX_FILES: Final = 2_000  # that the tasks get to see, of the workspace without regard to .dockerignore
MAX_CONTENT: Final = 1_000_000  # bytes of a file that the tasks get to see
_MAX_KEPT: Final = 64_000_000  # bytes that are kept in memory; beyond that, a file is read when it is asked for
_MAX_RULES: Final = 100_000  # bytes of a .dockerignore
_MAX_MATCHES: Final = 20_000_000  # rules times files: each is a regular expression that may be tried
_LINUX: Final = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


class Contents(Mapping[str, bytes]):
    """Files by their relative path, each cut at `MAX_CONTENT`. One that has become unreadable is empty."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(sorted(paths.items()))
        self._kept: dict[str, bytes] = {}
        room = _MAX_KEPT
        for name, path in self._paths.items():
            content = read_regular(path, min(room, MAX_CONTENT) + 1)
            if len(content) > room:
                break
            self._kept[name] = content[:MAX_CONTENT]
            room -= len(self._kept[name])

    def __getitem__(self, name: str) -> bytes:
        if name in self._kept:
            return self._kept[name]
        return read_regular(self._paths[name], MAX_CONTENT)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(frozen=True)
class Workspace:
    """What a learner's folder holds.

    Attributes:
        folder: Where it is.
        dockerfile_name: The Dockerfile's name in it.
        text: What the Dockerfile holds; empty if it could not be read.
        dockerfile: Parsed; None if it is empty, wrong or unreadable, and then `failure` says so.
        sent: The build context, after ``.dockerignore``; None if there is trouble with it.
        dockerfile_is_ignored: Whether ``.dockerignore`` names the Dockerfile, so that no COPY should take it along.
        context: The contents of the context's files, by relative path.
        files: The same of the folder without regard to ``.dockerignore``, at most `MAX_FILES`.
        requirements: The pins of ``requirements.txt``, version by normalised name.
        level: 2 if ``requirements.txt`` pins psycopg2, else 1.
        is_worked_example: Whether the Dockerfile is the lab's own but for comments and blanks.
        failure: Why it cannot be built, as far as that can be told without building.
    """

    folder: Path
    dockerfile_name: str = NAME
    text: str = ""
    dockerfile: Dockerfile | None = None
    sent: contexts.Context | None = field(default=None, repr=False)
    dockerfile_is_ignored: bool = False
    context: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    requirements: Mapping[str, str] = field(default_factory=dict)
    level: int = 1
    is_worked_example: bool = False
    failure: Failure | None = None


def open_workspace(folder: Path, platform: str = "") -> Workspace:
    """Look at a learner's folder.

    What is wrong within the folder is no exception but the workspace's `failure`: the checker can tell more of it.

    Args:
        folder: Where it is.
        platform: What it is built for, see `layerlab.dockerfile.parse`.

    Raises:
        UsageError: there is no such folder, or no Dockerfile in it.
    """
    names = _names(folder)
    if NAME not in names:
        raise _no_dockerfile(folder, names)
    found, failure = _survey(folder)
    files = Contents(found)
    requirements = pins(read_regular(folder / "requirements.txt", MAX_CONTENT).decode("utf-8-sig", errors="replace"))
    text, dockerfile, wrong = _dockerfile(folder, platform)
    sent = None
    if not failure and text:
        sent, failure = _context(folder)
    is_ignored = sent is not None and _is_ignored(folder)
    regular = {
        entry.name: entry.path
        for entry in (sent.entries if sent else ())
        if stat.S_ISREG(entry.status.st_mode) and not (is_ignored and entry.name == NAME)
    }
    return Workspace(
        folder=folder,
        text=text,
        dockerfile=dockerfile,
        sent=sent,
        dockerfile_is_ignored=is_ignored,
        context=Contents(regular),
        files=files,
        requirements=requirements,
        level=2 if "psycopg2" in requirements else 1,
        is_worked_example=dockerfile is not None and is_worked_example(dockerfile),
        failure=wrong or failure,
    )


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
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""


def failure_from(blame: Blame, error: LabError, line: int | None = None) -> Failure:
    """What went wrong, with what to do about it."""
    what = shorten(str(error), 400)
    message = f"{what[:1].upper()}{what[1:]}. What to do: {shorten(error.remedy, 300)}."
    return Failure(blame, message.encode(errors="replace").decode(), line)  # a file's name need not be UTF-8


def _names(folder: Path) -> set[str]:
    """The names in a folder, as far as they are of interest: it may hold a million."""
    if not folder.exists():
        raise UsageError(
            f"there is no folder {plain(str(folder))}", remedy="make one with `./lab new DIR`, or name yours"
        )
    if not folder.is_dir():
        raise UsageError(
            f"{plain(str(folder))} is a file, not a folder",
            remedy=f"name the folder that holds the Dockerfile: ./lab check {plain(str(folder.parent))}",
        )
    try:
        with os.scandir(folder) as children:
            return {
                child.name for child in children if "docker" in child.name.lower() or child.name == "Containerfile"
            }
    except OSError as error:
        raise UsageError(
            f"the folder {plain(str(folder))} cannot be read ({error.strerror})", remedy="correct its permissions"
        ) from error


def _no_dockerfile(folder: Path, names: set[str]) -> UsageError:
    where = plain(str(folder))
    if near := next((name for name in sorted(names) if name.lower() in NEAR_MISSES), None):
        return UsageError(
            f"there is no {NAME} in {where}, but there is {plain(near)}: docker looks for the exact name",
            remedy=f"rename it: mv {near!r} {NAME}",
        )
    if "dockerfile.single" in {name.lower() for name in names}:
        return UsageError(
            f"there is no {NAME} in {where}, only Dockerfile.single, the one to compare yours with",
            remedy=f"write yours into a file called {NAME}; `./lab new DIR` makes a workspace with a starter",
        )
    return UsageError(
        f"there is no {NAME} in {where}", remedy="name the folder that holds it, or make one: ./lab new DIR"
    )


def _survey(folder: Path) -> tuple[dict[str, Path], Failure | None]:
    """The regular files, those near the top first, and failure if there is more than can be looked at."""
    found: dict[str, Path] = {}
    todo = deque([("", folder)])
    seen = 0
    while todo:
        prefix, path = todo.popleft()
        try:
            with os.scandir(path) as children:
                for child in children:
                    seen += 1
                    if seen > MAX_SEEN:
                        message = (
                            f"The workspace holds more than {MAX_SEEN:,} files, and so is not looked at any further. "
                            "What to do: keep the Dockerfile in a folder with the exercise's files only."
                        )
                        return found, Failure("limit", message)
                    if child.is_dir(follow_symlinks=False):
                        todo.append((f"{prefix}{child.name}/", Path(child.path)))
                    elif child.is_file(follow_symlinks=False) and len(found) < MAX_FILES:
                        found[prefix + child.name] = Path(child.path)
        except OSError:
            continue  # if the build needs it, the build says so
    rules = _rules_file(folder)
    if rules is None:
        return found, None
    size = rules.stat().st_size
    if size > _MAX_RULES or read_regular(rules, size).count(b"\n") * seen > _MAX_MATCHES:
        message = (
            f"{rules.name} is too long for so many files. What to do: name folders rather than single files in it."
        )
        return found, Failure("limit", message)
    return found, None


def _rules_file(folder: Path) -> Path | None:
    """The ``.dockerignore`` that counts."""
    own = folder / f"{NAME}.dockerignore"
    rules = own if own.is_file() else folder / ".dockerignore"
    return rules if rules.is_file() else None


def _dockerfile(folder: Path, platform: str) -> tuple[str, Dockerfile | None, Failure | None]:
    """The Dockerfile's text, and what it says or why that cannot be told."""
    path = folder / NAME
    if not path.resolve().is_relative_to(folder.resolve()):
        message = f"{NAME} is a symbolic link that leads out of the workspace. What to do: put the file itself there."
        return "", None, Failure("workspace", message)
    if not path.is_file():
        return "", None, Failure("workspace", f"{NAME} is no file. What to do: put a file of that name there.")
    if path.stat().st_size > MAX_CONTENT:
        return "", None, Failure("limit", f"{NAME} is over 1 MB. What to do: see whether it is the right file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        why = f"{NAME} cannot be read ({error.strerror}). What to do: correct its permissions."
        return "", None, Failure("workspace", why)
    text = ""
    try:
        text = dockerfiles.decoded(content)
        return text, dockerfiles.parse(text, platform=platform), None
    except DockerfileError as error:
        return text, None, failure_from("dockerfile", error, error.line)


def _context(folder: Path) -> tuple[contexts.Context | None, Failure | None]:
    """The build context, or why there is none."""
    rules = _rules_file(folder)
    if rules is not None and not rules.resolve().is_relative_to(folder.resolve()):
        message = (
            f"{rules.name} is a symbolic link that leads out of the workspace. What to do: put the file itself there."
        )
        return None, Failure("workspace", message)
    try:
        return contexts.collect(folder, NAME), None
    except ContextError as error:
        return None, failure_from("limit" if "too big" in str(error) else "workspace", error)
    except LabError as error:
        return None, failure_from("workspace", error)
    except OSError as error:  # a file went away, a name that is too long
        return None, Failure("workspace", f"The workspace cannot be read ({error.strerror}). What to do: repeat.")


def _is_ignored(folder: Path) -> bool:
    rules = _rules_file(folder)
    return rules is not None and ignore.matches(ignore.read(rules), NAME, ())[0]
