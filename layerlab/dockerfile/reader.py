"""From instructions to stages and step numbers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from layerlab.dockerfile import shell_words, syntax
from layerlab.dockerfile.parsed import Dockerfile, Instruction, Stage, excerpt
from layerlab.errors import DockerfileError, StepFailed
from layerlab.ui.text import shorten, wide_encoding

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")
PLATFORM_ARGS: Final = tuple(
    f"{whose}{what}" for whose in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
)
"""The ARGs that BuildKit sets by itself."""


def decoded(content: bytes) -> str:
    r"""The text of a Dockerfile. BuildKit reads UTF-8; what is none in comments and strings does it no harm.

    Raises:
        DockerfileError: it is in another encoding, in which BuildKit finds nothing but unknown instructions.

    >>> decoded(b"\xef\xbb\xbfFROM scratch")
    'FROM scratch'
    """
    if encoding := wide_encoding(content):
        raise DockerfileError(
            f"the Dockerfile is encoded in {encoding}, and builders read UTF-8",
            remedy=f"save it as UTF-8, or convert it (iconv -f {encoding} -t UTF-8)",
        )
    return content.decode("utf-8-sig", errors="replace")


def parse(text: str, build_args: Mapping[str, str] | None = None, platform: str = "") -> Dockerfile:
    r"""Read a Dockerfile.

    Args:
        text: What it holds. A byte order mark and Windows line ends do no harm.
        build_args: Values that ``--build-arg`` gives, for ARGs that a FROM uses.
        platform: What it is built on and for, such as ``linux/amd64`` (`Engine.platform`). Where that is not known,
            variables such as TARGETARCH stay as they are written.

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
        return _parse(text, build_args or {}, platform)
    except DockerfileError as error:
        show_place(error, text, error.line)
        raise


def show_place(error: DockerfileError | StepFailed, text: str, line: int | None) -> None:
    r"""Let a note of an error show its line, and say so where a backslash makes the next instruction a part of it.

    Args:
        error: Its line and its remedy become those of such a backslash.
        text: Of the Dockerfile.
        line: Where the instruction begins; None where it is not known.

    >>> error = DockerfileError("no such option", remedy="correct it", line=2)
    >>> show_place(error, "FROM a\nRUN make \\\nCOPY b c\n", 2)
    >>> error.remedy
    'delete the backslash at the end of line 2, which makes line 3 (COPY b c) a part of that instruction'
    """
    lines = text.split("\n")
    for number in range(line or 1, len(lines)):
        goes_on = lines[number - 1].rstrip().endswith("\\")
        if goes_on and lines[number].partition(" ")[0] in syntax.KEYWORDS:
            error.line, taken = number, f"line {number + 1} ({shorten(lines[number], 60)})"
            at = f"the backslash at the end of line {number}"
            error.remedy = f"delete {at}, which makes {taken} a part of that instruction"
            break
        if line and not goes_on:
            break
    if error.line:
        error.add_note(excerpt(text, error.line))


def _parse(text: str, build_args: Mapping[str, str], platform: str) -> Dockerfile:
    found = list(syntax.instructions(text))
    if not found:
        raise DockerfileError(
            "the Dockerfile is empty: it has no instruction", remedy="begin it with a FROM, and save the file"
        )
    values = _platform_arguments(platform)
    values |= {name: value for name, value in build_args.items() if name in values}
    stages: list[Stage] = []
    own: list[list[Instruction]] = []
    for instruction in found:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, len(stages), values))
            own.append([])
        elif not stages and instruction.keyword == "ARG":
            _define(instruction, values, build_args)
        elif not stages:
            syntax.refuse(instruction.line, f"{instruction.keyword} before the first FROM; only ARG may stand there")
        if stages:
            own[-1].append(replace(instruction, stage=stages[-1].index))
    if not stages:
        syntax.refuse(found[-1].end_line, "there is no FROM")
    known = tuple(replace(stage, instructions=tuple(own[stage.index])) for stage in stages)
    dockerfile = Dockerfile(text, tuple(found), known, values)
    numbered = tuple(_numbered(stage, dockerfile.base_stage(stage)) for stage in known)
    before = (each for each in found if each.line < stages[0].line)
    return replace(
        dockerfile,
        instructions=(*before, *(each for stage in numbered for each in stage.instructions)),
        stages=numbered,
    )


def _platform_arguments(platform: str) -> dict[str, str | None]:
    """The ARGs that BuildKit sets from the platform, which is both that of the build and that of the image."""
    if not platform:
        return dict.fromkeys(PLATFORM_ARGS)
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    parts = (platform, system, architecture, variant, "")
    return dict(zip(PLATFORM_ARGS, parts * 2, strict=True))


def _define(instruction: Instruction, values: dict[str, str | None], build_args: Mapping[str, str]) -> None:
    """Take in an ARG before the first FROM."""
    for word in instruction.arguments:
        name, equals, default = word.partition("=")
        if name in build_args:
            values[name] = build_args[name]
        elif equals:
            values[name] = shell_words.expand(default, values)


def _stage(instruction: Instruction, index: int, values: Mapping[str, str | None]) -> Stage:
    parts = instruction.arguments
    if len(parts) not in {1, 3} or (len(parts) == 3 and parts[1].upper() != "AS"):
        syntax.refuse(instruction.line, "FROM takes an image, or an image and AS and a name")
    name = parts[2].lower() if len(parts) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        syntax.refuse(instruction.line, f"{parts[2]!r} cannot be the name of a stage")
    base = shell_words.expand(parts[0], values)
    if not base:
        syntax.refuse(instruction.line, f"{parts[0]} is empty once its ARGs are replaced", "give the ARG a value")
    platform = instruction.flag("platform")
    return Stage(
        index=index,
        name=name,
        base=base,
        line=instruction.line,
        platform=None if platform is None else shell_words.expand(platform, values),
        instructions=(),
    )


def _numbered(stage: Stage, base: Stage | None) -> Stage:
    """A stage with what the ONBUILDs of its base make of it, and BuildKit's numbers of its steps.

    A FROM counts unless it is from scratch or another stage; a WORKDIR unless it leads to the root directory,
    which is there already.
    """
    triggered = [found for each in base.instructions for found in _asked(each, stage)] if base else []
    step = int(base is None and stage.base != "scratch")
    directory = "/" if stage.base == "scratch" else "/unknown"
    numbered = [replace(stage.instructions[0], step=step or None)]
    for instruction in (*triggered, *stage.instructions[1:]):
        counts = instruction.keyword in {"RUN", "COPY", "ADD"}
        if instruction.keyword == "WORKDIR":
            directory = posixpath.normpath(posixpath.join(directory, shell_words.unquote(instruction.value)))
            counts = directory.strip("/") != ""
        step += counts
        numbered.append(replace(instruction, step=step if counts else None))
    own = 1 + len(triggered)
    return replace(stage, triggered=tuple(numbered[1:own]), instructions=(numbered[0], *numbered[own:]))


def _asked(instruction: Instruction, stage: Stage) -> list[Instruction]:
    """What a stage has to do if its base asks for it by this instruction, an ONBUILD: on the line of its FROM."""
    if instruction.keyword != "ONBUILD":
        return []
    text = "\n".join([instruction.value, *(f"{each.content}{each.name}" for each in instruction.heredocs)])
    try:
        found = list(syntax.instructions(text))
    except DockerfileError:  # BuildKit says what is wrong with it
        return []
    line = stage.line
    return [replace(each, line=line, end_line=line, stage=stage.index, onbuild=instruction.line) for each in found]
