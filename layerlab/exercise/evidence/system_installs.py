"""Which RUNs install system packages: those in whose layers the package manager's database has grown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from layerlab.exercise.evidence.model import SystemInstall
from layerlab.image.layer import Layer
from layerlab.image.store.file_reader import Contents
from layerlab.xray.provenance.layer_history import Lineage

LARGEST_DATABASE: Final = 20_000_000
"""Bytes of a package database that are read."""

_STATUS: Final = "/var/lib/dpkg/status"
_STATUS_D: Final = "/var/lib/dpkg/status.d/"
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def find(contents: Contents, lineage: Lineage) -> tuple[SystemInstall, ...]:
    """The RUNs above the base after which more packages are installed than before."""
    layers = contents.content.layers
    return (
        *_grown(list(_dpkg_names(layers)), lineage, "dpkg"),
        *_grown(_apk_names(contents), lineage, "apk"),
    )


def _grown(names: list[frozenset[str] | None], lineage: Lineage, manager: str) -> Iterator[SystemInstall]:
    """Where names are added.

    A layer that removes the database changes nothing: what it tells next is compared with what was last known.
    """
    known: frozenset[str] = frozenset()
    for layer, found in enumerate(names):
        if found is None:
            continue
        step = lineage.steps.get(layer)
        added = found - known
        if added and step is not None and step.instruction is not None and step.instruction.keyword == "RUN":
            yield SystemInstall(step.stage.label, step.line, tuple(sorted(added)), manager)
        known = found


def _dpkg_names(layers: list[Layer]) -> Iterator[frozenset[str] | None]:
    """The packages of dpkg's database after each layer; None for a layer that does not write to it."""
    one_file: frozenset[str] = frozenset()
    single_files: frozenset[str] = frozenset()
    for layer in layers:
        status = frozenset(claim.name for claim in layer.claims if claim.source == _STATUS)
        listed = frozenset(claim.name for claim in layer.claims if claim.source.startswith(_STATUS_D))
        one_file, single_files = status or one_file, single_files | listed
        yield one_file | single_files if status or listed else None


def _apk_names(contents: Contents) -> list[frozenset[str] | None]:
    """The packages of apk's database in each layer."""
    content = contents.content
    indexes = {
        layer: index
        for layer in range(len(content.layers))
        for path in _APK
        if (index := contents.index(layer, path)) is not None
    }
    texts = contents.read_all(indexes.values(), LARGEST_DATABASE) if indexes else {}
    return [
        _apk_packages(texts[indexes[layer]]) if indexes.get(layer) in texts else None
        for layer in range(len(content.layers))
    ]


def _apk_packages(text: bytes) -> frozenset[str]:
    """The names in apk's database: paragraphs with a line ``P:NAME`` each."""
    lines = text.decode("utf-8", "replace").split("\n")
    return frozenset(line[2:].strip() for line in lines if line.startswith("P:"))
