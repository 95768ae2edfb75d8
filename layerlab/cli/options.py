"""What the commands share: consoles, options, the engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from layerlab.engine import daemon, runs
from layerlab.ui import displays
from layerlab.ui.tables import console


def examples(*lines: str) -> str:
    """The end of a command's help: lines that somebody may type as they are.

    >>> examples("./lab doctor").splitlines()[1:]
    ['Examples:', '  ./lab doctor']
    """
    # The backspace is click's sign for a paragraph whose lines are not to be joined.
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


PATH: Final = click.Path(path_type=Path)

out = console(sys.stdout)
err = console(sys.stderr)

stand_ins = click.option(
    "--stand-ins",
    is_flag=True,
    default=None,
    help="Where no registry answers, make stand-ins for the base images although the lab did not start this engine.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
platform = click.option(
    "--platform",
    metavar="OS/ARCH",
    help="Which image to take where there is one for each of several platforms, such as linux/arm64.  "
    "[default: this machine's]",
)


def find_engine(*, needed: bool = True) -> Any:
    """The engine; None where none is needed and none answers."""
    if not needed:
        return None
    with displays.terminal("Docker engine") as report:
        engine = daemon.ensure(report=report)
    runs.sweep(engine)  # what a run that was killed has left
    return engine
