"""Writes the HTML report of an image for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from layerlab import displays, report, workshop
from layerlab.budget import Check
from layerlab.commands.common import err
from layerlab.image import Image


def write_report(path: Path, looked: Image, dockerfile: Path | None, checks: Sequence[Check]) -> None:
    """Write the report of an image.

    Args:
        path: Where.
        looked: The image.
        dockerfile: What it was built from; None where that is not known.
        checks: The limits that it was held against.

    Raises:
        DockerfileError: the Dockerfile cannot be read.
        UsageError: the file cannot be written.
    """
    built_from = workshop.read_dockerfile(dockerfile) if dockerfile else None
    with displays.terminal(f"Report of {looked.name}") as progress:
        text = report.html(
            looked, built_from, name=dockerfile.name if dockerfile else "", checks=checks, report=progress
        )
    report.write(path, text)
    err.print(f"{path}: {len(text.encode()) / 1e6:.1f} MB, all in one file; open it in a browser", markup=False)
