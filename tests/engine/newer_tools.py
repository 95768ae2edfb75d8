"""Lets a newer engine do what notebook 10 has only such an engine do, and saves what it gives beside the notebook.

.venv/bin/python -m tests.engine.newer_tools FOLDER

Needs root, mmdebstrap, and an engine that has the base image; takes some minutes. FOLDER gets Debian sid's engine,
client and registry (1 GB), unless it is there. Those of the notebook's own cells run that ask for
nothing of the lab's but `lab.newer`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import nbformat

from layerlab import engine as engines
from layerlab import notebook as lab
from layerlab.notebook import newer_engines
from layerlab.paths import ROOT
from tests.engine.namespaces import programs
from tests.engine.spare_engine import SpareEngine, spare_engine

NOTEBOOK: Final = ROOT / "notebooks" / "10-newer-tools.ipynb"
BASE: Final = "python:3.13-slim-trixie"
REGISTRY: Final = "127.0.0.1:5001"  # as the notebook's cells have it
PACKAGES: Final = "docker.io,docker-cli,docker-buildx,docker-registry,iptables,qemu-user,util-linux,bash"
PYTHON: Final = "base-files,python3.13-minimal,libpython3.13-minimal,libc6,zlib1g,libexpat1"
PLATFORMS: Final = ("amd64", "arm64")
EMULATOR: Final = (
    "usr/local/bin/buildkit-qemu-aarch64"  # where BuildKit looks for it, so that the kernel need not know
)


def get_system(root: Path) -> None:
    """Unpack what is needed of Debian sid into a folder, if it is not there."""
    if not root.exists():
        programs("mmdebstrap")
        _debian(root, PACKAGES, "amd64")
        for platform in PLATFORMS:
            _debian(root / f"{platform}.tar", PYTHON, platform)
        (root / EMULATOR).symlink_to("/usr/bin/qemu-aarch64")


def _debian(target: Path, packages: str, platform: str) -> None:
    options = ["--variant=extract", f"--include={packages}", f"--architectures={platform}"]
    subprocess.run(["mmdebstrap", *options, "--aptopt=Acquire::Check-Valid-Until false", "sid", target], check=True)


@contextlib.contextmanager
def newer_engine(root: Path) -> Iterator[SpareEngine]:
    """Debian sid's engine with its images in containerd, a registry beside it, and its client the first in PATH."""
    settings = {"features": {"containerd-snapshotter": True}}
    with spare_engine(root=root, settings=settings) as spare, tempfile.TemporaryDirectory() as folder:
        there = ["nsenter", f"--target={spare.corner.process}", "--mount", "--net", "--", "unshare", f"--root={root}"]
        client = Path(folder, "docker")
        client.write_text(f'#!/bin/sh\nexec {" ".join(there)} --wd="$PWD" docker "$@"\n')
        client.chmod(0o755)
        config = spare.folder / "registry.json"  # JSON is YAML
        store = {"filesystem": {"rootdirectory": f"{spare.folder}/registry"}}
        config.write_text(json.dumps({"version": 0.1, "storage": store, "http": {"addr": REGISTRY}}))
        log = (spare.folder / "registry.log").open("wb")
        registry = subprocess.Popen([*there, "docker-registry", "serve", str(config)], stdout=log, stderr=log)
        # What the client reads has to lie where both systems have the same folder.
        changed = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "DOCKER_HOST": spare.endpoint,
            "TMPDIR": str(spare.folder),
        }
        try:
            with mock.patch.dict(os.environ, changed), mock.patch.object(tempfile, "tempdir", None):
                lab.engine.cache_clear()
                # One of the experiments empties the build cache: never the user's.
                assert lab.engine().endpoint == spare.endpoint
                yield spare
        finally:
            lab.engine.cache_clear()
            registry.terminate()
            registry.wait()
            log.close()


def give_other_bases(root: Path) -> None:
    """Push an image with Debian's Python for each platform to the registry."""
    for platform in PLATFORMS:
        with lab.experiment() as trial:
            shutil.copy(root / f"{platform}.tar", trial.folder / "app/base.tar")
            trial.write("Dockerfile", "FROM scratch\nADD app/base.tar /\n")
            push = f"--output=type=registry,name={REGISTRY}/python:{platform}"
            trial.docker("buildx", "build", f"--platform=linux/{platform}", "--provenance=false", push, ".")


def give_base(spare: SpareEngine) -> None:
    """Give it the base image of the user's engine."""
    theirs, its = engines.connect(), spare.connect()
    its.client.images.load(b"".join(theirs.client.images.get(BASE).save(named=BASE)))
    for each in (theirs, its):
        each.client.close()


def run_cells() -> dict[str, Any]:
    """What each experiment of the notebook gives, by its name."""
    results = {}

    def do(work: Callable[[lab.Experiment], Any], **_: object) -> Any:
        print(work.__name__, flush=True)
        with lab.experiment() as trial:
            results[work.__name__] = work(trial)
        return results[work.__name__]

    cells = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    names: dict[str, Any] = {}
    exec(cells[0].replace("lab.setup(", "str("), names)  # noqa: S102  # the repository's own code
    names["lab"] = SimpleNamespace(newer=do)
    for source in cells[1:]:
        if set(re.findall(r"\blab\.(\w+)", source)) <= {"newer"}:
            exec(source, names)  # noqa: S102
    return results


def main(root: Path) -> None:
    """Make the saved results anew."""
    get_system(root)
    with newer_engine(root) as spare:
        with mock.patch.dict(os.environ):
            del os.environ["DOCKER_HOST"]
            give_base(spare)
        give_other_bases(root)
        results = run_cells()
        version = lab.engine().version.partition("+")[0]
        client = newer_engines.docker(lab.engine(), Path("/"), "buildx", "version").split()[1].partition("+")[0]
        lab.engine().client.close()
    said = {
        "engine": f"Docker Engine {version} (Debian sid) with buildx {client}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "results": results,
    }
    newer_engines.SAVED.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
