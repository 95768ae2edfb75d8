"""Writes the HTML report of an image for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from layerlab import report, xray
from layerlab.cli.common import err
from layerlab.compare.ci_limits import Check
from layerlab.image import Image
from layerlab.ui import displays
from layerlab.ui.units import how_large
from layerlab.xray import Examined


def write_report(path: Path, looked: Image, found: Examined | None, checks: Sequence[Check]) -> None:
    """Write the report of an image.

    Args:
        path: Where.
        looked: The image.
        found: What was found out about it beyond that.
        checks: The limits that it was held against.

    Raises:
        DockerfileError: the Dockerfile cannot be read.
        UsageError: the file cannot be written.
    """
    source = found.source if found else None
    with displays.terminal(f"Report of {looked.name}") as progress:
        text = report.html(
            xray.with_origins(found) if found else looked,
            source.parsed if source else None,
            name=source.dockerfile.name if source else "",
            checks=checks,
            causes=found.causes if found else (),
            advice=_advice(found) if found else (),
            report=progress,
        )
    report.write(path, text)
    err.print(
        f"{path}: {how_large(len(text.encode()), exactly=True)}, all in one file; open it in a browser", markup=False
    )


def _advice(found: Examined) -> list[report.Advice]:
    proved = {(proof.title, proof.line): proof.measured for proof in found.proofs or ()}
    return [
        report.Advice(
            f"{one.title[:1].upper()}{one.title[1:]}: {one.why}.",
            f"line {one.line}" if one.line is not None else "",
            one.bytes,
            proved.get((one.title, one.line)),
        )
        for one in found.advice
    ]
