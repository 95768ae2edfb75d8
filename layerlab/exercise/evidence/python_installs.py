"""Which RUNs install Python packages: those in whose layers distributions lie that requirements.txt pins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name, canonicalize_version

from layerlab.exercise.evidence.facts import PythonInstall
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.xray.provenance.file_origins import FileOrigins

_DISTRIBUTION: Final = re.compile(
    r".*/(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>\d[^-/]*)(?:-[^/]*)?"
    r"(?:\.(?:dist-info/METADATA|egg-info(?:/PKG-INFO)?|whl)|(?<=[\w])\.(?:tar\.gz|zip))"
)
_ENDINGS: Final = (".dist-info/METADATA", ".egg-info", "/PKG-INFO", ".whl", ".tar.gz", ".zip")
_VENDORED: Final = re.compile(r"/_vendor(?:ed)?/")


@dataclass(frozen=True)
class Stored:
    """A file that tells of a distribution: the notes of its installation, or a wheel or sdist of it.

    Attributes:
        index: Of the entry.
        name: The distribution's normalised name.
        version: Its version, as the file's path has it.
    """

    index: int
    name: str
    version: str


def distribution_of(path: str) -> tuple[str, str] | None:
    """The normalised name and the version of the distribution that a path tells of; None if it tells of none.

    >>> distribution_of("/wheels/MarkupSafe-3.0.4-cp313-cp313-manylinux_2_28_x86_64.whl")
    ('markupsafe', '3.0.4')
    >>> distribution_of("/v/lib/python3.13/site-packages/python_dateutil-2.9.0.post0.dist-info/METADATA")
    ('python-dateutil', '2.9.0.post0')
    """
    found = None if _VENDORED.search(path) else _DISTRIBUTION.fullmatch(path)
    return (canonicalize_name(found["name"]), found["version"]) if found else None


def in_layer(stack: LayerStack, layer: int) -> Iterator[Stored]:
    """What a layer stores of distributions."""
    merged = stack.merged
    start, end = int(merged.starts[layer]), int(merged.starts[layer + 1])
    for index, path in enumerate(merged.paths[start:end], start):  # tens of thousands, of which a few end so
        if path.endswith(_ENDINGS) and merged.kinds[index] == FILE and (found := distribution_of(path)):
            yield Stored(index, *found)


def find(origins: FileOrigins, pinned: Mapping[str, str]) -> tuple[PythonInstall, ...]:
    """The RUNs above the base in whose layers pinned distributions lie.

    What a RUN only gives another owner, or takes from a stage that it mounts, is not its own. Bytecode tells nothing:
    a project that is installed afterwards may compile what was there.
    """
    reader, history = origins.reader, origins.layer_history
    stack = reader.stack
    below: dict[tuple[str, str], set[int]] = {}
    installs: list[PythonInstall] = []
    for layer in range(len(stack.layers)):
        stored = [each for each in in_layer(stack, layer) if each.name in pinned]
        step = history.steps.get(layer)
        if step is not None and step.instruction.keyword == "RUN":
            new: set[str] = set()
            moved: set[str] = set()
            for each in stored:
                origin = origins.origin(each.index)
                is_own = (origin.kind, origin.stage, origin.line) == ("made", step.stage.label, step.line)
                if is_own and canonicalize_version(each.version) == canonicalize_version(pinned[each.name]):
                    alike = below.get((each.name, each.version), set())
                    digests = reader.digests({each.index, *alike}) if alike else {}
                    is_moved = each.index in digests and list(digests.values()).count(digests[each.index]) > 1
                    (moved if is_moved else new).add(each.name)
            if new or moved:
                names, others = tuple(sorted(new)), tuple(sorted(moved - new))
                size, words = int(stack.layer_bytes[layer]), step.instruction.summary
                installs.append(PythonInstall(step.stage.label, step.line, words, names, size, layer, others))
        for each in stored:
            below.setdefault((each.name, each.version), set()).add(each.index)
    return tuple(installs)
