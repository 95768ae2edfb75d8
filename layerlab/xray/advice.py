"""What to change about an image, how many bytes that would save, and the edits that a program can make and prove.

Bytes that nobody needs (`layerlab.xray.waste`) are put together by what stores them: a line of the Dockerfile, in
whatever stage, or a layer where nobody knows the Dockerfile. What to do follows from why they are not needed. Several
edits can be made at once; comments stay where they are.
"""

from __future__ import annotations

import re
import shlex
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from layerlab import image as images
from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.image import Image
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.ui.text import shorten
from layerlab.ui.units import first_few, how_large, listed
from layerlab.xray import waste
from layerlab.xray.provenance.file_origins import Origin
from layerlab.xray.tracing import Trace
from layerlab.xray.waste import CACHES, DELETED, HEADERS, METADATA, NOTHING, SYMBOLS, TESTS, TOOLS, Needless

SMALLEST: Final = 100_000  # bytes that are worth an edit

_RUN: Final = re.compile(r"(\s*RUN(?:\s+--\S+)*)\s+(.*)", re.DOTALL | re.IGNORECASE)
_COMMENT: Final = re.compile(r"(?:^|[\s;&|()])#")  # within quotes too: then nothing is lost but an edit
_ESCAPE: Final = re.compile(r"^\s*#\s*escape\s*=", re.IGNORECASE | re.MULTILINE)
_TRANSPARENT: Final = frozenset(
    ["CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "STOPSIGNAL"]
)


@dataclass(frozen=True)
class Edit:
    """An edit that a program can make."""

    runs: tuple[int, ...] = ()  # lines of RUNs, in their order; several become one
    command: str = ""  # what is added to the last of them; empty for nothing
    ignored: tuple[str, ...] = ()  # lines that are added to ``.dockerignore``


@dataclass(frozen=True)
class Advice:
    """One thing to change."""

    title: str  # what to do, in a few words
    why: str  # what was seen that it would save
    line: int | None  # the line of the Dockerfile that it is about; None where none is known
    bytes: int  # what the image would store less; a prediction
    edit: Edit | None = None  # how, for a program; None where it takes somebody who knows what the image is for
    saves: Mapping[int, int] = field(default_factory=dict, repr=False, compare=False)  # the same by inode

    @property
    def is_mechanical(self) -> bool:
        """Whether a program can make the edit, and so prove what it saves."""
        return self.edit is not None

    def document(self, dockerfile: Dockerfile | None) -> dict[str, Any]:
        """As JSON has it; with the whole Dockerfile as it would be."""
        found: dict[str, Any] = {"title": self.title, "why": self.why, "line": self.line, "bytes": self.bytes}
        found["mechanical"] = self.is_mechanical
        if self.edit is not None and dockerfile is not None:
            found["dockerfile"] = edited(dockerfile, [self.edit])
            found["dockerignore"] = list(self.edit.ignored)
        return found


@dataclass(frozen=True, eq=False)
class View:
    """An image as those look at it that find advice."""

    image: Image
    rows: list[Needless]  # what it could do without
    trace: Trace | None = None  # its stages, if anybody knows its Dockerfile

    @property
    def stack(self) -> LayerStack:
        """What it holds."""
        return self.image.stack

    @property
    def base_layers(self) -> int:
        """How many layers came with the base image, as far as that is known."""
        return self.trace.origins.layer_history.base_layers if self.trace else 0

    @cached_property
    def lines(self) -> dict[int, int]:
        """The lines that made its layers, where they are known; for what a base asks for by ONBUILD, its FROM."""
        if self.trace is None:
            return {layer: each.line for layer, each in self.stack.origins.items()}
        return {layer: step.line for layer, step in self.trace.origins.layer_history.steps.items()}

    def instruction(self, line: int | None) -> Instruction | None:
        """What is on a line of the Dockerfile, where that is known."""
        written = self.trace.dockerfile.instructions if self.trace else ()
        return next((each for each in written if each.line == line), None)

    def words(self, layer: int) -> str:
        """A layer by the line that made it, or else by its number and the words of its history."""
        if layer in self.lines:
            return f"line {self.lines[layer]}"
        return f"layer {layer} ({shorten(self.stack.instructions[layer], 50)})"

    def origin(self, entry: int) -> Origin:
        """Where a file came from."""
        return self.trace.origins.origin(entry) if self.trace else Origin("unknown")

    def first_path(self, entry: int) -> str:
        """The path of a file in the image of the stage in which it was at first."""
        origin = self.origin(entry)
        if self.trace is None or origin.entry is None:
            return self.stack.merged.paths[entry]
        return self.trace.origins.first_stack(origin).merged.paths[origin.entry]

    def stored(self, entries: Iterable[int]) -> dict[int, int]:
        """By inode, what is stored at the paths of these entries, in whichever layers."""
        merged, layers = self.stack.merged, range(len(self.stack.layers))
        found = (self.stack.entry_at(layer, merged.paths[entry]) for entry in entries for layer in layers)
        return self.sizes(entry for entry in found if entry is not None and merged.kinds[entry] == FILE)

    def within(self, lines: Collection[int]) -> dict[int, int]:
        """By inode, what would not be stored if these lines were one."""
        layers = {layer for layer, line in self.lines.items() if line in lines}
        return self.sizes(row.entry for row in self.rows if {row.layer, row.by_layer} <= layers)

    def sizes(self, entries: Iterable[int]) -> dict[int, int]:
        """By inode, what these entries store."""
        merged = self.stack.merged
        return {int(merged.inodes[entry]): int(merged.sizes[entry]) for entry in entries}

    def advise(
        self, title: str, why: str, line: int | None, saves: Mapping[int, int], edit: Edit | None = None
    ) -> list[Advice]:
        """An advice, if what it saves is worth an edit."""
        saved = sum(saves.values())
        return [Advice(title, why, line, saved, edit, saves)] if saved >= SMALLEST else []


def advise(view: View, engine: Engine | None) -> list[Advice]:
    """What to change, the most bytes first.

    Several edits may save the same bytes: what some of them save together is `together`, not their sum.
    """
    found = _taken_away(view) + _shipped(view)
    if (trace := view.trace) is not None:
        found += _left_behind(view, trace) + _unneeded_context(view, trace) + _unused_stages(trace)
        found += _smaller_base(view, trace, engine) if engine is not None else []
    return sorted(found, key=lambda advice: (-advice.bytes, advice.line or 0, advice.title))


def together(advice: Iterable[Advice]) -> int:
    """What those edits that a program can make would save if all were made at once; a prediction."""
    saved: dict[int, int] = {}
    for each in advice:
        if each.is_mechanical:
            saved |= {inode: max(size, saved.get(inode, 0)) for inode, size in each.saves.items()}
    return sum(saved.values())


def _bytes(rows: Iterable[Needless]) -> int:
    return sum(row.bytes for row in rows)


def _taken_away(view: View) -> list[Advice]:
    """What an instruction stores and a later one deletes or overwrites: a layer never shrinks another."""
    pairs: dict[tuple[int, int], list[Needless]] = {}
    for row in view.rows:
        if row.by_layer is not None and row.layer >= view.base_layers:
            pairs.setdefault((row.layer, row.by_layer), []).append(row)
    pairs = {pair: rows for pair, rows in pairs.items() if _bytes(rows) >= SMALLEST}
    found = _one_run(view, view.trace, pairs) if view.trace else []
    for (stores, takes), rows in pairs.items():
        by_cause: dict[str, list[Needless]] = {}
        for row in rows:
            if row.cause != DELETED or not view.origin(row.entry).source:  # what came from the context: see there
                by_cause.setdefault(row.cause, []).append(row)
        for cause, some in by_cause.items():
            found += _in_two_steps(view, stores, takes, cause, some)
    return found


def _one_run(view: View, trace: Trace, pairs: dict[tuple[int, int], list[Needless]]) -> list[Advice]:
    """Neighbouring RUNs that had better be one; those pairs of layers are taken out of `pairs`."""
    found: list[Advice] = []
    layer_of = {line: layer for layer, line in view.lines.items()}
    chain = trace.origins.layer_history.stages
    for group in (group for stage in chain for group in neighbours(trace.dockerfile, stage.index)):
        line_of = {layer_of[each.line]: each.line for each in group if each.line in layer_of}
        inside = [pair for pair in pairs if line_of.keys() >= set(pair)]
        for span in joined(frozenset(range(low, high + 1)) for low, high in inside):
            largest = max((pairs.pop(pair) for pair in inside if span >= set(pair)), key=_bytes)
            if largest[0].cause == DELETED:
                done, fate = "deletes", "it stays in its layer"
            else:
                is_same = largest[0].cause in {METADATA, NOTHING}
                done, fate = "stores again" if is_same else "replaces", "the layers hold both"
            lines = tuple(line_of[layer] for layer in sorted(line_of.keys() & span))
            takes, stores = view.words(largest[0].by_layer or 0), view.words(largest[0].layer)
            found += view.advise(
                f"make lines {listed(lines)} one RUN",
                f"{takes} {done} {how_large(_bytes(largest))} that {stores} has stored, and {fate}",
                lines[0],
                view.within(lines),
                Edit(lines),
            )
    return found


def _in_two_steps(view: View, stores: int, takes: int, cause: str, rows: list[Needless]) -> list[Advice]:
    """What to do where no RUN can do it all."""
    copy = view.instruction(view.lines.get(stores))
    if cause == METADATA and copy and copy.keyword in {"COPY", "ADD"}:
        title = f"give {copy.keyword} on line {copy.line} --chown or --chmod, in place of {view.words(takes)}"
        why = f"{view.words(takes)} changes owner or mode alone, and so stores all of it a second time"
    else:
        title = f"{view.words(takes)} takes away what {view.words(stores)} stores: do both in one step"
        why = f"{cause}: no container sees these files, and every layer keeps what it stores"
    return view.advise(title, why, view.lines.get(stores), view.sizes(row.entry for row in rows))


class _CleanUp(NamedTuple):
    """How a RUN removes what it leaves."""

    folder: re.Pattern[str]  # of paths; its group 1 is put into the command
    command: str
    title: str
    why: str
    program: str = ""  # has to be there


_SITE: Final = re.compile(r"(.*/(?:site|dist)-packages)/")
_CLEAN_UPS: Final = {
    CACHES: _CleanUp(
        # The folder of a cache that may be removed as a whole; see `waste`.
        re.compile(
            r"(/var/lib/apt/lists|/var/cache/(?:ap[tk]|dnf|yum|libdnf5|zypp)|/etc/apk/cache"
            r"|.*?/(?:\.cache(?:/[^/]+)?|\.npm|http-v2|selfcheck|\.?cargo/registry|\.m2/repository|\.gradle/caches"
            r"|\.pnpm-store|\.yarn/cache|conda/pkgs"
            r"|(?:archive|simple|wheels|sdists|interpreter|built-wheels|flat-index)-v\d+))/"
        ),
        "rm -rf {}",
        "add `{command}` to line {line}",
        "its layer keeps {what}, and nothing is installed from that in a container",
    ),
    TESTS: _CleanUp(
        _SITE,
        "find {} -type d -name tests -prune -exec rm -rf {{}} +",
        "remove the packages' tests on line {line}",
        "a service never runs the test suites that packages ship",
    ),
    SYMBOLS: _CleanUp(
        _SITE,
        "find {} -type f -name '*.so*' -exec strip --strip-unneeded {{}} +",
        "strip the packages' libraries on line {line}",
        "only a debugger looks at these symbols",
        "strip",
    ),
}


def _left_behind(view: View, trace: Trace) -> list[Advice]:
    """What a step leaves that nothing needs: it is cleaned up where it was made, since no later step can."""
    places: dict[tuple[str, int], list[Needless]] = {}
    for row in view.rows:
        if row.cause in _CLEAN_UPS and (origin := view.origin(row.entry)).kind == "made" and origin.line is not None:
            places.setdefault((row.cause, origin.line), []).append(row)
    return [each for (cause, line), rows in places.items() for each in _cleaned_up(view, trace, cause, rows, line)]


def _cleaned_up(view: View, trace: Trace, cause: str, rows: list[Needless], line: int) -> list[Advice]:
    """What the RUN on a line had better remove at its end."""
    clean_up, run = _CLEAN_UPS[cause], view.instruction(line)
    folder_of = {row: found[1] for row in rows if (found := clean_up.folder.match(view.first_path(row.entry)))}
    if run is None or run.keyword != "RUN" or not folder_of:  # a FROM, if its base asks for it by ONBUILD
        return []
    folders = sorted(set(folder_of.values()))
    # What lies below /var belongs to a package manager, which wants its folder back.
    names = (shlex.quote(folder) + "/*" * folder.startswith("/var/") for folder in folders)
    command = clean_up.command.format(" ".join(names))
    lines = _until_needed(trace.dockerfile, run, folders)
    saves = {inode: min(size, row.bytes) for row in folder_of for inode, size in view.stored([row.entry]).items()}
    if len(lines) > 1:
        title = f"make lines {listed(lines)} one RUN that ends in `{command}`"
        saves |= view.within(lines)
    else:
        title = clean_up.title.format(line=line, command=command)
    why, edit = clean_up.why.format(what=listed(sorted({row.detail for row in folder_of}))), None
    label = trace.dockerfile.stages[run.stage or 0].label
    merged = (trace.built.get(label) or trace.origins).reader.stack.merged
    if clean_up.program and merged.find(f"/usr/bin/{clean_up.program}") is None:
        why += f"; that stage needs binutils for it, which brings `{clean_up.program}`"
    elif any({each.line for each in group} >= set(lines) for group in neighbours(trace.dockerfile, run.stage or 0)):
        edit = Edit(lines, command)
    return view.advise(title, why, line, saves, edit)


def _until_needed(dockerfile: Dockerfile, run: Instruction, folders: list[str]) -> tuple[int, ...]:
    """The line of a RUN, with those after it in its stage up to the last that needs what it leaves: apt's index."""
    stage = dockerfile.stages[run.stage or 0].instructions
    runs = [each for each in stage if each.keyword == "RUN" and each.line >= run.line]
    users = [number for number, each in enumerate(runs) if re.search(r"\bapt(-get)?\s", each.text)]
    last = users[-1] if users and "/var/lib/apt/lists" in folders else 0
    return tuple(each.line for each in runs[: last + 1])


_NEEDLESS: Final = frozenset({
    ".git", ".github", ".gitlab", ".svn", ".hg", ".idea", ".vscode", ".venv", "venv", "node_modules", ".tox", ".nox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache", "__pycache__", ".ipynb_checkpoints", "htmlcov",
    ".coverage", ".DS_Store",
})  # fmt: skip
_NEEDED_AT_TIMES: Final = frozenset({"venv", ".venv", "node_modules", ".cache"})
"""Of these what some services run from, so that it is not a program's to leave out."""


def _unneeded_context(view: View, trace: Trace) -> list[Advice]:
    """Files of the build context that are deleted later, or that no image needs: name them in .dockerignore."""
    deleted: dict[str, Needless] = {}
    for row in view.rows:
        if row.cause == DELETED and (origin := view.origin(row.entry)).kind == "context" and origin.source:
            deleted[origin.source] = row
    needless: dict[int, tuple[str, int | None]] = {}
    for index in view.stack.visible.tolist():
        origin = view.origin(index)
        if origin.kind == "context" and (names := _NEEDLESS.intersection(origin.source.split("/"))):
            needless[index] = min(names), origin.line
    found: list[Advice] = []
    if deleted:
        files = (e.name for e in trace.source.context.entries if not stat.S_ISDIR(e.status.st_mode))
        patterns = covering(deleted, files)
        removers = [view.instruction(view.lines.get(row.by_layer or 0)) for row in deleted.values()]
        # Where nothing is left to delete, only `rm -f` goes on.
        is_forced = all(each and re.search(r"\brm\s+(-\w*f|--force)", each.text) for each in removers)
        line = min(view.origin(row.entry).line or 0 for row in deleted.values())
        found += view.advise(
            f"name {_quoted(patterns)} in .dockerignore",
            f"line {line} copies what is deleted later: it stays in the layer",
            line,
            view.stored(row.entry for row in deleted.values()),
            Edit(ignored=tuple(patterns)) if is_forced else None,
        )
    if needless:
        patterns = sorted({f"**/{name}" for name, _ in needless.values()})
        perhaps = sorted(_NEEDED_AT_TIMES.intersection(name for name, _ in needless.values()))
        found += view.advise(
            f"name {_quoted(patterns)} in .dockerignore",
            "the image gets them with the build context, and nothing that runs needs them"
            + (f", unless the service runs from {perhaps[0]}" if perhaps else ""),
            min(line for _, line in needless.values() if line is not None),
            view.stored(needless),
            None if perhaps else Edit(ignored=tuple(patterns)),
        )
    return found


def covering(wanted: Collection[str], there: Iterable[str]) -> list[str]:
    """The fewest paths that stand for these of the files that are there, and for no others: folders, or files.

    >>> covering(["a/b/c", "a/d", "e/f"], ["a/b/c", "a/d", "e/f", "e/g"])
    ['a', 'e/f']
    """
    kept = {folder for name in there if name not in wanted for folder in PurePosixPath(name).parents}
    found = set()
    for name in wanted:
        folders = list(PurePosixPath(name).parents)[-2::-1]  # the outermost first, without the context's own
        found.add(str(next((folder for folder in folders if folder not in kept), name)))
    return sorted(found)


def _quoted(patterns: list[str]) -> str:
    return first_few([f"`{pattern}`" for pattern in patterns], width=None)


_SHIPPED: Final = {
    waste.SAME: "stores what the image has already at another path: keep one",
    waste.BYTECODE: "ships bytecode that no interpreter reads: leave it out",
    **dict.fromkeys([TOOLS, HEADERS], "ships what only builds need: build in another stage, and copy the result"),
}
# What is cleaned up where it was made, if anybody knows where that was.
_LEFT: Final = dict.fromkeys(_CLEAN_UPS, "leaves what nothing needs: leave it out in the same step")


def _shipped(view: View) -> list[Advice]:
    """What layers above the base hold that nothing needs, and no program can take out."""
    what_to_do = _SHIPPED if view.trace else _SHIPPED | _LEFT
    places: dict[tuple[str, int], list[Needless]] = {}
    for row in view.rows:
        if row.cause in what_to_do and row.layer >= view.base_layers:
            places.setdefault((what_to_do[row.cause], row.layer), []).append(row)
    found: list[Advice] = []
    for (what, layer), rows in places.items():
        sizes: Counter[str] = Counter()
        for row in rows:
            path = view.stack.merged.paths[row.entry]
            is_bytecode = path.endswith(".pyc") and row.cause != waste.BYTECODE
            sizes[f"{'bytecode of ' if is_bytecode else ''}{row.detail or path}"] += row.bytes
        why = f"the largest: {', '.join(f'{each} ({how_large(size)})' for each, size in sizes.most_common(3))}"
        saves = view.sizes(row.entry for row in rows)
        found += view.advise(f"{view.words(layer)} {what}", why, view.lines.get(layer), saves)
    return found


def _unused_stages(trace: Trace) -> list[Advice]:
    """Stages that contribute nothing: none that the image is made of takes anything from them."""
    needed, why = trace.dockerfile.needed(trace.final), "no stage that counts takes anything from it"
    unused = (stage for stage in trace.dockerfile.stages if stage not in needed)
    return [Advice(f"delete stage `{stage.label}`, or use it", why, stage.line, 0) for stage in unused]


_FULL: Final = re.compile(r"((?:docker\.io/)?(?:library/)?python:[\d.]+)(-(?:trixie|bookworm|bullseye))?")


def slim(name: str) -> str | None:
    """The slim variant of an official Python image; None for any other.

    >>> slim("python:3.13-trixie"), slim("python:3.13"), slim("python:3.13-slim")
    ('python:3.13-slim-trixie', 'python:3.13-slim', None)
    """
    found = _FULL.fullmatch(name)
    return f"{found[1]}-slim{found[2] or ''}" if found else None


def _smaller_base(view: View, trace: Trace, engine: Engine) -> list[Advice]:
    """A slim base in place of a full one, which has compilers and headers that only builds need."""
    stage = trace.origins.layer_history.stages[0]
    name = slim(stage.base)
    if name is None:
        return []
    try:
        there = images.read(engine, name).total_bytes
    except LabError:  # the engine has no such image, so nobody knows what it would save
        return []
    base = sum(view.stack.layer_bytes[: view.base_layers])
    return view.advise(
        f"ship from {name} (line {stage.line})",
        f"{stage.base} has {how_large(base)}, {name} {how_large(there)}; what needs the compilers and libraries of"
        " the first is built in a stage FROM it, and the result copied",
        stage.line,
        {-1: base - there},
    )


def edited(dockerfile: Dockerfile, edits: Iterable[Edit]) -> str:
    """The text of a Dockerfile after these edits; doing the same twice is doing it once."""
    edits, instructions = list(edits), dockerfile.instructions
    ends, texts = {each.line: each.end_line for each in instructions}, {each.line: each.text for each in instructions}
    for line, command in dict.fromkeys((edit.runs[-1], edit.command) for edit in edits if edit.command):
        texts[line] = f"{texts[line].rstrip().rstrip(';').rstrip()} \\\n && {command}"
    changed = {line for edit in edits for line in edit.runs}
    for group in joined(frozenset(edit.runs) for edit in edits if len(edit.runs) > 1):
        runs = [found for line in sorted(group) if (found := _RUN.fullmatch(texts[line]))]
        # In parentheses, what one does to its shell (cd, set, exit) is nothing to the next.
        one = f"{runs[0][1]} " + " \\\n && ".join(f"( {run[2].strip()} )" for run in runs)
        texts |= {**dict.fromkeys(group, ""), min(group): one}
    lines = dockerfile.text.split("\n")
    for line in sorted(changed, reverse=True):
        lines[line - 1 : ends[line]] = [texts[line]] if texts[line] else []
    return "\n".join(lines)


def joined(sets: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """Sets that share a member become one."""
    found: list[frozenset[int]] = []
    for each in sets:
        touching = [other for other in found if other & each]
        found = [*(other for other in found if not other & each), each.union(*touching)]
    return found


def can_append(dockerfile: Dockerfile, instruction: Instruction) -> bool:
    """Whether a command can be added to a RUN: it is a line for a shell, and BuildKit's usual one.

    What follows a shell's comment would become part of it, since a RUN is one line to the shell.
    """
    is_usual = _RUN.fullmatch(instruction.text) and not (instruction.is_json or instruction.heredocs)
    is_open = instruction.value.rstrip().endswith("&") or _COMMENT.search(instruction.value)
    is_other = _ESCAPE.search(dockerfile.text) or any(each.keyword == "SHELL" for each in dockerfile.instructions)
    return instruction.keyword == "RUN" and bool(is_usual and not is_open and not is_other)


def neighbours(dockerfile: Dockerfile, stage: int) -> list[list[Instruction]]:
    """The RUNs of a stage that may become one, group by group: nothing between them changes what they do."""
    groups: list[list[Instruction]] = [[]]
    for each in dockerfile.stages[stage].instructions:
        if can_append(dockerfile, each):
            if groups[-1] and groups[-1][-1].flags != each.flags:
                groups.append([])
            groups[-1].append(each)
        elif each.keyword not in _TRANSPARENT:
            groups.append([])
    return [group for group in groups if group]
