"""Whether the Python packages that the service uses come from a build stage."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from layerlab.dockerfile import Instruction, copied_from
from layerlab.dockerfile.shell.commands import PythonInstall, commands, python_install
from layerlab.exercise.evidence.model import Distribution, Evidence, File, Snapshot
from layerlab.exercise.tasks import places
from layerlab.exercise.tasks.common import (
    bundles,
    image_distributions,
    installed_distributions,
    normalised,
    package_files,
)

BUILD_STAGE: Final = "a build stage"
_INSTALLERS: Final = frozenset({"pip", "setuptools", "uv", "wheel"})
_LATER: Final = (".pyc", ".pyo", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")


@dataclass(frozen=True)
class Source:
    """Where a distribution comes from.

    Attributes:
        kind: `BUILD_STAGE`, ``final`` (installed in the final stage), ``base``, ``context`` or ``unknown``.
        line: Of the instruction that made it, in the final stage.
    """

    kind: str
    line: int | None = None


@dataclass
class Provenance:
    """The pinned distributions by where they come from.

    Attributes:
        used: Their names, by source; those that the service uses.
        ignored: Names of distributions that were taken from a build stage, while another copy of them is used.
        ignored_line: The line that copied those.
    """

    used: dict[Source, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    ignored_line: int | None = None


def provenance(evidence: Evidence, snapshot: Snapshot, visible: Mapping[str, File]) -> Provenance:
    """Where the distributions that requirements.txt pins (without it: all) come from.

    Further ones are told only where the final stage installs them itself.
    """
    pinned = evidence.requirements
    everywhere = image_distributions(snapshot, visible)
    used = {name: each for name, each in installed_distributions(evidence).items() if not pinned or name in pinned}
    if not used:
        used = {each.name: each for each in everywhere if not pinned or each.name in pinned}
    tracer = _Tracer(evidence, snapshot, visible)
    found = Provenance()
    by_source: dict[Source, list[str]] = defaultdict(list)
    for name, distribution in sorted(used.items()):
        source = tracer.source(distribution)
        if pinned or source.kind != "base":
            by_source[source].append(name)
    for name, distribution in sorted(installed_distributions(evidence).items()):
        if pinned and name not in pinned and name not in _INSTALLERS:
            source = tracer.source(distribution)
            if source.kind == "final" and tracer.asks_an_index(source.line):
                by_source[source].append(name)
    found.used = dict(by_source)
    not_built = {name for source, names in by_source.items() if source.kind != BUILD_STAGE for name in names}
    for other in everywhere:
        is_ignored = other.name in not_built and other.name in used and other.location != used[other.name].location
        if is_ignored and tracer.source(other).kind == BUILD_STAGE:
            found.ignored.append(other.name)
            metadata = visible.get(f"{other.location}/METADATA")
            found.ignored_line = snapshot.layers[metadata.layer].line if metadata else None
    return found


class _Tracer:
    """Follows files back to where they were made; what it finds out about an instruction it keeps."""

    def __init__(self, evidence: Evidence, snapshot: Snapshot, visible: Mapping[str, File]) -> None:
        self._evidence = evidence
        self._snapshot = snapshot
        self._visible = visible
        self._earlier = {(copy.layer, copy.path): (copy.of_layer, copy.of) for copy in snapshot.copies}
        self._files = {(file.layer, file.path): file for file in snapshot.files}
        self._installs: dict[int, tuple[PythonInstall, ...]] = {}
        self._taken: dict[tuple[int, str], bool] = {}

    def source(self, distribution: Distribution) -> Source:
        """Where most bytes of a distribution come from; bytecode and notes of the installation left out."""
        files = package_files(self._evidence, distribution, self._visible)
        weights: Counter[Source] = Counter()
        for file in files:
            if not file.path.endswith(_LATER):
                weights[self._of_file(file, distribution)] += file.bytes
        known = {source: weight for source, weight in weights.items() if source.kind != "unknown"}
        if not known:
            return self._of_bundle()
        return max(known, key=lambda source: known[source])

    def _of_bundle(self) -> Source:
        """Where one file that holds packages (a .pex, a zipapp) was made, if the service is started from one."""
        for file in bundles(self._evidence, self._visible):
            origin = self._snapshot.origins(file)
            if origin.kind == "made" and not posixpath.basename(file.path).startswith(("python", "pypy")):
                is_built = origin.stage != self._snapshot.stage
                return Source(BUILD_STAGE) if is_built else Source("final", origin.line)
        return Source("unknown")

    def _of_file(self, file: File, distribution: Distribution) -> Source:
        seen: set[tuple[int, str]] = set()
        # Stored again by the final stage itself: chown, chmod, cp.
        while (key := (file.layer, file.path)) in self._earlier and key not in seen and not self._is_built(file):
            seen.add(key)
            earlier = self._files.get(self._earlier[key])
            if earlier is None:
                return Source("base")
            file = earlier
        if file.path in self._snapshot.base_files and self._snapshot.layers[file.layer].is_base:
            return Source("base")
        if self._is_built(file):
            return Source(BUILD_STAGE)
        origin = self._snapshot.origins(file)
        if origin.kind == "made":
            instruction = places.instruction_at(self._evidence, origin.line)
            if instruction and self._is_taken(instruction, distribution):
                return Source(BUILD_STAGE)
            return Source("final", origin.line)
        return Source(origin.kind, self._snapshot.layers[file.layer].line)

    def _is_built(self, file: File) -> bool:
        """Whether a stage other than the final one made this very file."""
        origin = self._snapshot.origins(file)
        return origin.kind == "made" and origin.stage != self._snapshot.stage

    def asks_an_index(self, line: int | None) -> bool:
        """Whether an instruction installs distributions by their names, not a project that lies there."""
        instruction = places.instruction_at(self._evidence, line)
        installs = self._installs_of(instruction) if instruction else ()
        named = [install for install in installs if install.packages or install.requirements]
        return any(not all(word.startswith((".", "/")) for word in install.packages) for install in named)

    def _is_taken(self, instruction: Instruction, distribution: Distribution) -> bool:
        """`_takes_from_a_stage`, asked once for all the files of a distribution."""
        key = (instruction.line, distribution.location)
        if key not in self._taken:
            self._taken[key] = self._takes_from_a_stage(instruction, distribution)
        return self._taken[key]

    def _takes_from_a_stage(self, instruction: Instruction, distribution: Distribution) -> bool:
        """Whether a RUN of the final stage installs what a build stage made, without asking an index."""
        mounts = dict(self._mounts(instruction))
        installs = self._installs_of(instruction)
        if not installs:  # cp, tar, mv ...
            name = posixpath.basename(distribution.location)
            stages = {*mounts.values(), *self._copied_from_before(instruction)}
            return any(self._holds(stage, f"/{name}/METADATA") for stage in stages)
        folders = [target for target, stage in mounts.items() if self._has_wheel(stage, distribution)]
        folders += self._copied_wheels(distribution)
        return any(_uses(install, folders, mounts) for install in installs)

    def _installs_of(self, instruction: Instruction) -> tuple[PythonInstall, ...]:
        dockerfile = self._evidence.dockerfile
        if instruction.line not in self._installs and dockerfile:
            found = map(python_install, commands(dockerfile, instruction, self._evidence.context))
            self._installs[instruction.line] = tuple(
                each for each in found if each and each.verb in {"install", "sync"}
            )
        return self._installs.get(instruction.line, ())

    def _mounts(self, instruction: Instruction) -> Iterator[tuple[str, str]]:
        """Where an instruction mounts other stages: the folder and the stage's label."""
        for name, value in instruction.flags:
            options = dict(option.partition("=")[::2] for option in value.split(",")) if name == "mount" else {}
            dockerfile = self._evidence.dockerfile
            stage = dockerfile.find_stage(options["from"]) if options.get("from") and dockerfile else None
            if stage and stage.label != self._snapshot.stage:
                target = options.get("target") or options.get("dst") or options.get("destination") or "/"
                yield posixpath.normpath(target), stage.label

    def _copied_from_before(self, instruction: Instruction) -> Iterator[str]:
        """The labels of the stages from which the final image had copied something when an instruction ran."""
        dockerfile = self._evidence.dockerfile
        for each in places.final_instructions(self._evidence):
            if each.keyword == "COPY" and each.stage == instruction.stage and each.line < instruction.line:
                found = (dockerfile.find_stage(name) if dockerfile else None for name in copied_from(each))
                yield from (stage.label for stage in found if stage and stage.label != self._snapshot.stage)

    def _holds(self, stage: str, end: str) -> bool:
        snapshot = self._evidence.stages.get(stage)
        return snapshot is not None and any(file.visible and file.path.endswith(end) for file in snapshot.files)

    def _has_wheel(self, stage: str, distribution: Distribution) -> bool:
        snapshot = self._evidence.stages.get(stage)
        return snapshot is not None and any(
            file.visible and _is_wheel_of(file, distribution) for file in snapshot.files
        )

    def _copied_wheels(self, distribution: Distribution) -> list[str]:
        """The folders of the image, now or earlier, with a wheel of this distribution from a build stage."""
        wheels = [file for file in self._snapshot.files if _is_wheel_of(file, distribution)]
        origins = [(file, self._snapshot.origins(file)) for file in wheels]
        return [
            posixpath.dirname(file.path)
            for file, origin in origins
            if origin.kind == "made" and origin.stage != self._snapshot.stage
        ]


def _is_wheel_of(file: File, distribution: Distribution) -> bool:
    if not file.path.endswith(".whl"):
        return False
    name, _, rest = posixpath.basename(file.path).partition("-")
    return normalised(name) == distribution.name and rest.partition("-")[0] == distribution.version


def _uses(install: PythonInstall, folders: list[str], mounts: Mapping[str, str]) -> bool:
    """Whether wheels of these folders are what an installation takes."""
    if install.offline and (folders or mounts):
        return True
    named = [re.sub(r"^file://", "", path) for path in (*install.find_links, *install.packages)]
    relative = [path for path in named if path.endswith(".whl") and not path.startswith("/")]
    below = [path for path in named for folder in folders if f"{posixpath.normpath(path)}/".startswith(f"{folder}/")]
    return bool(folders) and bool(relative or below)
