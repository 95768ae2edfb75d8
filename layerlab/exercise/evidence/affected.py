"""Which instructions a change of files in the build context can reach, told from the Dockerfile alone.

BuildKit runs a step again if what it depends on has changed: the step before it, the files that it copies, what it
has mounted. Where the context's files go is written in the Dockerfile, so this can be known without a build. It has
to be, because a build does not always tell: where another one that goes on at the same time has the same step in
hand, BuildKit lets both wait for one result, and a step that did not change looks as if it were run again.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Collection, Iterator, Mapping
from enum import IntEnum
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction, Stage, words
from layerlab.dockerfile.shell.commands import environment

_WILDCARDS: Final = frozenset("*?[")
_UNTOLD: Final = ("exclude", "parents")  # flags of COPY that change what its sources stand for


class Reach(IntEnum):
    """Whether a change reaches a step.

    What comes from a stage that has changed may be the same as before: BuildKit compares contents, and so must run
    that stage to find out.
    """

    NO = 0
    PERHAPS = 1
    SURELY = 2


def reached(dockerfile: Dockerfile, changed: Collection[str]) -> Mapping[int, Reach]:
    """How a change reaches each instruction of the stages, by its line.

    Args:
        dockerfile: The whole of it.
        changed: The files of the build context that are not what they were, by their paths relative to it.
    """
    by_line: dict[int, Reach] = {}
    by_stage: dict[int, Reach] = {}
    for stage in dockerfile.stages:
        base = dockerfile.base_stage(stage)
        now = by_stage.get(base.index, Reach.NO) if base else Reach.NO
        if base and any(each.keyword == "ONBUILD" for each in base.instructions):
            now = max(now, Reach.PERHAPS)  # its triggers may copy anything, and they run before the stage's own steps
        for instruction in stage.instructions:
            now = max(now, _own(dockerfile, stage, instruction, changed, by_stage))
            by_line[instruction.line] = now
        by_stage[stage.index] = now
    return by_line


def _own(
    dockerfile: Dockerfile,
    stage: Stage,
    instruction: Instruction,
    changed: Collection[str],
    by_stage: Mapping[int, Reach],
) -> Reach:
    """How the change reaches an instruction by what it copies or mounts itself."""
    if instruction.keyword in {"COPY", "ADD"}:
        if reference := instruction.flag("from"):
            return _from(dockerfile, stage, reference, by_stage)
        if any(name in _UNTOLD for name, _ in instruction.flags):
            return Reach.PERHAPS
        sources = list(_sources(dockerfile, instruction))
        if any(_covers(source, path) for source in sources for path in changed):
            return Reach.SURELY
        # A variable that only the engine knows, such as TARGETARCH.
        return Reach.PERHAPS if any("$" in source for source in sources) else Reach.NO
    if instruction.keyword == "RUN":
        return max(
            (_mounted(dockerfile, stage, mount, changed, by_stage) for mount in _mounts(instruction)),
            default=Reach.NO,
        )
    return Reach.NO


def _from(dockerfile: Dockerfile, stage: Stage, reference: str, by_stage: Mapping[int, Reach]) -> Reach:
    source = dockerfile.find_stage(reference)
    if source is None or source.index >= stage.index:
        return Reach.PERHAPS if "$" in reference else Reach.NO
    return min(by_stage[source.index], Reach.PERHAPS)


def _sources(dockerfile: Dockerfile, instruction: Instruction) -> Iterator[str]:
    """The paths of the context that a COPY or ADD takes; what stands in the Dockerfile itself is none."""
    unknown = {name: value for name, value in dockerfile.arguments.items() if value is None}
    values = {**unknown, **environment(dockerfile, instruction)}
    for argument in instruction.arguments[:-1]:
        source = words.expand(argument, values)
        if not source.startswith("<<") and "://" not in source:
            yield source


def _covers(source: str, path: str) -> bool:
    """Whether a source, with wildcards as Go's ``filepath.Match`` knows them, is a path or lies above it."""
    normal = posixpath.normpath(f"/{source}").lstrip("/")
    if not normal:
        return True
    patterns, parts = normal.split("/"), path.split("/")
    if len(patterns) > len(parts):
        return False
    return all(
        fnmatch.fnmatchcase(part, pattern) if _WILDCARDS & set(pattern) else part == pattern
        for pattern, part in zip(patterns, parts, strict=False)
    )


def _mounts(instruction: Instruction) -> Iterator[Mapping[str, str]]:
    for name, value in instruction.flags:
        if name == "mount":
            yield dict(option.partition("=")[::2] for option in value.split(","))


def _mounted(
    dockerfile: Dockerfile,
    stage: Stage,
    mount: Mapping[str, str],
    changed: Collection[str],
    by_stage: Mapping[int, Reach],
) -> Reach:
    if mount.get("from"):
        return _from(dockerfile, stage, mount["from"], by_stage)
    if mount.get("type", "bind") != "bind":
        return Reach.NO
    source = mount.get("source") or mount.get("src") or "/"
    if "$" in source:
        return Reach.PERHAPS
    if any(_covers(source, path) for path in changed):
        return Reach.SURELY
    # What can be written to is not compared by its content.
    return Reach.PERHAPS if {"rw", "readwrite"} & mount.keys() else Reach.NO
