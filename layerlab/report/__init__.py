"""One HTML file about an image, to send around: it holds all that it shows, and asks no network for anything.

Its content security policy allows only what is in the file itself, each script and style by its digest. Everything
that comes from the image (names, instructions, settings) goes through the template's escaping, and is made printable
before that. Without JavaScript everything but the explorer is there, and a table of the largest folders in its place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from layerlab.compare.ci_limits import Check
from layerlab.dockerfile import Dockerfile
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.report import sections
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import NAME, packed
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import printable, shown
from layerlab.ui.units import tenths
from layerlab.xray.waste import Cause

__all__ = ["Advice", "html", "write"]

ASSETS: Final = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Advice:
    """What could be done better.

    Attributes:
        text: What to do, and why.
        place: Where, such as ``line 9``; empty for none.
        saves_bytes: What it is thought to save; None where that is not known.
        proved_bytes: What it has been measured to save; None where nobody has tried.
    """

    text: str
    place: str = ""
    saves_bytes: int | None = None
    proved_bytes: int | None = None


def html(
    image: Image,
    dockerfile: Dockerfile | None = None,
    *,
    name: str = NAME,
    checks: Sequence[Check] = (),
    causes: Sequence[Cause] = (),
    advice: Sequence[Advice] = (),
    report: Report = silent,
) -> str:
    """The file's text.

    Args:
        image: The image.
        dockerfile: What it was built from, if that is known.
        name: What that is called.
        checks: The limits that it was held against; none leave their section out.
        causes: What the image could do without, facts and judgements; none leave their section out.
        advice: What could be done better, the most important first; none leave their section out.
        report: Told what goes on.
    """
    with _step(report, "put the tables together"):
        page: dict[str, Any] = {
            "image": image,
            "summary": sections.summary(image),
            "layers": sections.layers(image),
            "waste": sections.waste(image),
            "packages": sections.packages(image),
            "settings": sections.settings(image),
            "folders": sections.folders(image),
            "stand_in": sections.stand_in(image),
            "checks": checks,
            "causes": causes,
            "advice": advice,
        }
    with _step(report, "draw the pictures"):
        page["pictures"] = sections.pictures(image, dockerfile if image.stack.origins else None)
    with _step(report, "pack the explorer"):
        page["data"] = base64.b64encode(packed(image, dockerfile, name=name)).decode("ascii")
    style = (ASSETS / "report.css").read_text(encoding="utf-8")
    script = _script()
    page |= {
        "style": style,
        "script": script,
        "policy": "; ".join(
            [
                "default-src 'none'",
                f"script-src '{_digest(script)}'",
                f"style-src '{_digest(style)}'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
    }
    return _template().render(page)


def write(path: Path, text: str) -> None:
    """Write the file; what was there before is replaced as a whole, or not at all. A link stays one.

    Raises:
        UsageError: it cannot be written there.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():  # such as /dev/null, which root could replace
        raise UsageError(
            f"{path} cannot be written (it is no ordinary file)", remedy="name another file, or one that is not there"
        )
    made = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".html", delete=False
        ) as file:
            made = Path(file.name)
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        made.chmod(0o666 & ~mask)
        made.replace(path)
    except BaseException as error:
        if made is not None:
            with suppress(OSError):
                made.unlink()
        if not isinstance(error, OSError):
            raise
        raise UsageError(
            f"{path} cannot be written ({error.strerror})", remedy="name a file in a folder that is there and yours"
        ) from error


@contextmanager
def _step(report: Report, title: str) -> Iterator[None]:
    began = time.monotonic()
    report(Step(title, title, "running"))
    yield
    report(Step(title, title, "done", time.monotonic() - began))


def _script() -> str:
    """The one script, in which nothing can end its element."""
    whole = f"{bundle.joined(ASSETS / 'report.js')};\n"
    for ending in ("</script", "</SCRIPT", "<!--"):
        if ending in whole:
            raise ValueError(f"the report's script holds {ending}")  # a fault of ours: the tests would see it
    return whole


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _template() -> jinja2.Template:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "shown": lambda text: printable(shown(str(text))),
        "megabytes": tenths,
        "counted": "{:,}".format,
    }
    return made.get_template("report.html")
