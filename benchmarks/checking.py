"""How long a check takes, beside building, running, asking and stopping the same image by hand: all in one run.

    python -m benchmarks.checking

The solution is the worked example. Before each check its last line is edited, so nothing of a verdict or of the image
can be remembered; the caches of the earlier steps are warm, as they are for a learner who saves and checks again.
`process` is ``./lab check DIR --json`` from its start to its end. By hand, somebody types three commands and knows
whether it builds and answers, and nothing of what the seven tasks ask.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd

from layerlab import engine as engines
from layerlab import exercise, service
from layerlab.build import build
from layerlab.checker import check
from layerlab.engine import Engine
from layerlab.paths import ROOT

_TASKS: Final = 7


def measure(repeat: int = 5) -> pd.DataFrame:
    """Time checks of the worked example, each after an edit of its last line.

    Args:
        repeat: How often each way is taken; after a first check that warms the caches.

    Returns:
        `what` str, `median_seconds`, `least_seconds`, `most_seconds` float64, `score` Int64.
    """
    engine = engines.connect()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "solution"
        exercise.make(folder)
        check(engine, _edited(folder, 0))
        ways: dict[str, Callable[[], int | None]] = {
            "build, run, ask, stop by hand": lambda: _by_hand(engine, folder),
            "check": lambda: check(engine, folder).score,
            "process": lambda: _process(folder),
        }
        for number, (what, way) in enumerate(ways.items()):
            seconds, scores = [], []
            for attempt in range(repeat):
                _edited(folder, 1 + number * repeat + attempt)
                began = time.perf_counter()
                scores.append(way())
                seconds.append(time.perf_counter() - began)
            rows.append((what, statistics.median(seconds), min(seconds), max(seconds), scores[-1]))
    table = pd.DataFrame(rows, columns=["what", "median_seconds", "least_seconds", "most_seconds", "score"])
    return table.astype({"score": "Int64"})


def _edited(folder: Path, number: int) -> Path:
    """The worked example with another last line: a step that is not in the cache."""
    shutil.copy(ROOT / "Dockerfile", folder / "Dockerfile")
    with (folder / "Dockerfile").open("a", encoding="utf-8") as file:
        file.write(f'LABEL edit="{number} {time.time_ns()}"\n')
    return folder


def _by_hand(engine: Engine, folder: Path) -> None:
    built = build(engine, folder)
    try:
        with service.run(engine, built.image_id, hardened=False) as running:
            running.get("/status")
            running.get("/info")
            running.stop()
    finally:
        engine.client.images.remove(built.image_id, force=True)


def _process(folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "layerlab", "check", str(folder), "--json"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    return _TASKS if done.returncode == 0 else 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="how often each way is taken (default 5)")
    table = measure(parser.parse_args().repeat)
    print(table.to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
