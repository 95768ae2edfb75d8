"""The image FROM scratch: how small it is, that it lacks what its rules name, and that the rest works."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.paths import ROOT
from slim.rules import RULES
from tests.engine.images import Built, Entry, built, read_layers
from tests.engine.test_images import matching, run_python

NAME = "Dockerfile.minimal"
COLLATERAL = r"fontTools\.(pens\.(cu2qu|qu2cu|statistics)Pen|ttLib\.scaleUpem)|numpy\.matlib|pylab|matplotlib\.pylab"
"""Modules that stay but need one which does not: none of them has to do with serving."""

IMPORTABLE = """
import importlib, json, os, pathlib, sys, sysconfig
folders = [pathlib.Path(sysconfig.get_path("stdlib")), pathlib.Path("/opt/venv/lib/python3.13/site-packages")]
names = set()
for folder in folders:
    for path in folder.rglob("*"):
        *parts, last = path.relative_to(folder).parts
        parts = [part for part in parts if part != "lib-dynload"]
        name = last.partition(".")[0]
        if path.suffix in {".py", ".pyc", ".so"} and all(part.isidentifier() for part in (*parts, name)):
            if not {"tests", "test", "__pycache__", "idlelib", "turtledemo"} & {*parts} and name not in SKIPPED:
                names.add(".".join((*parts, name)).removesuffix(".__init__"))
found, real, sys.stdout = [], sys.stdout, open(os.devnull, "w")
for name in sorted(names):
    try:
        importlib.import_module(name)
    except BaseException:
        continue
    found.append(name)
print(json.dumps(found), file=real)
""".replace("SKIPPED", str({"__main__", "antigravity", "this", "idle"}))


@pytest.fixture(scope="module")
def minimal(engine: Engine) -> Iterator[Built]:
    with built(engine, NAME) as image:
        yield image


@pytest.fixture(scope="module")
def entries(engine: Engine, minimal: Built) -> list[Entry]:
    return [entry for layer in read_layers(engine, minimal.id) for entry in layer]


def test_it_is_small(
    engine: Engine, minimal: Built, entries: list[Entry], record_property: Callable[[str, object], None]
) -> None:
    """At most 123 MB in its layers, and 45 MB as a registry would send them, beside what this machine trusts."""
    total = sum(entry.size for entry in entries)
    packed = sum(len(layer) for layer in packed_layers(engine, minimal.id))
    record_property("megabytes", total / 1e6)
    record_property("megabytes_pulled", packed / 1e6)

    own = sum(path.stat().st_size for path in Path("/usr/local/share/ca-certificates").rglob("*.crt"))
    assert total <= 123_000_000 + own
    assert packed <= 45_000_000 + own


def packed_layers(engine: Engine, image_id: str) -> Iterator[bytes]:
    """Each layer as gzip packs it by default."""
    file = io.BytesIO(b"".join(engine.client.images.get(image_id).save()))
    with tarfile.open(fileobj=file) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        for name in json.load(manifest)[0]["Layers"]:
            layer = archive.extractfile(name)
            assert layer is not None
            packer = zlib.compressobj(6, wbits=31)
            yield packer.compress(layer.read()) + packer.flush()


def test_an_attacker_finds_little(entries: list[Entry], minimal: Built) -> None:
    """No shell, no program but Python's, nothing set-id, nothing to write to but /tmp; the user is not root."""
    programs = {Path(path).name for path in matching(entries, r"/s?bin/[^/]+$")}

    assert {
        name for name in programs if not re.match(r"python|gunicorn|flask|fonttools|ttx|f2py|numpy|pyft", name)
    } == set()
    assert [entry.path for entry in entries if entry.mode & 0o6000] == []
    assert [e.path for e in entries if e.mode & 0o022 and not e.is_link] == ["/tmp"]
    assert {entry.uid for entry in entries} == {0}
    assert minimal.config["User"] == "10001:10001"


def test_no_licence_is_left_out(engine: Engine, minimal: Built, entries: list[Entry]) -> None:
    """Each licence file of the packages as they are installed is here, and Debian's for each of its libraries."""
    pattern = r"site-packages/(.*/(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$"
    program = "import json, pathlib; print(json.dumps([str(p) for p in pathlib.Path('/opt/venv').rglob('*')]))"
    wanted = {match[1] for path in run_in_build_stage(engine, program) if (match := re.search(pattern, path))}
    here = {match[1] for entry in entries if (match := re.search(pattern, entry.path))}

    assert len(wanted) > 20
    assert wanted <= here
    packages = matching(entries, r"^/var/lib/dpkg/status\.d/[^.]*$")
    assert len(packages) > 8
    for path in packages:
        assert matching(entries, f"^/usr/share/doc/{re.escape(Path(path).name)}(/copyright)?$")


def run_in_build_stage(engine: Engine, program: str) -> list[Any]:
    """What a program prints as JSON where everything is installed and nothing left out yet."""
    tag = f"layerlab-test-{uuid.uuid4().hex[:12]}"
    stage = build(engine, ROOT, dockerfile=NAME, target="build", tag=tag)
    try:
        return list(run_python(engine, stage.image_id, program, python="/opt/venv/bin/python"))
    finally:
        engine.client.images.remove(tag, force=True)


@pytest.mark.long  # imports every module, twice
def test_what_is_missing_is_what_rules_name(engine: Engine, minimal: Built) -> None:
    """Whatever could be imported before can be imported here, but for modules that a rule leaves out."""
    before = set(run_in_build_stage(engine, IMPORTABLE))
    after = set(run_python(engine, minimal.id, IMPORTABLE))

    missing = {name for name in before - after if not re.fullmatch(COLLATERAL, name)}
    assert len(after) > 1500
    assert {name for name in missing if not any(rule.is_needed_by(name) for rule in RULES)} == set()


def test_what_libraries_look_up_at_run_time_is_there(engine: Engine, minimal: Built) -> None:
    """Time zones, certificates, names of users, event loops, glyphs that the font lacks, formulas, equations."""
    program = r"""
import asyncio, io, json, os, pwd, ssl, tempfile, time, warnings, zoneinfo
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
warnings.simplefilter("ignore")
figure = Figure()
figure.add_subplot(title="\u6f22 $\\sqrt{\\alpha}$")
sizes = []
for file_format in ("png", "svg", "pdf"):
    figure.savefig(file := io.BytesIO(), format=file_format)
    sizes.append(len(file.getvalue()))
os.environ["TZ"] = "Europe/Berlin"
time.tzset()
print(json.dumps([
    str(pd.Timestamp("2026-07-01 12:00", tz="UTC").tz_convert("Europe/Berlin")),
    zoneinfo.ZoneInfo("Europe/Berlin").key,
    time.tzname,
    min(sizes) > 1000,
    ssl.create_default_context().cert_store_stats()["x509_ca"] > 50,
    asyncio.run(asyncio.sleep(0, "slept")),
    pwd.getpwuid(10001).pw_name,
    tempfile.gettempdir(),
    np.linalg.solve([[2, 0], [0, 4]], [2, 2]).tolist(),
]))
"""
    answers = run_python(engine, minimal.id, program)

    zone = ["2026-07-01 14:00:00+02:00", "Europe/Berlin", ["CET", "CEST"]]
    assert answers == [*zone, True, True, "slept", "service", "/tmp", [1.0, 0.5]]


def test_the_build_reports_each_rule(engine: Engine) -> None:
    """Where it was made lies what each rule has left out, and that is more than what ships."""
    report = run_in_build_stage(engine, "print(open('/build/slim.json').read().replace(chr(10), ' '))")

    rows = {row["name"]: row for row in report}
    assert {rule.name for rule in RULES} < set(rows)
    assert all(row["why"] for row in report)
    assert rows["packages: tests"]["bytes"] > 20_000_000
    assert rows["debug symbols, padding"]["bytes"] > 10_000_000
    assert sum(row["bytes"] for row in report) > 90_000_000


def test_a_change_of_the_code_repeats_one_step(engine: Engine, tmp_path: Path, new_tag: Callable[[], str]) -> None:
    """After a change of the app, all but the last COPY comes from the cache."""
    for name in ("app", "slim"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (NAME, "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    build(engine, tmp_path, dockerfile=NAME, tag=new_tag())
    with (tmp_path / "app" / "routes.py").open("a") as file:
        file.write(f"# {uuid.uuid4()}\n")

    again = build(engine, tmp_path, dockerfile=NAME, tag=new_tag()).steps

    ran = again[~again["cached"] & ~again["instruction"].str.startswith("FROM")]
    assert list(ran["instruction"]) == ["COPY app app"]
