"""How long a check takes, beside building, running, asking and stopping the same image by hand.

The solution is the worked example. Before each check its last line is edited, so nothing of a verdict or of the image
can be remembered; the caches of the earlier steps are warm, as they are for a learner who saves and checks again.
The command is ``./lab check DIR --json`` from its start to its end. By hand, somebody types three commands and knows
whether it builds and answers, and nothing of what the seven tasks ask.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, Setting
from layerlab import service
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.exercise import check, new_workspace
from layerlab.paths import ROOT

_TASKS: Final = 7


def rows(setting: Setting) -> Iterator[Row]:
    """A check in a Python that runs, and the whole command, beside the same by hand."""
    engine, folder = setting.engine, setting.folder / "solution"
    new_workspace.make(folder)
    with setting.step("a first check, for the caches"):
        check(engine, _edited(folder))
    by_hand = setting.median("build, run, ask, stop by hand", lambda: _by_hand(engine, _edited(folder)))
    checked = setting.median("check", lambda: _check(engine, _edited(folder)))
    command = setting.median("./lab check", lambda: _command(engine, _edited(folder)))
    instead = "build, run, ask and stop by hand"
    yield Row("a check of the worked example after an edit", checked, "s", instead, by_hand)
    yield Row("./lab check --json of the same", command, "s", instead, by_hand)


def _edited(folder: Path) -> Path:
    """The worked example with another last line each time: a step that is not in the cache."""
    shutil.copy(ROOT / "Dockerfile", folder / "Dockerfile")
    with (folder / "Dockerfile").open("a", encoding="utf-8") as file:
        file.write(f'LABEL edit="{time.time_ns()}"\n')
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


def _check(engine: Engine, folder: Path) -> None:
    if (score := check(engine, folder).score) != _TASKS:
        raise LabError(f"the worked example passes {score} of the tasks, not all", remedy="see ./lab check")


def _command(engine: Engine, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "layerlab", "check", str(folder), "--json"],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": engine.endpoint},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise LabError("./lab check says that the worked example does not pass", remedy="see ./lab check")
