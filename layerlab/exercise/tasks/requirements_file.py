"""Which commands used the build context's requirements.txt, whatever it was called where they ran."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.dockerfile.shell.commands import Command, PythonInstall, commands, environment, python_install
from layerlab.dockerfile.words import expand
from layerlab.exercise.evidence.model import Evidence

REQUIREMENTS: Final = "requirements.txt"
_DEEPEST: Final = 8  # stages from which it was copied on
_LONGEST: Final = 100_000  # bytes of such a file that are read
_INCLUDE: Final = re.compile(
    r"^[ \t]*(?:-[rc][ \t=]*|--(?:requirement|constraint)(?:[ \t]+|=))(\S+)[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
_BUNDLERS: Final = frozenset({"pex", "shiv"})


class Reader:
    """Reads what the RUNs of a Dockerfile run, each of them once."""

    def __init__(self, evidence: Evidence, dockerfile: Dockerfile) -> None:
        self.evidence = evidence
        self.dockerfile = dockerfile
        self._read: dict[tuple[int, str], tuple[Command, ...]] = {}

    def commands(self, run: Instruction) -> tuple[Command, ...]:
        """The commands of a RUN."""
        key = (run.line, run.value)  # what ONBUILD asks for has the line of FROM
        if key not in self._read:
            self._read[key] = commands(self.dockerfile, run, self.evidence.context)
        return self._read[key]

    def names_requirements(self, run: Instruction) -> bool:
        """Whether a RUN hands an installer a file of that name, whatever the file is."""
        installs = [install for command in self.commands(run) if (install := python_install(command))]
        named = [name for install in installs for name in (*install.requirements, *install.constraints)]
        return any(posixpath.basename(name) == REQUIREMENTS for name in named)

    def uses_requirements(self, stage: Stage, run: Instruction) -> bool:
        """Whether a RUN installs (or makes or fetches wheels) by the context's requirements.txt."""
        place = self._place(stage, run)
        understood = False
        for number, command in enumerate(self.commands(run)):
            install = python_install(command)
            if install is None and command.name not in _BUNDLERS:
                continue
            understood = True
            files = [*install.requirements, *install.constraints] if install else _bundled(command)
            if any(_is_it(place, name, run, number) for name in files):
                return True
            projects = [*install.editable, *install.packages] if install else []
            if any(_is_project_that_reads_it(self.evidence, name) for name in projects):
                return True
        return not understood and _mentions_it(self.evidence, self.commands(run))

    def is_by_requirements(self, stage: Stage, run: Instruction, install: PythonInstall) -> bool:
        """Whether one installation of a RUN is by the context's requirements.txt."""
        place = self._place(stage, run)
        read = [python_install(command) for command in self.commands(run)]
        number = read.index(install) if install in read else len(read)
        return any(_is_it(place, name, run, number) for name in (*install.requirements, *install.constraints))

    def _place(self, stage: Stage, run: Instruction) -> _Place:
        return _Place(self, stage, run.line + (run in stage.triggered))


@dataclass(frozen=True)
class _Place:
    """Where a file is looked for: in a stage before a line; and from how many stages it was copied on so far."""

    reader: Reader
    stage: Stage
    before: int
    depth: int = 0

    def at_the_end_of(self, stage: Stage) -> _Place:
        return _Place(self.reader, stage, 10**9, self.depth + 1)

    def deeper(self) -> _Place:
        return replace(self, depth=self.depth + 1)


def _bundled(command: Command) -> list[str]:
    """The files of requirements that ``pex -r FILE`` and ``shiv -r FILE`` name."""
    return [word.removeprefix("-r").removeprefix("--requirement=") for word in command.words[1:]]


def _mentions_it(evidence: Evidence, read: tuple[Command, ...]) -> bool:
    """Whether a Python program that a RUN starts speaks of the file, and of a tool that installs."""
    programs = [command for command in read if command.name.startswith(("python", "pypy"))]
    names = {posixpath.basename(word) for command in programs for word in command.words[1:3]}
    texts = ["\n".join((*command.words, *command.heredocs)) for command in programs]
    known = evidence.context.items()
    texts += [text.decode(errors="replace") for path, text in known if posixpath.basename(path) in names]
    return any(REQUIREMENTS in text and ("pip" in text or "uv" in text) for text in texts)


def _is_project_that_reads_it(evidence: Evidence, name: str) -> bool:
    if name.partition("[")[0].rstrip("/") not in {".", "", "/app", "/src", "/build", "./"}:
        return False
    projects = (evidence.context.get(path, b"") for path in ("pyproject.toml", "setup.py", "setup.cfg"))
    return any(REQUIREMENTS.encode() in text for text in projects)


def _is_it(place: _Place, name: str, run: Instruction | None = None, commands_before: int | None = None) -> bool:
    """Whether what has this name in a stage, before a line, is the context's requirements.txt.

    Args:
        place: Where.
        name: What it is called there.
        run: The RUN that uses it, which may have made it.
        commands_before: How many of its commands come before the one that uses it.
    """
    base = posixpath.basename(name.rstrip("/"))
    if place.depth > _DEEPEST or not base or name.startswith(("http://", "https://")):
        return False
    if run is not None:
        answer = _written(place, run, base, commands_before)
        answer = _mounted(place, run, name) if answer is None else answer
        if answer is not None:
            return answer
    below: Stage | None = place.stage
    while below is not None:
        for each in reversed((*below.triggered, *below.instructions)):
            answer = None
            if each.line < place.before and each.keyword == "RUN":
                answer = _written(replace(place, stage=below), each, base)
            elif each.line < place.before and each.keyword in {"COPY", "ADD"}:
                answer = _copied(place, each, base)
            if answer is not None:
                return answer
        below = place.reader.dockerfile.base_stage(below)
    return False


def _is_same(evidence: Evidence, path: str) -> bool:
    """Whether a file of the context is requirements.txt, or says the same, or includes it."""
    known = {**evidence.workspace, **evidence.context}
    original = known.get(REQUIREMENTS)
    todo, seen = [path], {path}
    while todo:
        path = todo.pop()
        other = evidence.context.get(path)
        if path == REQUIREMENTS:
            return True
        if original is None or other is None:
            continue
        included = [found[1].strip("\"'") for found in _INCLUDE.finditer(other[:_LONGEST].decode(errors="replace"))]
        # Where the image has both in one folder, the name alone is how one finds the other.
        if other.split() == original.split() or REQUIREMENTS in included:
            return True
        beside = {posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in included}
        todo += beside - seen
        seen |= beside
    return False


def _written(place: _Place, run: Instruction, base: str, commands_before: int | None = None) -> bool | None:
    """If a RUN writes the file: whether it makes it from the context's own. What it adds to a file changes none."""
    for command in place.reader.commands(run)[:commands_before]:
        outputs = _outputs(command)
        writes = base in {posixpath.basename(path) for path in outputs}
        if not writes and base not in {posixpath.basename(path) for path in command.extends}:
            continue
        sources = [word for word in (*command.words[1:], *command.reads) if word not in outputs]
        earlier = replace(place.deeper(), before=run.line)
        answer = any(
            posixpath.basename(word) == REQUIREMENTS and _is_it(earlier, word) for word in sources if word[:1] != "-"
        )
        if answer or writes:
            return answer
    return None


def _outputs(command: Command) -> set[str]:
    """The files that a command writes, as far as its words say."""
    words = list(command.words)
    outputs = set(command.writes)
    outputs |= {value for flag, value in pairwise(words) if flag in {"-o", "--output", "--output-file"}}
    outputs |= {word.partition("=")[2] for word in words if word.startswith(("--output=", "--output-file="))}
    if command.name in {"cp", "mv", "install", "ln"} and len(words) > 2:
        outputs.add(words[-1])
    if command.name == "tee":
        outputs |= {word for word in words[1:] if not word.startswith("-")}
    return outputs


def _mounted(place: _Place, run: Instruction, name: str) -> bool | None:
    """If the file lies in a bind mount: whether it is the context's."""
    base = posixpath.basename(name)
    context = place.reader.evidence.context
    for flag, value in run.flags:
        said = expand(value, environment(place.reader.dockerfile, run)) if flag == "mount" else ""
        options = dict(option.partition("=")[::2] for option in said.split(","))
        if flag != "mount" or options.get("type", "bind") != "bind":
            continue
        source = posixpath.normpath("/" + (options.get("source") or options.get("src") or "")).lstrip("/")
        target = (options.get("target") or options.get("dst") or options.get("destination") or "").rstrip("/")
        is_file = base in {posixpath.basename(target), posixpath.basename(source)}
        inside = not is_file and (name.startswith(f"{target}/") or not name.startswith("/"))
        found = source if is_file else posixpath.join(source, base)
        if options.get("from") and (is_file or inside):
            origin = place.reader.dockerfile.find_stage(options["from"])
            if origin and (is_file or _is_it(place.at_the_end_of(origin), base)):
                return _is_it(place.at_the_end_of(origin), posixpath.basename(found))
        elif is_file:
            return _is_same(place.reader.evidence, found)
        elif inside and (below := _below(context, source, base)):
            return any(_is_same(place.reader.evidence, each) for each in below)
    return None


def _below(context: Mapping[str, bytes], folder: str, base: str) -> list[str]:
    """The files of this name in a folder of the context; those in folders below it only where it has none itself."""
    inside = posixpath.join(folder, base) if folder else base
    if inside in context:
        return [inside]
    start = f"{folder}/" if folder else ""
    return [path for path in context if path.startswith(start) and path.endswith(f"/{base}")]


def _copied(place: _Place, copy: Instruction, base: str) -> bool | None:
    """If a COPY or ADD brings the file: whether it is the context's."""
    if len(copy.arguments) < 2:
        return None
    known = environment(place.reader.dockerfile, copy)
    *sources, target = (expand(word, known) for word in copy.arguments)
    target_base = posixpath.basename(target.rstrip("/"))
    if any(base in {heredoc.name, target_base} for heredoc in copy.heredocs):
        return False
    for source in sources:
        path = posixpath.normpath("/" + source).lstrip("/")
        renamed = target_base == base and len(sources) == 1
        reference = copy.flag("from")
        if reference:
            answer = _copied_from(place, reference, path, base, renamed=renamed)
        else:
            answer = _copied_from_context(place.reader.evidence, path, base, renamed=renamed)
        if answer is not None:
            return answer
    return None


def _copied_from(place: _Place, reference: str, path: str, base: str, *, renamed: bool) -> bool | None:
    origin = place.reader.dockerfile.find_stage(reference)
    name = posixpath.basename(path)
    if renamed or name == base:
        return origin is not None and _is_it(place.at_the_end_of(origin), name)
    if origin is not None and "." not in name and _is_it(place.at_the_end_of(origin), base):
        return True  # it came with its folder
    return None


def _copied_from_context(evidence: Evidence, path: str, base: str, *, renamed: bool) -> bool | None:
    context = evidence.context
    if path in context:
        return _is_same(evidence, path) if renamed or posixpath.basename(path) == base else None
    if any(letter in path for letter in "*?["):
        matches = [each for each in context if fnmatch.fnmatch(each, path)]
        named = [each for each in matches if renamed or posixpath.basename(each) == base]
        return any(_is_same(evidence, each) for each in named) if named else None
    below = _below(context, path, base)
    return any(_is_same(evidence, each) for each in below) if below else None
