"""Marks from two machines: engines in network namespaces of their own, a worker each, and one of them lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from layerlab.bases import BASES
from layerlab.engine import runs
from layerlab.paths import ROOT
from tests.engine.small_lab import SmallLab, give_bases, small_lab
from tests.engine.spare_engine import SpareEngine, spare_engine

PATIENCE = 240.0  # seconds


@pytest.fixture(scope="session")
def class_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packages of the group `class`, which the tests do not need otherwise."""
    uv, folder = Path(sys.executable).with_name("uv"), tmp_path_factory.mktemp("class")
    subprocess.run([uv, "venv", "--quiet", f"--python={sys.executable}", folder / "venv"], check=True)
    pins = ROOT / "requirements" / "class.txt"
    python = folder / "venv/bin/python"
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", f"--python={python}", pins], check=True)
    return next((folder / "venv/lib").glob("python3*/site-packages"))


def wait_until(holds: Callable[[], object], why_not: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, why_not()
        time.sleep(0.05)


@contextmanager
def dask(lab: SmallLab, name: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker, which is killed in the end if it still runs."""
    with (
        (lab.root / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(lab.root / "scheduler.json")],
            cwd=lab.root,
            env={**os.environ, **lab.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def worker(lab: SmallLab, name: str, spare: SpareEngine) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A worker with an engine, and with folders of its own, as on a machine of its own."""
    folder = str(lab.root / name)
    own = {"DOCKER_HOST": spare.endpoint, "XDG_STATE_HOME": folder, "XDG_CACHE_HOME": folder}
    return dask(lab, name, "worker", "--nthreads", "1", "--resources", "engine=1", "--no-dashboard", **own)


def said(lab: SmallLab, name: str) -> str:
    return (lab.root / f"{name}.log").read_text()


def marks(
    lab: SmallLab, *arguments: str | Path, meanwhile: Callable[[], None] = lambda: None, **environment: str
) -> list[dict[str, Any]]:
    """What `./lab grade` says; after the first mark, something may happen."""
    command = lab.start("grade", *map(str, arguments), "--json", **environment)
    command.wait_for(r"done +learner")
    meanwhile()
    command.process.wait(PATIENCE)
    ended = command.end()
    assert ended.status == 0, ended.stderr
    told: list[dict[str, Any]] = json.loads(ended.stdout)
    return told


def left(spare: SpareEngine) -> list[object]:
    """What is on an engine that its checks have made."""
    engine = spare.connect()
    try:
        images = engine.client.api.images(all=True, filters={"label": runs.TEMPORARY_LABEL})
        return [*images, *engine.client.api.containers(all=True)]
    finally:
        engine.client.close()


@pytest.mark.long
def test_two_machines_give_the_marks_of_one_and_one_may_be_lost(class_packages: Path, tmp_path: Path) -> None:
    """A worker that is killed in the middle costs nobody anything: its submissions move on, and it leaves nothing."""
    folder = tmp_path / "class"
    for number in range(6):
        (folder / f"learner {number}").mkdir(parents=True)
        last = "USER 1000" if number < 2 else f"RUN exit {number}"
        (folder / f"learner {number}/Dockerfile").write_text(f"FROM {BASES[0]}\nRUN echo {number}; sleep 2\n{last}\n")
    with ExitStack() as stack:
        engines = [stack.enter_context(spare_engine()) for _ in range(2)]
        for spare in engines:
            engine = spare.connect()
            give_bases(engine, tmp_path)
            engine.client.close()
        lab = stack.enter_context(small_lab(engines[0].endpoint))
        alone = marks(lab, folder, "--jobs", "1")
        assert [mark["verdict"]["image"] is None for mark in alone] == [False] * 2 + [True] * 4

        lab.environment["PYTHONPATH"] = f"{lab.root}:{class_packages}"
        note = lab.root / "scheduler.json"
        stack.enter_context(dask(lab, "scheduler", "scheduler", "--port", "0", "--no-dashboard"))
        wait_until(note.exists, lambda: said(lab, "scheduler"))
        workers = [stack.enter_context(worker(lab, f"worker-{n}", spare)) for n, spare in enumerate(engines)]
        for n in range(2):
            wait_until(lambda n=n: "Registered to" in said(lab, f"worker-{n}"), lambda n=n: said(lab, f"worker-{n}"))

        def lose() -> None:
            os.killpg(workers[1].pid, signal.SIGKILL)

        address = json.loads(note.read_text())["address"]
        told = marks(lab, folder, "--scheduler", address, meanwhile=lose, XDG_CACHE_HOME=str(tmp_path / "client"))

        def statuses(every: list[dict[str, Any]]) -> list[list[str]]:
            return [[task["status"] for task in one["verdict"]["tasks"]] for one in every]

        assert statuses(told) == statuses(alone)
        for spare in engines:
            wait_until(lambda spare=spare: not left(spare), lambda spare=spare: str(left(spare)))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """Without dask.distributed, one line says how to get it."""
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    command = [sys.executable, "-m", "layerlab", "grade", str(tmp_path), "--scheduler", "tcp://127.0.0.1:1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "--scheduler needs dask.distributed" in done.stderr
