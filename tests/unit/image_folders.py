"""Images made of folders, so that what is read of layers can be tested without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from layerlab.engine import Engine
from layerlab.image import Image
from layerlab.image.stack import stack_layers
from layerlab.image.store import overlay
from layerlab.image.store.file_reader import FileReader


def layer(folder: Path, files: dict[str, bytes]) -> Path:
    """A layer's directory with these files."""
    for path, content in files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_folders(folders: Sequence[Path]) -> FileReader:
    """The files of an image whose layers lie in these folders, from the bottom; it has no engine."""
    layers = [overlay.scan(str(folder)) for folder in folders]
    diff_ids = [f"sha256:{number:064x}" for number in range(len(layers))]
    image = Image("none", "none", {}, stack_layers(layers, {}, diff_ids))
    return FileReader(cast(Engine, None), image, tuple(map(str, folders)))
