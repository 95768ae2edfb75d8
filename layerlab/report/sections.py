"""What the report's sections show, as plain rows."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from layerlab import compare, plots
from layerlab.compare.image_settings import of_config, runs_as_root
from layerlab.dockerfile import Dockerfile
from layerlab.engine.ownership import STAND_IN_LABEL
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.plots import Picture
from layerlab.plots.style import SHARPNESS
from layerlab.report.explorer import still
from layerlab.ui.text import shown
from layerlab.ui.units import tenths

PACKAGES: Final = 40
WASTED: Final = 40


@dataclass(frozen=True)
class Drawn:
    """A picture as the page has it."""

    alt: str
    png: str
    width: int
    height: int


def summary(image: Image) -> list[tuple[str, str]]:
    """The figures at the top, each with its name."""
    stack, total = image.stack, image.total_bytes
    share = 100 * image.wasted_bytes / total if total else 0.0
    told = of_config(image.config)
    return [
        ("stored", f"{tenths(total)} MB"),
        ("a container sees", f"{tenths(image.live_bytes)} MB"),
        ("wasted", f"{tenths(image.wasted_bytes)} MB ({share:.1f} %)"),
        ("layers", f"{len(stack.layers):,}"),
        ("files", f"{stack.file_count:,}"),
        ("packages", f"{len(stack.ownership.packages):,}"),
        ("user", f"{told.get('user', 'root')}{' (root)' if runs_as_root(image.config) and 'user' in told else ''}"),
        ("platform", told.get("platform", "not known")),
    ]


def stand_in(image: Image) -> bool:
    """Whether the image is built on a stand-in for an official base image."""
    return STAND_IN_LABEL in ((image.config.get("config") or {}).get("Labels") or {})


def layers(image: Image) -> list[dict[str, Any]]:
    """A row per layer; as `Image.layers`, a missing line as None."""
    return [_plain(row) for row in image.layers.to_dict("records")]


def waste(image: Image) -> dict[str, Any]:
    """The sums of each cause, and the largest files that no container can see."""
    table = image.waste
    causes = table.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    return {
        "causes": [_plain(row) for row in causes.to_dict("records")],
        "largest": [_plain(row) for row in table.head(WASTED).to_dict("records")],
        "files": len(table),
    }


def packages(image: Image) -> dict[str, Any]:
    """The largest packages, and how many there are."""
    table = image.packages
    return {
        "largest": [_plain(row) for row in table.nlargest(PACKAGES, "bytes").to_dict("records")],
        "count": len(table),
    }


def settings(image: Image) -> list[tuple[str, str]]:
    """What the config says, each with its name."""
    return [(one.name, shown(one.values[0] or "")) for one in compare.all_settings([image])]


def folders(image: Image) -> list[dict[str, Any]]:
    """The largest folders."""
    return [_plain(row) for row in still.folders(image).to_dict("records")]


def pictures(image: Image, dockerfile: Dockerfile | None) -> list[Drawn]:
    """The pictures of this image that can be drawn; one without layers has none of its layers."""
    table = image.files.assign(image=image.name, name=image.files["owner"])[["image", "name", "part", "bytes"]]
    owned = table.groupby(["image", "name", "part"], observed=True)["bytes"].sum().reset_index()
    wanted: list[Callable[[], Picture]] = [
        partial(plots.parts, compare.parts([image])),
        partial(plots.staircase, image.layers, title=image.name),
        partial(plots.waste, image.layers, image.waste, title=image.name),
        partial(plots.owners, owned),
    ]
    if dockerfile is not None:
        costs = image.layers.dropna(subset=["line"])[["line", "bytes"]]
        wanted.insert(1, partial(plots.dockerfile, dockerfile.text, costs))
    drawn = []
    for draw in wanted:
        with suppress(UsageError):  # says that there is nothing to draw
            drawn.append(_drawn(draw()))
    return drawn


def _drawn(picture: Picture) -> Drawn:
    width, height = (int(v) // SHARPNESS for v in picture.figure.bbox.size)
    return Drawn(picture.alt, base64.b64encode(picture.png()).decode("ascii"), width, height)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A row of a table with None in place of pandas' missing values."""
    return {str(name): None if value != value or str(value) == "<NA>" else value for name, value in row.items()}  # noqa: PLR0124
