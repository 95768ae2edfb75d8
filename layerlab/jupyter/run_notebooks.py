"""Runs notebooks and saves their outputs, without what belongs to this machine only.

python -m layerlab.jupyter.run_notebooks notebooks/*.ipynb
"""

from __future__ import annotations

import sys
import time
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from layerlab.paths import ROOT
from layerlab.plots.picture import KIND


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
    return data.pop("application/vnd.jupyter.widget-view+json", None) is None or KIND in data


def main(paths: list[str]) -> int:
    """Run these notebooks and save their outputs; status 1 if a cell failed: its file is left as it was."""
    failed = 0
    for name in paths:
        notebook: Any = nbformat.read(name, as_version=4)  # type: ignore[no-untyped-call]
        began = time.monotonic()
        where = {"metadata": {"path": str(ROOT / "notebooks")}}
        client = NotebookClient(notebook, timeout=600, resources=where, store_widget_state=False, record_timing=False)
        try:
            client.execute()
        except CellExecutionError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
            continue
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
        tidy(notebook)
        nbformat.write(notebook, name)  # type: ignore[no-untyped-call]
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
