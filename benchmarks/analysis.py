"""How long a look at the single-stage image takes, beside dive's and beside ``docker save`` alone.

A first look has an empty cache, a second look the one that the first has filled. The tables are `layerlab.image.read`
with its four DataFrames, in a Python that has everything imported; the document is a process from its start to the
JSON that it prints. dive (https://github.com/wagoodman/dive) writes what it finds as JSON, too. It reads what
``docker save`` writes, so it can never be faster than that; nor can the lab where it may not read the engine's
directories (it is told so here, and reads that stream), which is measured beside ``docker save`` in turns.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import programs
from benchmarks.rows import Row, Setting
from layerlab import demo
from layerlab.engine import Engine, runs

PROGRAMS: Final = ("docker", "dive")
_TABLES: Final = """
import sys, time
from layerlab import engine, image
from layerlab.image import dataframes as frames
connected = engine.connect()
started = time.perf_counter()
looked = image.read(connected, sys.argv[1])
looked.layers, looked.files, looked.waste, looked.packages
print(time.perf_counter() - started)
"""
_DOCUMENT: Final = """
import json, sys
from layerlab import compare, engine, image
here = engine.connect()
print(json.dumps(compare.document(here, [image.read(here, sys.argv[1])])))
"""
_EXPORT: Final = f"""
from layerlab.image.store import overlay
overlay.can_read = lambda: False
{_DOCUMENT}
"""


def rows(setting: Setting) -> Iterator[Row]:
    """First and second looks beside dive, and looks at the stream of ``docker save`` beside that alone."""
    name = str(demo.find(setting.engine, "single").id)
    environment = {"DOCKER_HOST": setting.engine.endpoint}
    dive_command = [programs.find("dive"), name, "--json", str(setting.folder / "dive.json")]
    dives = setting.once("dive", lambda: programs.run(dive_command, environment))
    tables = _looks(setting, name, "tables", _TABLES)
    document = _looks(setting, name, "document", _DOCUMENT)
    with _one_layer_more(setting.engine, name) as rebuilt:
        again = [
            _look(_TABLES, rebuilt, _cache(setting, "tables", number), setting.engine.endpoint, own_clock=True)
            for number in range(setting.repeat)
        ]
    image = "the single-stage image"
    yield Row(f"{image}: layers, files, waste, packages as tables, first look", tables[0], "s", "dive", dives)
    yield Row("the same, second look", tables[1], "s", "dive", dives)
    yield Row("the same, with one new layer on top", statistics.median(again), "s", "dive", dives)
    yield Row(f"{image}: a process that prints the JSON document, first look", document[0], "s", "dive", dives)
    yield Row("the same, second look", document[1], "s", "dive", dives)
    stream, save = _beside_save(setting, name, environment)
    yield Row("the same, first look, directories not readable", stream, "s", "docker save alone", save)


def _looks(setting: Setting, name: str, kind: str, code: str) -> tuple[float, float]:
    """The medians of first and of second looks."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(setting.repeat):
        with setting.step(f"{kind}: a first and a second look ({number + 1})"):
            for looks in seconds:
                cache = _cache(setting, kind, number)
                looks.append(_look(code, name, cache, setting.engine.endpoint, own_clock=kind == "tables"))
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _beside_save(setting: Setting, name: str, environment: dict[str, str]) -> tuple[float, float]:
    """The medians of looks at the stream and of ``docker save``, in turns: both read the same gigabytes from disk."""
    looks, saves = [], []
    command = [programs.find("docker"), "save", name]
    for number in range(setting.repeat):
        saves.append(setting.once(f"docker save ({number + 1})", lambda: programs.run(command, environment)))
        with setting.step(f"a look at its stream ({number + 1})"):
            cache = _cache(setting, "stream", number)
            looks.append(_look(_EXPORT, name, cache, setting.engine.endpoint, own_clock=False))
    return statistics.median(looks), statistics.median(saves)


def _cache(setting: Setting, kind: str, number: int) -> Path:
    return setting.folder / f"{kind} {number}"


def _look(code: str, name: str, cache: Path, endpoint: str, *, own_clock: bool) -> float:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "DOCKER_HOST": endpoint}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, name], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout) if own_clock else time.perf_counter() - began


@contextmanager
def _one_layer_more(engine: Engine, name: str) -> Iterator[str]:
    """The id of an image like this one with another layer on top; it is removed afterwards."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as out:
        info = tarfile.TarInfo("new")
        info.size = 8
        out.addfile(info, io.BytesIO(f"{time.time_ns():x}"[-8:].encode()))
    container = engine.client.containers.create(name, ["none"], labels=runs.container_labels(engine))
    try:
        container.put_archive("/", archive.getvalue())
        rebuilt = str(container.commit().id)
    finally:
        container.remove(v=True, force=True)
    try:
        yield rebuilt
    finally:
        engine.client.images.remove(rebuilt, force=True)
