"""The command that makes a workspace for the exercise."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from layerlab.cli.options import PATH, examples, out
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from layerlab.ui.text import printable


@click.command("new", epilog=examples("./lab new my-image", "./lab new my-second-image --level 2"))
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--level",
    type=click.IntRange(min(new_workspace.LEVELS), max(new_workspace.LEVELS)),
    default=new_workspace.LEVELS[0],
    show_default=True,
    help="2: a package has to be compiled.",
)
def command(folder: Path, level: int) -> int:
    """Make a workspace for the exercise.

    DIR is a new folder, or an empty one; nothing is ever overwritten. It gets a Dockerfile that works badly, with
    seven TODOs, and everything that is needed to make it a good one.
    """
    named = shlex.quote(printable(str(new_workspace.make(folder, level=level))))
    lab = "./lab" if Path.cwd() == ROOT else shlex.quote(str(ROOT / "lab"))
    out.print(f"{named} is ready: the exercise, level {level}")
    width = max(map(len, new_workspace.CONTENTS))
    for name, purpose in new_workspace.CONTENTS.items():
        out.print(f"  {name:<{width}}  {purpose}")
    out.print("Next:")
    out.print(f"  cd {named}, read README.md, edit Dockerfile")
    out.print(f"  {lab} check {named}  says how far it is; --watch: whenever you save")
    return 0
