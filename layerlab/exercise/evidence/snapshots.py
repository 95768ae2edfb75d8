"""Snapshots of images: which stage and line made what, where it came from, and what is stored twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from layerlab import image as images
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.engine import Engine
from layerlab.exercise.evidence import installs
from layerlab.exercise.evidence.facts import (
    SMALLEST_BUNDLE,
    File,
    PythonInstall,
    Snapshot,
    SnapshotLayer,
    SystemInstall,
)
from layerlab.image.filesystem import NEVER, Filesystem
from layerlab.image.layer import FILE, KINDS
from layerlab.image.stack import LayerStack
from layerlab.image.store import file_reader as files
from layerlab.xray.provenance import copies, layer_history
from layerlab.xray.provenance.file_origins import FileOrigins
from layerlab.xray.provenance.layer_history import LayerHistory


def take(
    engine: Engine,
    image_id: str,
    dockerfile: Dockerfile,
    stage: Stage,
    others: Mapping[str, Snapshot],  # of the stages that this one takes something from, by label
    *,
    # The build context, by path relative to it: a file of the image that has the bytes of one of these comes from
    # there, even if a RUN has put it where it is.
    context: Mapping[str, bytes] | None = None,
    pinned: Mapping[str, str] | None = None,  # the version of each distribution that requirements.txt pins
    labels: Mapping[str, str] | None = None,  # for images that have to be built on the way
    with_copies: bool = False,  # whether to look for what is stored twice, which reads files
) -> Snapshot:
    """Look at the image of one stage, which was built from this Dockerfile just now.

    Raises:
        ImageNotFound: there is no such image.
        ArchiveError: the image is damaged, or hostile.
        EngineGone: the engine stopped answering.
    """
    image = images.read(engine, image_id)
    stack = image.stack
    traced = layer_history.trace(engine, stack, dockerfile, stage, labels or {})
    reader = files.for_image(engine, image)
    merged = stack.merged
    start = int(merged.starts[traced.base_layers])
    below = np.arange(start)
    traced_others = {label: snapshot.traced for label, snapshot in others.items() if snapshot.traced}
    sizes = {name: len(content) for name, content in (context or {}).items()}
    origins = FileOrigins(reader, traced, dockerfile, traced_others, sizes, (context or {}).__getitem__)
    shown_by_base = below[(merged.gone_by[:start] == NEVER) | (merged.gone_by[:start] >= traced.base_layers)]
    return Snapshot(
        stage=stage.label,
        config=stack.config.get("config") or {},
        base_config=traced.base_config,
        history=traced.history,
        layers=tuple(_layers(stack, traced)),
        files=tuple(_files(merged, np.arange(start, len(merged.paths)))),
        total_bytes=sum(stack.layer_bytes),
        copies=copies.find(reader, traced.base_layers) if with_copies else (),
        origins=lambda file: origins.origin_at(file.layer, file.path),
        contents=reader.read,
        capabilities=lambda: _capabilities(reader, start),
        base=lambda: {file.path: file for file in _files(merged, shown_by_base)},
        system_installs=tuple(installs.system(reader, traced)),
        python_installs=tuple(installs.python(origins, pinned or {})),
        traced=origins,
    )


def _capabilities(reader: files.FileReader, start: int) -> dict[str, int]:
    """The capabilities of the programs that a container sees, from this entry on."""
    merged = reader.stack.merged
    programs = (
        (merged.kinds[start:] == FILE) & (merged.gone_by[start:] == NEVER) & (merged.modes[start:] & 0o111 != 0)
    )
    found = reader.capabilities((start + np.flatnonzero(programs)).tolist())
    return {merged.paths[index]: bits for index, bits in found.items() if bits}


def system_installs(snapshots: Iterable[Snapshot]) -> tuple[SystemInstall, ...]:
    """The RUNs of all these stages that install system packages; one that several stages share counts once."""
    found = {(each.stage, each.layer): each for snapshot in snapshots for each in snapshot.system_installs}
    return tuple(sorted(found.values(), key=lambda each: (each.line, each.layer)))


def installing_python(
    snapshots: Iterable[Snapshot], final: Snapshot, pinned: Mapping[str, str]
) -> tuple[PythonInstall, ...]:
    """The RUNs of all these stages that install pinned distributions; one that several stages share counts once.

    Where they are in none of the layers, they are in one file that the image's command names, such as a .pex.
    """
    all_of_them = (each for snapshot in [*snapshots, final] for each in snapshot.python_installs)
    found = {(each.stage, each.line): each for each in all_of_them if each.distributions}
    known = {name for each in found.values() for name in each.distributions}
    if 2 * len(known) < len(pinned):
        for word in (*(final.config.get("Entrypoint") or ()), *(final.config.get("Cmd") or ())):
            paths = (f"{folder}{word}" for folder in ("", "/usr/local/bin/", "/usr/bin/", "/opt/"))
            file = next((final.visible[path] for path in paths if path in final.visible), None)
            origin = final.origins(file) if file and file.bytes > SMALLEST_BUNDLE else None
            if file and origin and origin.kind == "made" and origin.stage and origin.line:
                found[origin.stage, origin.line] = PythonInstall(
                    origin.stage, origin.line, "RUN", tuple(sorted(pinned)), file.bytes
                )
    return tuple(sorted(found.values(), key=lambda each: each.line))


def _files(merged: Filesystem, indexes: NDArray[np.int64]) -> Iterator[File]:
    # A further name of an inode has no bytes of its own.
    stored = np.where(merged.inodes[indexes] == indexes, merged.sizes[indexes], 0)
    columns = (
        stored,
        merged.modes[indexes],
        merged.uids[indexes],
        merged.gids[indexes],
        merged.layers[indexes],
        merged.gone_by[indexes] == NEVER,
    )
    hidden_by = (None if layer == NEVER else layer for layer in merged.gone_by[indexes].tolist())
    paths = map(merged.paths.__getitem__, indexes.tolist())
    kinds = map(KINDS.__getitem__, merged.kinds[indexes].tolist())
    return map(File, paths, kinds, *(column.tolist() for column in columns), hidden_by)


def _layers(stack: LayerStack, traced: LayerHistory) -> Iterator[SnapshotLayer]:
    """The layers; what is above the base but tied to no instruction belongs to the stage itself."""
    for index, size in enumerate(stack.layer_bytes):
        step = traced.steps.get(index)
        stage = None if index < traced.base_layers else step.stage.label if step else traced.stages[-1].label
        yield SnapshotLayer(index, stage, step.line if stage and step else None, size)
