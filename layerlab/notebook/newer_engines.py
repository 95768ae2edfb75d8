"""What only newer engines can do: done by yours where it can, and else as one that can has done it.

The saved results are made by ``python -m tests.engine.newer_tools``, which runs the notebook's own cells.
"""

from __future__ import annotations

import html
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from IPython.display import HTML, display

from layerlab.engine import Engine
from layerlab.errors import LabError, UsageError
from layerlab.paths import ROOT

SAVED: Final = ROOT / "notebooks" / "10-newer-tools.json"


def docker(engine: Engine, folder: Path, *words: str) -> str:
    """What the docker client prints, on stdout and stderr, when it is run in a folder and talks to this engine.

    Raises:
        UsageError: there is no client, or it ended with another status than 0.
    """
    environment = {**os.environ, **engine.environment, "BUILDX_BUILDER": "default"}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = " ".join(["docker", *words])
    try:
        done = subprocess.run(["docker", *words], cwd=folder, env=environment, **streams, text=True, check=False)
    except OSError as error:
        raise UsageError(f"{command}: {error}", remedy="install the docker client") from None
    if done.returncode:
        raise UsageError(f"{command} ended with {done.returncode}:\n{done.stdout}", remedy="see what it says")
    return str(done.stdout)


def lacking(engine: Engine, needs: str, *, containerd: bool) -> str:
    """What is missing here to run it, in words; empty if nothing is."""
    version = engine.version.partition("+")[0]
    if [int(part) for part in version.split(".")[:2]] < [int(part) for part in needs.split(".")]:
        return f"your Docker Engine is {version}, and this needs {needs}"
    if containerd and not engine.has_containerd_store:
        return "your Docker Engine does not keep its images in containerd, and this needs it"
    try:
        docker(engine, Path("/"), "buildx", "version")
    except LabError:
        return "your docker client has no buildx"
    return ""


def saved(name: str, why: str) -> Any:
    """What an engine that can has given, with a line that says so."""
    found = json.loads(SAVED.read_text(encoding="utf-8"))
    say(f"Not run here: {why}. This is what {found['engine']} gave on {found['date']}.")
    return found["results"][name]


def say(text: str) -> None:
    """Show a line that differs from machine to machine."""
    display(HTML(f'<div class="of-this-machine"><em>{html.escape(text)}</em></div>'))  # type: ignore[no-untyped-call]
