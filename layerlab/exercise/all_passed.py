"""What a learner is told at seven of seven: how the image stands beside others, and what is next."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from layerlab import demo
from layerlab.compare import standing
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.exercise.evidence.single_stage_size import single_bytes
from layerlab.exercise.workspace import level_of
from layerlab.image import Image


def beside(engine: Engine, folder: Path) -> dict[str, Image]:
    """The single-stage image and the worked example, as far as they are built, by their names: level 2 has none."""
    built = demo.read_built(engine) if level_of(folder) == 1 else {}
    return {name: built[name] for name in ("single", "optimized") if name in built}


def sentences(engine: Engine, folder: Path, mine: Image) -> list[str]:
    """Sentences, a line each, about the image of a workspace in which all seven tasks pass."""
    lines, level, others = ["All seven tasks pass."], level_of(folder), beside(engine, folder)
    with suppress(LabError):  # nothing to compare with: then it is not compared
        largest = others["single"].total_bytes if "single" in others else single_bytes(engine, level)
        lines.append(standing(mine, largest, others.get("optimized")))
    if level == 1:
        again = f"./lab new {folder.resolve().name}-2 --level 2"
        lines.append(f"What is next: level 2, where a package has to be compiled. {again}")
    return lines
