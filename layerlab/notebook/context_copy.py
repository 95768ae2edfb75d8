"""A copy of a build context to try things out on, in a notebook."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from layerlab import builder as build_package
from layerlab import demo, image
from layerlab.builder import Build
from layerlab.builder import context as contexts
from layerlab.engine import Engine
from layerlab.engine.ownership import discard, image_labels, mark_image, marker_tag
from layerlab.image import Image
from layerlab.paths import ROOT
from layerlab.ui import displays
from layerlab.ui.units import counted

COPIED: Final = (
    *("app", "slim", "requirements.txt", ".dockerignore"),
    *("Dockerfile", "Dockerfile.single", "Dockerfile.single.dockerignore", "Dockerfile.minimal"),
)


@dataclass
class Experiment:
    """A copy of a build context that may be changed and built at will.

    Attributes:
        engine: Where it is built.
        folder: The copy.
        image_ids: What was built from it.
    """

    engine: Engine
    folder: Path
    image_ids: set[str] = field(default_factory=set)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the one place in a file of the copy that reads ``old``.

        Raises:
            ValueError: it is not there exactly once.
        """
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{name} holds this text {text.count(old)} times, not once: {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write a file of the copy."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self, name: str) -> None:
        """Append a comment to a file of the copy, another one each time: a change that no build has seen before."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(f"# changed for an experiment: {uuid.uuid4().hex}\n")

    def context(self, dockerfile: str = "Dockerfile") -> pd.DataFrame:
        """What a build from this Dockerfile sends to the engine: ``path`` str and ``bytes`` int64, a row per file."""
        entries = contexts.collect(self.folder, dockerfile).entries
        rows = [(entry.name, entry.bytes) for entry in entries if entry.path.is_file()]
        return pd.DataFrame(rows, columns=["path", "bytes"]).astype({"path": "str", "bytes": "int64"})

    def look(self, built: Build, dockerfile: str = "Dockerfile") -> Image:
        """Look into an image that was built from this copy, its layers tied to the Dockerfile's lines."""
        parsed = demo.read_dockerfile(self.folder / dockerfile, self.engine.platform)
        return image.read(self.engine, built.image_id, dockerfile=parsed)

    def build(self, dockerfile: str = "Dockerfile", *, what: str = "", **options: Any) -> Build:
        """Build the copy; see `layerlab.builder.build` for the options. The image is removed with the experiment."""
        with displays.notebook(what or f"an experiment with {dockerfile}") as report:
            labels = image_labels("experiment")
            built = build_package.build(
                self.engine, self.folder, dockerfile=dockerfile, labels=labels, report=report, **options
            )
        mark_image(self.engine.client.images.get(built.image_id))
        self.image_ids.add(built.image_id)
        print(f"{what or dockerfile}: built in {counted(len(built.steps), 'step')}")
        return built


@contextmanager
def experiment_on(engine: Engine, folder: Path = ROOT) -> Iterator[Experiment]:
    """See `layerlab.notebook.experiment`."""
    with tempfile.TemporaryDirectory(prefix="layerlab-") as name:
        copy = Path(name)
        for source in [ROOT / item for item in COPIED] if folder == ROOT else folder.iterdir():
            if source.is_dir():
                shutil.copytree(source, copy / source.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy)
        trial = Experiment(engine, copy)
        try:
            yield trial
        finally:
            for image_id in trial.image_ids:
                discard(engine, marker_tag(image_id))
