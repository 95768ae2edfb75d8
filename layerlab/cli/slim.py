"""Makes a Dockerfile.minimal for a workspace."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from layerlab import minimal
from layerlab.cli.image_tables import show
from layerlab.cli.options import PATH, examples, find_engine, out
from layerlab.ui import displays
from layerlab.ui.text import printable, shorten
from layerlab.ui.units import how_large


@click.command("slim", epilog=examples("./lab slim my-image"))
@click.argument("folder", metavar="DIR", type=PATH)
def command(folder: Path) -> int:
    """Make a Dockerfile.minimal for a workspace: the same service FROM scratch.

    It goes on from DIR's Dockerfile, whose image is Debian's (as python:3.13-slim) and answers GET /status on port
    5000. Which files ship is decided by rules; DIR gets a copy of them. It is built, run with a read-only root and
    without capabilities, and asked what DIR's own image was asked: /status, the paths that decorators in its sources
    name, and those of its /openapi.json. Status 1 where an answer has another status or type, or other names in
    its JSON.

    Nothing is written over: where DIR has a Dockerfile.minimal, that one is built and asked as it is.
    """
    engine = find_engine()
    with displays.terminal(f"Dockerfile.minimal of {printable(str(folder))}") as report:
        made = minimal.make(engine, folder, report=report)
    if made.left_out:
        rows = pd.DataFrame([vars(each) for each in made.left_out])
        headings = {"name": "left out", "bytes": "MB", "files": "files", "why": "since"}
        show(rows, "What was left out, by rule", ["bytes"], headings, first=True)
    for rule, module in made.kept.items():
        out.print(f"Kept: what the rule {rule!r} would leave out, since {printable(module)} is needed.")
    for remark in made.remarks:
        out.print(printable(remark[:1].upper() + remark[1:]))
    if made.requests:
        asked = pd.DataFrame([vars(each) for each in made.requests])
        asked["same"] = asked["before"] == asked["after"]
        asked[["before", "after"]] = asked[["before", "after"]].map(lambda text: shorten(text, 50))
        headings = {"path": "GET", "before": "before", "after": "FROM scratch", "same": "same"}
        show(asked, "What the service answers", (), headings)
    else:
        out.print(f"\nThe service FROM scratch does not answer: {printable(made.failure)}")
    sizes = f"{how_large(made.bytes_before, exactly=True)} before, {how_large(made.bytes_after, exactly=True)} now"
    out.print(f"\n{sizes}; {'it answers as before' if made.same else 'it does not answer as before'}.")
    written = ", ".join(made.written) or "nothing, since Dockerfile.minimal is there"
    out.print(
        f"Written: {written}. Build it: docker build -f Dockerfile.minimal -t NAME:minimal {printable(str(folder))}"
    )
    return int(not made.same)
