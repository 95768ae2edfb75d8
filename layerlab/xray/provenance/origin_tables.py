"""The DataFrames of where an image's files came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from layerlab.dockerfile import Stage
from layerlab.image import Image
from layerlab.image.dataframes import texts
from layerlab.image.stack import LayerStack
from layerlab.xray.provenance.file_origins import FileOrigins, mounts

KINDS: Final = ("base", "context", "made", "unknown")  # what an origin can be: see `Origin.kind`
ROLES: Final = ("final", "from", "copied", "mounted", "used", "not built")  # what a stage is there for, see `stages`


def origins(image: Image, traced: FileOrigins) -> pd.DataFrame:
    """Where each file of an image came from.

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
    summaries = {each.line: each.summary for each in traced.dockerfile.instructions}

    def row(index: int, owner: str) -> tuple[Any, ...]:
        origin = traced.origin(index)
        instruction, source, base_layer = summaries.get(origin.line or 0, ""), origin.source, None
        if origin.entry is not None:
            first = traced.first_stack(origin)
            layer = int(first.merged.layers[origin.entry])
            if origin.kind == "base":
                instruction, base_layer = " ".join(first.instructions[layer].split()), layer
            if origin.kind != "context":
                source = first.merged.paths[origin.entry]
            if not owner and origin.through:
                owner = first.owner_names.get(origin.entry, "")
        stage, line = origin.stage or "", origin.line
        return origin.kind, stage, line, instruction, origin.through, source, origin.image, base_layer, owner

    rows = map(row, image.stack.visible.tolist(), image.files["owner"].tolist())
    columns = list(zip(*rows, strict=True)) or [()] * 9
    origin, stage, line, instruction, through, source, base, base_layer, owner = columns
    return pd.DataFrame(
        {
            "path": image.files["path"],
            "layer": image.files["layer"],
            "origin": pd.Categorical(list(origin), list(KINDS)),
            "stage": texts(stage),
            "line": pd.array(list(line), dtype="Int64"),
            "instruction": texts(instruction),
            "through": pd.Series(list(through), dtype="object"),
            "source": texts(source),
            "base": texts(base),
            "base_layer": pd.array(list(base_layer), dtype="Int64"),
            "owner": texts(owner),
        }
    )


def lines(image: Image, table: pd.DataFrame) -> pd.DataFrame:
    """What each line of the Dockerfile has brought to an image, by the table of its `origins`.

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
    """What each stage of a Dockerfile is there for: of the final one's image, and of those that were built, by label.

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
    needed = dockerfile.needed(final)
    instructions = (each for stage in needed for each in stage.executed if each.keyword == "RUN")
    mounted = [dockerfile.find_stage(reference) for each in instructions for reference, _ in mounts(each)]
    made_in = np.array([traced.origin(index).stage or "" for index in image.stack.visible.tolist()], dtype=object)
    came = image.files["bytes"].groupby(made_in).sum().to_dict()
    rows = []
    for stage in dockerfile.stages:
        label = stage.label
        is_from, is_copied = stage in traced.layer_history.stages, bool(used.get(label))
        fits = (stage == final, is_from, is_copied, stage in mounted, stage in needed, True)
        role = next(role for role, is_it in zip(ROLES, fits, strict=True) if is_it)
        base_bytes = own_bytes = used_bytes = 0
        if (of_stage := traced if stage == final else built.get(label)) is not None:
            merged, live = of_stage.reader.stack.merged, of_stage.reader.stack.inodes.live
            is_base = merged.layers[merged.inodes[live]] < of_stage.layer_history.base_layers
            base_bytes, own_bytes = (int(merged.sizes[live][which].sum()) for which in (is_base, ~is_base))
            inodes = {int(merged.inodes[index]) for index in used.get(label, ())}
            used_bytes = base_bytes + own_bytes if stage == final else int(merged.sizes[sorted(inodes)].sum())
        left = base_bytes + own_bytes - used_bytes
        final_bytes = came.get(label, 0)
        rows.append((label, stage.line, stage.base, role, base_bytes, own_bytes, used_bytes, left, final_bytes))
    numbers = ["base_bytes", "own_bytes", "used_bytes", "left_bytes", "final_bytes"]
    kinds: dict[str, Any] = {"stage": "str", "line": "int64", "base": "str", "role": pd.CategoricalDtype(list(ROLES))}
    kinds |= dict.fromkeys(numbers, "int64")
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def _used(stack: LayerStack, traced: FileOrigins, built: Mapping[str, FileOrigins]) -> dict[str, set[int]]:
    """By stage, the entries of its image that have come to the final one."""
    used: dict[str, set[int]] = {}

    def note(of_image: FileOrigins, index: int) -> None:
        """Note an entry for the stage whose layer it lies in, where another stage is FROM that one."""
        merged, history = of_image.reader.stack.merged, of_image.layer_history
        step = history.steps.get(int(merged.layers[index]))
        if step is not None and step.stage != history.stages[-1] and step.stage.label in built:
            found = built[step.stage.label].reader.stack.merged.find(merged.paths[index])
            if found is not None:
                used.setdefault(step.stage.label, set()).add(found)

    for index in stack.visible.tolist():
        origin, at = traced.origin(index), traced
        note(at, index)
        for label, hop in zip(origin.through, origin.hops, strict=False):
            at = at.others[label]
            used.setdefault(label, set()).add(hop)
            note(at, hop)
    return used
