"""An image's layers put together: all that its tables are made of, with nothing that takes long to import.

What a caller does not ask for is not worked out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.image import filesystem, instructions, packages
from layerlab.image.filesystem import NEVER, Filesystem, Inodes
from layerlab.image.layer import FILE, Layer
from layerlab.image.packages import Ownership


@dataclass(frozen=True, eq=False)
class LayerStack:
    """What an image holds; its layers are listed from the bottom."""

    config: dict[str, Any]
    layers: list[Layer]
    diff_ids: list[str]
    merged: Filesystem  # all their entries, and what became of each
    inodes: Inodes  # which of the files' inodes live
    instructions: list[str]  # what made each layer, in the words of its history
    origins: dict[int, Instruction]  # the Dockerfile's instructions that made layers, by layer, where they are known

    @property
    def lines(self) -> list[int | None]:
        """The line of each layer, where it is known."""
        return [self.origins[index].line if index in self.origins else None for index in range(len(self.layers))]

    @cached_property
    def layer_bytes(self) -> list[int]:
        """The bytes that each layer stores."""
        return [layer.bytes for layer in self.layers]

    @cached_property
    def live_sizes(self) -> NDArray[np.int64]:
        """The bytes of each entry that a container sees: an inode's first visible name has them all."""
        sizes = np.zeros_like(self.merged.sizes)
        sizes[self.inodes.live] = self.merged.sizes[self.inodes.live]
        return sizes

    @property
    def file_count(self) -> int:
        """How many names of regular files a container sees."""
        return int(((self.merged.gone_by == NEVER) & (self.merged.kinds == FILE)).sum())

    def entry_at(self, layer: int | None, path: str) -> int | None:
        """The index of a layer's entry at this path, or of the visible one (None); None if there is none."""
        if layer is None:
            return self.merged.find(path)
        if not 0 <= layer < len(self.layers):
            return None
        paths = self.layers[layer].paths
        at = bisect_left(paths, path)
        return int(self.merged.starts[layer]) + at if at < len(paths) and paths[at] == path else None

    def target(self, layer: int | None, path: str) -> str | None:
        """What a layer's symbolic link, or the visible one (None), says that it leads to; None if there is none."""
        index = self.entry_at(layer, path)
        if index is None:
            return None
        first = int(self.merged.inodes[index])  # a hard link may have its inode from a layer below
        return self.layers[int(self.merged.layers[first])].links.get(self.merged.paths[first])

    def entries_below(self, layer: int, path: str) -> Iterator[int]:
        """The indexes of what the layers below this one have at a path, the uppermost first."""
        found = (self.entry_at(number, path) for number in reversed(range(layer)))
        return (index for index in found if index is not None)

    @cached_property
    def visible(self) -> NDArray[np.int64]:
        """Indexes of the entries that a container sees, in the order of their paths."""
        found = np.flatnonzero(self.merged.gone_by == NEVER)
        if len(self.layers) > 1:
            found = np.array(sorted(found.data, key=self.merged.paths.__getitem__), dtype=np.int64)
        return found

    @cached_property
    def ownership(self) -> Ownership:
        """The packages, and who owns each of the visible entries."""
        return packages.ownership(self.merged, self.layers, self.visible)

    @cached_property
    def owner_names(self) -> dict[int, str]:
        """The package that owns a visible entry, by the entry's index; nobody's entries are left out."""
        owned = zip(self.visible.tolist(), self.ownership.owners.tolist(), strict=True)
        return {index: self.ownership.packages[number].owner for index, number in owned if number >= 0}

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """What each of the visible entries is there for."""
        return packages.parts(
            self.merged,
            self.visible,
            self.ownership,
            working_directory=str((self.config.get("config") or {}).get("WorkingDir") or ""),
            from_context=instructions.from_context(self.origins),
        )


def stack_layers(
    layers: list[Layer], config: dict[str, Any], diff_ids: list[str], dockerfile: Dockerfile | None = None
) -> LayerStack:
    """Merge an image's layers, given from the bottom.

    Raises:
        ArchiveError: a hard link leads to a path that no layer below has.
    """
    merged = filesystem.merge(layers)
    return LayerStack(
        config=config,
        layers=layers,
        diff_ids=diff_ids,
        merged=merged,
        inodes=filesystem.inodes(merged),
        instructions=instructions.instructions(config, len(layers)),
        origins=instructions.origins(config, len(layers), dockerfile),
    )
