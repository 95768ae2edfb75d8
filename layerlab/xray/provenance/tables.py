"""The DataFrames of where an image's files came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from layerlab.dockerfile import Dockerfile, Stage
from layerlab.image import Image
from layerlab.image.stack import LayerStack
from layerlab.image.tables import texts
from layerlab.xray.provenance.model import Origin
from layerlab.xray.provenance.origins import FileOrigins, mounts

KINDS: Final = ("base", "context", "made", "layer", "unknown")
"""What an origin can be: see `Origin.kind`; ``layer`` where only the layer is known that stores a file."""
ROLES: Final = ("final", "from", "copied", "mounted", "used", "not built")
"""What a stage is there for, see `stages`."""


def of_layers(image: Image) -> pd.DataFrame:
    """Where files came from as far as the image itself says: a layer and its line of history.

    Returns:
        The columns of `origins`, with the origin ``layer`` for every file; the line where the image was read with its
        Dockerfile.
    """
    stack = image.stack
    layers = stack.merged.layers[stack.visible]
    instructions = np.array([*stack.instructions, ""], dtype=object)
    lines = pd.array(stack.lines, dtype="Int64")
    count = len(layers)
    return pd.DataFrame(
        {
            "path": image.files["path"],
            "layer": layers,
            "origin": pd.Categorical(["layer"] * count, list(KINDS)),
            "stage": texts([""] * count),
            "line": lines[layers],
            "instruction": texts([str(words) for words in instructions[layers].tolist()]),
            "through": pd.Series([()] * count, dtype="object"),
            "source": texts([""] * count),
            "base": texts([""] * count),
            "base_layer": pd.array([None] * count, dtype="Int64"),
            "owner": image.files["owner"],
        }
    )


def origins(image: Image, traced: FileOrigins) -> pd.DataFrame:
    """Where each file of an image came from.

    Args:
        image: What was traced.
        traced: Its origins.

    Returns:
        A row per path, as in `Image.files`: `path` str; `layer` int64 (of this image); `origin` category (`KINDS`);
        `stage` str and `line` Int64 (of the Dockerfile: of the instruction that made it, took it from the context, or
        brought it by FROM or COPY from an image); `instruction` str (that instruction; for a file of a base image the
        line of that image's history); `through` tuple of str (the stages that it was copied from, the last first);
        `source` str (of the context: the file's path there, or the archive's that it was in; else its path in the
        image where it was first); `base` str (the base image, as the Dockerfile names it); `base_layer` Int64 (the
        layer of that base image); `owner` str (as in `Image.files`, and where no database of this image says, the
        package that owned it in the stage that it was copied from).
    """
    stack = image.stack
    found = [traced.of(index) for index in stack.visible.tolist()]
    places = [_place(traced, origin) for origin in found]
    summaries = {each.line: each.summary for each in traced.dockerfile.instructions}
    owners = _Owners()
    own = image.files["owner"].tolist()
    return pd.DataFrame(
        {
            "path": image.files["path"],
            "layer": stack.merged.layers[stack.visible],
            "origin": pd.Categorical([origin.kind for origin in found], list(KINDS)),
            "stage": texts([origin.stage or "" for origin in found]),
            "line": pd.array([origin.line for origin in found], dtype="Int64"),
            "instruction": texts(
                [
                    _history(place, origin.entry)
                    if origin.kind == "base" and place
                    else summaries.get(origin.line or 0, "")
                    for origin, place in zip(found, places, strict=True)
                ]
            ),
            "through": pd.Series([origin.through for origin in found], dtype="object"),
            "source": texts([_source(origin, place) for origin, place in zip(found, places, strict=True)]),
            "base": texts([origin.image for origin in found]),
            "base_layer": pd.array(
                [
                    int(place.merged.layers[origin.entry]) if origin.kind == "base" and place else None
                    for origin, place in zip(found, places, strict=True)
                ],
                dtype="Int64",
            ),
            "owner": texts(
                [
                    owner or (owners.of(place, origin.entry) if place and origin.through else "")
                    for owner, origin, place in zip(own, found, places, strict=True)
                ]
            ),
        }
    )


def lines(image: Image, table: pd.DataFrame) -> pd.DataFrame:
    """What each line of the Dockerfile has brought to an image.

    Args:
        image: The image.
        table: Its `origins`.

    Returns:
        A row per stage, line and origin, in their order: `stage` str, `line` Int64, `origin` category, `instruction`
        str, `bytes` int64, `files` int64 (names of regular files). The bytes of all rows are the image's live ones.
    """
    is_base = table["origin"] == "base"
    rows = table.assign(
        bytes=image.files["bytes"],
        files=(image.files["kind"] == "file").astype("int64"),
        instruction=table["instruction"].where(~is_base, "FROM " + table["base"]),
    )
    columns = ["stage", "line", "origin", "instruction"]
    sums = rows.groupby(columns, observed=True, dropna=False, as_index=False)[["bytes", "files"]].sum()
    sums = sums[(sums["files"] > 0)].sort_values(["line", "stage"], kind="stable", na_position="last")
    return sums.reset_index(drop=True)


def stages(image: Image, traced: FileOrigins, final: Stage, built: Mapping[str, FileOrigins]) -> pd.DataFrame:
    """What each stage of a Dockerfile is there for.

    Args:
        image: The image of the final stage.
        traced: Its origins.
        final: The final stage.
        built: The origins of the other stages that were built, by label.

    Returns:
        A row per stage of the Dockerfile: `stage` str, `line` int64, `base` str, `role` category: ``final``, ``from``
        (the final stage is FROM it), ``copied`` (files of it are in the final image), ``mounted`` (a RUN mounts it,
        and nothing of it is there unchanged: what became of it cannot be known), ``used`` (a stage that counts copies
        from it or is FROM it, and nothing of it is in the final image, as of a tool for building), ``not built`` (no
        stage that counts takes anything from it, so that it contributes nothing); `base_bytes` int64 (live
        bytes of the external base image), `own_bytes` int64 (other live bytes of the stage's image), `used_bytes`
        int64 (of both: what has come to the final image), `left_bytes` int64 (the rest: left behind), `final_bytes`
        int64 (bytes of the final image that were made here, or came from its base, or to it from the context).
        Always: `base_bytes + own_bytes == used_bytes + left_bytes` (nothing of the final stage is left behind); the
        `final_bytes` of all rows, and those of files of unknown origin, are the image's live bytes.
    """
    dockerfile = traced.dockerfile
    used = _used(image.stack, traced, built)
    chain = {stage.label for stage in traced.layer_history.stages}
    mounted = _mounted(dockerfile, final)
    needed = {stage.label for stage in dockerfile.needed(final)}
    came = _final_bytes(image, traced)
    rows = []
    for stage in dockerfile.stages:
        label = stage.label
        of_stage = traced if stage == final else built.get(label)
        base_bytes, own_bytes = _live(of_stage)
        used_bytes = base_bytes + own_bytes if stage == final else _bytes(of_stage, used.get(label, set()))
        if stage == final:
            role = "final"
        elif label in chain:
            role = "from"
        elif used.get(label):
            role = "copied"
        elif label in mounted:
            role = "mounted"
        else:
            role = "used" if label in needed else "not built"
        left = base_bytes + own_bytes - used_bytes
        row = (label, stage.line, stage.base, role, base_bytes, own_bytes, used_bytes, left, came.get(label, 0))
        rows.append(row)
    columns = ["stage", "line", "base", "role", "base_bytes", "own_bytes", "used_bytes", "left_bytes", "final_bytes"]
    types = {**dict.fromkeys(["stage", "base"], "str"), **dict.fromkeys(columns[4:], "int64"), "line": "int64"}
    table = pd.DataFrame(rows, columns=columns).astype(types)
    table["role"] = pd.Categorical(table["role"], list(ROLES))
    return table


def _place(traced: FileOrigins, origin: Origin) -> LayerStack | None:
    """The image in which a file was at first."""
    if origin.entry is None:
        return None
    last = traced
    for label in origin.through:
        last = last.others[label]
    return last.reader.stack


def _history(place: LayerStack, entry: int | None) -> str:
    return "" if entry is None else " ".join(place.instructions[int(place.merged.layers[entry])].split())


def _source(origin: Origin, place: LayerStack | None) -> str:
    if origin.kind == "context" or origin.entry is None or place is None:
        return origin.source
    return place.merged.paths[origin.entry]


class _Owners:
    """Whose files are, in the images of several stages."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[LayerStack, list[str]]] = {}

    def of(self, stack: LayerStack, entry: int | None) -> str:
        if entry is None:
            return ""
        if id(stack) not in self._known:
            names = [*(package.owner for package in stack.ownership.packages), ""]
            by_entry = [""] * len(stack.merged.paths)
            for index, number in zip(stack.visible.tolist(), stack.ownership.owners.tolist(), strict=True):
                by_entry[index] = names[number]
            self._known[id(stack)] = (stack, by_entry)
        return self._known[id(stack)][1][entry]


def _used(stack: LayerStack, traced: FileOrigins, built: Mapping[str, FileOrigins]) -> dict[str, set[int]]:
    """By stage, the entries of its image that have come to the final one."""
    used: dict[str, set[int]] = {}
    for index in stack.visible.tolist():
        origin = traced.of(index)
        _note(used, traced, index, built)
        at = traced
        for label, hop in zip(origin.through, origin.hops, strict=False):
            at = at.others[label]
            used.setdefault(label, set()).add(hop)
            _note(used, at, hop, built)
    return used


def _note(used: dict[str, set[int]], of_image: FileOrigins, index: int, built: Mapping[str, FileOrigins]) -> None:
    """Note an entry for the stage whose layer it lies in, where another stage is FROM that one."""
    merged = of_image.reader.stack.merged
    step = of_image.layer_history.steps.get(int(merged.layers[index]))
    if step is None or step.stage == of_image.layer_history.stages[-1] or step.stage.label not in built:
        return
    label = step.stage.label
    found = built[label].reader.stack.merged.find(merged.paths[index])
    if found is not None:
        used.setdefault(label, set()).add(found)


def _live(of_stage: FileOrigins | None) -> tuple[int, int]:
    """Live bytes of a stage's image: those of its external base, and the others."""
    if of_stage is None:
        return 0, 0
    stack = of_stage.reader.stack
    live = stack.inodes.live
    is_base = stack.merged.layers[stack.merged.inodes[live]] < of_stage.layer_history.base_layers
    sizes = stack.merged.sizes[live]
    return int(sizes[is_base].sum()), int(sizes[~is_base].sum())


def _bytes(of_stage: FileOrigins | None, entries: Iterable[int]) -> int:
    if of_stage is None:
        return 0
    merged = of_stage.reader.stack.merged
    inodes = {int(merged.inodes[index]) for index in entries}
    return int(merged.sizes[list(inodes)].sum()) if inodes else 0


def _final_bytes(image: Image, traced: FileOrigins) -> dict[str, int]:
    came: dict[str, int] = {}
    for index, size in zip(image.stack.visible.tolist(), image.files["bytes"].tolist(), strict=True):
        if size and (stage := traced.of(index).stage) is not None:
            came[stage] = came.get(stage, 0) + size
    return came


def _mounted(dockerfile: Dockerfile, final: Stage) -> set[str]:
    """The stages that a RUN of a stage that counts mounts."""
    found: set[Any] = set()
    for stage in dockerfile.needed(final):
        for instruction in stage.executed:
            if instruction.keyword == "RUN":
                sources = [dockerfile.find_stage(reference) for reference, _ in mounts(instruction)]
                found |= {source.label for source in sources if source}
    return found
