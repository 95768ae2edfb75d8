"""How long a look at an image takes, beside dive's and beside ``docker save`` alone: all in one run.

    python -m benchmarks.analysis multi-stage-demo:single

A first look has an empty cache, a second look the one that the first has filled. `tables` is `layerlab.image.read`
with its four DataFrames, in a Python that has everything imported; `process` is a process from its start to the JSON
document that it prints. dive (https://github.com/wagoodman/dive) writes what it finds as JSON, too. It reads what
``docker save`` writes, so it can never be faster than that.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

_TABLES: Final = """
import sys, time
from layerlab import engine, image
from layerlab.image import frames
connected = engine.connect()
started = time.perf_counter()
looked = image.read(connected, sys.argv[1])
looked.layers, looked.files, looked.waste, looked.packages
print(time.perf_counter() - started)
"""
_PROCESS: Final = """
import json, sys
from layerlab import compare, engine, image
print(json.dumps(compare.document([image.read(engine.connect(), sys.argv[1])])))
"""


def measure(name: str, repeat: int = 3) -> pd.DataFrame:
    """Time the ways to look at an image of the engine.

    Args:
        name: The image.
        repeat: How often each of the lab's own looks is taken; the median counts.

    Returns:
        `what` str, `seconds` float64, `dive_takes` float64 (dive's seconds as a multiple of these).
    """
    engine_client = _program("docker")
    with tempfile.TemporaryDirectory() as folder:
        seconds = {
            "docker save": _seconds([engine_client, "save", name]),
            "dive --json": _seconds([_program("dive"), name, "--json", f"{folder}/dive.json"]),
            **_looks(name, repeat, Path(folder)),
        }
    table = pd.DataFrame({"what": pd.array(list(seconds), dtype="str"), "seconds": list(seconds.values())})
    table["dive_takes"] = seconds["dive --json"] / table["seconds"]
    return table.iloc[::-1].reset_index(drop=True)


def _looks(name: str, repeat: int, folder: Path) -> dict[str, float]:
    """First and second looks, the median of each."""
    looks: dict[str, list[float]] = {}
    for number in range(repeat):
        for kind, code in (("tables", _TABLES), ("process", _PROCESS)):
            environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"{kind} {number}")}
            for which in ("first", "second"):
                started = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", code, name], env=environment, check=True, stdout=subprocess.PIPE, text=True
                )
                whole = time.perf_counter() - started
                seconds = float(done.stdout) if kind == "tables" else whole
                looks.setdefault(f"{which} look, {kind}", []).append(seconds)
    return {which: statistics.median(times) for which, times in sorted(looks.items())}


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def _program(name: str) -> str:
    """A program beside this Python, or on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        sys.exit(f"benchmarks.analysis: there is no {name} here: install requirements/test.txt and the docker client")
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Time a look at an image, beside dive's.")
    parser.add_argument("image", help="an image of the engine, such as multi-stage-demo:single")
    parser.add_argument("--repeat", type=int, default=3, help="how often each of the lab's looks is taken (3)")
    options = parser.parse_args()
    table = measure(options.image, options.repeat)
    print(f"{options.image}; load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(
        table.rename(columns={"dive_takes": "dive takes"}).to_string(
            index=False,
            formatters={"seconds": "{:.2f}".format, "dive takes": "{:.1f} times as long".format},
        )
    )


if __name__ == "__main__":
    main()
