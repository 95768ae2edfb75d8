"""What commands an instruction of a Dockerfile runs, as far as can be known without running it.

A RUN's shell script is read, and the scripts that it runs from the build context; each wrapper such as ``sudo`` or
``sh -c`` is taken off. Both sides of an ``&&``, ``||`` or ``if`` count, for nobody knows here which is run. The work
is bounded: of very long scripts only the beginning is read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.dockerfile import words as dockerfile_words
from layerlab.dockerfile.shell import wrappers
from layerlab.dockerfile.shell.install_commands import (
    Command,
    PythonInstall,
    SystemCommand,
    python_install,
    system_install,
)
from layerlab.dockerfile.shell.syntax import Operator, Redirection, Word, tokens
from layerlab.dockerfile.variables import environment, lineage

__all__ = [
    "Command",
    "PythonInstall",
    "SystemCommand",
    "commands",
    "environment",
    "installs_python",
    "python_install",
    "system_install",
]

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_KEYWORDS: Final = frozenset(
    {"!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac", "time", "function"}
)
_LOOPS: Final = frozenset({"for", "select", "while", "until"})
_OPENING: Final = _LOOPS | {"{"}
_CLOSING: Final = frozenset({"done", "}"})
_DECLARATIONS: Final = frozenset({"export", "declare", "typeset", "local", "readonly"})
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)(\+?)=")
_SHEBANG: Final = re.compile(r"#!\s*(?:\S*/)?([\w.-]+)(?:[ \t]+(?:-S[ \t]+)?([\w.-]+))?")
_Group = tuple[int, tuple[str, ...]]
_DEEPEST: Final = 6  # scripts within scripts
_MOST_CHARACTERS: Final = 200_000  # read for one instruction
_MOST_COMMANDS: Final = 3_000
_MOST_GROUPS: Final = 20  # loops and groups within each other
_MOST_VARIABLES: Final = 500
_LONGEST_VALUE: Final = 20_000


def commands(dockerfile: Dockerfile, instruction: Instruction, files: Mapping[str, bytes]) -> tuple[Command, ...]:
    """The commands of a RUN, CMD or ENTRYPOINT, in the order in which they stand there.

    Args:
        dockerfile: The whole of it.
        instruction: One of its instructions; others than these three run nothing.
        files: The build context, by path relative to it: scripts that are run are looked for there.
    """
    if instruction.keyword not in {"RUN", "CMD", "ENTRYPOINT"}:
        return ()
    values = {name: value for name, value in environment(dockerfile, instruction).items() if value is not None}
    reading = _Reading(_scripts(dockerfile, instruction, files), instruction.line)
    if instruction.is_json:
        reading.run_words(list(instruction.arguments), values, 0)
    else:
        heredocs = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
        prefix = _shell(dockerfile, instruction)
        if prefix and posixpath.basename(prefix[0]) not in _SHELLS:
            reading.run_words([*prefix, instruction.value], values, 0)
        else:
            reading.run_script(instruction.value + heredocs, values, 0)
    return tuple(reading.found)


def installs_python(dockerfile: Dockerfile, instruction: Instruction, files: Mapping[str, bytes]) -> bool:
    """Whether an instruction is a RUN that installs the service's packages, with whatever tool.

    To install pip itself, or the learner's own project, is not meant.
    """
    if instruction.keyword != "RUN":
        return False
    return any(
        install is not None
        and install.verb in {"install", "sync", "wheel", "download"}
        and not install.is_tool_or_project
        for install in map(python_install, commands(dockerfile, instruction, files))
    )


def _shell(dockerfile: Dockerfile, instruction: Instruction) -> tuple[str, ...]:
    """What the last SHELL before an instruction says; empty for the default."""
    found: tuple[str, ...] = ()
    for stage in lineage(dockerfile, instruction):
        for each in stage.instructions:
            if each.line >= instruction.line:
                break
            if each.keyword == "SHELL":
                found = each.arguments
    return found


def _scripts(dockerfile: Dockerfile, instruction: Instruction, files: Mapping[str, bytes]) -> dict[str, str | bytes]:
    """The files of the build context by the base name that they have in the image; text for heredocs."""
    found: dict[str, str | bytes] = {}
    for path in sorted(files, key=lambda path: -path.count("/")):
        found[posixpath.basename(path)] = files[path]
    stages = lineage(dockerfile, instruction)
    for each in (each for stage in stages for each in stage.instructions):
        if each.keyword in {"COPY", "ADD"} and each.flag("from") is None and each.arguments:
            sources, target = each.arguments[:-1], dockerfile_words.unquote(each.arguments[-1])
            for heredoc in each.heredocs:
                name = heredoc.name if target.endswith("/") else posixpath.basename(target)
                found[name] = heredoc.content
            path = posixpath.normpath(dockerfile_words.unquote(sources[0])).lstrip("/") if len(sources) == 1 else ""
            if path in files:
                found[posixpath.basename(target.rstrip("/"))] = files[path]
                found[posixpath.basename(path)] = files[path]
    for name, value in instruction.flags:
        if name == "mount":
            options = dict(option.partition("=")[::2] for option in value.split(","))
            path = posixpath.normpath(options.get("source") or options.get("src") or ".").lstrip("/")
            target = options.get("target") or options.get("dst") or options.get("destination") or ""
            if path in files and "from" not in options:
                found[posixpath.basename(target)] = files[path]
    return found


class _Simple:
    """A simple command while its tokens arrive."""

    def __init__(self, reads: tuple[str, ...] = (), closed: int | None = None) -> None:
        self.reads = reads  # what is piped into it
        self.closed = closed  # where the commands of the parentheses that end before it began
        self.words: list[Word] = []
        self.redirections: list[Redirection] = []
        self.mentions: tuple[str, ...] = ()  # what it hands on to a pipe: it may be the content of any of its words

    def sources(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The files that it is fed from."""
        return tuple(each.target.value(values) for each in self.redirections if each.operator in {"<", "<>"})

    def targets(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The files that it writes."""
        written = {">", ">|", "&>"}
        return tuple(each.target.value(values) for each in self.redirections if each.operator in written)

    def extended(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The files to whose ends it adds."""
        return tuple(each.target.value(values) for each in self.redirections if each.operator in {">>", "&>>"})

    @property
    def heredocs(self) -> tuple[str, ...]:
        """What it is fed from within the script."""
        return tuple(each.content for each in self.redirections if each.operator in {"<<", "<<-", "<<<"})


class _Reading:
    """One instruction being read: what it has come to, and how much more may be read."""

    def __init__(self, scripts: Mapping[str, str | bytes], line: int) -> None:
        self.found: list[Command] = []
        self._scripts = scripts
        self._line = line
        self._budget = _MOST_CHARACTERS

    def run_script(self, text: str, values: dict[str, str], depth: int, reads: tuple[str, ...] = ()) -> None:
        """Read a script; what it sets stays set in `values`."""
        if depth > _DEEPEST or self._budget <= 0:
            return
        text = text[: self._budget]
        self._budget -= len(text) + 20
        simple = _Simple(reads)
        groups: list[_Group] = []  # where each loop and group began in `found`, and what it was fed
        pattern = False  # whether the patterns of a `case` come next
        for token in (*tokens(text), Operator("\n")):
            if isinstance(token, Word):
                if pattern and token.literal != "esac":
                    continue
                pattern = False
                simple.words.append(token)
                if token.literal == "in" and simple.words[0].literal == "case":
                    pattern = True
                    simple.words.clear()
            elif isinstance(token, Redirection):
                simple.redirections.append(token)
            elif pattern and token.text in {")", "(", "|", "\n"}:
                pattern = token.text != ")"
            else:
                self._finish(simple, values, depth, groups)
                pattern = token.text in {";;", ";&", ";;&"}
                if token.text == "(" and len(groups) < _MOST_GROUPS:
                    groups.append((len(self.found), simple.reads))
                closed = groups.pop()[0] if token.text == ")" and groups else None
                fed = groups[-1][1] if groups else reads
                simple = _Simple((*fed, *simple.mentions) if token.text in {"|", "|&"} else fed, closed)
                if len(self.found) > _MOST_COMMANDS:
                    return

    def _finish(self, simple: _Simple, values: dict[str, str], depth: int, groups: list[_Group]) -> None:
        """Run a simple command: keywords, assignments, words and redirections."""
        words = simple.words
        if simple.closed is not None and not words:
            self._redirect(simple.closed, simple, values)
        while words and (keyword := words[0].literal) in _KEYWORDS | _LOOPS:
            words = words[1:]
            if keyword in _OPENING and len(groups) < _MOST_GROUPS:
                groups.append((len(self.found), simple.reads))
            if keyword in {"for", "select"}:
                if words:
                    values[words[0].literal] = " ".join(word.value(values) for word in words[2:])[:_LONGEST_VALUE]
                self._run_substitutions(words, values, depth)
                return
            if keyword in _CLOSING and groups:
                self._redirect(groups.pop()[0], simple, values)
        self._run_substitutions([*words, *(each.target for each in simple.redirections)], values, depth)
        assigned: dict[str, str] = {}
        while words and words[0].parts and (found := _ASSIGNMENT.match(words[0].parts[0].text)):
            if words[0].parts[0].kind != "text" or words[0].parts[0].quoted:
                break
            text = words[0].value({**values, **assigned})[found.end() :]
            assigned[found[1]] = (values.get(found[1], "") if found[2] else "") + text
            words = words[1:]
        fields = [field for word in words for field in word.fields(values)]
        simple.mentions = (*simple.sources(values), *fields[1:])
        if fields:
            inner = {**values, **assigned} if assigned else values
            self.run_words(fields, inner, depth, simple)
        else:
            _assign(values, assigned)
            for content in simple.heredocs:  # RUN <<EOF: the script itself
                self._run_file(content, dict(values), depth, simple.reads)

    def _redirect(self, begin: int, simple: _Simple, values: Mapping[str, str]) -> None:
        """Apply a loop's or group's redirections to the commands in it, the first of which is at `begin`."""
        sources, written, extended = simple.sources(values), simple.targets(values), simple.extended(values)
        if not (sources or written or extended) or begin == len(self.found):
            return
        # Together they write the file: all but the last add to what follows.
        *first, last = self.found[begin:]
        added = (*extended, *written)
        self.found[begin:] = [
            *(replace(each, reads=(*each.reads, *sources), extends=(*each.extends, *added)) for each in first),
            replace(
                last,
                reads=(*last.reads, *sources),
                writes=(*last.writes, *written),
                extends=(*last.extends, *extended),
            ),
        ]

    def _run_substitutions(self, words: list[Word], values: dict[str, str], depth: int) -> None:
        for word in words:
            for script in word.scripts:
                self.run_script(script, dict(values), depth + 1)

    def run_words(self, words: list[str], values: dict[str, str], depth: int, simple: _Simple | None = None) -> None:
        """Run a command whose words are known, its wrappers taken off."""
        simple = simple or _Simple()
        unwrapped = wrappers.unwrap(words, values)
        words, values, name = unwrapped.words, unwrapped.values, unwrapped.name
        sources = (*simple.reads, *simple.sources(values), *unwrapped.reads)
        if not words or len(self.found) > _MOST_COMMANDS or depth > _DEEPEST:
            return
        if unwrapped.script is not None:
            self.run_script(unwrapped.script, dict(values), depth + 1, sources)
        elif name in _DECLARATIONS:
            _assign(values, dict(word.partition("=")[::2] for word in words[1:] if "=" in word))
        elif name == "eval":
            self.run_script(" ".join(words[1:]), values, depth + 1, sources)
        elif name == "find":
            for command in wrappers.executed_by_find(words):
                self.run_words(command, values, depth + 1, simple)
        elif name in {".", "source"} and len(words) > 1:
            self._run_file(self._scripts.get(posixpath.basename(words[1]), ""), values, depth, sources)
        else:
            self._add(
                Command(
                    tuple(words),
                    dict(values),
                    self._line,
                    sources,
                    simple.targets(values),
                    simple.heredocs,
                    simple.extended(values),
                )
            )
            self._run_what_it_reads(words, values, depth, simple, sources)

    def _run_what_it_reads(
        self, words: list[str], values: dict[str, str], depth: int, simple: _Simple, sources: tuple[str, ...]
    ) -> None:
        """Read the script that a command is, or that it is given."""
        name = posixpath.basename(words[0])
        if name in _SHELLS:
            script = wrappers.shell_script(words)
            inner = dict(values)
            if script.text is not None:
                inner |= {"0": script.name, **_positional(script.arguments)}
                self.run_script(script.text, inner, depth + 1, sources)
            elif script.name:
                inner |= _positional(script.arguments)
                self._run_file(self._scripts.get(posixpath.basename(script.name), ""), inner, depth, sources)
            else:
                for content in simple.heredocs:
                    self.run_script(content, inner, depth + 1, sources)
                for source in sources:
                    self._run_file(self._scripts.get(posixpath.basename(source), ""), inner, depth, ())
        elif name in {"make", "gmake"}:
            for makefile in ("GNUmakefile", "Makefile", "makefile"):
                self.run_script(_recipes(_decoded(self._scripts.get(makefile, ""))), dict(values), depth + 1)
        elif name in self._scripts:
            inner = {**values, **_positional(words[1:])}
            self._run_file(self._scripts[name], inner, depth, sources, needs_shebang="." not in name)

    def _run_file(
        self,
        content: str | bytes,
        values: dict[str, str],
        depth: int,
        reads: tuple[str, ...],
        *,
        needs_shebang: bool = False,
    ) -> None:
        """Read a script unless it says that it is for something other than a shell."""
        text = _decoded(content)
        found = _SHEBANG.match(text)
        interpreter = (found[2] if found and found[1] == "env" else found[1] if found else "") or ""
        if interpreter in _SHELLS or not (needs_shebang or interpreter):
            self.run_script(text, values, depth + 1, reads)
        elif interpreter.startswith("python"):
            self._add(Command((interpreter, "-c", text[:_LONGEST_VALUE]), dict(values), self._line, reads))

    def _add(self, command: Command) -> None:
        self.found.append(command)


def _positional(arguments: Sequence[str]) -> dict[str, str]:
    """A script's own arguments. Without any, "$@" stays as it is: a container may be started with some."""
    joined = " ".join(arguments)
    numbered = {str(number): text for number, text in enumerate(arguments[:9], 1)}
    return {"@": joined, "*": joined, **numbered} if arguments else {}


def _assign(values: dict[str, str], assigned: Mapping[str, str]) -> None:
    for name, value in assigned.items():
        if name in values or len(values) < _MOST_VARIABLES:
            values[name] = value[:_LONGEST_VALUE]


def _decoded(content: str | bytes) -> str:
    return content if isinstance(content, str) else content[:_MOST_CHARACTERS].decode(errors="replace")


def _recipes(makefile: str) -> str:
    """The commands of a makefile, whatever target they are for."""
    joined = makefile.replace("\\\n", " ")
    return "\n".join(line.lstrip("\t@-+ ") for line in joined.splitlines() if line.startswith("\t"))
