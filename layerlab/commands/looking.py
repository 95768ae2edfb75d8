"""The commands that look at images."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from layerlab import compare, workshop
from layerlab.commands.common import as_json, find_engine


@click.command("compare")
@click.argument("images", nargs=-1)
@click.option("--layers", is_flag=True, help="Also show how the layers differ.")
@click.option("--paths", is_flag=True, help="Also show the largest paths that differ; with --json all of them.")
@as_json
def compare_command(images: tuple[str, ...], layers: bool, paths: bool, as_json: bool) -> int:
    """Compare images side by side.

    First their sizes, then where the difference is (by part, by folder, by package), then what their configurations
    say differently. Of more than two images, each is compared with the first.

    IMAGES are names, ids, or files written by `docker save`; without any, the lab's own two.
    """
    engine = find_engine(needed=not images or not all(map(_is_file, images)))
    names = list(images or workshop.RECIPES)
    looked = [workshop.look(engine, name) for name in names]
    if as_json:
        print(json.dumps(compare.document(looked, differences=True, paths=paths), indent=2))
    else:
        _printing().print_comparison(looked, names)
        import_module("layerlab.commands.differences").print_differences(looked, layers=layers, paths=paths)
    return 0


@click.command()
@click.argument("image")
@as_json
def xray(image: str, as_json: bool) -> int:
    """Show what is in an image.

    Its layers, what each stores and wastes, and whose the bytes are. IMAGE is a name, an id, or a file written by
    `docker save`.
    """
    engine = find_engine(needed=not _is_file(image))
    looked = workshop.look(engine, image)
    if as_json:
        print(json.dumps(compare.document([looked]), indent=2))
    else:
        _printing().print_image(looked)
    return 0


def _printing() -> ModuleType:
    """What prints tables is imported when a table is printed: it needs pandas, and a JSON document does not."""
    return import_module("layerlab.commands.printing")


def _is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in workshop.RECIPES and Path(name).exists()
