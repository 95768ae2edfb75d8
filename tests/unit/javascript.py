"""Runs the explorer's ES modules as they are, without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from layerlab.report.explorer import bundle


def run(code: str, folder: Path = bundle.ASSETS) -> Any:
    """What a JavaScript expression is; modules that it imports are looked for in this folder."""
    program = f"console.log(JSON.stringify(await ({code})));"
    done = subprocess.run(
        [sys.executable, "-m", "deno", "eval", "--quiet", "--no-config", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
