"""What an image is: its layers, its files, its packages, and the bytes that no container can see.

`read` looks at any image of an engine, or at a file that ``docker save`` has written, and gives an `Image` of
DataFrames. Sizes are apparent sizes of regular files in bytes, without the archive's headers; an inode counts once in
its layer. So an image has the same size on every engine, whatever the engine itself says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine
from layerlab.image.formats import platforms
from layerlab.image.stack import LayerStack, stack_layers
from layerlab.image.store import sources
from layerlab.ui.progress import Report, silent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Image", "read"]


@dataclass(frozen=True, eq=False)
class Image:
    """What an image holds.

    Always: ``live_bytes + wasted_bytes == total_bytes``; ``total_bytes == layers.bytes.sum()``;
    ``live_bytes == files.bytes.sum()``; ``wasted_bytes == waste.bytes.sum()``.

    The tables are made when they are first asked for: importing pandas takes longer than looking at an image.
    """

    name: str  # as it was asked for
    id: str  # the engine's id of it; the digest of its config if it comes from a file
    config: dict[str, Any] = field(repr=False)  # as the OCI image specification has it
    stack: LayerStack = field(repr=False)  # what the tables are made of

    @property
    def total_bytes(self) -> int:
        """What its layers store."""
        return sum(self.stack.layer_bytes)

    @property
    def live_bytes(self) -> int:
        """What a container can see."""
        return int(self.stack.merged.sizes[self.stack.inodes.live].sum())

    @property
    def wasted_bytes(self) -> int:
        """What no container can see."""
        return int(self.stack.merged.sizes[self.stack.inodes.wasted].sum())

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row per layer, from the bottom.

        `index` int64, `instruction` str (as the history has it, without ``#(nop)`` and ``# buildkit``), `line` Int64
        (of the Dockerfile; missing for the base image's layers and where it is not known), `bytes` int64,
        `live_bytes` int64, `wasted_bytes` int64, `change_bytes` int64 (what the layer adds to the filesystem that
        containers see, negative where it takes away), `running_bytes` int64 (the size of that filesystem up to this
        layer), `files` int64 (names of regular files), `diff_id` str.
        """
        return self._table("layers")

    @cached_property
    def files(self) -> pd.DataFrame:
        r"""A row per path of the merged filesystem, in the order of the paths, without the root.

        `path` str (absolute; bytes that are not UTF-8 as ``\xff``), `kind` category (file, directory, symlink,
        device, fifo), `bytes` int64 (of a regular file; 0 for a further name of an inode), `layer` int64, `mode`
        int64 (permission bits), `uid` int64, `gid` int64, `owner` str (``dpkg:gcc-14``, ``python:pandas``, or empty),
        `part` category (app, python packages, interpreter, system, compilers, other).
        """
        return self._table("files")

    @cached_property
    def waste(self) -> pd.DataFrame:
        """A row per regular file's inode that no container can see, empty ones too, the largest first.

        `path` str (the name that was visible last), `bytes` int64, `layer` int64 (that stores it), `cause` category
        (overwritten, deleted, hidden), `by_layer` int64 (that took its last name away), `by_line` Int64.
        """
        return self._table("waste")

    @cached_property
    def packages(self) -> pd.DataFrame:
        """A row per installed package, by manager and name; a Python distribution in two places has two.

        `name` str, `version` str, `manager` category (apk, dpkg, python), `files` int64 (names of regular files that
        it owns), `bytes` int64.
        """
        return self._table("packages")

    def _table(self, name: str) -> pd.DataFrame:
        from layerlab.image import dataframes  # noqa: PLC0415  # imports pandas

        table: pd.DataFrame = getattr(dataframes, name)(self.stack)
        return table


def read(
    engine: Engine | None,
    name: str,
    *,
    dockerfile: Dockerfile | None = None,
    platform: str | None = None,
    report: Report = silent,
) -> Image:
    """Look into an image.

    What was learnt about its layers is kept, so a second look at it, or at another one on the same base, is faster.

    Args:
        engine: The engine that has it; None if `name` is a file.
        name: A name, an id, or a file: what ``docker save`` wrote, or an OCI layout (a directory or its tar
            archive), compressed or not. An existing file is read as one; an image of the same name is meant by adding
            its tag.
        dockerfile: What it was built from, if that is known: ties layers to lines.
        platform: What it is to run on, such as ``linux/arm64``, where the image is for several; None for this
            machine's, or the engine's choice.
        report: Told how far it is, if it takes longer than a second.

    Raises:
        ImageNotFound: there is no such image; the remedy names similar ones. Or there is none for this platform, or
            none for this machine's and no other was chosen; then those that there are are named.
        ArchiveError: the file is no image, or is damaged, or hostile, or holds several images.
        UsageError: `platform` is none.
        EngineGone: the engine stopped answering.
        EngineError: the engine failed.

    >>> image = read(engine, "multi-stage-demo:optimized")
    >>> image.live_bytes + image.wasted_bytes == image.total_bytes
    True
    >>> image.packages.set_index("name")["manager"]["pandas"]
    'python'
    """
    wanted = platforms.parse(platform) if platform else None
    source = sources.load(engine, name, platform=wanted, report=report)
    return Image(
        name=name,
        id=source.id,
        config=source.config,
        stack=stack_layers(source.layers, source.config, source.diff_ids, dockerfile),
    )
