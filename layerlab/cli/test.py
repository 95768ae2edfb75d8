"""Passes all the tests."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec

import click

from layerlab import demo
from layerlab.builder import build_cache
from layerlab.cli.build import build_image
from layerlab.cli.options import err, examples, find_engine, stand_ins
from layerlab.errors import UsageError
from layerlab.maintenance import chromium, test_run
from layerlab.ui import displays


@click.command(
    "test", epilog=examples("./lab test", "./lab test --fast", "./lab test --no-engine", "./lab test --all")
)
@click.option("--fast", is_flag=True, help="Style, types, and a choice of the tests: while you work.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what takes long: every labelled solution, every notebook in the browser.",
)
@click.option(
    "--no-engine", is_flag=True, help="Leave out what needs a Docker engine (and so the notebooks and the browser)."
)
@click.option("--no-notebooks", is_flag=True, help="Leave out the notebooks.")
@click.option("--no-browser", is_flag=True, help="Leave out what needs a Chromium.")
@stand_ins
def command(  # noqa: PLR0917  # click calls it by names
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
        afterwards.enter_context(build_cache.trimming(engine, test_run.MOST_CACHED))
        # The single-stage image takes a while after each change of the app, and no fast test looks at it.
        for name in ["optimized"] if fast else demo.FIRST:
            build_image(engine, name, stand_ins=stand_ins)

    def prepare_browser() -> None:
        with displays.terminal("Chromium") as report:
            err.print(f"{chromium.ensure(report)}")

    with ExitStack() as afterwards:
        return test_run.run(parts, prepare=prepare, prepare_browser=prepare_browser, say=err.print)
