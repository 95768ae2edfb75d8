"""What a notebook asks about an image's bytes: where they came from, what it could do without, what to change."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from layerlab import xray
from layerlab.demo import images
from layerlab.engine import Engine
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.image.store import file_reader as reading
from layerlab.ui import displays
from layerlab.xray import BuildSource, Examined
from layerlab.xray import waste as causes_module
from layerlab.xray.proof import table
from layerlab.xray.provenance import tables


def causes_of(engine: Engine, image: Image) -> pd.DataFrame:
    """See `layerlab.notebook.causes`."""
    with displays.notebook(f"reading {image.name}") as report:
        return causes_module.causes(image, reading.for_image(engine, image), report)


def origins_of(engine: Engine, image: Image, dockerfile: str | Path | None) -> pd.DataFrame:
    """See `layerlab.notebook.origins`."""
    source = _source(engine, image, dockerfile)
    if source is None:
        return tables.of_layers(image)
    origins = _examined(engine, image, source, read_contents=False).origins
    assert origins is not None  # noqa: S101  # there was a source
    return origins


def stages_of(engine: Engine, image: Image, dockerfile: str | Path | None) -> pd.DataFrame:
    """See `layerlab.notebook.stages`."""
    stages = _examined(engine, image, _needed(engine, image, dockerfile), read_contents=False).stages
    assert stages is not None  # noqa: S101
    return stages


def lines_of(engine: Engine, image: Image, dockerfile: str | Path | None) -> pd.DataFrame:
    """See `layerlab.notebook.lines`."""
    lines = _examined(engine, image, _needed(engine, image, dockerfile), read_contents=False).lines
    assert lines is not None  # noqa: S101
    return lines


def advice_of(engine: Engine, image: Image, dockerfile: str | Path | None) -> pd.DataFrame:
    """See `layerlab.notebook.advice`."""
    examined = _examined(engine, image, _source(engine, image, dockerfile))
    rows = [(each.title, each.why, each.line, each.bytes, each.is_mechanical) for each in examined.advice]
    found = pd.DataFrame(rows, columns=["title", "why", "line", "bytes", "mechanical"])
    return found.astype({"title": "str", "why": "str", "line": "Int64", "bytes": "int64", "mechanical": "bool"})


def proofs_of(engine: Engine, image: Image, dockerfile: str | Path | None) -> pd.DataFrame:
    """See `layerlab.notebook.prove`."""
    examined = _examined(engine, image, _needed(engine, image, dockerfile), proves=True)
    return table(examined.proofs or [])


def _source(engine: Engine, image: Image, dockerfile: str | Path | None) -> BuildSource | None:
    if dockerfile is not None:
        return BuildSource(Path(dockerfile), Path(dockerfile).parent, platform=engine.platform)
    return xray.own_source(engine, image.id)


def _needed(engine: Engine, image: Image, dockerfile: str | Path | None) -> BuildSource:
    source = _source(engine, image, dockerfile)
    if source is None:
        raise UsageError(
            f"{image.name} is none of the lab's own images ({', '.join(images.RECIPES)}), so nobody knows its"
            " Dockerfile",
            remedy="say which it is: dockerfile=PATH",
        )
    return source


def _examined(
    engine: Engine, image: Image, source: BuildSource | None, *, read_contents: bool = True, proves: bool = False
) -> Examined:
    with displays.notebook(f"looking into {image.name}") as report:
        return xray.examine(engine, image, source, read_contents=read_contents, proves=proves, report=report)
