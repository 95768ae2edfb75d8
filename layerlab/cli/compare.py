"""Compares images side by side."""

from __future__ import annotations

import json
from importlib import import_module

import click

from layerlab import compare, demo
from layerlab.cli.options import as_json, examples, find_engine, platform
from layerlab.cli.xray import is_file, read_image


@click.command(
    "compare",
    epilog=examples(
        "./lab compare",
        "./lab compare single optimized --paths",
        "./lab compare optimized minimal",
        "./lab compare single optimized python:3.13-slim-trixie --json",
    ),
)
@click.argument("images", nargs=-1)
@click.option("--layers", is_flag=True, help="Also show how the layers differ.")
@click.option("--paths", is_flag=True, help="Also show the largest paths that differ; with --json all of them.")
@platform
@as_json
def command(images: tuple[str, ...], layers: bool, paths: bool, platform: str | None, as_json: bool) -> int:
    """Compare images side by side.

    First their sizes, then where the difference is (by part, by folder, by package), then what their configurations
    say differently. Of more than two images, each is compared with the first.

    IMAGES are names, ids, or files: written by `docker save`, or OCI layouts. Without any, the lab's own that are
    built.
    """
    engine = find_engine(needed=not images or not all(map(is_file, images)))
    looked = [read_image(engine, name, platform) for name in images or demo.of_interest(engine)]
    if as_json:
        print(json.dumps(compare.document(engine, looked, differences=True, paths=paths), indent=2))
    else:
        tables = import_module("layerlab.cli.image_tables")  # needs pandas, which a JSON document does not
        tables.print_comparison(looked)
        tables.print_surfaces(engine, looked)
        tables.print_differences(looked, layers=layers, paths=paths)
    return 0
