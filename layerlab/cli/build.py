"""Builds the lab's images."""

from __future__ import annotations

import os
from pathlib import Path

import click

from layerlab import demo
from layerlab.cli.options import examples, find_engine, stand_ins
from layerlab.engine import Engine
from layerlab.ui import displays


def _secrets(_context: click.Context, _parameter: click.Parameter, said: tuple[str, ...]) -> dict[str, bytes]:
    """The secrets by their ids, from `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`, as `docker build` takes them."""
    found = {}
    for text in said:
        words = dict(word.partition("=")[::2] for word in text.split(","))
        try:
            given = os.fsencode(os.environ[words["env"]]) if "env" in words else Path(words["src"]).read_bytes()
            found[words["id"]] = given
        except KeyError as error:
            raise click.BadParameter(f"{text!r} has no {error.args[0]}") from error
        except OSError as error:
            raise click.BadParameter(f"{words['src']!r} cannot be read: {error.strerror}") from error
    return found


@click.command("build", epilog=examples("./lab build", "./lab build optimized --no-cache", "./lab build minimal"))
@click.argument("names", nargs=-1, type=click.Choice(list(demo.RECIPES)))
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option(
    "--secret",
    "secrets",
    metavar="id=NAME,src=FILE",
    multiple=True,
    callback=_secrets,
    help="What RUN --mount=type=secret,id=NAME gets; env=VARIABLE instead of src.",
)
@stand_ins
def command(names: tuple[str, ...], no_cache: bool, secrets: dict[str, bytes], stand_ins: bool | None) -> int:
    """Build the lab's images, step by step.

    Those that are named, or the two with which everybody begins: single and optimized.
    """
    engine = find_engine()
    for name in names or demo.FIRST:
        build_image(engine, name, no_cache=no_cache, secrets=secrets, stand_ins=stand_ins)
    return 0


def build_image(
    engine: Engine,
    name: str,
    *,
    no_cache: bool = False,
    secrets: dict[str, bytes] | None = None,
    stand_ins: bool | None,
) -> None:
    """Build one of the lab's images, and show the steps while it goes on."""
    recipe = demo.recipe(name)
    with displays.terminal(f"{recipe.tag} from {recipe.dockerfile}") as report:
        demo.build_image(engine, name, no_cache=no_cache, secrets=secrets, allow_stand_ins=stand_ins, report=report)
