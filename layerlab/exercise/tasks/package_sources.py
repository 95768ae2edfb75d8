"""Whether the Python packages that the service uses come from a build stage."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from layerlab.exercise.evidence.facts import Distribution, Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import (
    bundles,
    image_distributions,
    installed_distributions,
    package_files,
)

BUILD_STAGE: Final = "a build stage"
_INSTALLERS: Final = frozenset({"pip", "setuptools", "uv", "wheel"})
_DEBIANS: Final = "/usr/lib/python3/dist-packages/"
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
            if source.kind == "final" and tracer.asked_an_index(distribution, source.line):
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
    """Follows files back to where they were made."""

    def __init__(self, evidence: Evidence, snapshot: Snapshot, visible: Mapping[str, File]) -> None:
        self._evidence = evidence
        self._snapshot = snapshot
        self._visible = visible

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
        if file.path in self._snapshot.base_files and self._snapshot.layers[file.layer].is_base:
            return Source("base")
        if self._is_built(file):
            return Source(BUILD_STAGE)
        origin = self._snapshot.origins(file)
        if origin.kind == "made":
            kind = self._handed_on(origin.line, distribution)
            return Source(kind, origin.line) if kind == "final" else Source(kind)
        return Source(origin.kind, self._snapshot.layers[file.layer].line)

    def _is_built(self, file: File) -> bool:
        """Whether a stage other than the final one made this very file."""
        origin = self._snapshot.origins(file)
        return origin.kind == "made" and origin.stage != self._snapshot.stage

    def asked_an_index(self, distribution: Distribution, line: int | None) -> bool:
        """Whether a distribution was got by its name, not from what lay there (PEP 610), nor as Debian's."""
        is_local = f"{distribution.location}/direct_url.json" in self._visible
        is_handed_on = any(tried.line == line and tried.taken for tried in self._evidence.handed_on)
        return not (is_local or is_handed_on or distribution.location.startswith(_DEBIANS))

    def _handed_on(self, line: int | None, distribution: Distribution) -> str:
        """The kind of source of what a RUN of the final stage installed, which may have had it from a build stage."""
        for tried in self._evidence.handed_on:
            if tried.line == line and distribution.name in tried.names:
                is_open = tried.failure is not None or self._evidence.is_quick
                return "unknown" if is_open else BUILD_STAGE if distribution.name in tried.taken else "final"
        return "final"
