"""Builds the lab's images."""

from __future__ import annotations

import click

from layerlab import demo
from layerlab.cli.options import examples, find_engine, stand_ins
from layerlab.engine import Engine
from layerlab.ui import displays


@click.command("build", epilog=examples("./lab build", "./lab build optimized --no-cache", "./lab build minimal"))
@click.argument("names", nargs=-1, type=click.Choice(list(demo.RECIPES)))
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@stand_ins
def command(names: tuple[str, ...], no_cache: bool, stand_ins: bool | None) -> int:
    """Build the lab's images, step by step.

    Those that are named, or the two with which everybody begins: single and optimized.
    """
    engine = find_engine()
    for name in names or demo.FIRST:
        build_image(engine, name, no_cache=no_cache, stand_ins=stand_ins)
    return 0


def build_image(engine: Engine, name: str, *, no_cache: bool = False, stand_ins: bool | None) -> None:
    """Build one of the lab's images, and show the steps while it goes on."""
    recipe = demo.recipe(name)
    with displays.terminal(f"{recipe.tag} from {recipe.dockerfile}") as report:
        demo.build_image(engine, name, no_cache=no_cache, allow_stand_ins=stand_ins, report=report)
