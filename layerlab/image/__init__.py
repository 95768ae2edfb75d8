"""What an image is: its layers, its files, its packages, and the bytes that no container can see.

`read` looks at any image of an engine, or at a file that ``docker save`` has written, and gives an `Image` of
DataFrames. Sizes are apparent sizes of regular files in bytes, without the archive's headers; an inode counts once in
its layer. So an image has the same size on every engine, whatever the engine itself says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine
from layerlab.image import filesystem, frames, history, packages, sources

__all__ = ["Image", "read"]


@dataclass(frozen=True, eq=False)
class Image:
    r"""What an image holds.

    Always: ``live_bytes + wasted_bytes == total_bytes``; ``total_bytes == layers.bytes.sum()``;
    ``live_bytes == files.bytes.sum()``; ``wasted_bytes == waste.bytes.sum()``.

    Attributes:
        name: As it was asked for.
        id: The engine's id of it; the digest of its config if it comes from a file.
        total_bytes: What its layers store.
        live_bytes: What a container can see.
        wasted_bytes: What no container can see.
        layers: A row per layer, from the bottom: `index` int64, `instruction` str (as the history has it, without
            ``#(nop)`` and ``# buildkit``), `line` Int64 (of the Dockerfile; missing for the base image's layers and
            where it is not known), `bytes` int64, `live_bytes` int64, `wasted_bytes` int64, `change_bytes` int64
            (what the layer adds to the filesystem that containers see, negative where it takes away),
            `running_bytes` int64 (the size of that filesystem up to this layer), `files` int64 (names of regular
            files), `diff_id` str.
        files: A row per path of the merged filesystem, in the order of the paths, without the root: `path` str
            (absolute; bytes that are not UTF-8 as ``\xff``), `kind` category (file, directory, symlink, device,
            fifo), `bytes` int64 (of a regular file; 0 for a further name of an inode), `layer` int64, `mode` int64
            (permission bits), `uid` int64, `gid` int64, `owner` str (``dpkg:gcc-14``, ``python:pandas``, or empty),
            `part` category (app, python packages, interpreter, system, other).
        waste: A row per regular file's inode that no container can see, empty ones too, the largest first: `path`
            str (the name that was visible last), `bytes` int64, `layer` int64 (that stores it), `cause` category
            (overwritten, deleted, hidden), `by_layer` int64 (that took its last name away), `by_line` Int64.
        packages: A row per installed package, by manager and name: `name` str, `version` str, `manager` category
            (dpkg, python), `files` int64 (names of regular files that it owns), `bytes` int64. The same Python
            distribution in two places has two rows.
        config: The image's config, as the OCI image specification has it.
    """

    name: str
    id: str
    total_bytes: int
    live_bytes: int
    wasted_bytes: int
    layers: pd.DataFrame
    files: pd.DataFrame
    waste: pd.DataFrame
    packages: pd.DataFrame
    config: dict[str, Any]


def read(engine: Engine | None, name: str, *, dockerfile: Dockerfile | None = None) -> Image:
    """Look into an image.

    What was learnt about its layers is kept, so a second look at it, or at another one on the same base, is faster.

    Args:
        engine: The engine that has it; None if `name` is a file.
        name: A name, an id, or a file: what ``docker save`` wrote, or an OCI layout (a directory or its tar
            archive). An existing file is read as one; an image of the same name is meant by adding its tag.
        dockerfile: What it was built from, if that is known: ties layers to lines.

    Raises:
        ImageNotFound: there is no such image; the remedy names similar ones.
        ArchiveError: the file is no image, or is damaged, or hostile.
        EngineGone: the engine stopped answering.
    """
    source = sources.load(engine, name)
    count = len(source.layers)
    merged = filesystem.merge(source.layers)
    inodes = filesystem.inodes(merged)
    entries = frames.visible(merged)
    origins = history.origins(source.config, count, dockerfile)
    lines = [origins[index].line if index in origins else None for index in range(count)]
    owned = packages.ownership(merged, source.layers, entries)
    part_codes = packages.parts(
        merged,
        entries,
        owned,
        working_directory=str((source.config.get("config") or {}).get("WorkingDir") or ""),
        from_context=history.from_context(origins),
    )
    files = frames.files(merged, entries, inodes, owned, part_codes)
    waste = frames.waste(merged, inodes, lines)
    layers = frames.layers(
        merged,
        inodes,
        source.layers,
        diff_ids=source.diff_ids,
        instructions=history.instructions(source.config, count),
        lines=lines,
    )
    return Image(
        name=name,
        id=source.id,
        total_bytes=int(layers["bytes"].sum()),
        live_bytes=int(files["bytes"].sum()),
        wasted_bytes=int(waste["bytes"].sum()),
        layers=layers,
        files=files,
        waste=waste,
        packages=frames.packages(merged, entries, inodes, owned),
        config=source.config,
    )
