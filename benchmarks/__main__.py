"""The one command: measures, and prints a table.

python -m benchmarks [PART]... [--repeat N] [--json] [--save]
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from benchmarks import programs
from benchmarks.rows import Row, Setting
from benchmarks.saved_tables import HEADINGS, NUMBERS, caption, cells, write
from layerlab import bases, demo
from layerlab.engine import Engine, daemon
from layerlab.errors import LabError
from layerlab.ui import displays
from layerlab.ui.tables import console

PARTS: Final[dict[str, str]] = {
    "sizes": "image sizes",
    "builds": "builds: cold, after a change of the app, after a change of the requirements",
    "service": "first answer, requests per second, memory",
    "analysis": "a look into an image, beside dive's",
    "large": "a look into an image of 10 GB and 500,000 files: seconds and memory",
    "advice": "what advice saves: predicted, and built",
    "exploring": "the explorer of a large image in a browser",
    "checking": "a check of a solution",
    "start": "from ./lab to JupyterLab",
}
"""The modules of this package that have rows, in their order, and what they are about."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\n".join(["\b", "Parts:", *(f"  {name:<9}  {about}" for name, about in PARTS.items())]),
)
@click.argument("parts", nargs=-1, metavar="[PART]...", type=click.Choice(list(PARTS)))
@click.option(
    "--repeat", type=click.IntRange(1, 50), default=3, show_default=True, help="How often quick things run."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("--save", "saves", is_flag=True, help="Write the tables of README.md and docs/benchmarks.md, too.")
def run(parts: tuple[str, ...], repeat: int, as_json: bool, saves: bool) -> int:
    """Measure the lab beside what one would otherwise use, and print a table.

    All the parts, or those that are named. What is made is removed again; the build cache that is there is neither
    used for what is called cold, nor emptied.
    """
    if saves and parts:
        raise click.UsageError("--save wants all parts: leave the names out")
    chosen = parts or tuple(PARTS)
    for part in chosen:  # before anything is measured
        for program in getattr(import_module(f"benchmarks.{part}"), "PROGRAMS", ()):
            programs.find(program)
    with displays.terminal("the engine and both images") as report:
        engine = daemon.ensure(report=report)
        for name in demo.FIRST:
            demo.build_image(engine, name, report=report)
    machine = describe(engine)
    measured = {part: measure(part, engine, repeat) for part in chosen}
    if as_json:
        rows = [{"part": part, **asdict(row)} for part, found in measured.items() for row in found]
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
    else:
        console(sys.stdout).print(table(measured, machine))
    if saves:
        write(measured, machine)
    return 0


def measure(part: str, engine: Engine, repeat: int) -> list[Row]:
    """The rows of one part."""
    with (
        tempfile.TemporaryDirectory(prefix="layerlab-benchmark-", ignore_cleanup_errors=True) as folder,
        displays.terminal(f"benchmark of {part}") as report,
    ):
        rows: Iterator[Row] = import_module(f"benchmarks.{part}").rows(Setting(engine, Path(folder), repeat, report))
        return list(rows)


def describe(engine: Engine) -> dict[str, Any]:
    """The machine, as far as it matters for the figures."""
    built = [demo.find(engine, name).id for name in demo.FIRST]
    return {
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "engine": engine.version,
        "storage_driver": engine.storage_driver,
        "stand_ins": any(bases.is_on_stand_ins(engine, str(image_id)) for image_id in built),
    }


def table(measured: dict[str, list[Row]], machine: dict[str, Any]) -> Table:
    """The rows of all parts, for a terminal."""
    shown = Table(title=caption(machine), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in HEADINGS:
        shown.add_column(heading, justify="right" if heading in NUMBERS else "left")
    for rows in measured.values():
        shown.add_section()
        for row in rows:
            shown.add_row(*map(Text, cells(row)))
    return shown


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the command; returns the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        return int(run.main(prog_name="python -m benchmarks", standalone_mode=False) or 0)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("\nbenchmarks: interrupted; what was started has ended", file=sys.stderr)
        return 130
    except LabError as error:
        print(f"benchmarks: {error.one_line}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
