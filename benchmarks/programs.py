"""Programs that the lab is measured beside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from layerlab.errors import LabError


def find(name: str, remedy: str) -> str:
    """A program beside this Python, or on the path.

    Raises:
        LabError: there is none.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise LabError(f"there is no {name} here to measure beside", remedy=remedy)
    return found


def quietly(command: Sequence[str | Path], **options: object) -> None:
    """Run a program to its end, without its output; it must succeed.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(  # type: ignore[call-overload]
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **options
    )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise LabError(f"{Path(command[0]).name} failed: {last}", remedy="mend what it says and repeat")
