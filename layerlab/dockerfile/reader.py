"""From instructions to stages and step numbers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from layerlab.dockerfile import syntax, words
from layerlab.dockerfile.model import Dockerfile, Instruction, Stage, excerpt
from layerlab.errors import DockerfileError

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")


def parse(text: str, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    r"""Read a Dockerfile.

    Args:
        text: What it holds. A byte order mark and Windows line ends do no harm.
        build_args: Values that ``--build-arg`` gives, for ARGs that a FROM uses.

    Raises:
        DockerfileError: it is empty or no Dockerfile; its ``line`` says where, and a note shows it.

    >>> dockerfile = parse("FROM a AS build\nRUN make\nFROM b\nCOPY --from=build /x /y\n")
    >>> [stage.label for stage in dockerfile.stages]
    ['build', '1']
    >>> [(one.line, one.keyword, one.step) for one in dockerfile.instructions]
    [(1, 'FROM', 1), (2, 'RUN', 2), (3, 'FROM', 1), (4, 'COPY', 2)]
    """
    text = text.removeprefix("\ufeff")
    try:
        return _parse(text, build_args or {})
    except DockerfileError as error:
        if error.line:
            error.add_note(excerpt(text, error.line))
        raise


def _parse(text: str, build_args: Mapping[str, str]) -> Dockerfile:
    plain = list(syntax.instructions(text))
    if not plain:
        raise DockerfileError(
            "the Dockerfile is empty: it has no instruction", remedy="begin it with a FROM, and save the file"
        )
    values: dict[str, str] = {}
    stages: list[Stage] = []
    placed: list[Instruction] = []
    for instruction in plain:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, len(stages), values))
        elif not stages and instruction.keyword == "ARG":
            _define(instruction, values, build_args)
        elif not stages:
            syntax.refuse(instruction.line, f"{instruction.keyword} before the first FROM; only ARG may stand there")
        placed.append(replace(instruction, stage=len(stages) - 1 if stages else None))
    if not stages:
        syntax.refuse(placed[-1].end_line, "there is no FROM")
    numbered = tuple(_numbered(placed, stages))
    known = [replace(stage, instructions=tuple(i for i in numbered if i.stage == stage.index)) for stage in stages]
    dockerfile = Dockerfile(text=text, instructions=numbered, stages=tuple(known))
    return replace(
        dockerfile,
        stages=tuple(replace(stage, triggered=_triggered(dockerfile.base_stage(stage), stage)) for stage in known),
    )


def _triggered(base: Stage | None, stage: Stage) -> tuple[Instruction, ...]:
    """What the ONBUILDs of a stage's base make of it, each on the line of its FROM."""
    asked = [each.value for each in base.instructions if each.keyword == "ONBUILD"] if base else []
    found: list[Instruction] = []
    for text in asked:
        with suppress(DockerfileError):  # BuildKit says what is wrong with it
            found += (
                replace(each, line=stage.line, end_line=stage.line, stage=stage.index)
                for each in syntax.instructions(text)
            )
    return tuple(found)


def _define(instruction: Instruction, values: dict[str, str], build_args: Mapping[str, str]) -> None:
    """Take in an ARG before the first FROM."""
    for word in instruction.arguments:
        name, equals, default = word.partition("=")
        if name in build_args:
            values[name] = build_args[name]
        elif equals:
            values[name] = words.expand(words.unquote(default), values)


def _stage(instruction: Instruction, index: int, values: Mapping[str, str]) -> Stage:
    parts = instruction.arguments
    if len(parts) not in {1, 3} or (len(parts) == 3 and parts[1].upper() != "AS"):
        syntax.refuse(instruction.line, "FROM takes an image, or an image and AS and a name")
    name = parts[2].lower() if len(parts) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        syntax.refuse(instruction.line, f"{parts[2]!r} cannot be the name of a stage")
    base = words.expand(words.unquote(parts[0]), values)
    if not base:
        syntax.refuse(instruction.line, f"{parts[0]} is empty once its ARGs are replaced", "give the ARG a value")
    platform = instruction.flag("platform")
    return Stage(
        index=index,
        name=name,
        base=base,
        line=instruction.line,
        platform=None if platform is None else words.expand(platform, values),
        instructions=(),
    )


def _numbered(instructions: list[Instruction], stages: list[Stage]) -> Iterator[Instruction]:
    """The instructions with BuildKit's step numbers.

    A FROM counts unless it is from scratch or another stage; a WORKDIR unless it leads to the root directory,
    which is there already.
    """
    step = 0
    directory = "/"
    for instruction in instructions:
        counts = instruction.keyword in {"RUN", "COPY", "ADD"}
        if instruction.keyword == "FROM":
            stage = stages[instruction.stage or 0]
            is_stage = any(stage.base.lower() == other.name for other in stages[: stage.index] if other.name)
            step = 0
            directory = "/" if stage.base == "scratch" else "/unknown"
            counts = stage.base != "scratch" and not is_stage
        elif instruction.keyword == "WORKDIR":
            directory = posixpath.normpath(posixpath.join(directory, words.unquote(instruction.value)))
            counts = directory.strip("/") != ""
        step += counts
        yield replace(instruction, step=step if counts else None)
