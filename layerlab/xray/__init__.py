"""The X-ray of an image: what it could do without, where its files came from, and what to change about it.

`examine` puts together what the packages `waste` and `provenance` and the modules here find out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from layerlab import demo
from layerlab.builder import trial_builds
from layerlab.engine import Engine
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.image.store import file_reader as reading
from layerlab.ui.progress import Report, silent
from layerlab.xray import waste
from layerlab.xray.advice import Advice, View, advise, together
from layerlab.xray.proof import Proof, prove
from layerlab.xray.tracing import BuildSource, trace
from layerlab.xray.waste import Cause, Needless

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Advice", "BuildSource", "Examined", "Proof", "document", "examine", "own_source", "with_origins"]


@dataclass(frozen=True, eq=False)
class Examined:
    """What was found out about an image."""

    image: Image
    source: BuildSource | None  # what it was built from; None if nobody knows
    read_contents: bool  # else nothing was compared, and the same content and debug symbols were not looked for
    rows: list[Needless] = field(repr=False)  # what it could do without, a row per file
    advice: list[Advice]  # what to change, the most bytes first
    together: int  # what the edits that a program can make would save together; a prediction, bytes
    proofs: list[Proof] | None = None  # what they have saved, if that was asked for
    # Where each file came from, what each line has brought, what each stage is there for: see the functions of these
    # names in `layerlab.xray.provenance.origin_tables`; None where nobody knows the source.
    origins: pd.DataFrame | None = field(default=None, repr=False)
    lines: pd.DataFrame | None = field(default=None, repr=False)
    stages: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def causes(self) -> list[Cause]:
        """What it could do without, by cause and place."""
        return waste.grouped(self.image.stack, self.rows)


def examine(
    engine: Engine | None,
    image: Image,
    source: BuildSource | None = None,
    *,
    read_contents: bool = True,
    proves: bool = False,
    report: Report = silent,
) -> Examined:
    """Find out all about an image that the engine has, or that comes from a file.

    With a source it is traced to stages and lines, which takes a build from the cache for each stage; everything that
    is built is removed again. With `read_contents` files are read where that takes to compare them, and what was read
    is remembered. With `proves` the edits are made, and what they save is measured.

    Raises:
        UsageError: there is nothing to prove without a source, or to build without an engine.
        OtherDockerfile: the image was not built from this source.
        LabError: it cannot be built.

    >>> from layerlab import image
    >>> one = image.read(engine, "multi-stage-demo:optimized")
    >>> found = examine(engine, one, own_source(engine, one.name), read_contents=False)
    >>> int(found.lines["bytes"].sum()) == one.live_bytes
    True
    """
    if source is None and proves:
        what = "nothing can be proved without the Dockerfile that the image was built from"
        raise UsageError(what, remedy="name it with --dockerfile FILE")
    reader = reading.for_image(engine, image) if read_contents else None
    if source is None:
        rows = waste.rows(image.stack, reader, report)
        return Examined(image, None, read_contents, rows, advise(View(image, rows), engine), 0)
    if engine is None:
        raise UsageError("an image is built to trace it, and that takes an engine", remedy="start Docker")
    from layerlab.xray.provenance import origin_tables  # noqa: PLC0415  # imports pandas

    with trial_builds(engine, report) as place:
        traced = trace(place, image, source)
        rows = waste.rows(image.stack, reader, report)
        advice = advise(View(image, rows, traced), engine)
        origins = origin_tables.origins(image, traced.origins)
        return Examined(
            image, source, read_contents, rows, advice, together(advice),
            proofs=prove(place, traced, advice) if proves else None,
            origins=origins,
            lines=origin_tables.lines(image, origins),
            stages=origin_tables.stages(image, traced.origins, traced.final, traced.built),
        )  # fmt: skip


def with_origins(examined: Examined) -> Image:
    """The image, with what was found out of each file as further columns of its table of files.

    Returns:
        The same image. `files` has, beside its own columns, `cause` str (why it could be left out; empty for most),
        and where its source is known `stage` str (in words) and `line` Int64 (as in `Examined.origins`).
    """
    image = replace(examined.image)  # a copy: the tables of the first one stay as they are
    merged, visible = image.stack.merged, image.stack.visible.tolist()
    judged = {merged.paths[row.entry]: row.cause for row in examined.rows if not row.is_fact and row.bytes}
    table = examined.image.files.assign(cause=[judged.get(merged.paths[index], "") for index in visible])
    if (origins := examined.origins) is not None:
        stage = ("base image " + origins["base"]).where(origins["origin"] == "base", "stage " + origins["stage"])
        table = table.assign(stage=stage.where(origins["stage"] != "", ""), line=origins["line"])
    vars(image)["files"] = table  # where the property keeps it
    return image


def own_source(engine: Engine | None, name: str) -> BuildSource | None:
    """What an image was built from, if it is one of the lab's own, by whatever name."""
    recipe = demo.recipe_of(engine, name) if engine is not None else None
    return BuildSource(recipe.path, recipe.path.parent, platform=engine.platform) if engine and recipe else None


def document(examined: Examined) -> dict[str, Any]:
    """What ``xray --json`` adds to the document of `layerlab.compare`: plain data."""
    dockerfile = examined.source.parsed if examined.source else None
    found: dict[str, Any] = {
        "contents_read": examined.read_contents,
        "causes": [vars(cause) for cause in examined.causes],
        "owners": waste.owners(examined.image),
        "findings": [advice.document(dockerfile) for advice in examined.advice],
    }
    if examined.stages is not None and examined.lines is not None:
        found["stages"] = json.loads(examined.stages.to_json(orient="records"))
        found["lines"] = json.loads(examined.lines.to_json(orient="records"))
        found["together"] = examined.together
    if examined.proofs is not None:
        found["proofs"] = [{**vars(proof), "error": proof.error} for proof in examined.proofs]
    return found
