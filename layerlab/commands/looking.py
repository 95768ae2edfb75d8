"""The commands that look at images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from layerlab import compare, displays, workshop
from layerlab.commands.common import as_json, find_engine, out
from layerlab.errors import UsageError
from layerlab.image import read

if TYPE_CHECKING:
    from layerlab.xray import Source


@click.command("compare")
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


@click.command()
@click.argument("image")
@click.option("--origins", is_flag=True, help="Trace each file to the stage and line that made it.")
@click.option("--advice", is_flag=True, help="Say what to change, and what that would save.")
@click.option("--prove", is_flag=True, help="Make those edits in a copy, build it, and measure what they save.")
@click.option("--dockerfile", metavar="FILE", help="What IMAGE was built from; the lab's own images need none.")
@click.option("--context", metavar="DIR", help="The build context  [default: the Dockerfile's folder]")
@click.option("--target", metavar="STAGE", help="The stage that IMAGE is  [default: the last]")
@click.option("--build-arg", "arguments", metavar="NAME=VALUE", multiple=True, help="As IMAGE was built with.")
@as_json
def xray(image: str, as_json: bool, origins: bool, advice: bool, prove: bool, **said: Any) -> int:
    """Show what is in an image.

    Its layers, what each stores and wastes, and whose the bytes are. IMAGE is a name, an id, or a file written by
    `docker save`.

    With --origins, --advice or --prove, what it was built from is built again, which takes a moment where all of it
    is in the build cache. What is built is removed.
    """
    asked = origins or advice or prove or any(said.values())
    engine = find_engine(needed=asked or not _is_file(image))
    looked = workshop.look(engine, image)
    if not asked:
        if as_json:
            from layerlab import causes  # noqa: PLC0415  # tables need none of it

            print(json.dumps({**compare.document([looked]), **causes.document(looked)}, indent=2))
        else:
            _printing().print_image(looked)
        return 0
    from layerlab import xray as examining  # noqa: PLC0415  # plain looks need none of it

    source = _source(engine, image, **said)
    if source is not None:
        again = read(engine, workshop.resolve(engine, image), dockerfile=source.parsed)
        looked = replace(again, name=looked.name)
    with displays.terminal(f"looking into {image}") as report:
        found = examining.examine(engine, looked, source, read_contents=advice or prove, proves=prove, report=report)
    if as_json:
        print(json.dumps({**compare.document([looked]), **examining.document(found)}, indent=2))
    else:
        _printing().print_image(looked)
        out.print()
        import_module("layerlab.commands.examining").print_examined(found, advice=advice or prove)
    return 0


def _source(
    engine: Any, image: str, *, dockerfile: str | None, context: str | None, target: str | None,
    arguments: Sequence[str],
) -> Source | None:  # fmt: skip
    """What an image was built from: as the options say, or what the lab knows of its own images."""
    from layerlab.xray import Source, own_source  # noqa: PLC0415

    if dockerfile is None:
        if context or target or arguments:
            raise UsageError(
                "--context, --target and --build-arg are about a Dockerfile", remedy="name it with --dockerfile FILE"
            )
        return own_source(engine, image)
    path = Path(dockerfile)
    if not path.is_file():
        raise UsageError(
            f"there is no file {dockerfile!r}", remedy="name the Dockerfile that the image was built from"
        )
    values = dict(argument.partition("=")[::2] for argument in arguments)
    return Source(path, Path(context) if context else path.parent, target, values)


def _printing() -> ModuleType:
    """What prints tables is imported when a table is printed: it needs pandas, and a JSON document does not."""
    return import_module("layerlab.commands.printing")


def _is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in workshop.RECIPES and Path(name).exists()
