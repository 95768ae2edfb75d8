"""Runs the service in the foreground."""

from __future__ import annotations

import sys

import click

from layerlab import demo, service
from layerlab.cli.options import err, examples, find_engine


@click.command("run", epilog=examples("./lab run", "./lab run single --port 5001"))
@click.argument("image", default="optimized")
@click.option("--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1  [default: 5000, or a free one]")
def command(image: str, port: int | None) -> int:
    """Run the service until Ctrl-C.

    IMAGE is one of the lab's, or any other of the service. Its container is removed at the end.
    """
    engine = find_engine()

    def ready(running: service.Service) -> None:
        err.print(f"{image} answers at {running.url} after {running.seconds_to_first_answer:.1f} s; Ctrl-C stops it")

    return service.run_foreground(engine, demo.resolve(engine, image), port=port, on_ready=ready, output=sys.stdout)
