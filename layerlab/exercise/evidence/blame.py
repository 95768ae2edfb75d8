"""Whose fault it is that a build failed: the Dockerfile's, the network's, the engine's, or a limit's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from layerlab.builder.adapted import frontend
from layerlab.builder.failures import OLD_BUILDER, is_of_secret
from layerlab.builder.trials import MAX_DISK, MIN_DISK, TooMuchDisk
from layerlab.dockerfile import Dockerfile, copied_from
from layerlab.engine.symptoms import OFFLINE, is_disk_full, why_not_pulled
from layerlab.errors import (
    BaseImageError,
    Blame,
    BuildTimeout,
    ContextError,
    DockerfileError,
    Failure,
    LabError,
    RegistryRefused,
    StepFailed,
)
from layerlab.exercise.workspace import failure_from
from layerlab.ui.text import shorten
from layerlab.ui.units import how_large

_KILLED: Final = re.compile(
    r"exit code:? 137\b|^(?:\S*: ?)?Killed\b|\bKilled$|Killed signal|signal 9|SIGKILL|[Cc](?:an't|annot) fork"
    r"|[Ff]ork: .*(?:Resource temporarily unavailable|retry)|Resource temporarily unavailable|can't start new thread"
    r"|[Oo]ut of memory|[Mm]emory exhausted|Cannot allocate memory|^MemoryError",
    re.MULTILINE,
)
_MAX_LOG: Final = 4_000  # characters of the end of a log that are searched: lines may be as long as one likes
_UNKNOWN_FLAG: Final = re.compile(r"unknown flag: -*([\w-]+)", re.IGNORECASE)
_NEWER_FLAGS: Final = {
    "ADD": {"checksum", "chmod", "exclude", "keep-git-dir", "link", "unpack"},
    "COPY": {"chmod", "exclude", "link", "parents"},
    "HEALTHCHECK": {"start-interval"},
    "RUN": {"device", "mount", "network", "security"},
}
"""Flags that the builders of newer engines know."""
_MAKE_ROOM: Final = "make room (`docker system df` shows what takes it) and check again"


def explain(error: LabError, dockerfile: Dockerfile, running: int | None) -> Failure:
    """Whose fault an error of a build of this Dockerfile is, and on which line; the last step's is `running`."""
    if isinstance(error, StepFailed):
        return _step_failed(error)
    if isinstance(error, DockerfileError):
        return _refused(error, dockerfile)
    if isinstance(error, BaseImageError):
        return base_missing(error, dockerfile)
    if isinstance(error, BuildTimeout | TooMuchDisk):
        return _stopped(error, running)
    if isinstance(error, ContextError):
        return failure_from("limit" if "too big" in str(error) else "workspace", error)
    return failure_from("engine", error, running)


def _failure(blame: Blame, what: str, remedy: str, line: int | None) -> Failure:
    return Failure(blame, f"{what}. What to do: {remedy}.", line)


def _stopped(error: BuildTimeout | TooMuchDisk, running: int | None) -> Failure:
    """A build that was ended by a limit of time or room, or because the disk was full before."""
    where = f" while line {running} was running" if running else ""
    if isinstance(error, BuildTimeout):
        return _failure("limit", f"{_first(error)}{where}", "see why that step does not end", running)
    what = f"The build was stopped{where}:"
    if error.free < MIN_DISK:
        what += f" the engine's disk had only {how_large(error.free)} left when it began"
        return _failure("engine", what, _MAKE_ROOM, running)
    what += f" it took more of the engine's disk than a check may ({MAX_DISK / 1e9:g} GB, or all that is left)"
    return _failure("limit", what, "see what that step writes", running)


def base_missing(error: BaseImageError, dockerfile: Dockerfile) -> Failure:
    """An image that cannot be had. Only a registry that knows no such image puts the Dockerfile in the wrong."""
    cause = re.search(r"\((.*)\)$", str(error))
    says = cause[1] if cause else str(error)
    missing = why_not_pulled(says) == "missing" or re.search("repository does not exist|name invalid", says)
    at_fault = isinstance(error, RegistryRefused) and missing
    words = {_short(word) for word in re.split(r"[\s,()]+", str(error))}
    line = next((line for line, name in _images(dockerfile) if _short(name) in words), None)
    return failure_from("dockerfile" if at_fault else "network", error, line)


def _step_failed(error: StepFailed) -> Failure:
    said = f"{error.log[-_MAX_LOG:]}\n{error}"
    if is_disk_full(said):
        return _failure("engine", f"The engine's disk is full: {shorten(str(error), 300)}", _MAKE_ROOM, error.line)
    if _KILLED.search(said):
        what = f"{_first(error)}: it was ended by the limits of a check on memory or processes"
        return _failure("limit", what, "see why this step needs so much", error.line)
    if is_of_secret(said):
        what = f"Line {error.line} of the Dockerfile requires a build secret or an SSH agent, which nobody gives here"
        remedy = "do without, or let the step also work without it (no `required`)"
        return _failure("dockerfile", what, remedy, error.line)
    if OFFLINE.search(said):
        what = f"{_first(error)}: it did not get what it loads over the network"
        return _failure("network", what, "see whether builds on this engine are online, and check again", error.line)
    return replace(failure_from("dockerfile", error, error.line), log=error.log)


def _first(error: LabError) -> str:
    return shorten(f"{str(error)[:1].upper()}{str(error)[1:]}", 400)


def _refused(error: DockerfileError, dockerfile: Dockerfile) -> Failure:
    """What the engine's own parser does not take."""
    instruction = next(
        (i for i in dockerfile.instructions if error.line and i.line <= error.line <= i.end_line), None
    )
    line = instruction.line if instruction else error.line
    if "backslash" in error.remedy:  # which is to be seen, however long the instruction is
        line = error.line
    if OLD_BUILDER in str(error):
        return failure_from("engine", error, line)
    flag = _UNKNOWN_FLAG.search(str(error))
    if flag and instruction and flag[1] in _NEWER_FLAGS.get(instruction.keyword, ()):
        what = f"This engine's builder does not know {instruction.keyword} --{flag[1]}"
        return _failure("engine", what, "update Docker, or do without it here", line)
    return failure_from("dockerfile", error, line)


def _images(dockerfile: Dockerfile) -> Iterator[tuple[int, str]]:
    """The images that a Dockerfile names, with the line that does."""
    if found := frontend(dockerfile.text):
        yield found
    for stage in dockerfile.stages:
        yield stage.line, stage.base
        for instruction in stage.executed:
            for name in copied_from(instruction):
                yield instruction.written_on, name


def _short(name: str) -> str:
    """An image's name without what may be left out."""
    return name.partition("@")[0].removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")
