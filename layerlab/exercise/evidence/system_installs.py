"""Which RUNs install system packages: those in whose layers the package manager's database has grown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from layerlab.exercise.evidence.model import SystemInstall
from layerlab.image.layer import Layer
from layerlab.image.store.file_reader import FileReader
from layerlab.xray.provenance.layer_history import LayerHistory

LARGEST_DATABASE: Final = 20_000_000
"""Bytes of a package database that are read."""

_STATUS: Final = "/var/lib/dpkg/status"
_STATUS_D: Final = "/var/lib/dpkg/status.d/"
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def find(reader: FileReader, layer_history: LayerHistory) -> tuple[SystemInstall, ...]:
    """The RUNs above the base after which more packages are installed than before."""
    layers = reader.stack.layers
    return (
        *_grown(list(_dpkg_names(layers)), layer_history, "dpkg"),
        *_grown(_apk_names(reader), layer_history, "apk"),
    )


def _grown(names: list[frozenset[str] | None], layer_history: LayerHistory, manager: str) -> Iterator[SystemInstall]:
    """Where names are added.

    A layer that removes the database changes nothing: what it tells next is compared with what was last known.
    """
    known: frozenset[str] = frozenset()
    for layer, found in enumerate(names):
        if found is None:
            continue
        step = layer_history.steps.get(layer)
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


def _apk_names(reader: FileReader) -> list[frozenset[str] | None]:
    """The packages of apk's database in each layer."""
    stack = reader.stack
    indexes = {
        layer: index
        for layer in range(len(stack.layers))
        for path in _APK
        if (index := reader.entry_at(layer, path)) is not None
    }
    texts = reader.read_all(indexes.values(), LARGEST_DATABASE) if indexes else {}
    return [
        _apk_packages(texts[indexes[layer]]) if indexes.get(layer) in texts else None
        for layer in range(len(stack.layers))
    ]


def _apk_packages(text: bytes) -> frozenset[str]:
    """The names in apk's database: paragraphs with a line ``P:NAME`` each."""
    lines = text.decode("utf-8", "replace").split("\n")
    return frozenset(line[2:].strip() for line in lines if line.startswith("P:"))
