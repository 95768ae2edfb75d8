"""Where files came from, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Origin:
    """Where the content of a file came from, through all the copies.

    Attributes:
        kind: ``base`` an external base image (or ``COPY --from`` an image), ``context`` the build context, ``made``
            an instruction (RUN, mostly) made it, ``unknown`` could not be told.
        stage: The stage in which that happened (for ``context``: that copied it from there).
        line: Of that instruction.
        through: The labels of the stages that it was taken from by ``COPY --from`` on its way, the last first; empty
            if it never left its stage. Where the final stage is FROM another, its layers keep that stage's label
            and no copy is involved.
        hops: For each stage of `through`, the index of the file's entry in that stage's image.
        entry: The index of the entry that it was at first, in the image of the last stage of `through`, or else in
            the image itself; None if it was in neither: it came from an image that only COPY names, or is unknown.
        image: For ``base``, the image as the Dockerfile names it.
        source: For ``context``, the file's path in it, or that of the archive that ADD has unpacked; for what COPY
            takes from an image, its path there. Empty where that cannot be told.
    """

    kind: Literal["base", "context", "made", "unknown"]
    stage: str | None = None
    line: int | None = None
    through: tuple[str, ...] = ()
    hops: tuple[int, ...] = field(default=(), compare=False)
    entry: int | None = field(default=None, compare=False)
    image: str = field(default="", compare=False)
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Copy:
    """Bytes that a layer above the base stores although the image had them already.

    Attributes:
        path: What is stored again.
        bytes: Its size.
        layer: The layer that stores it again.
        of: The path that had the same content (the same path after a chown or chmod; another after a second copy).
        of_layer: Its layer.
    """

    path: str
    bytes: int
    layer: int
    of: str
    of_layer: int
