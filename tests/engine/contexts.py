"""Small build contexts."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path, dockerfile: str, **files: str) -> Path:
    """Write a Dockerfile and other files into a folder; ``_`` in a name stands for a dot."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder
