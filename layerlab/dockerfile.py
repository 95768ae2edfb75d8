"""A Dockerfile's instructions with their lines, stages and flags, read as BuildKit reads them.

The rules are those of ``frontend/dockerfile/parser`` and ``dockerfile2llb`` of github.com/moby/buildkit: which
lines belong together, what a heredoc is, which instruction gets which step number. Nothing is run and nothing is
fetched: whatever depends on a base image (its ``ONBUILD`` instructions, its environment) is unknown here.
"""

from __future__ import annotations

import difflib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from layerlab.errors import DockerfileError

KEYWORDS: Final = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
_WITH_HEREDOCS: Final = frozenset({"ADD", "COPY", "RUN"})
_MAYBE_JSON: Final = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "HEALTHCHECK", "RUN", "SHELL", "VOLUME"})
_LISTS_OF_WORDS: Final = frozenset({"ADD", "COPY", "EXPOSE", "FROM", "VOLUME"})
_LISTS_OF_PAIRS: Final = frozenset({"ARG", "ENV", "LABEL"})
# Set by BuildKit itself, from platforms that only the engine knows; they stay as they are written.
_PLATFORM_ARGS: Final = frozenset(
    f"{where}{what}" for where in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
)
_SPACE: Final = r"[\t\v\f\r ]"  # what BuildKit takes for space within a line
_DIRECTIVE: Final = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")
_HEREDOC: Final = re.compile(r"(\d*)<<(-?)\s*([^<]+)")
_VARIABLE: Final = re.compile(r"\{(\w+)(?:(:?[-+?])(.*))?\}|(\w+)", re.DOTALL)


@dataclass(frozen=True)
class Heredoc:
    """A file written within the Dockerfile.

    Attributes:
        name: The word that ends it, without its quotes.
        content: Its lines as they stand there, tabs included.
        expands: Whether variables in it are replaced (its word was not quoted).
        strips_tabs: Whether leading tabs are taken off (it began with ``<<-``).
    """

    name: str
    content: str
    expands: bool
    strips_tabs: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile.

    Attributes:
        line: The line on which it begins, counted from 1.
        end_line: The line on which it ends, heredocs included.
        keyword: In capitals, such as ``RUN``.
        flags: Name and value of each flag in their order, such as ``("from", "build")``; a flag that is only
            named, such as ``--link``, has an empty value.
        value: Everything after keyword and flags, on one line.
        arguments: The value's parts: the strings of a JSON form, else the words of ADD, COPY, EXPOSE, FROM,
            VOLUME, ARG, ENV and LABEL (quotes kept), else the value itself; empty if there is none.
            For HEALTHCHECK, ``CMD`` or ``NONE`` comes first.
        is_json: Whether it has the JSON form, which docker calls exec form.
        stage: The index of its stage; None before the first FROM.
        step: The number that BuildKit gives it within its stage; None for one that makes no step.
        heredocs: The heredocs that belong to it.
        text: Its lines as they stand in the file.
    """

    line: int
    end_line: int
    keyword: str
    flags: tuple[tuple[str, str], ...]
    value: str
    arguments: tuple[str, ...]
    is_json: bool
    stage: int | None
    step: int | None
    heredocs: tuple[Heredoc, ...]
    text: str

    def flag(self, name: str) -> str | None:
        """The value of a flag; the last one's if it is repeated; None if it is not there."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    @property
    def summary(self) -> str:
        """The instruction on one line, spaces folded."""
        flags = (f"--{name}={value}" if value else f"--{name}" for name, value in self.flags)
        return " ".join(" ".join([self.keyword, *flags, self.value]).split())


@dataclass(frozen=True)
class Stage:
    """One stage of a Dockerfile.

    Attributes:
        index: Its number, counted from 0.
        name: The name that ``AS`` gives it, in lower case as BuildKit has it; empty if it has none.
        base: What it is FROM, the ARGs before the first FROM expanded.
        line: The line of its FROM.
        platform: What ``--platform`` says, expanded likewise; None if it says nothing.
        instructions: Its instructions, FROM first.
    """

    index: int
    name: str
    base: str
    line: int
    platform: str | None
    instructions: tuple[Instruction, ...]

    @property
    def label(self) -> str:
        """Its name, or its index where it has none."""
        return self.name or str(self.index)


@dataclass(frozen=True)
class Dockerfile:
    """What a Dockerfile says.

    Attributes:
        text: The file itself.
        instructions: All of them in their order, those before the first FROM included.
        stages: The stages in their order; at least one.
    """

    text: str
    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    def find_stage(self, reference: str) -> Stage | None:
        """The stage that a name, in any case, or an index stands for; None for anything else, such as an image."""
        for stage in self.stages:
            if reference == str(stage.index) or (stage.name and reference.lower() == stage.name):
                return stage
        return None

    def base_stage(self, stage: Stage) -> Stage | None:
        """The earlier stage that this one is FROM; None if it is FROM an image or from scratch."""
        return next((s for s in self.stages[: stage.index] if s.name and s.name == stage.base.lower()), None)

    def dependencies(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that this one takes something from: FROM, ``COPY --from``, ``RUN --mount=from=``."""
        base = self.base_stage(stage)
        found = {base.index: base} if base else {}
        for instruction in stage.instructions:
            for reference in copied_from(instruction):
                source = self.find_stage(reference)
                if source and source.index != stage.index:
                    found.setdefault(source.index, source)
        return tuple(found[index] for index in sorted(found))

    def target(self, name: str | None = None) -> Stage:
        """The stage that is built: the named one, else the last.

        Raises:
            DockerfileError: there is no such stage.
        """
        if name is None:
            return self.stages[-1]
        stage = self.find_stage(name)
        if stage is None:
            known = ", ".join(repr(s.label) for s in self.stages)
            raise DockerfileError(
                f"the Dockerfile has no stage {name!r} (its stages: {known})",
                remedy="name one of these, or none for the last",
            )
        return stage

    def needed(self, target: Stage) -> tuple[Stage, ...]:
        """The stages that BuildKit builds for this target: itself and all that it depends on."""
        seen: dict[int, Stage] = {}
        todo = [target]
        while todo:
            stage = todo.pop()
            if stage.index not in seen:
                seen[stage.index] = stage
                todo.extend(self.dependencies(stage))
        return tuple(seen[index] for index in sorted(seen))

    def excerpt(self, line: int, context: int = 2) -> str:
        """The lines around one line with their numbers, an arrow before that one."""
        lines = self.text.splitlines()
        first, last = max(1, line - context), min(len(lines), line + context)
        width = len(str(last))
        return "\n".join(
            f"{'→' if number == line else ' '} {number:>{width}} │ {lines[number - 1]}".rstrip()
            for number in range(first, last + 1)
        )


def copied_from(instruction: Instruction) -> tuple[str, ...]:
    """The stages or images that an instruction reads from, as it names them: ``--from`` and ``--mount``'s ``from``."""
    references = [value for name, value in instruction.flags if name == "from" and value]
    for name, value in instruction.flags:
        if name == "mount":
            options = dict(option.partition("=")[::2] for option in value.split(","))
            references += [options["from"]] if options.get("from") else []
    return tuple(references)


def parse(text: str, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        text: What it holds. A byte order mark and Windows line ends do no harm.
        build_args: Values that ``--build-arg`` gives, for ARGs that a FROM uses.

    Raises:
        DockerfileError: it is empty or no Dockerfile; its `line` says where.
    """
    text = text.removeprefix("\ufeff")
    plain = list(_instructions(text))
    if not plain:
        raise DockerfileError(
            "the Dockerfile is empty: it has no instruction", remedy="begin it with a FROM, and save the file"
        )
    scope = _GlobalArgs(build_args or {})
    stages: list[Stage] = []
    instructions: list[Instruction] = []
    for instruction in plain:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, stages, scope))
        elif not stages and instruction.keyword == "ARG":
            scope.define(instruction)
        elif not stages:
            _refuse(instruction.line, f"{instruction.keyword} before the first FROM; only ARG may stand there")
        instructions.append(replace(instruction, stage=len(stages) - 1 if stages else None))
    if not stages:
        _refuse(instructions[-1].end_line, "there is no FROM")
    numbered = tuple(_numbered(instructions, stages))
    return Dockerfile(
        text=text,
        instructions=numbered,
        stages=tuple(
            replace(stage, instructions=tuple(i for i in numbered if i.stage == stage.index)) for stage in stages
        ),
    )


def _refuse(line: int, why: str, remedy: str = "correct that line and save the file") -> NoReturn:
    raise DockerfileError(f"line {line} of the Dockerfile: {why}", remedy=remedy, line=line)


def _instructions(text: str) -> Iterator[Instruction]:
    """The instructions, without stages and step numbers."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    escape = _escape_character(lines)
    continues = re.compile(rf"(?:(?<=[^{re.escape(escape)}])|^){re.escape(escape)}[ \t]*$")
    position = 0
    while position < len(lines):
        first = position
        logical, more = "", True
        while more and position < len(lines):
            line = lines[position].rstrip("\r")
            position += 1
            inside = position - 1 > first
            if line.lstrip().startswith("#") or (inside and not line.strip()):
                more = inside  # a comment or an empty line: within an instruction it changes nothing
                continue
            stripped = continues.sub("", line if inside else line.lstrip(), count=1)
            more = stripped != (line if inside else line.lstrip())
            logical += stripped
        if not logical.strip():
            continue
        instruction = _instruction(logical, first + 1, escape)
        heredocs = []
        for name, expands, strips_tabs in _heredoc_words(instruction):
            begin = position
            while position < len(lines):
                line = lines[position].rstrip("\r")
                position += 1
                if (line.lstrip("\t") if strips_tabs else line) == name:
                    break
            else:
                _refuse(first + 1, f"the heredoc {name} never ends", f"write {name} alone on the line after it")
            content = "".join(f"{line}\n" for line in lines[begin : position - 1])
            heredocs.append(Heredoc(name, content, expands, strips_tabs))
        yield replace(
            instruction,
            end_line=position,
            heredocs=tuple(heredocs),
            text="\n".join(line.rstrip("\r") for line in lines[first:position]),
        )


def _escape_character(lines: list[str]) -> str:
    """What joins lines: a backslash, unless a directive at the very top says otherwise."""
    seen = set()
    escape = "\\"
    for number, line in enumerate(lines, 1):
        found = _DIRECTIVE.match(line.strip())
        name = found[1].lower() if found else ""
        if not found or name not in {"syntax", "escape", "check"}:
            break
        if name in seen:
            _refuse(number, f"the directive {name} is there twice")
        seen.add(name)
        if name == "escape":
            escape = found[2]
            if escape not in {"\\", "`"}:
                _refuse(number, f"the escape character must be \\ or `, not {escape}")
    return escape


def _instruction(logical: str, line: int, escape: str) -> Instruction:
    keyword, _, rest = re.sub(rf"^(\S+?){_SPACE}+", r"\1 ", logical.strip(), count=1).partition(" ")
    keyword = keyword.upper()
    if keyword not in KEYWORDS:
        near = difflib.get_close_matches(keyword, KEYWORDS, n=1)
        _refuse(line, f"unknown instruction {keyword}" + (f" (did you mean {near[0]}?)" if near else ""))
    flags, value = _split_flags(rest, escape)
    arguments, is_json = _arguments(keyword, value, escape)
    return Instruction(line, line, keyword, flags, value, arguments, is_json, None, None, (), "")


def _split_flags(rest: str, escape: str) -> tuple[tuple[tuple[str, str], ...], str]:
    flags = []
    rest = rest.lstrip()
    while rest.startswith("--"):
        word = _words(rest, escape)[0]
        rest = rest[len(word) :].lstrip()
        name, _, value = _unquote(word, escape)[2:].partition("=")
        if not name and not value:
            break  # a bare "--" ends the flags
        flags.append((name, value))
    return tuple(flags), rest.strip()


def _arguments(keyword: str, value: str, escape: str) -> tuple[tuple[str, ...], bool]:
    """The parts of a value, and whether they come from a JSON form."""
    first: tuple[str, ...] = ()
    if keyword == "HEALTHCHECK" and value:
        word, _, value = value.partition(" ")
        first, value = (word.upper(),), value.lstrip()
    if keyword in _MAYBE_JSON and value.startswith("["):
        try:
            parsed = json.loads(value)
        except ValueError:  # BuildKit takes it for the shell form then, and so does this
            parsed = None
        if isinstance(parsed, list) and all(isinstance(part, str) for part in parsed):
            return first + tuple(parsed), True
    if keyword in _LISTS_OF_WORDS:
        return tuple(re.split(rf"{_SPACE}+", value)) if value else (), False
    if keyword in _LISTS_OF_PAIRS:
        return tuple(_words(value, escape)), False
    return first + ((value,) if value else ()), False


def _words(text: str, escape: str) -> list[str]:
    """The words of a text; quotes and escape characters hold them together and are kept."""
    e = re.escape(escape)
    return re.findall(rf"""(?:{e}.|'[^']*'?|"(?:{e}.|[^"{e}])*"?|[^\s'"])+""", text, re.DOTALL)


def _unquote(word: str, escape: str) -> str:
    """A word without its quotes and escape characters."""
    e = re.escape(escape)
    parts = re.findall(rf"""{e}(.)|'([^']*)'?|"((?:{e}.|[^"{e}])*)"?|(.)""", word, re.DOTALL)
    return "".join(
        escaped or single or re.sub(rf"{e}(.)", r"\1", double, flags=re.DOTALL) or other
        for escaped, single, double, other in parts
    )


def _heredoc_words(instruction: Instruction) -> Iterator[tuple[str, bool, bool]]:
    """Of each heredoc that an instruction begins: the word that ends it, whether it expands, whether it strips tabs."""
    keyword = instruction.keyword
    value = instruction.value
    if keyword == "ONBUILD":
        keyword = value.partition(" ")[0].upper()
    if keyword not in _WITH_HEREDOCS or instruction.is_json or "<<" not in value:
        return
    for word in _words(value, "\\"):
        if found := _HEREDOC.fullmatch(word):
            name = _unquote(found[3], "\\")
            yield name, name == found[3], bool(found[2])


class _GlobalArgs:
    """The ARGs before the first FROM."""

    def __init__(self, build_args: Mapping[str, str]) -> None:
        self._build_args = build_args
        self._values: dict[str, str] = {}

    def define(self, instruction: Instruction) -> None:
        for word in instruction.arguments:
            name, equals, default = word.partition("=")
            if name in self._build_args:
                self._values[name] = self._build_args[name]
            elif equals:
                self._values[name] = self.expand(_unquote(default, "\\"))

    def expand(self, text: str) -> str:
        """Replace ``$X``, ``${X}``, ``${X:-default}``, ``${X:+other}`` and their forms without colon."""
        result = ""
        position = 0
        while (start := text.find("$", position)) >= 0:
            result += text[position:start]
            end = _end_of_braces(text, start + 1)
            found = _VARIABLE.fullmatch(text, start + 1, end) if end else _VARIABLE.match(text, start + 1)
            if not found:
                result, position = result + "$", start + 1
                continue
            position = found.end()
            result += self._replacement(found)
        return result + text[position:]

    def _replacement(self, found: re.Match[str]) -> str:
        name, operator, other = found[1] or found[4], found[2] or "", found[3] or ""
        value = self._values.get(name)
        if value is None and name in _PLATFORM_ARGS and not operator:
            return f"${found[0]}"
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("-"):
            return value or "" if is_set else self.expand(other)
        if operator.endswith("+"):
            return self.expand(other) if is_set else ""
        return value or ""


def _end_of_braces(text: str, start: int) -> int | None:
    """Where the braces that open at `start` end, those within them counted; None if there are none."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1 if position > start else None
    return None


def _stage(instruction: Instruction, before: list[Stage], scope: _GlobalArgs) -> Stage:
    words = instruction.arguments
    if len(words) not in {1, 3} or (len(words) == 3 and words[1].upper() != "AS"):
        _refuse(instruction.line, "FROM takes an image, or an image and AS and a name")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        _refuse(instruction.line, f"{words[2]!r} cannot be the name of a stage")
    base = scope.expand(_unquote(words[0], "\\"))
    if not base:
        _refuse(instruction.line, f"FROM {words[0]} is empty once its ARGs are replaced", "give the ARG a value")
    platform = instruction.flag("platform")
    return Stage(
        index=len(before),
        name=name,
        base=base,
        line=instruction.line,
        platform=None if platform is None else scope.expand(platform),
        instructions=(),
    )


def _numbered(instructions: list[Instruction], stages: list[Stage]) -> Iterator[Instruction]:
    """The instructions with BuildKit's step numbers.

    A FROM counts unless it is from scratch or another stage; a WORKDIR unless it leads to the root directory,
    which is there already.
    """
    names = [stage.name for stage in stages]
    step = 0
    directory = "/"
    for instruction in instructions:
        counts = instruction.keyword in {"RUN", "COPY", "ADD"}
        if instruction.keyword == "FROM":
            stage = stages[instruction.stage or 0]
            step = 0
            base_is_stage = stage.base.lower() in filter(None, names[: stage.index])
            directory = "/" if stage.base == "scratch" else "/(unknown)"
            counts = stage.base != "scratch" and not base_is_stage
        elif instruction.keyword == "WORKDIR":
            directory = posixpath.normpath(posixpath.join(directory, _unquote(instruction.value, "\\")))
            counts = directory.strip("/") != ""
        step += counts
        yield replace(instruction, step=step if counts else None)
