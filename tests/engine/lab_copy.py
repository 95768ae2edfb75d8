"""A copy of the lab in which something is made wrong on purpose, with names of its own for all that it makes."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import nbformat
from docker.models.images import Image

from layerlab.engine import Engine
from layerlab.paths import ROOT

COPIED: Final = (
    *("app", "slim", "layerlab", "requirements.txt", ".dockerignore"),
    *("Dockerfile", "Dockerfile.single", "Dockerfile.single.dockerignore", "Dockerfile.minimal"),
)
SANITISER: Final = Path("tests/nbval.cfg")
CELL: Final = re.compile(r"</td><td[^>]*>")
TAG: Final = re.compile(r"</?[a-z][^>]*>")
COLOUR: Final = re.compile(r"(?:\x1b|#x1B)\[[0-9;]*m")


@dataclass(frozen=True)
class LabCopy:
    """A copy of what the notebooks need.

    Whatever it builds, it labels, marks and tags with its own name, so it neither finds nor touches the images of the
    lab; it has caches and settings of its own. The build cache is the engine's, and shared.

    Attributes:
        root: The copy's folder.
        name: What its images' and containers' names begin with.
        environment: With it, Python imports the copy instead of the repository.
    """

    root: Path
    name: str
    environment: Mapping[str, str]

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the one place in a file of the copy that reads ``old``."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} holds this {text.count(old)} times: {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def compare(self, notebook: str, cells: Sequence[str]) -> dict[str, str]:
        """Let nbval run some cells of a notebook and compare their outputs with the saved ones.

        Args:
            notebook: The notebook's name in the repository.
            cells: The ids of the code cells to run, in their order.

        Returns:
            What nbval says about each cell, by its id; empty where it passed.
        """
        whole = nbformat.read(ROOT / "notebooks" / notebook, as_version=4)
        by_id = {cell.id: cell for cell in whole.cells}
        part = nbformat.v4.new_notebook(metadata=whole.metadata, cells=[by_id[cell] for cell in cells])
        nbformat.write(part, self.root / "notebooks" / notebook)
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        options = [
            "-vv",
            "-c=/dev/null",  # not the repository's settings, in which a copy may lie
            "-p",
            "nbval.plugin",
            "--nbval",
            f"--nbval-sanitize-with={SANITISER}",
            "--nbval-cell-timeout=300",
        ]
        command = [sys.executable, "-m", "pytest", f"notebooks/{notebook}", *options, f"--junit-xml={report}"]
        done = self._run(command)
        assert report.exists(), done.stdout + done.stderr
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  # pytest wrote it just now
        assert len(cases) == len(cells), done.stdout
        return {cell: _complaint(case) for cell, case in zip(cells, cases, strict=True)}

    def images(self, engine: Engine) -> list[Image]:
        """What the copy has built, and what is there still."""
        return engine.client.images.list(filters={"label": f"{self.name}.image"})

    def remove(self, engine: Engine) -> None:
        """Remove what the copy has made."""
        for container in engine.client.containers.list(all=True, filters={"label": f"{self.name}.container"}):
            container.remove(force=True)
        for image in self.images(engine):
            engine.client.images.remove(str(image.id), force=True)

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def make(root: Path, caches: Path) -> LabCopy:
    """Make a copy.

    Args:
        root: Where; an empty folder.
        caches: Where copies keep what they learnt about layers; several may share it.
    """
    for item in COPIED:
        source = ROOT / item
        if source.is_dir():
            shutil.copytree(source, root / item, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / item)
    for folder in ("notebooks", "tests"):
        (root / folder).mkdir()
    for saved in (ROOT / "notebooks").glob("*.json"):
        shutil.copy2(saved, root / "notebooks")
    name = f"layerlab-test-{uuid.uuid4().hex[:12]}"
    sanitiser = (ROOT / SANITISER).read_text(encoding="utf-8")
    names = f"\n[the names of a copy]\nregex: {name}-demo:\nreplace: multi-stage-demo:\n"
    (root / SANITISER).write_text(sanitiser + names, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # plugins that are not needed take longer to load than some notebooks
        "XDG_CACHE_HOME": str(caches),
        "XDG_STATE_HOME": str(root / "state"),
        "IPYTHONDIR": str(root / "ipython"),
    }
    copy = LabCopy(root, name, environment)
    copy.edit("layerlab/engine/ownership.py", '"layerlab.image"', f'"{name}.image"')
    copy.edit("layerlab/engine/ownership.py", '"layerlab.container"', f'"{name}.container"')
    copy.edit(
        "layerlab/engine/ownership.py",
        'MARKER_REPOSITORY: Final = "layerlab"',
        f'MARKER_REPOSITORY: Final = "{name}"',
    )
    copy.edit("layerlab/demo/__init__.py", '"multi-stage-demo:single"', f'"{name}-demo:single"')
    copy.edit("layerlab/demo/__init__.py", '"multi-stage-demo:optimized"', f'"{name}-demo:optimized"')
    # Two copies work side by side, and other tests beside them.
    copy.edit("layerlab/service/containers.py", "wait: float = 30.0", "wait: float = 180.0")
    return copy


def _complaint(case: ElementTree.Element) -> str:
    """Why a test case failed, with the cells of HTML tables between bars; empty if it passed."""
    wrong = [child for child in case if child.tag in {"failure", "error", "skipped"}]
    text = "\n".join(f"{child.tag}: {child.get('message')}\n{child.text}" for child in wrong)
    return html.unescape(TAG.sub("", CELL.sub(" | ", COLOUR.sub("", text))))
