"""From lines to instructions, and from those to stages and step numbers."""

from __future__ import annotations

import contextlib
import difflib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NoReturn

from layerlab.dockerfile import shell_words
from layerlab.dockerfile.parsed import Dockerfile, Heredoc, Instruction, Stage, excerpt
from layerlab.errors import DockerfileError, StepFailed
from layerlab.ui.text import placed, plain, shorten, wide_encoding

_PLATFORM_ARGS: Final = tuple(
    f"{whose}{what}" for whose in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
)
"""The ARGs that BuildKit sets by itself."""
_KEYWORDS: Final = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
        *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)
_WITH_HEREDOCS: Final = frozenset({"ADD", "COPY", "RUN"})
_MAYBE_JSON: Final = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
DIRECTIVE: Final = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES: Final = frozenset({"check", "escape", "syntax"})
_HEREDOC: Final = re.compile(r"\d*<<(-?)\s*([^<]+)")


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
        if goes_on and lines[number].partition(" ")[0] in _KEYWORDS:
            error.line, taken = number, f"line {number + 1} ({shorten(lines[number], 60)})"
            at = f"the backslash at the end of line {number}"
            error.remedy = f"delete {at}, which makes {taken} a part of that instruction"
            break
        if line and not goes_on:
            break
    if error.line:
        error.add_note(excerpt(text, error.line))


def _parse(text: str, build_args: Mapping[str, str], platform: str) -> Dockerfile:
    found = list(_instructions(text))
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
            for name, equals, default in (word.partition("=") for word in instruction.arguments):
                if name in build_args:
                    values[name] = build_args[name]
                elif equals:
                    values[name] = shell_words.expand(default, values)
        elif not stages:
            _refuse(instruction.line, f"{instruction.keyword} before the first FROM; only ARG may stand there")
        if stages:
            own[-1].append(replace(instruction, stage=stages[-1].index))
    if not stages:
        _refuse(found[-1].end_line, "there is no FROM")
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
        return dict.fromkeys(_PLATFORM_ARGS)
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    parts = (platform, system, architecture, variant, "")
    return dict(zip(_PLATFORM_ARGS, parts * 2, strict=True))


def _stage(instruction: Instruction, index: int, values: Mapping[str, str | None]) -> Stage:
    parts = instruction.arguments
    if len(parts) not in {1, 3} or (len(parts) == 3 and parts[1].upper() != "AS"):
        _refuse(instruction.line, "FROM takes an image, or an image and AS and a name")
    name = parts[2].lower() if len(parts) == 3 else ""
    base = shell_words.expand(parts[0], values)
    if not base:
        _refuse(instruction.line, f"{parts[0]} is empty once its ARGs are replaced", "give the ARG a value")
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
        found = list(_instructions(text))
    except DockerfileError:  # BuildKit says what is wrong with it
        return []
    line = stage.line
    return [replace(each, line=line, end_line=line, stage=stage.index, onbuild=instruction.line) for each in found]


def _refuse(line: int, why: str, remedy: str = "correct that line and save the file") -> NoReturn:
    """Raise the error for a line that is wrong."""
    raise DockerfileError(f"line {line} of the Dockerfile: {plain(why)}", remedy=remedy, line=line)


def _instructions(text: str) -> Iterator[Instruction]:
    """The instructions, without stages and step numbers; raises `DockerfileError` where a line is wrong."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    escape = _escape_character(lines)
    position = 0
    while position < len(lines):
        first = position
        joined, position = _joined_line(lines, first, escape)
        if joined is None:
            continue
        instruction = _instruction(joined, first + 1, escape, lines[first])
        heredocs = []
        for name, strips_tabs in _heredoc_starts(instruction):
            content, position = _heredoc(lines, position, name, strips_tabs, first + 1)
            heredocs.append(Heredoc(name, content))
        yield replace(
            instruction,
            end_line=position,
            heredocs=tuple(heredocs),
            text="\n".join(line.rstrip("\r") for line in lines[first:position]),
        )


def _escape_character(lines: list[str]) -> str:
    """What joins lines: a backslash, unless a directive at the very top says otherwise."""
    for line in lines:
        found = DIRECTIVE.match(line.strip())
        if not found or found[1].lower() not in _DIRECTIVES:
            break
        if found[1].lower() == "escape":
            return found[2]
    return "\\"


def _joined_line(lines: list[str], first: int, escape: str) -> tuple[str | None, int]:
    """The instruction that begins on a line as one line, and the index of the line after it.

    None for a line without an instruction. Within one, comments and empty lines change nothing.
    """
    e = re.escape(escape)
    continuation = re.compile(rf"(?:(?<=[^{e}])|^){e}[ \t]*$")
    line = lines[first].strip("\r").lstrip()
    if not line or line.startswith("#"):
        return None, first + 1
    joined = ""
    position = first
    while True:
        position += 1
        without_end = continuation.sub("", line)
        joined += without_end
        if without_end == line:
            break
        while position < len(lines) and (not lines[position].strip() or lines[position].lstrip().startswith("#")):
            position += 1
        if position == len(lines):
            break
        line = lines[position].rstrip("\r")
    return joined, position


def _instruction(joined: str, line: int, escape: str, written: str) -> Instruction:
    first, *rest = re.split(rf"{shell_words.SPACE}+", joined.strip(), maxsplit=1)
    keyword = first.upper()
    if keyword not in _KEYWORDS:
        odd = re.search(r"[^!-~]", first)
        if odd and odd[0] in written:
            where = f"{placed(written, odd[0])}, which is part of no instruction"
            _refuse(line, where, "delete that character, type anew what is to be there, and save the file")
        near = difflib.get_close_matches(keyword, _KEYWORDS, n=1)
        _refuse(line, f"unknown instruction {keyword}" + (f" (did you mean {near[0]}?)" if near else ""))
    flags, value = _split_flags(rest[0] if rest else "", escape)
    arguments, is_json = _arguments(keyword, value, escape)
    return Instruction(line, line, keyword, flags, value, arguments, is_json, None, None, (), "")


def _split_flags(rest: str, escape: str) -> tuple[tuple[tuple[str, str], ...], str]:
    flags = []
    rest = rest.lstrip()
    while rest.startswith("--"):
        word = shell_words.split(rest, escape)[0]
        rest = rest[len(word) :].lstrip()
        name, _, value = shell_words.unquote(word, escape)[2:].partition("=")
        if not name and not value:
            break  # a bare "--" ends the flags
        flags.append((name, value))
    return tuple(flags), rest.strip()


def _arguments(keyword: str, value: str, escape: str) -> tuple[tuple[str, ...], bool]:
    """The parts of a value, and whether they come from a JSON form: else it is the shell form."""
    with contextlib.suppress(ValueError):
        parsed = json.loads(value) if keyword in _MAYBE_JSON else None
        if isinstance(parsed, list) and all(isinstance(part, str) for part in parsed):
            return tuple(parsed), True
    if keyword in {"ADD", "COPY", "FROM"} and value:
        return tuple(re.split(rf"{shell_words.SPACE}+", value)), False
    if keyword == "ARG":
        return tuple(shell_words.split(value, escape)), False
    return (value,) if value else (), False


def _heredoc_starts(instruction: Instruction) -> Iterator[tuple[str, bool]]:
    """The words that end an instruction's heredocs, and whether leading tabs before them do no harm."""
    keyword, value = instruction.keyword, instruction.value
    if keyword == "ONBUILD":
        keyword = value.partition(" ")[0].upper()
    if keyword not in _WITH_HEREDOCS or instruction.is_json or not shell_words.quotes_are_closed(value):
        return
    for word in shell_words.split(value):
        if found := _HEREDOC.fullmatch(word):
            yield shell_words.unquote(found[2]), bool(found[1])


def _heredoc(lines: list[str], begin: int, name: str, strips_tabs: bool, line: int) -> tuple[str, int]:
    """The content of a heredoc that begins on a line, and the index of the line after its end."""
    for end in range(begin, len(lines)):
        candidate = lines[end].rstrip("\r")
        if (candidate.lstrip("\t") if strips_tabs else candidate) == name:
            return "".join(f"{each}\n" for each in lines[begin:end]), end + 1
    _refuse(line, f"the heredoc {name} never ends", f"write {name} alone on the line after it")
