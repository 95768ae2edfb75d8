"""Images of layers that a test writes down, read as `docker save` would have written them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layerlab import image
from layerlab.dockerfile import Dockerfile
from tests.unit.image_truth import Entry, image_config, saved, tar


def read(
    path: str | Path,
    stack: Sequence[Sequence[Entry]],
    steps: Sequence[str] | None = None,
    dockerfile: Dockerfile | None = None,
    **config: Any,
) -> image.Image:
    """An image of these layers.

    Args:
        path: The file to write, and so the image's name.
        stack: Its layers, from the bottom.
        steps: What made each, as the history has it.
        dockerfile: What it was built from.
        config: What containers are told, such as ``User``.
    """
    layers = [tar(entries) for entries in stack]
    steps = steps or [f"RUN /bin/sh -c step {number} # buildkit" for number in range(len(stack))]
    history = [{"created_by": step} for step in steps]
    Path(path).write_bytes(saved(layers, image_config(layers, history, **config)))
    return image.read(None, str(path), dockerfile=dockerfile)
