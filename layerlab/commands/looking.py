"""The commands that look at images."""

from __future__ import annotations

import json
from importlib import import_module
from types import ModuleType

import click

from layerlab import compare, displays, workshop
from layerlab.commands.common import as_json, find_engine, platform
from layerlab.engine import Engine
from layerlab.image import Image, sources


@click.command("compare")
@click.argument("images", nargs=-1)
@platform
@as_json
def compare_command(images: tuple[str, ...], platform: str | None, as_json: bool) -> int:
    """Compare images side by side.

    IMAGES are names, ids, or files: written by `docker save`, or OCI layouts. Without any, the lab's own two.
    """
    engine = find_engine(needed=not images or not all(map(_is_file, images)))
    names = list(images or workshop.RECIPES)
    looked = [_look(engine, name, platform) for name in names]
    if as_json:
        print(json.dumps(compare.document(looked), indent=2))
    else:
        _printing().print_comparison(looked, names)
    return 0


@click.command()
@click.argument("image")
@platform
@as_json
def xray(image: str, platform: str | None, as_json: bool) -> int:
    """Show what is in an image.

    Its layers, what each stores and wastes, and whose the bytes are. IMAGE is a name, an id, or a file: one written
    by `docker save`, or an OCI layout (a folder or a tar file), compressed or not.
    """
    engine = find_engine(needed=not _is_file(image))
    looked = _look(engine, image, platform)
    if as_json:
        print(json.dumps(compare.document([looked]), indent=2))
    else:
        _printing().print_image(looked)
    return 0


def _printing() -> ModuleType:
    """What prints tables is imported when a table is printed: it needs pandas, and a JSON document does not."""
    return import_module("layerlab.commands.printing")


def _look(engine: Engine | None, name: str, platform: str | None) -> Image:
    """Look at an image, and show progress if it takes long."""
    with displays.terminal("Looking into the image") as report:
        return workshop.look(engine, name, platform=platform, report=report)


def _is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in workshop.RECIPES and sources.is_file(name)
