"""The commands that look after the lab: clean, doctor and test."""

from __future__ import annotations

import json
from contextlib import ExitStack
from importlib.util import find_spec

import click

from layerlab.builder import cache
from layerlab.cli.build import build_with_progress
from layerlab.cli.common import as_json, err, examples, find_engine, out, stand_ins
from layerlab.demo import images
from layerlab.engine import connect, daemon, runs
from layerlab.errors import UsageError
from layerlab.maintenance import chromium, doctor, test_run
from layerlab.maintenance.clean import clean
from layerlab.ui import displays


@click.command("clean", epilog=examples("./lab clean", "./lab clean --bases --engine"))
@click.option("--bases", "base_images", is_flag=True, help="Remove the base images that the lab pulled or made, too.")
@click.option("--engine", "stops_engine", is_flag=True, help="Stop the Docker engine, if the lab started it.")
def clean_command(base_images: bool, stops_engine: bool) -> int:
    """Remove what the lab made, nothing else.

    Containers, images, volumes and networks, as far as the lab made them. The build cache stays.
    """
    engine = connect()  # an engine is not started only to be cleaned
    removals = clean(engine, base_images=base_images)
    runs.sweep(engine)
    for removal in removals:
        state = f"kept: {removal.why_not}" if removal.why_not else "removed"
        out.print(f"{removal.kind} {removal.name}: {state}", markup=False)
    if not removals:
        out.print("There was nothing of the lab's to remove.")
    if stops_engine:
        with displays.terminal("Docker engine") as report:
            stopped = daemon.stop(report)
        out.print("The engine is stopped." if stopped else "The engine was not started by the lab: it goes on.")
    return 0


@click.command("doctor", epilog=examples("./lab doctor", "./lab doctor --json"))
@as_json
def doctor_command(as_json: bool) -> int:
    """Tell what is here and what is missing.

    And what to do about it. Changes nothing.
    """
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


@click.command(
    "test", epilog=examples("./lab test", "./lab test --fast", "./lab test --no-engine", "./lab test --all")
)
@click.option("--fast", is_flag=True, help="An answer within a minute: style, types, and a choice of the tests.")
@click.option("--all", "everything", is_flag=True, help="Also judge those labelled solutions that vary the others.")
@click.option(
    "--no-engine", is_flag=True, help="Leave out what needs a Docker engine (and so the notebooks and the browser)."
)
@click.option("--no-notebooks", is_flag=True, help="Leave out the notebooks.")
@click.option("--no-browser", is_flag=True, help="Leave out what needs a Chromium.")
@stand_ins
def test_command(  # noqa: PLR0917  # click calls it by names
    fast: bool, everything: bool, no_engine: bool, no_notebooks: bool, no_browser: bool, stand_ins: bool | None
) -> int:
    """Pass all the tests.

    Style and types, then unit tests, then a real engine, then every notebook, then JupyterLab in a real browser
    (Debian's Chromium, which is installed where that is allowed); one summary at the end.
    """
    if fast and everything:
        raise UsageError("--fast and --all exclude each other", remedy="choose one of them, or neither")
    if find_spec("pytest") is None:
        raise UsageError(
            "the tests' packages are not in this environment",
            remedy="./lab test installs them, and so does uv sync or pip install --group test",
        )
    parts = [
        part
        for part in (test_run.FAST if fast else test_run.ALL if everything else test_run.PARTS)
        if not (part.needs_engine and no_engine)
        and not (part.needs_browser and no_browser)
        and not (part.name == "notebooks" and no_notebooks)
    ]

    def prepare() -> None:
        engine = find_engine()
        afterwards.enter_context(cache.trimming(engine, test_run.MOST_CACHED))
        # The single-stage image takes a while after each change of the app, and no fast test looks at it.
        for name in ["optimized"] if fast else images.RECIPES:
            build_with_progress(engine, name, stand_ins=stand_ins)

    def prepare_browser() -> None:
        with displays.terminal("Chromium") as report:
            err.print(f"{chromium.ensure(report)}", markup=False)

    with ExitStack() as afterwards:
        return test_run.run(parts, prepare=prepare, prepare_browser=prepare_browser, say=err.print)
