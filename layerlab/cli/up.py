"""What ``./lab`` does without a command."""

from __future__ import annotations

from layerlab.builder import cache
from layerlab.cli.build import build_image
from layerlab.cli.common import err, find_engine, out
from layerlab.cli.compare_tables import print_comparison
from layerlab.demo import images
from layerlab.jupyter.serve import serve


def up(*, serves: bool, port: int | None, browser: bool, stand_ins: bool | None) -> int:
    """Everything that ``./lab`` does without a command."""
    engine = find_engine()
    for name in images.RECIPES:
        build_image(engine, name, stand_ins=stand_ins)
    print_comparison([images.look(engine, name) for name in images.RECIPES], list(images.RECIPES))
    if (size := cache.size(engine) or 0) > cache.MUCH:
        err.print(f"\nThe build cache holds {size / 1e9:.0f} GB: {cache.EMPTY_IT}.", markup=False)
    if not serves:
        return 0

    def say(url: str) -> None:
        out.print(f"\nJupyterLab is at  {url}", style="bold")
        out.print("Ctrl-C here ends it.")

    return serve(engine, port=port, say=say, open_browser=browser)
