"""How long it takes from ``./lab`` to a JupyterLab that answers, beside doing the same by hand.

Cold is a fresh copy of the repository with empty caches of pip and uv: ``./lab`` makes .venv, builds both images
(from the build cache: `benchmarks.builds` has what they take without), compares them and serves. By hand is
``python -m venv``, ``pip install -r requirements/lab.txt`` and ``jupyter lab``, without any image. Warm is the
same again, beside ``jupyter lab`` alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import requests

from benchmarks import programs
from benchmarks.rows import Row, Setting
from layerlab.errors import LabError
from layerlab.jupyter.serve import free_port
from layerlab.paths import ROOT

NOT_COPIED: Final = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache", ".hypothesis", "artifacts")
PATIENCE: Final = 900  # seconds
PYTHON: Final = str(Path(sys.base_prefix) / "bin" / "python3")


def rows(setting: Setting) -> Iterator[Row]:
    """Cold and warm."""
    mine, by_hand = setting.folder / "lab", setting.folder / "by-hand"
    for folder in (mine, by_hand):
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED, symlinks=True)
    environment = {"DOCKER_HOST": setting.engine.endpoint, "LAB_PYTHON": PYTHON}
    for name in ("CACHE", "STATE"):
        environment[f"XDG_{name}_HOME"] = str(setting.folder / name.lower())
    by_hand_environment = {**environment, "XDG_CACHE_HOME": str(setting.folder / "cache-by-hand")}

    cold = setting.once("./lab in a fresh copy", lambda: _lab(mine, environment))
    with setting.step("python -m venv, pip install, jupyter lab in a fresh copy"):
        began = time.perf_counter()
        _install(by_hand, by_hand_environment)
        _jupyter(by_hand, by_hand_environment)
        cold_by_hand = time.perf_counter() - began
    warm = setting.median("./lab again", lambda: _lab(mine, environment))
    warm_by_hand = setting.median("jupyter lab again", lambda: _jupyter(by_hand, by_hand_environment))
    yield Row("./lab in a fresh clone until JupyterLab answers", cold, "s", "venv, pip, jupyter lab", cold_by_hand)
    yield Row("./lab again until JupyterLab answers", warm, "s", "jupyter lab alone", warm_by_hand)


def _lab(folder: Path, environment: dict[str, str]) -> None:
    log = folder / "lab.log"
    with programs.running([str(folder / "lab"), "--no-browser"], folder, environment, log) as process:
        _wait(process, log, lambda: "JupyterLab is at" in log.read_text(errors="replace"))


def _install(folder: Path, environment: dict[str, str]) -> None:
    programs.run([PYTHON, "-m", "venv", str(folder / ".venv")])
    pip = [str(folder / ".venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    programs.run([*pip, "--require-hashes", "-r", str(folder / "requirements" / "lab.txt")], environment)


def _jupyter(folder: Path, environment: dict[str, str]) -> None:
    port, log = free_port(), folder / "jupyter.log"
    command = [
        *(str(folder / ".venv" / "bin" / "jupyter"), "lab", "--no-browser", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]
    token = secrets.token_urlsafe(24)

    def answers() -> bool:
        try:
            where = f"http://127.0.0.1:{port}/api/status"
            return requests.get(where, headers={"Authorization": f"token {token}"}, timeout=2).ok
        except requests.RequestException:
            return False

    with programs.running(command, folder, {**environment, "JUPYTER_TOKEN": token}, log) as process:
        _wait(process, log, answers)


def _wait(process: subprocess.Popen[bytes], log: Path, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline:
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise LabError(f"what should serve JupyterLab did not: {last}", remedy="mend what it says and repeat")
        time.sleep(0.05)
