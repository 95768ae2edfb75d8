"""Runs notebooks and saves their outputs, without what belongs to this machine only.

python -m layerlab.jupyter.run_notebooks notebooks/*.ipynb
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from layerlab.paths import ROOT

CELL_TIMEOUT = 600  # seconds


def execute(path: Path) -> float:
    """Run a notebook from top to bottom and save its outputs; returns how many seconds that took.

    Raises:
        CellExecutionError: a cell failed; the file is left as it was.
    """
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    began = time.monotonic()
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
        store_widget_state=False,
        record_timing=False,
    )
    client.execute()
    seconds = time.monotonic() - began
    tidy(notebook)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return seconds


def tidy(notebook: Any) -> None:
    """Leave out of a notebook what differs from run to run and tells a reader nothing."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _says_something(output)]


def _says_something(output: Any) -> bool:
    """Whether there is something to see without a kernel; a widget's live view goes, and leaves its picture."""
    data = output.get("data", {})
    return data.pop("application/vnd.jupyter.widget-view+json", None) is None or "image/png" in data


def main(paths: list[str]) -> int:
    """Execute these notebooks, one after the other; status 1 if one of them failed."""
    failed = 0
    for name in paths:
        try:
            print(f"{name}: {execute(Path(name)):.1f} s", flush=True)
        except CellExecutionError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
