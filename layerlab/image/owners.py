"""Whose the live bytes of an image are, as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerlab.image import Image
from layerlab.image.layer import FILE


def owners(image: Image) -> list[dict[str, Any]]:
    """Whose the live bytes are, the most first: `owner` (empty for nobody's), `version`, `files`, `bytes`."""
    stack = image.stack
    packages, numbers = stack.ownership.packages, stack.ownership.owners
    sizes = np.zeros(len(stack.merged.paths), dtype=np.int64)
    sizes[stack.inodes.live] = stack.merged.sizes[stack.inodes.live]
    bytes_of = np.zeros(len(packages) + 1, dtype=np.int64)
    files_of = np.zeros(len(packages) + 1, dtype=np.int64)
    np.add.at(bytes_of, numbers, sizes[stack.visible])  # nobody is -1, the last
    np.add.at(files_of, numbers, (stack.merged.kinds[stack.visible] == FILE).astype(np.int64))
    names = [*((package.owner, package.version) for package in packages), ("", "")]
    found = [
        {"owner": owner, "version": version, "files": int(files_of[number]), "bytes": int(bytes_of[number])}
        for number, (owner, version) in enumerate(names)
        if files_of[number]
    ]
    return sorted(found, key=lambda each: -each["bytes"])
