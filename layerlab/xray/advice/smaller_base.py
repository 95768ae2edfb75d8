"""Advice about the base image that ships: a slim one does, if what the service needs is copied there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from layerlab import image as images
from layerlab.dockerfile import Instruction, Stage
from layerlab.dockerfile.commands import commands
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.image import Image
from layerlab.image.layer import FILE
from layerlab.ui.units import how_large, listed
from layerlab.xray.advice.model import SMALLEST, Advice, Edit, View
from layerlab.xray.edits import InstructionChange
from layerlab.xray.effects import Effect, Rebased

_FULL: Final = re.compile(
    r"(?P<name>(?:docker\.io/)?(?:library/)?python):(?P<version>[\d.]+)(?:-(?P<suite>trixie|bookworm|bullseye))?"
)
_SITE: Final = re.compile(r"(/usr/local/lib/python3\.\d+/site-packages)/")
_SYSTEM: Final = (
    *("/usr/", "/var/", "/etc/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/run/", "/tmp/"),  # noqa: S108  # names only
    *("/root/.cache/", "/root/.npm/"),
)
_TOOLS_OF_BASE: Final = frozenset({"pip", "setuptools", "wheel"})
_REPEATED: Final = frozenset({"ENV", "WORKDIR", "USER", "VOLUME", "ARG"})
_MOVED: Final = frozenset({"CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "LABEL"})
_ACCOUNTS: Final = frozenset({"useradd", "groupadd", "adduser", "addgroup", "mkdir", "install", "true"})
_HARMLESS: Final = _ACCOUNTS | {"chown", "chmod", "python", "python3"}


def smaller_base(view: View, engine: Engine | None) -> list[Advice]:
    """A slim base in place of a full one: for the final stage as it is, or for a new one that gets the artifacts."""
    if view.trace is None or engine is None:
        return []
    stage = view.trace.origins.layer_history.stages[0]
    slim_name = slim(stage.base)
    if slim_name is None:
        return []
    try:
        base = images.read(engine, slim_name)
    except LabError:
        return []
    switch = _Switch(view, stage, slim_name, base)
    return switch.same_stage() if view.trace.final != stage or _copies_artifacts(stage) else switch.new_stage()


def slim(name: str) -> str | None:
    """The slim variant of an official Python image; None for any other.

    >>> slim("python:3.13-trixie"), slim("python:3.13"), slim("python:3.13-slim")
    ('python:3.13-slim-trixie', 'python:3.13-slim', None)
    """
    found = _FULL.fullmatch(name)
    if found is None:
        return None
    suite = f"-{found['suite']}" if found["suite"] else ""
    return f"{found['name']}:{found['version']}-slim{suite}"


def _copies_artifacts(stage: Stage) -> bool:
    return any(each.flag("from") for each in stage.instructions)


@dataclass(frozen=True, eq=False)
class _Switch:
    """From a full base image to a slim one.

    Attributes:
        view: The image.
        stage: That is FROM the full one.
        name: The slim one's.
        base: The slim one.
    """

    view: View
    stage: Stage
    name: str
    base: Image

    def same_stage(self) -> list[Advice]:
        """The final stage as it is, on the slim base."""
        view, trace = self.view, self.view.trace
        if trace is None:
            return []
        model, merged = view.model, view.stack.merged
        above = [
            int(inode) for inode in model.stored if merged.layers[inode] >= trace.origins.layer_history.base_layers
        ]
        effect = Effect(rebased=Rebased(self.base.total_bytes, frozenset(above)))
        runs = [
            each
            for stage in trace.origins.layer_history.stages
            for each in stage.instructions
            if each.keyword == "RUN"
        ]
        missing = self._missing(above)
        does_it = not missing and self._names_its_base() and all(self._is_harmless(run) for run in runs)
        edit = Edit(changes=(InstructionChange(self.stage.line, "replace", self.name, self._base_pattern()),))
        why = f"the base has {how_large(self._base_bytes())}, of which the service uses little" + _needs(missing)
        return view.advise(
            f"ship from {self.name} (line {self.stage.line})", why, self.stage.line, edit if does_it else None, effect
        )

    def new_stage(self) -> list[Advice]:
        """A second stage on the slim base, which gets the Python packages and the app."""
        view, trace = self.view, self.view.trace
        if (
            trace is None
            or len(trace.origins.layer_history.stages) != 1
            or trace.final != trace.dockerfile.stages[-1]
        ):
            return []
        folders = self._folders()
        if not folders:
            return []
        stack, merged = view.stack, view.stack.merged
        kept = set()
        for index in stack.inodes.live.tolist():
            path, origin = merged.paths[index], view.origin(index)
            if any(path.startswith(f"{folder}/") for folder in folders) or origin.kind == "context":
                kept.add(int(merged.inodes[index]))
        effect = Effect(rebased=Rebased(self.base.total_bytes, frozenset(kept)))
        missing = self._missing(kept)
        label = self.stage.name or _free_name(trace.dockerfile.text)
        edit = Edit(changes=tuple(self._changes(label)), after=self._final_stage(label, folders))
        what = listed(folders)
        lost = self._made_elsewhere(folders)
        why = (
            f"line {self.stage.line}'s base has {how_large(self._base_bytes())}, and what the service needs of all"
            f" that is built on it is {what}" + _needs(missing)
        )
        why += f"; copy {lost}, too, if the service needs that" if lost else ""
        title = f"copy {what} from a build stage to {self.name} and ship that"
        done = None if missing or lost else edit
        return view.advise(title, why, self.stage.line, done, effect, smallest=10 * SMALLEST)

    def _made_elsewhere(self, folders: list[str]) -> str:
        """A file that the Dockerfile has made outside of these folders and the system's; empty if there is none."""
        stack, merged = self.view.stack, self.view.stack.merged
        kept = tuple(f"{folder}/" for folder in folders) + _SYSTEM
        made = (
            merged.paths[index]
            for index in stack.inodes.live.tolist()
            if not merged.paths[index].startswith(kept) and self.view.origin(index).kind == "made"
        )
        return min(made, default="")

    def _folders(self) -> list[str]:
        """Where the installed Python packages are: a virtual environment, or the interpreter's own folders."""
        trace, stack = self.view.trace, self.view.stack
        if trace is None:
            return []
        above = trace.origins.layer_history.base_layers
        merged = stack.merged
        paths = [merged.paths[index] for index in stack.visible.tolist() if merged.layers[index] >= above]
        environments = [path.removesuffix("/pyvenv.cfg") for path in paths if path.endswith("/pyvenv.cfg")]
        sites = {
            match[1]
            for path in paths
            if path.endswith(".dist-info/RECORD") and (match := _SITE.match(path)) and not _is_tool(path)
        }
        if environments and not sites:
            return sorted(environments)
        return [*sorted(sites), "/usr/local/bin"] if sites and not environments else []

    def _changes(self, label: str) -> Iterator[InstructionChange]:
        if not self.stage.name:
            yield InstructionChange(self.stage.line, "replace", rf"\g<0> AS {label}", r"(?is)\A\s*FROM\s.*\S")
        for each in self.stage.instructions:
            if each.keyword in _MOVED:
                yield InstructionChange(each.line, "delete")

    def _final_stage(self, label: str, folders: list[str]) -> str:
        lines = [f"FROM {self.name}"]
        copies = [f"COPY --from={label} {folder} {folder}" for folder in folders]
        for each in self.stage.instructions[1:]:
            if each.keyword in _REPEATED | _MOVED or self._makes_accounts(each):
                lines.append(each.text.strip("\n"))
            elif each.keyword in {"COPY", "ADD"}:
                lines += [*copies, each.text.strip("\n")]
                copies = []
        if copies:
            lines[1:1] = copies
        return "\n".join(lines) + "\n"

    def _makes_accounts(self, run: Instruction) -> bool:
        names = self._names(run)
        return run.keyword == "RUN" and bool(names) and names <= _ACCOUNTS

    def _is_harmless(self, run: Instruction) -> bool:
        """Whether a RUN writes the same on another base, as far as can be told."""
        return self._names(run) <= _HARMLESS

    def _names(self, run: Instruction) -> frozenset[str]:
        dockerfile = self.view.trace.dockerfile if self.view.trace else None
        return frozenset(each.name for each in commands(dockerfile, run)) if dockerfile else frozenset()

    def _base_bytes(self) -> int:
        trace, model, merged = self.view.trace, self.view.model, self.view.stack.merged
        limit = trace.origins.layer_history.base_layers if trace else 0
        return sum(int(merged.sizes[inode]) for inode in model.stored if merged.layers[inode] < limit)

    def _names_its_base(self) -> bool:
        """Whether the FROM has the base's name in it as it is, and not by an argument."""
        first = self.stage.instructions[0] if self.stage.instructions else None
        return first is not None and re.search(self._base_pattern(), first.text) is not None

    def _base_pattern(self) -> str:
        return rf"(?<=[\s]){re.escape(self.stage.base)}(?=\s|$)"

    def _missing(self, kept: set[int] | list[int]) -> list[str]:
        """Shared libraries that what is kept needs, and that neither it nor the slim base has."""
        merged = self.view.stack.merged
        entries = [index for index in kept if merged.kinds[index] == FILE]
        programs = [index for index in entries if ".so" in posixpath.basename(merged.paths[index])]
        there = {posixpath.basename(merged.paths[index]) for index in kept}
        base = self.base.stack
        there |= {posixpath.basename(base.merged.paths[index]) for index in base.visible.tolist()}
        needed = {name for names in self.view.reader.needed(programs).values() for name in names}
        return sorted(needed - there)


def _needs(missing: list[str]) -> str:
    if not missing:
        return ""
    shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
    return f"; what is left then lacks {shown}: install the packages that have them"


def _is_tool(record: str) -> bool:
    folder = record.removesuffix("/RECORD").rpartition("/")[2]
    return folder.partition("-")[0].lower() in _TOOLS_OF_BASE


def _free_name(text: str) -> str:
    name = "build"
    while re.search(rf"\b{name}\b", text) and re.search(rf"(?i)AS\s+{name}\b", text):
        name += "er"
    return name
