"""One HTML file about an image, to send around: it holds all that it shows, and asks no network for anything.

Its content security policy allows only what is in the file itself, each script and style by its digest. Everything
that comes from the image (names, instructions, settings) goes through the template's escaping, and is made printable
before that. Without JavaScript everything but the explorer is there.

>>> from layerlab import image
>>> html(image.read(engine, "multi-stage-demo:optimized"))[:15]
'<!DOCTYPE html>'
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd

from layerlab import compare, plots
from layerlab.compare.ci_limits import Check
from layerlab.compare.image_settings import all_settings, of_config, runs_as_root
from layerlab.dockerfile import Dockerfile
from layerlab.engine.ownership import STAND_IN_LABEL
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.plots import Picture
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import NAME, packed
from layerlab.ui.progress import Report, ongoing, silent
from layerlab.ui.text import printable, shown
from layerlab.ui.units import tenths
from layerlab.xray import Examined, with_origins

__all__ = ["html"]

ASSETS: Final = Path(__file__).parent / "assets"
_MOST: Final = 40  # rows of packages and of wasted files; the others are counted


def html(
    image: Image,
    dockerfile: Dockerfile | None = None,
    *,
    name: str = NAME,
    checks: Sequence[Check] = (),
    found: Examined | None = None,
    report: Report = silent,
) -> str:
    """The file's text.

    The image was built from `dockerfile`, which is called `name`, if that is known, and held against the limits in
    `checks`. In `found` is what else was found out about it, if anybody asked: causes, origins, advice, proofs.
    """
    image = with_origins(found) if found else image
    wasted, packages = image.waste, image.packages
    with ongoing(report, "put the tables together"):
        page: dict[str, Any] = {
            "image": image,
            "summary": _summary(image),
            "layers": _rows(image.layers),
            "waste": {
                "causes": _rows(wasted.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()),
                "largest": _rows(wasted.head(_MOST)),
                "files": len(wasted),
            },
            "packages": {"largest": _rows(packages.nlargest(_MOST, "bytes")), "count": len(packages)},
            "settings": [(name, value or "") for name, (value,) in all_settings([image]).items()],
            "stand_in": STAND_IN_LABEL in ((image.config.get("config") or {}).get("Labels") or {}),
            "checks": checks,
            "causes": found.causes if found else (),
            "advice": found.advice if found else (),
            "proved": {(proof.title, proof.line): proof.measured for proof in (found and found.proofs) or ()},
        }
    with ongoing(report, "draw the pictures"):
        page["pictures"] = list(_pictures(image, dockerfile if image.stack.origins else None))
    with ongoing(report, "pack the explorer"):
        page["data"] = _base64(packed(image, dockerfile, name=name))
    style = (ASSETS / "report.css").read_text(encoding="utf-8")
    script = f"{bundle.joined(ASSETS / 'report.js')};\n"  # nothing in it ends its element, see the tests
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = lambda text: printable(shown(str(text)))
    environment.filters["megabytes"] = tenths
    environment.filters["counted"] = "{:,}".format
    return environment.get_template("report.html").render(page, style=style, script=script, policy=policy)


def _summary(image: Image) -> list[tuple[str, str]]:
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


def _pictures(image: Image, dockerfile: Dockerfile | None) -> Iterator[Picture]:
    """The pictures of this image that can be drawn; one without layers has none of its layers."""
    wanted: list[Callable[[], Picture]] = [
        partial(plots.parts, compare.parts([image])),
        partial(plots.staircase, image.layers, title=image.name),
        partial(plots.waste, image.layers, image.waste, title=image.name),
        partial(plots.owners, image.files.assign(image=image.name, name=image.files["owner"])),
    ]
    if dockerfile is not None:
        wanted.insert(1, partial(plots.dockerfile, dockerfile, image.layers[["line", "bytes"]]))
    for draw in wanted:
        with suppress(UsageError):  # says that there is nothing to draw
            yield draw()


def _rows(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """A table as plain rows, with None in place of missing values."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _digest(text: str) -> str:
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"
