"""``./lab`` itself, and the commands that build and run."""

from __future__ import annotations

import sys

import click

from layerlab import service
from layerlab.builder import cache
from layerlab.cli.common import err, examples, find_engine, out, stand_ins
from layerlab.cli.image_tables import print_comparison
from layerlab.demo import build as making
from layerlab.demo import images
from layerlab.engine import Engine
from layerlab.jupyter.serve import serve
from layerlab.ui import displays


def start(*, serves: bool, port: int | None, browser: bool, stand_ins: bool | None) -> int:
    """Everything that ``./lab`` does without a command."""
    engine = find_engine()
    for name in images.RECIPES:
        build_with_progress(engine, name, stand_ins=stand_ins)
    print_comparison([images.look(engine, name) for name in images.RECIPES], list(images.RECIPES))
    if (size := cache.size(engine) or 0) > cache.MUCH:
        err.print(f"\nThe build cache holds {size / 1e9:.0f} GB: {cache.EMPTY_IT}.", markup=False)
    if not serves:
        return 0

    def say(url: str) -> None:
        out.print(f"\nJupyterLab is at  {url}", style="bold")
        out.print("Ctrl-C here ends it.")

    return serve(engine, port=port, say=say, open_browser=browser)


@click.command(epilog=examples("./lab build", "./lab build optimized --no-cache"))
@click.argument("names", nargs=-1, type=click.Choice(list(images.RECIPES)))
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@stand_ins
def build(names: tuple[str, ...], no_cache: bool, stand_ins: bool | None) -> int:
    """Build the lab's images, step by step.

    All of them, or those that are named.
    """
    engine = find_engine()
    for name in names or tuple(images.RECIPES):
        build_with_progress(engine, name, no_cache=no_cache, stand_ins=stand_ins)
    return 0


@click.command(epilog=examples("./lab run", "./lab run single --port 5001"))
@click.argument("image", default="optimized")
@click.option("--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1  [default: 5000, or a free one]")
def run(image: str, port: int | None) -> int:
    """Run the service until Ctrl-C.

    IMAGE is one of the lab's, or any other of the service. Its container is removed at the end.
    """
    engine = find_engine()

    def ready(running: service.Service) -> None:
        err.print(f"{image} answers at {running.url} after {running.seconds_to_first_answer:.1f} s; Ctrl-C stops it")

    return service.run_foreground(engine, images.resolve(engine, image), port=port, on_ready=ready, output=sys.stdout)


def build_with_progress(engine: Engine, name: str, *, no_cache: bool = False, stand_ins: bool | None) -> None:
    recipe = images.recipe(name)
    with displays.terminal(f"{recipe.tag} from {recipe.dockerfile}") as report:
        making.build_image(engine, name, no_cache=no_cache, allow_stand_ins=stand_ins, report=report)
