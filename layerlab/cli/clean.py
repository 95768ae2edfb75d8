"""Removes what the lab made."""

from __future__ import annotations

import click

from layerlab.cli.options import examples, out
from layerlab.engine import connect, daemon, runs
from layerlab.maintenance import clean
from layerlab.ui import displays


@click.command("clean", epilog=examples("./lab clean", "./lab clean --bases --engine"))
@click.option("--bases", "base_images", is_flag=True, help="Remove the base images that the lab pulled or made, too.")
@click.option("--engine", "stops_engine", is_flag=True, help="Stop the Docker engine, if the lab started it.")
def command(base_images: bool, stops_engine: bool) -> int:
    """Remove what the lab made, nothing else.

    Containers and images, as far as the lab made them. The build cache stays.
    """
    engine = connect()  # an engine is not started only to be cleaned
    removals = clean(engine, base_images=base_images)
    runs.sweep(engine)
    for owned, why_not in removals:
        out.print(f"{owned.kind} {owned.name}: {f'kept: {why_not}' if why_not else 'removed'}")
    if not removals:
        out.print("There was nothing of the lab's to remove.")
    if stops_engine:
        with displays.terminal("Docker engine") as report:
            stopped = daemon.stop(report)
        out.print("The engine is stopped." if stopped else "The engine was not started by the lab: it goes on.")
    return 0
