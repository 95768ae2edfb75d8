"""Shows what is in an image."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from layerlab import compare, demo, xray
from layerlab.cli.options import PATH, as_json, err, examples, find_engine, platform
from layerlab.compare import ci_limits
from layerlab.compare.ci_limits import Amount, Check
from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine
from layerlab.errors import OtherDockerfile, UsageError
from layerlab.image import Image
from layerlab.image.formats import archive
from layerlab.image.store import sources
from layerlab.paths import write_output
from layerlab.ui import displays
from layerlab.ui.text import printable
from layerlab.ui.units import how_large
from layerlab.xray import BuildSource, Examined


@click.command(
    "xray",
    epilog=examples(
        "./lab xray optimized",
        "./lab xray python:3.13-trixie --json",
        "./lab xray single --advice",
        "./lab xray single --html single.html",
        "./lab xray optimized --sbom optimized.cdx.json",
        "./lab xray optimized --max-size 300MB --max-waste 5% --no-root --json",
    ),
)
@click.argument("image")
@click.option("--origins", is_flag=True, help="Trace each file to the stage and line that made it.")
@click.option("--advice", is_flag=True, help="Say what to change, and what that would save.")
@click.option("--prove", is_flag=True, help="Make those edits in a copy, build it, and measure what they save.")
@click.option("--html", metavar="FILE", type=PATH, help="Write all of it to one HTML file.")
@click.option("--sbom", metavar="FILE", type=PATH, help="Write a bill of materials (CycloneDX).")
@click.option(
    "--dockerfile",
    metavar="FILE",
    help="What IMAGE was built from, as the lab knows of its own images; implies --origins.",
)
@click.option("--context", metavar="DIR", help="The build context  [default: the Dockerfile's folder]")
@click.option("--target", metavar="STAGE", help="The stage that IMAGE is  [default: the last]")
@click.option("--build-arg", "arguments", metavar="NAME=VALUE", multiple=True, help="As IMAGE was built with.")
@click.option("--max-size", metavar="SIZE", type=ci_limits.size, help="Status 1 if it stores more, such as 300MB.")
@click.option(
    "--max-waste",
    metavar="SIZE|SHARE",
    type=lambda text: ci_limits.size(text, or_share=True),
    help="Status 1 if more than this is stored but seen by no container, such as 5% or 10MB.",
)
@click.option("--no-root", is_flag=True, help="Status 1 if a container of it starts as root.")
@platform
@as_json
def command(  # noqa: PLR0917  # click calls it by names
    image: str,
    origins: bool,
    advice: bool,
    prove: bool,
    html: Path | None,
    sbom: Path | None,
    max_size: Amount | None,
    max_waste: Amount | None,
    no_root: bool,
    platform: str | None,
    as_json: bool,
    **said: Any,
) -> int:
    """Show what is in an image.

    Its layers, what each stores and wastes, and whose the bytes are. IMAGE is a name, an id, or a file: one written
    by `docker save`, or an OCI layout (a folder or a tar file), compressed or not. Sizes are of files without
    compression; MB are 10^6 bytes.

    --sbom lists what is installed, and each file that no package owns. Of an OCI layout with attestations, it says
    beside that what these list (SPDX), and what the image was made from (provenance).

    With --origins, --advice, --prove or --html, what it was built from is built again, which takes a moment where all
    of it is in the build cache. What is built is removed.

    With limits, the status is 1 where one is broken, and a line on stderr says which: docs/ci.md.
    """
    for path in (html, sbom):
        if path and not os.path.isdir(path.parent):  # noqa: PTH112  # Path.is_dir() raises where a name is too long
            raise UsageError(
                f"{path} cannot be written: there is no folder {path.parent}", remedy="name one that is there"
            )
    source = _source(**said)
    origins = origins or source is not None
    examines = origins or advice or prove or html is not None
    engine = find_engine(needed=source is not None or not is_file(image))
    if source is not None and engine is not None:
        source = dataclasses.replace(source, platform=engine.platform)
    if source is None and engine is not None and examines:
        source = xray.own_source(engine, image)
    looked = read_image(engine, image, platform, source.built_from if source else None)
    checks = ci_limits.check(looked, max_size=max_size, max_waste=max_waste, no_root=no_root)
    found: Examined | None = None
    if examines or as_json:
        must_fit = origins or advice or prove
        reads = advice or prove or html is not None
        found = _examine(engine, looked, source, reads=reads, proves=prove, must_fit=must_fit)
    if html and found:
        _write_report(html, found, checks)
    if sbom:
        _write_bill_of_materials(sbom, engine, looked, image)
    if as_json and found:
        document = compare.document(engine, [looked])
        document |= xray.document(found)
        if checks:
            document["limits"] = [vars(check) for check in checks]
        print(json.dumps(document, indent=2))
    elif not (html or sbom):
        tables = import_module("layerlab.cli.image_tables")  # needs pandas, which a JSON document does not
        tables.print_image(looked)
        tables.print_surfaces(engine, [looked])
        if found is not None:
            tables.print_examined(found, advice=advice or prove)
    for line in ci_limits.broken(checks):
        err.print(f"lab: {printable(line)}")
    return int(any(not check.ok for check in checks))


def _source(
    *, dockerfile: str | None, context: str | None, target: str | None, arguments: Sequence[str]
) -> BuildSource | None:
    """What an image was built from, as the options say."""
    if dockerfile is None:
        if context or target or arguments:
            raise UsageError(
                "--context, --target and --build-arg are about a Dockerfile", remedy="name it with --dockerfile FILE"
            )
        return None
    path = Path(dockerfile)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file() raises where a name is too long
        raise UsageError(
            f"there is no file {dockerfile!r}", remedy="name the Dockerfile that the image was built from"
        )
    values = {}
    for argument in arguments:
        name, is_given, value = argument.partition("=")
        if is_given:
            values[name] = value
        elif name in os.environ:  # as docker build does
            values[name] = os.environ[name]
    return BuildSource(path, Path(context) if context else path.parent, target, values)


def _examine(
    engine: Engine | None, looked: Image, source: BuildSource | None, *, reads: bool, proves: bool, must_fit: bool
) -> Examined:
    """Find out more about an image. If need not be, a Dockerfile that has changed since is left out, and said so."""
    with displays.terminal(f"looking into {looked.name}") as report:
        try:
            return xray.examine(engine, looked, source, read_contents=reads, proves=proves, report=report)
        except OtherDockerfile as error:
            if must_fit:
                raise
            without = f"{error}: where its files came from is left out"
        found = xray.examine(engine, looked, read_contents=reads, report=report)
    err.print(f"lab: {printable(without)}")
    return found


def _write_report(path: Path, found: Examined, checks: Sequence[Check]) -> None:
    """Write the HTML report of an image and of what was found out about it beyond that."""
    from layerlab import report  # noqa: PLC0415  # draws pictures, which takes long to load

    source = found.source
    dockerfile, name = (source.parsed, source.dockerfile.name) if source else (None, "")
    with displays.terminal(f"Report of {found.image.name}") as progress:
        text = report.html(found.image, dockerfile, name=name, checks=checks, found=found, report=progress)
    write_output(path, text)
    size = how_large(len(text.encode()), exactly=True)
    err.print(f"{path}: {size}, all in one file; open it in a browser")


def _write_bill_of_materials(path: Path, engine: Engine | None, looked: Image, name: str) -> None:
    from layerlab.image.store import file_reader  # noqa: PLC0415  # the library for it takes a second to load
    from layerlab.xray.bill_of_materials import beside, bill_of_materials  # noqa: PLC0415

    text = bill_of_materials(looked, file_reader.for_image(engine, looked))
    write_output(path, text)
    kinds = Counter(component["type"] for component in json.loads(text)["components"])
    err.print(f"{path}: {kinds['library']:,} packages, {kinds['file']:,} files that no package owns; CycloneDX 1.6")
    for line in beside(text, archive.statements(Path(name), looked.id) if is_file(name) else ()):
        err.print(f"{printable(name)}: {printable(line)}")


def read_image(engine: Engine | None, name: str, platform: str | None, built_from: Dockerfile | None = None) -> Image:
    """Look at an image, and show progress if it takes long."""
    with displays.terminal("Looking into the image") as report:
        return demo.read(engine, name, built_from=built_from, platform=platform, report=report)


def is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in demo.RECIPES and sources.is_file(name)
