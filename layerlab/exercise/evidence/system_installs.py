"""Which RUNs install system packages, told from their layers: the package manager's database has grown there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from layerlab.exercise.evidence.experiments import instruction_of
from layerlab.exercise.evidence.facts import SystemInstall
from layerlab.exercise.evidence.workspace_builds import Prepared
from layerlab.image.databases import DpkgPackage, dpkg_packages, only_recommended
from layerlab.image.filesystem import NEVER
from layerlab.image.store.file_reader import FileReader
from layerlab.xray.provenance.layer_history import LayerHistory

LARGEST_DATABASE: Final = 20_000_000
"""Bytes of a package database that are read."""

_STATUS: Final = ("/var/lib/dpkg/status",)
_STATES: Final = ("/var/lib/apt/extended_states",)
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_AUTO: Final = re.compile(r"^Package: (\S+)\n(?:\S.*\n)*?Auto-Installed: 1$", re.MULTILINE)
# apt's own names of its index, wherever its settings put it; apk's.
_INDEX: Final = {
    "dpkg": re.compile(r"/[^/]+_dists_[^/]+_Packages(?:\.[a-z0-9]+)?$|/var/lib/apt/lists/.*_Packages"),
    "apk": re.compile(r"/APKINDEX\.[^/]+$"),
}
_USUAL: Final = {"dpkg": "/var/lib/apt/lists", "apk": "/var/cache/apk"}


def find(reader: FileReader, history: LayerHistory) -> tuple[SystemInstall, ...]:
    """The RUNs above the base after which more packages are installed than before."""
    return (
        *_grown(reader, history, _STATUS, dpkg_packages, "dpkg"),
        *_grown(reader, history, _APK, _apk_packages, "apk"),
    )


def _grown(
    reader: FileReader,
    history: LayerHistory,
    paths: tuple[str, ...],
    read: Callable[[bytes], Mapping[str, DpkgPackage]],
    manager: str,
) -> Iterator[SystemInstall]:
    """Where a database names more packages than it did.

    A layer that removes the database changes nothing: what it tells next is compared with what was last known.
    """
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
            yield SystemInstall(
                step.stage.label,
                step.line,
                tuple(sorted(added)),
                manager,
                layer=layer,
                recommended=tuple(sorted(_recommended(before, after, _auto(reader, layer)))),
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


def _auto(reader: FileReader, layer: int) -> set[str]:
    """The packages that apt marks as installed automatically, after a layer."""
    told = [text for number, text in _versions(reader, _STATES).items() if number <= layer]
    return set(_AUTO.findall(told[-1].decode(errors="replace"))) if told else set()


def _recommended(
    before: Mapping[str, DpkgPackage], after: Mapping[str, DpkgPackage], auto: Collection[str]
) -> set[str]:
    """Those of the added packages that nobody asked for and nothing needs: others only recommend them."""
    asked = after.keys() - before.keys() - set(auto)
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


def without_index(prepared: Prepared, install: SystemInstall) -> SystemInstall:
    """Try an installation without the index that was there before: it fails if it did not fetch one itself."""
    run = instruction_of(prepared.dockerfile, install.stage, install.line)
    if not install.index or run is None:
        return install
    cached = [mount.text for mount in run.mounts if mount.target == install.index]
    text = prepared.up_to(run, f"--mount=type=tmpfs,target={install.index}", cached)
    failure = prepared.experiment(f"line {run.line} without the package index", prepared.changed({}, text)).failure
    if failure is None or (failure.blame == "dockerfile" and failure.line == run.line):
        return replace(install, needs_index=failure is not None)
    return replace(install, failure=failure)


def _apk_packages(text: bytes) -> dict[str, DpkgPackage]:
    """The packages of apk's database: paragraphs with a line ``P:NAME`` each. It knows no recommendations."""
    lines = text.decode("utf-8", "replace").split("\n")
    return {line[2:].strip(): DpkgPackage(line[2:].strip(), (), ()) for line in lines if line.startswith("P:")}
