"""Which stage and line made each layer of an image, told from the Dockerfile that it was just built from.

BuildKit writes a line of history for each instruction, in the order in which it applies them: those of the external
base image come first, then what that image's ONBUILD asks for, then those of the stages that are FROM one another.
So the last lines belong to the Dockerfile's instructions one by one, whatever their variables and shells have made of
their words. (``layerlab.image.instructions`` compares the words, since it must cope with any image.)
"""

from __future__ import annotations

import posixpath
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from layerlab import builder
from layerlab import dockerfile as dockerfiles
from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.engine import Engine, answering
from layerlab.engine.ownership import IMAGE_LABEL, discard
from layerlab.errors import EngineGone, LabError
from layerlab.image import instructions
from layerlab.image.instructions import HistoryLine
from layerlab.image.stack import LayerStack
from layerlab.image.store import sources

_TIME_LIMIT: Final = 30.0  # seconds, for a base that has just been built from
_MARK: Final = "layerlab.mark"


@dataclass(frozen=True)
class LayerInstruction:
    """An instruction that may make a layer."""

    stage: Stage  # that it belongs to
    line: int  # its line; for what a base asks for by ONBUILD, that of FROM
    instruction: Instruction
    workdir: str | None  # the folder that its relative paths start from; None if that depends on a variable


@dataclass(frozen=True)
class ExternalBase:
    """The external base image of a stage: its ``config``, empty for scratch or if the engine has no such image."""

    config: dict[str, Any]
    diff_ids: tuple[str, ...]
    history: int | None  # how many lines it has, if that is known


@dataclass(frozen=True)
class LayerHistory:
    """What an image's layers come from."""

    stages: tuple[Stage, ...]  # those that are FROM one another, the one that is FROM the external base first
    base_layers: int  # how many layers come with that base
    base_config: dict[str, Any]  # the ``config`` of that base
    history: tuple[str, ...]  # ``created_by`` of the lines of history that are not the base's
    steps: dict[int, LayerInstruction]  # what made the layers above, by layer; where it is not known there is none


def trace(
    engine: Engine, stack: LayerStack, dockerfile: Dockerfile, stage: Stage, labels: Mapping[str, str]
) -> LayerHistory:
    """Tie the layers of a stage's image to the Dockerfile that it was built from.

    An image that may have to be built to see a base is removed at once, and by these labels even if this process is
    killed before.

    Raises:
        EngineGone: the engine stopped answering.
    """
    stages = dockerfile.chain(stage)
    base = _external_base(engine, stack, stages[0], labels)
    entries = instructions.entries(stack.config, len(stack.layers))
    above = entries[base.history or 0 :]
    making = [entry for entry in above if instructions.keyword_of(entry.raw) in instructions.LAYERS]
    tied = _align(making, list(_written(stages, base)))
    base_layers = len(base.diff_ids)
    if base.history is None:
        above = above[above.index(tied[0][0]) :] if tied else []
        base_layers = min((entry.layer for entry in above if entry.layer is not None), default=len(stack.layers))
    steps = {entry.layer: step for entry, step in tied if entry.layer is not None and entry.layer >= base_layers}
    return LayerHistory(stages, base_layers, base.config, tuple(entry.raw for entry in above), steps)


def _external_base(engine: Engine, stack: LayerStack, stage: Stage, labels: Mapping[str, str]) -> ExternalBase:
    """The base that this stage is FROM, if it is what the image stands on."""
    if stage.base == "scratch":
        return ExternalBase({}, (), 0)
    for look in (partial(_described, engine, stage.base), partial(_built, engine, stage, labels)):
        found = look()
        if found and tuple(stack.diff_ids[: len(found.diff_ids)]) == found.diff_ids:
            return found
    return ExternalBase({}, (), None)


def _described(engine: Engine, name: str) -> ExternalBase | None:
    """An image that the engine has; None if it has none of this name."""
    try:
        found = sources.inspect(engine, name)
        with answering(engine):
            lines = len(engine.client.api.history(found["Id"]))  # type: ignore[no-untyped-call]
    except EngineGone:
        raise
    except LabError:
        return None
    return ExternalBase(found.get("Config") or {}, tuple((found.get("RootFS") or {}).get("Layers") or ()), lines)


def _built(engine: Engine, stage: Stage, labels: Mapping[str, str]) -> ExternalBase | None:
    """A base that only BuildKit has, which keeps what it pulls to itself: an image of nothing else tells of it."""
    platform = f"--platform={stage.platform} " if stage.platform else ""
    # An image that nobody else has can be removed.
    added = {IMAGE_LABEL: "check", **labels, _MARK: uuid.uuid4().hex}
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Dockerfile").write_text(f"FROM {platform}{stage.base}\n", encoding="utf-8")
            made = builder.build(engine, Path(folder), labels=added, timeout=_TIME_LIMIT)
    except EngineGone:
        raise
    except LabError:  # it cannot be had any more
        return None
    try:
        found = _described(engine, made.image_id)
    finally:
        discard(engine, made.image_id)
    if found is not None and (theirs := found.config.get("Labels")):
        found.config["Labels"] = {name: value for name, value in theirs.items() if added.get(name) != value}
    return found


def _written(stages: Sequence[Stage], base: ExternalBase) -> Iterator[LayerInstruction]:
    """The instructions that may make layers, in the order in which BuildKit applies them."""
    workdir: str | None = str(base.config.get("WorkingDir") or "/")
    asked = [_parsed(text) for text in base.config.get("OnBuild") or []]
    for stage in stages:
        triggers = [(found, stage.line) for found in asked if found]
        own = [(found, found.line) for found in stage.instructions]
        for found, line in [*triggers, *own]:
            if found.keyword == "WORKDIR":
                workdir = _join(workdir, found.value.strip().strip("\"'"))
            if found.keyword in instructions.LAYERS:
                yield LayerInstruction(stage, line, found, workdir)
        asked = [_parsed(found.value) for found in stage.instructions if found.keyword == "ONBUILD"]


def _join(folder: str | None, path: str) -> str | None:
    if "$" in path or (folder is None and not path.startswith("/")):
        return None
    return posixpath.normpath(posixpath.join(folder or "/", path))


def _parsed(text: str) -> Instruction | None:
    """An instruction that stands alone."""
    try:
        return dockerfiles.parse(f"FROM scratch\n{text}\n").instructions[-1]
    except LabError:
        return None


def _align(entries: list[HistoryLine], left: list[LayerInstruction]) -> list[tuple[HistoryLine, LayerInstruction]]:
    """Lines of history, from the first, with what stands in the Dockerfile; they are gone through from the end."""
    tied: list[tuple[HistoryLine, LayerInstruction]] = []
    for entry in reversed(entries):
        while left and left[-1].instruction.keyword != instructions.keyword_of(entry.raw):
            left.pop()  # an instruction that has left no line
        if left:
            tied.append((entry, left.pop()))
    return tied[::-1]
