"""The commands that look at images."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from layerlab import budget, compare, workshop
from layerlab.budget import Amount
from layerlab.commands.common import as_json, err, find_engine
from layerlab.errors import UsageError
from layerlab.terminal import printable


class AmountType(click.ParamType[Amount]):
    """An amount on the command line; what cannot be one is a usage error."""

    def __init__(self, name: str, read: Callable[[str], Amount]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Amount:
        """Called by click."""
        if isinstance(value, Amount):
            return value
        try:
            return self._read(str(value))
        except UsageError as error:
            self.fail(f"{error}: {error.remedy}", param, ctx)


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
@click.option(
    "--dockerfile", type=click.Path(path_type=Path), help="What IMAGE was built from: ties layers to lines."
)
@click.option("--html", type=click.Path(path_type=Path), help="Write all of it to this HTML file instead.")
@click.option("--max-size", type=AmountType("size", budget.size), help="Status 1 if it stores more, such as 300MB.")
@click.option(
    "--max-waste",
    type=AmountType("size or share", budget.size_or_share),
    help="Status 1 if more than this is stored but seen by no container, such as 5% or 10MB.",
)
@click.option("--no-root", is_flag=True, help="Status 1 if a container of it starts as root.")
@as_json
def xray(  # noqa: PLR0917  # click calls it by names
    image: str,
    dockerfile: Path | None,
    html: Path | None,
    max_size: Amount | None,
    max_waste: Amount | None,
    no_root: bool,
    as_json: bool,
) -> int:
    """Show what is in an image.

    Its layers, what each stores and wastes, and whose the bytes are. IMAGE is a name, an id, or a file written by
    `docker save`. Sizes are of files without compression; MB are 10^6 bytes.

    With limits, the status is 1 where one is broken, and a line on stderr says which: docs/ci.md.
    """
    if html and not html.parent.is_dir():
        raise UsageError(
            f"{html} cannot be written: there is no folder {html.parent}", remedy="name one that is there"
        )
    built_from = workshop.read_dockerfile(dockerfile) if dockerfile else None
    engine = find_engine(needed=not _is_file(image))
    looked = workshop.look(engine, image, built_from=built_from)
    checks = budget.check(looked, max_size=max_size, max_waste=max_waste, no_root=no_root)
    if html:
        recipe = workshop.recipe_of(image)
        path = dockerfile or (recipe.path if recipe else None)
        import_module("layerlab.commands.reporting").write_report(html, looked, path, checks)
    if as_json:
        document = compare.document([looked])
        if checks:
            document["limits"] = [check.document() for check in checks]
        print(json.dumps(document, indent=2))
    elif not html:
        _printing().print_image(looked)
    for line in budget.broken(checks):
        err.print(f"lab: {printable(line)}", markup=False)
    return int(any(not check.ok for check in checks))


def _printing() -> ModuleType:
    """What prints tables is imported when a table is printed: it needs pandas, and a JSON document does not."""
    return import_module("layerlab.commands.printing")


def _is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in workshop.RECIPES and Path(name).exists()
