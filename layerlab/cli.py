"""The commands. They read options, call the modules that do the work, and print; no logic of their own.

Exit status: 0 done; 1 the answer is no; 2 it could not be done, with one line on stderr and nothing on stdout.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click
import docker.errors
import pandas as pd
import requests

from layerlab import bases, compare, displays, doctor, engine_setup, tables, workshop
from layerlab.cleaning import clean
from layerlab.engine import Engine, connect
from layerlab.errors import LabError, StepFailed
from layerlab.serve import serve

out = tables.console(sys.stdout)
err = tables.console(sys.stderr)

stand_ins = click.option(
    "--stand-ins",
    is_flag=True,
    default=None,
    help="Where no registry answers, make stand-ins for the base images although the lab did not start this engine.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(invoke_without_command=True, context_settings=settings)
@click.option("--serve/--no-serve", "serves", default=True, help="Serve JupyterLab at the end (the default).")
@click.option("--port", type=click.IntRange(1, 65535), help="JupyterLab's port  [default: a free one from 8888]")
@click.option("--browser/--no-browser", default=True, help="Open a browser where there is a screen (the default).")
@stand_ins
@click.pass_context
def cli(context: click.Context, serves: bool, port: int | None, browser: bool, stand_ins: bool | None) -> int:
    """A hands-on lab on multi-stage Docker builds.

    Without a command: finds or starts a Docker engine, builds the single-stage and the multi-stage image of one small
    Flask service, compares them, and serves the notebooks in JupyterLab on 127.0.0.1.
    """
    if context.invoked_subcommand:
        return 0
    engine = _engine()
    for name in workshop.RECIPES:
        _build(engine, name, stand_ins=stand_ins)
    _print_comparison(engine, list(workshop.RECIPES))
    if not serves:
        return 0

    def say(url: str) -> None:
        out.print(f"\nJupyterLab is at  {url}", style="bold")
        out.print("Ctrl-C here ends it.")

    return serve(engine, port=port, say=say, open_browser=browser)


@cli.command()
@click.argument("names", nargs=-1, type=click.Choice(list(workshop.RECIPES)))
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@stand_ins
def build(names: tuple[str, ...], no_cache: bool, stand_ins: bool | None) -> int:
    """Build the lab's images (all of them, or those named), showing each step."""
    engine = _engine()
    for name in names or tuple(workshop.RECIPES):
        _build(engine, name, no_cache=no_cache, stand_ins=stand_ins)
    return 0


@cli.command()
@click.argument("image", default="optimized")
@click.option("--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1  [default: 5000, or a free one]")
def run(image: str, port: int | None) -> int:
    """Run IMAGE (one of the lab's, or any other of the service) in the foreground; Ctrl-C stops and removes it."""
    from layerlab import service  # noqa: PLC0415  # only this command needs it

    engine = _engine()

    def ready(running: service.Service) -> None:
        err.print(f"{image} answers at {running.url} after {running.seconds_to_first_answer:.1f} s; Ctrl-C stops it")

    return service.run_foreground(
        engine, workshop.resolve(engine, image), port=port, on_ready=ready, output=sys.stdout
    )


@cli.command("compare")
@click.argument("images", nargs=-1)
@as_json
def compare_command(images: tuple[str, ...], as_json: bool) -> int:
    """Compare IMAGES: names, ids, files written by `docker save`, or the lab's own single and optimized."""
    engine = _engine(needed=not images or not all(map(_is_file, images)))
    names = list(images or workshop.RECIPES)
    if as_json:
        print(json.dumps(compare.document([workshop.look(engine, name) for name in names]), indent=2))
    else:
        _print_comparison(engine, names)
    return 0


@cli.command()
@click.argument("image")
@as_json
def xray(image: str, as_json: bool) -> int:
    """Show the layers of IMAGE, what each adds and wastes, and whose the bytes are."""
    engine = _engine(needed=not _is_file(image))
    looked = workshop.look(engine, image)
    if as_json:
        print(json.dumps(compare.document([looked]), indent=2))
        return 0
    layers = tables.megabytes(looked.layers, ["bytes", "live_bytes", "wasted_bytes"])
    layers["instruction"] = layers["instruction"].str.slice(0, 70)
    headings = {
        "index": "layer", "bytes": "MB", "live_bytes": "live MB", "wasted_bytes": "wasted MB", "files": "files",
        "line": "line", "instruction": "instruction",
    }  # fmt: skip
    tables.show(out, layers, title=f"Layers of {tables.printable(image)}", headings=headings)
    parts = looked.files.groupby("part", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    parts = tables.megabytes(parts, ["sum"]).sort_values("sum", ascending=False)
    out.print()
    tables.show(out, parts, title="What is live", headings={"part": "part", "sum": "MB", "count": "files"})
    largest = tables.megabytes(looked.packages.nlargest(12, "bytes"), ["bytes"])
    headings = {"name": "package", "version": "version", "manager": "manager", "bytes": "MB", "files": "files"}
    out.print()
    tables.show(out, largest, title="The largest packages", headings=headings)
    waste = looked.waste.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    out.print()
    if waste.empty:
        out.print("Nothing is wasted: every byte that is stored can be seen in a container.")
    else:
        headings = {"cause": "cause", "sum": "MB", "count": "files"}
        tables.show(out, tables.megabytes(waste, ["sum"]), title="What no container can see", headings=headings)
    return 0


@cli.command("clean")
@click.option("--bases", "base_images", is_flag=True, help="Remove the base images that the lab pulled or made, too.")
@click.option("--engine", "stops_engine", is_flag=True, help="Stop the Docker engine, if the lab started it.")
def clean_command(base_images: bool, stops_engine: bool) -> int:
    """Remove the containers, images, volumes and networks that the lab made, and nothing else."""
    engine = connect()  # an engine is not started only to be cleaned
    removals = clean(engine, base_images=base_images)
    for removal in removals:
        state = f"kept: {removal.why_not}" if removal.why_not else "removed"
        out.print(f"{removal.kind} {removal.name}: {state}", markup=False)
    if not removals:
        out.print("There was nothing of the lab's to remove.")
    if stops_engine:
        with displays.terminal("Docker engine") as report:
            stopped = engine_setup.stop(report)
        out.print("The engine is stopped." if stopped else "The engine was not started by the lab: it goes on.")
    return 0


@cli.command("doctor")
@as_json
def doctor_command(as_json: bool) -> int:
    """Tell what is here, what is missing, and what to do. Changes nothing."""
    findings = doctor.examine()
    missing = any(finding.state == "missing" for finding in findings)
    if as_json:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
        return int(missing)
    for finding in findings:
        sign = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "missing": "[red]✗[/]"}[finding.state]
        out.print(sign, end=" ")
        out.print(f"{finding.what}: {finding.seen}", markup=False)
        if finding.remedy:
            out.print(f"    → {finding.remedy}", markup=False)
    return int(missing)


@cli.command("test")
@click.option("--no-engine", is_flag=True, help="Leave out what needs a Docker engine (and so the notebooks).")
@click.option("--no-notebooks", is_flag=True, help="Leave out the notebooks.")
@stand_ins
def test_command(no_engine: bool, no_notebooks: bool, stand_ins: bool | None) -> int:
    """Pass all the tests: style and types, then unit tests, then a real engine, then every notebook."""
    from layerlab import testing  # noqa: PLC0415  # only this command needs it

    parts = [
        part
        for part in testing.PARTS
        if not (part.needs_engine and no_engine) and not (part.name == "notebooks" and no_notebooks)
    ]

    def prepare() -> None:
        engine = _engine()
        for name in workshop.RECIPES:
            _build(engine, name, stand_ins=stand_ins)

    return testing.run(parts, prepare=prepare, say=err.print)


def _is_file(name: str) -> bool:
    """Whether this names an archive or a layout on disk rather than an image on the engine."""
    return name not in workshop.RECIPES and Path(name).exists()


def _engine(*, needed: bool = True) -> Any:
    """The engine; None where none is needed and none answers."""
    if not needed:
        return None
    with displays.terminal("Docker engine") as report:
        return engine_setup.ensure(report=report)


def _build(engine: Engine, name: str, *, no_cache: bool = False, stand_ins: bool | None) -> None:
    recipe = workshop.recipe(name)
    with displays.terminal(f"{recipe.tag} from {recipe.dockerfile}") as report:
        workshop.build_image(engine, name, no_cache=no_cache, allow_stand_ins=stand_ins, report=report)


def _print_comparison(engine: Engine | None, names: Sequence[str]) -> None:
    images = [workshop.look(engine, name) for name in names]
    frame = compare.compare(images)
    seconds = [workshop.cold_build_seconds(name) for name in names]
    frame["build_seconds"] = pd.Series(seconds, dtype="Float64").to_numpy()
    frame["share"] = [f"{ratio:.1%}" for ratio in frame["ratio"]]
    headings = {
        "name": "image", "bytes": "MB", "share": "share", "wasted_bytes": "wasted", "layers": "layers",
        "files": "files", "build_seconds": "build s",
    }  # fmt: skip
    out.print()
    sizes = tables.megabytes(frame, ["bytes", "wasted_bytes"])
    tables.show(
        out,
        sizes,
        title="Comparison: MB (10^6 bytes) uncompressed, seconds of the build without a cache",
        headings=headings,
    )
    if line := compare.in_words(images):
        out.print(line, markup=False)
    if engine and any(bases.is_on_stand_ins(engine, image.id) for image in images):
        out.print("Built on stand-ins for the official base images, made from Debian packages: no registry answered.")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one return for each way to end
    """Run the command line; returns the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        result = cli.main(args=arguments, prog_name="lab", standalone_mode=False)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "lab"
        return _fail(f"{error.format_message().rstrip('.')}: see ./{command} --help")
    except (KeyboardInterrupt, click.Abort):
        err.print("\nlab: interrupted; what it had started is ended")
        return 130
    except StepFailed as error:
        err.print(error.log, markup=False)
        return _fail(error.one_line)
    except LabError as error:
        return _fail(error.one_line)
    except (docker.errors.DockerException, requests.RequestException) as error:
        return _fail(f"the Docker engine did not do what it was asked ({error}): see ./lab doctor and repeat")
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing is left to say
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _fail("the disk is full: make room (`docker system df` shows what images take) and repeat")
    return result if isinstance(result, int) else 0


def _fail(line: str) -> int:
    err.print(f"lab: {tables.printable(' '.join(line.split()))}", markup=False)
    return 2
