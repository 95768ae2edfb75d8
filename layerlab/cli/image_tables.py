"""Tables of images, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from layerlab import compare
from layerlab.cli.common import out
from layerlab.demo import images as workshop
from layerlab.engine.ownership import STAND_IN_LABEL
from layerlab.image import Image
from layerlab.ui import tables
from layerlab.ui.text import printable


def print_image(looked: Image) -> None:
    """Print an image's layers, parts, largest packages and waste."""
    layers = tables.megabytes(looked.layers, ["bytes", "live_bytes", "wasted_bytes"])
    layers["instruction"] = layers["instruction"].str.slice(0, 70)
    headings = {
        "index": "layer", "bytes": "MB", "live_bytes": "live MB", "wasted_bytes": "wasted MB", "files": "files",
        "line": "line", "instruction": "instruction",
    }  # fmt: skip
    tables.show(out, layers, title=f"Layers of {printable(looked.name)}", headings=headings)
    parts = looked.files.groupby("part", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    parts = tables.megabytes(parts, ["sum"]).sort_values("sum", ascending=False)
    out.print()
    tables.show(out, parts, title="What is live", headings={"part": "part", "sum": "MB", "count": "files"})
    largest = tables.megabytes(looked.packages.nlargest(12, "bytes"), ["bytes"])
    headings = {"name": "package", "version": "version", "manager": "manager", "bytes": "MB", "files": "files"}
    out.print()
    tables.show(out, largest, title="The largest packages", headings=headings)
    waste = looked.waste.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    out.print()
    if waste.empty:
        out.print("Nothing is wasted: every byte that is stored can be seen in a container.")
    else:
        headings = {"cause": "cause", "sum": "MB", "count": "files"}
        tables.show(out, tables.megabytes(waste, ["sum"]), title="What no container can see", headings=headings)


def print_comparison(images: Sequence[Image], names: Sequence[str]) -> None:
    """Print a table of these images, which were asked for under these names."""
    frame = compare.compare(images)
    seconds = [workshop.cold_build_seconds(name) for name in names]
    frame["build_seconds"] = pd.Series(seconds, dtype="Float64").to_numpy()
    frame["share"] = [f"{ratio:.1%}" for ratio in frame["ratio"]]
    headings = {
        "name": "image", "bytes": "MB", "share": "share", "wasted_bytes": "wasted", "layers": "layers",
        "files": "files", "build_seconds": "build s",
    }  # fmt: skip
    out.print()
    sizes = tables.megabytes(frame, ["bytes", "wasted_bytes"])
    tables.show(
        out,
        sizes,
        title="Comparison: MB (10^6 bytes) uncompressed, seconds of the build without a cache",
        headings=headings,
    )
    if line := compare.in_words(images):
        out.print(printable(line), markup=False)
    if any(STAND_IN_LABEL in ((image.config.get("config") or {}).get("Labels") or {}) for image in images):
        out.print("Built on stand-ins for the official base images, made from Debian packages: no registry answered.")
