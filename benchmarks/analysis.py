"""How long a look at the single-stage image takes, beside dive's and beside ``docker save`` alone.

A first look has an empty cache, a second look the one that the first has filled. The tables are `layerlab.image.read`
with its four DataFrames, in a Python that has everything imported; the document is a process from its start to the
JSON that it prints. dive (https://github.com/wagoodman/dive) writes what it finds as JSON, too. It reads what
``docker save`` writes, so it can never be faster than that.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import programs
from benchmarks.rows import Row, Setting
from layerlab import workshop

PROGRAMS: Final = ("docker", "dive")
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
_DOCUMENT: Final = """
import json, sys
from layerlab import compare, engine, image
print(json.dumps(compare.document([image.read(engine.connect(), sys.argv[1])])))
"""


def rows(setting: Setting) -> Iterator[Row]:
    """First and second looks beside dive, and a first look beside ``docker save``."""
    name = str(workshop.find(setting.engine, "single").id)
    environment = {"DOCKER_HOST": setting.engine.endpoint}
    save_command = [programs.find("docker"), "save", name]
    dive_command = [programs.find("dive"), name, "--json", str(setting.folder / "dive.json")]
    save = setting.once("docker save", lambda: programs.run(save_command, environment))
    dives = setting.once("dive", lambda: programs.run(dive_command, environment))
    looks = _looks(setting, name)
    image = "the single-stage image"
    yield Row(f"{image}: layers, files, waste, packages as tables, first look", looks[0], "s", "dive", dives)
    yield Row("the same, second look", looks[1], "s", "dive", dives)
    yield Row(f"{image}: a process that prints the JSON document, first look", looks[2], "s", "dive", dives)
    yield Row("the same, second look", looks[3], "s", "dive", dives)
    yield Row("the same, first look", looks[2], "s", "docker save alone", save)


def _looks(setting: Setting, name: str) -> list[float]:
    """First and second looks for tables, then for the document: the median of each."""
    medians = []
    for kind, code in (("tables", _TABLES), ("document", _DOCUMENT)):
        first: list[float] = []
        second: list[float] = []
        for number in range(setting.repeat):
            cache = setting.folder / f"{kind} {number}"
            with setting.step(f"{kind}: a first and a second look ({number + 1})"):
                for seconds in (first, second):
                    seconds.append(_look(code, name, cache, setting.engine.endpoint, own_clock=kind == "tables"))
        medians += [statistics.median(first), statistics.median(second)]
    return medians


def _look(code: str, name: str, cache: Path, endpoint: str, *, own_clock: bool) -> float:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "DOCKER_HOST": endpoint}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, name], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout) if own_clock else time.perf_counter() - began
