"""Which RUNs install packages, told from their layers.

System packages: the package manager's database has grown there. Python packages: distributions lie there that
requirements.txt pins.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from packaging.utils import canonicalize_name, canonicalize_version

from layerlab.exercise.evidence.facts import PythonInstall, SystemInstall
from layerlab.image.databases import DpkgPackage, dpkg_packages, only_recommended
from layerlab.image.filesystem import NEVER
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import FileReader
from layerlab.xray.provenance.file_origins import FileOrigins
from layerlab.xray.provenance.layer_history import LayerHistory

LARGEST_DATABASE: Final = 20_000_000
"""Bytes of a package database that are read."""

_AUTO: Final = re.compile(r"^Package: (\S+)\n(?:\S.*\n)*?Auto-Installed: 1$", re.MULTILINE)
# apt's own names of its index, wherever its settings put it; apk's.
_INDEX: Final = {
    "dpkg": re.compile(r"/[^/]+_dists_[^/]+_Packages(?:\.[a-z0-9]+)?$|/var/lib/apt/lists/.*_Packages"),
    "apk": re.compile(r"/APKINDEX\.[^/]+$"),
}
_USUAL: Final = {"dpkg": "/var/lib/apt/lists", "apk": "/var/cache/apk"}
_DISTRIBUTION: Final = re.compile(
    r".*/(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>\d[^-/]*)(?:-[^/]*)?"
    r"(?:\.(?:dist-info/METADATA|egg-info(?:/PKG-INFO)?|whl)|(?<=[\w])\.(?:tar\.gz|zip))"
)
_ENDINGS: Final = (".dist-info/METADATA", ".egg-info", "/PKG-INFO", ".whl", ".tar.gz", ".zip")
_VENDORED: Final = re.compile(r"/_vendor(?:ed)?/")


def system(reader: FileReader, history: LayerHistory) -> Iterator[SystemInstall]:
    """The RUNs above the base after which more system packages are installed than before.

    A layer that removes the database changes nothing: what it tells next is compared with what was last known.
    """
    for manager, (paths, read) in _DATABASES.items():
        before: Mapping[str, DpkgPackage] = {}
        for layer, text in _versions(reader, paths).items():
            after = read(text)
            step, added = history.steps.get(layer), after.keys() - before.keys()
            if added and step and step.instruction.keyword == "RUN":
                folder, line = _index_below(reader, history, layer, manager)
                cached = [
                    mount.target
                    for mount in step.instruction.mounts
                    if mount.kind == "cache" and f"{_USUAL[manager]}/".startswith(mount.target.rstrip("/") + "/")
                ]
                states = _versions(reader, ("/var/lib/apt/extended_states",)).items()
                told = b"".join([text for number, text in states if number <= layer][-1:]).decode(errors="replace")
                yield SystemInstall(
                    step.stage.label,
                    step.line,
                    tuple(sorted(added)),
                    manager,
                    layer=layer,
                    recommended=tuple(sorted(_recommended(before, after, _AUTO.findall(told)))),
                    index=cached[0] if cached else folder,
                    index_line=None if cached else line,
                )
            before = after


def _versions(reader: FileReader, paths: tuple[str, ...]) -> dict[int, bytes]:
    """What a file says in each layer that stores it, from the bottom."""
    stack = reader.stack
    places = ((layer, stack.entry_at(layer, path)) for layer in range(len(stack.layers)) for path in paths)
    indexes = {layer: index for layer, index in places if index is not None}
    texts = reader.read_all(indexes.values(), LARGEST_DATABASE) if indexes else {}
    return {layer: texts[index] for layer, index in indexes.items() if index in texts}


def _recommended(
    before: Mapping[str, DpkgPackage], after: Mapping[str, DpkgPackage], auto: Collection[str]
) -> set[str]:
    """Those of the added packages that nobody asked for and nothing needs: others only recommend them."""
    asked = after.keys() - before.keys() - set(auto)  # `auto` are those that apt marks as installed automatically
    # An upgrade may need more than the release before it.
    upgraded = {name for name in before if name in after and after[name].depends != before[name].depends}
    needed = {name for package in upgraded for group in after[package].depends for name in group}
    return only_recommended(before.keys(), after, asked | needed)


def _index_below(reader: FileReader, history: LayerHistory, layer: int, manager: str) -> tuple[str, int | None]:
    """The folder of a package index that a RUN found in the layers below and did not write anew, and its line."""
    merged, pattern = reader.stack.merged, _INDEX[manager]
    start, end = (int(merged.starts[number]) for number in (layer, layer + 1))
    written = {posixpath.dirname(path) for path in merged.paths[start:end] if pattern.search(path)}
    for number, path in enumerate(merged.paths[:start]):
        was_there = merged.gone_by[number] == NEVER or merged.gone_by[number] >= layer
        if was_there and pattern.search(path) and posixpath.dirname(path) not in written:
            step = history.steps.get(int(merged.layers[number]))
            return posixpath.dirname(path), step.line if step else None
    return "", None


def _apk_packages(text: bytes) -> dict[str, DpkgPackage]:
    """The packages of apk's database: paragraphs with a line ``P:NAME`` each. It knows no recommendations."""
    lines = text.decode("utf-8", "replace").split("\n")
    return {line[2:].strip(): DpkgPackage(line[2:].strip(), (), ()) for line in lines if line.startswith("P:")}


_DATABASES: Final[Mapping[str, tuple[tuple[str, ...], Callable[[bytes], Mapping[str, DpkgPackage]]]]] = {
    "dpkg": (("/var/lib/dpkg/status",), dpkg_packages),
    "apk": (("/lib/apk/db/installed", "/usr/lib/apk/db/installed"), _apk_packages),
}


class Stored(NamedTuple):
    """A file that tells of a distribution: the notes of its installation, or a wheel or sdist of it."""

    entry: int  # its index among the image's entries
    name: str  # the distribution's normalised name
    version: str  # its version, as the file's path has it


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


def python(origins: FileOrigins, pinned: Mapping[str, str]) -> Iterator[PythonInstall]:
    """The RUNs above the base in whose layers pinned distributions lie.

    What a RUN only gives another owner, or takes from a stage that it mounts, is not its own. Bytecode tells nothing:
    a project that is installed afterwards may compile what was there.
    """
    reader, history = origins.reader, origins.layer_history
    stack = reader.stack
    below: dict[tuple[str, str], set[int]] = {}
    for layer in range(len(stack.layers)):
        stored = [each for each in in_layer(stack, layer) if each.name in pinned]
        step = history.steps.get(layer)
        if step is not None and step.instruction.keyword == "RUN":
            new: set[str] = set()
            moved: set[str] = set()
            for each in stored:
                origin = origins.origin(each.entry)
                is_own = (origin.kind, origin.stage, origin.line) == ("made", step.stage.label, step.line)
                if is_own and canonicalize_version(each.version) == canonicalize_version(pinned[each.name]):
                    alike = below.get(each[1:], set())
                    digests = reader.digests({each.entry, *alike}) if alike else {}
                    is_moved = each.entry in digests and list(digests.values()).count(digests[each.entry]) > 1
                    (moved if is_moved else new).add(each.name)
            if new or moved:
                names, others = tuple(sorted(new)), tuple(sorted(moved - new))
                size, words = int(stack.layer_bytes[layer]), step.instruction.summary
                yield PythonInstall(step.stage.label, step.line, words, names, size, layer, others)
        for each in stored:
            below.setdefault(each[1:], set()).add(each.entry)
