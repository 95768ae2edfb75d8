"""The commands that look at images."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from layerlab import compare, workshop
from layerlab.commands.common import as_json, examples, find_engine


@click.command(
    "compare", epilog=examples("./lab compare", "./lab compare single optimized python:3.13-slim-trixie --json")
)
@click.argument("images", nargs=-1)
@as_json
def compare_command(images: tuple[str, ...], as_json: bool) -> int:
    """Compare images side by side.

    IMAGES are names, ids, or files written by `docker save`; without any, the lab's own two.
    """
    engine = find_engine(needed=not images or not all(map(_is_file, images)))
    names = list(images or workshop.RECIPES)
    if as_json:
        print(json.dumps(compare.document([workshop.look(engine, name) for name in names]), indent=2))
    else:
        _printing().print_comparison([workshop.look(engine, name) for name in names], names)
    return 0


@click.command(epilog=examples("./lab xray optimized", "./lab xray python:3.13-trixie --json"))
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
