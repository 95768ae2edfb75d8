"""Advice about the base image that ships: a slim one does, if what the service needs is copied there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from layerlab import image as images
from layerlab.dockerfile import Instruction, Stage
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


def ship_from_slim(view: View, engine: Engine) -> list[Advice]:
    """A slim base in place of a full one: for the final stage as it is, or for a new one that gets the artifacts."""
    stage = view.traced.origins.layer_history.stages[0]
    slim_name = slim(stage.base)
    if slim_name is None:
        return []
    try:
        base = images.read(engine, slim_name)
    except LabError:
        return []
    switch = _Switch(view, stage, slim_name, base)
    copies_artifacts = any(each.flag("from") for each in stage.instructions)
    return switch.same_stage() if view.traced.final != stage or copies_artifacts else switch.new_stage()


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
        view, merged = self.view, self.view.stack.merged
        above = [int(inode) for inode in view.stored.files if merged.layers[inode] >= view.base_layers]
        effect = Effect(rebased=Rebased(self.base.total_bytes, frozenset(above)))
        stages = view.traced.origins.layer_history.stages
        runs = (each for stage in stages for each in stage.instructions if each.keyword == "RUN")
        missing = self._missing(above)
        # A FROM that names its base by an argument has no name to be replaced.
        pattern = rf"(?<=[\s]){re.escape(self.stage.base)}(?=\s|$)"
        names_it = bool(self.stage.instructions) and re.search(pattern, self.stage.instructions[0].text)
        does_it = not missing and names_it and all(self._commands(run) <= _HARMLESS for run in runs)
        edit = Edit(changes=(InstructionChange(self.stage.line, "replace", self.name, pattern),)) if does_it else None
        why = f"the base has {how_large(self._base_bytes())}, of which the service uses little" + _needs(missing)
        return view.advise(f"ship from {self.name} (line {self.stage.line})", why, self.stage.line, edit, effect)

    def new_stage(self) -> list[Advice]:
        """A second stage on the slim base, which gets the Python packages and the app."""
        view, trace, merged = self.view, self.view.traced, self.view.stack.merged
        if len(trace.origins.layer_history.stages) != 1 or trace.final != trace.dockerfile.stages[-1]:
            return []
        folders = self._folders()
        if not folders:
            return []
        below = tuple(f"{folder}/" for folder in folders)
        live = [(merged.paths[index], index) for index in view.stack.inodes.live.tolist()]
        kept = {
            int(merged.inodes[index])
            for path, index in live
            if path.startswith(below) or view.origin(index).kind == "context"
        }
        # What the Dockerfile has made outside of these folders and the system's.
        elsewhere = (path for path, index in live if not path.startswith(below + _SYSTEM) and self._is_made(index))
        lost = min(elsewhere, default="")
        missing = self._missing(kept)
        label = self.stage.name or _free_name(trace.dockerfile.text)
        edit = Edit(changes=tuple(self._changes(label)), after=self._final_stage(label, folders))
        what = listed(folders)
        why = (
            f"line {self.stage.line}'s base has {how_large(self._base_bytes())}, and what the service needs of all"
            f" that is built on it is {what}" + _needs(missing)
        )
        why += f"; copy {lost}, too, if the service needs that" if lost else ""
        return view.advise(
            f"copy {what} from a build stage to {self.name} and ship that",
            why,
            self.stage.line,
            None if missing or lost else edit,
            Effect(rebased=Rebased(self.base.total_bytes, frozenset(kept))),
            smallest=10 * SMALLEST,
        )

    def _is_made(self, index: int) -> bool:
        return self.view.origin(index).kind == "made"

    def _folders(self) -> list[str]:
        """Where the installed Python packages are: a virtual environment, or the interpreter's own folders."""
        merged = self.view.stack.merged
        visible = self.view.stack.visible.tolist()
        paths = [merged.paths[index] for index in visible if merged.layers[index] >= self.view.base_layers]
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
            makes_accounts = each.keyword == "RUN" and self._commands(each) and self._commands(each) <= _ACCOUNTS
            if each.keyword in _REPEATED | _MOVED or makes_accounts:
                lines.append(each.text.strip("\n"))
            elif each.keyword in {"COPY", "ADD"}:
                lines += [*copies, each.text.strip("\n")]
                copies = []
        lines[1:1] = copies
        return "\n".join(lines) + "\n"

    def _commands(self, run: Instruction) -> frozenset[str]:
        return frozenset(each.name for each in self.view.commands(run))

    def _base_bytes(self) -> int:
        merged = self.view.stack.merged
        below = (inode for inode in self.view.stored.files if merged.layers[inode] < self.view.base_layers)
        return sum(int(merged.sizes[inode]) for inode in below)

    def _missing(self, kept: Collection[int]) -> list[str]:
        """Shared libraries that what is kept needs, and that neither it nor the slim base has."""
        merged, base = self.view.stack.merged, self.base.stack
        names = {index: posixpath.basename(merged.paths[index]) for index in kept}
        programs = [index for index, name in names.items() if merged.kinds[index] == FILE and ".so" in name]
        in_base = {posixpath.basename(base.merged.paths[index]) for index in base.visible.tolist()}
        needed = {name for found in self.view.reader.needed(programs).values() for name in found}
        return sorted(needed - in_base - set(names.values()))


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
