"""What ``./lab`` does without a command."""

from __future__ import annotations

from layerlab import demo
from layerlab.builder import build_cache
from layerlab.cli.build import build_image
from layerlab.cli.compare_tables import print_comparison
from layerlab.cli.options import err, find_engine, out
from layerlab.jupyter.serve import serve


def up(*, serves: bool, port: int | None, browser: bool, stand_ins: bool | None) -> int:
    """Everything that ``./lab`` does without a command."""
    engine = find_engine()
    for name in demo.FIRST:
        build_image(engine, name, stand_ins=stand_ins)
    print_comparison([demo.read(engine, name) for name in demo.FIRST], demo.FIRST)
    if (size := build_cache.size(engine) or 0) > build_cache.MUCH:
        err.print(f"\nThe build cache holds {size / 1e9:.0f} GB: {build_cache.EMPTY_IT}.")
    if not serves:
        return 0

    def say(url: str) -> None:
        out.print(f"\nJupyterLab is at  {url}", style="bold")
        out.print("Ctrl-C here ends it.")

    return serve(engine, port=port, say=say, open_browser=browser)
