"""Traces an image to the stages and lines of its Dockerfile: builds it, and each stage as a target, from the cache.

What BuildKit has built here is in its cache, so this takes a second or two. That the Dockerfile is the image's is
verified: the layers of what it builds are those of the image, or hold the same entries with the same sizes, modes and
owners where the cache has forgotten it and it had to be built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from layerlab import image as images
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.errors import OtherDockerfile
from layerlab.image import Image
from layerlab.image import contents as reading
from layerlab.image.layer import Layer
from layerlab.provenance import lineage
from layerlab.provenance.origins import Origins
from layerlab.text import shorten
from layerlab.xray.source import ContextFiles, Source, named
from layerlab.xray.trials import Trials


@dataclass(frozen=True, eq=False)
class Trace:
    """An image, and the stages that it was built from.

    Attributes:
        source: What it was built from.
        image: It, its layers tied to the lines of the Dockerfile.
        final: Its stage.
        origins: Of its files.
        built: Of the files of the other stages that it needs, by their labels.
    """

    source: Source
    image: Image
    final: Stage
    origins: Origins = field(repr=False)
    built: Mapping[str, Origins] = field(repr=False)

    @property
    def dockerfile(self) -> Dockerfile:
        """What it was built from, parsed."""
        return self.source.parsed


def trace(trials: Trials, image: Image, source: Source) -> Trace:
    """Trace an image; what it gives can be used as long as the trial images are there.

    Args:
        trials: Where to build.
        image: What to trace; the engine has it, or it was read from a file.
        source: What it was built from, as somebody says.

    Raises:
        OtherDockerfile: it was not built from this.
        LabError: it cannot be built; see `layerlab.build.build`.
    """
    context, parsed = source.context, source.parsed
    final = parsed.target(source.target)
    again = trials.build(context, parsed, target=source.target, build_args=source.build_args)
    verify(image, images.read(trials.engine, again.image_id, dockerfile=source.built_from), source)
    context, adapted = named(source, trials.scratch)
    files = ContextFiles(context)
    traced: dict[str, Origins] = {}
    for stage in parsed.needed(final):
        if stage != final:
            label = adapted.stages[stage.index].label
            built = trials.build(context, adapted, target=label, build_args=source.build_args)
            looked = images.read(trials.engine, built.image_id)
            traced[stage.label] = _origins(trials, looked, parsed, stage, traced, files=files)
    origins = _origins(trials, image, parsed, final, traced, files=files)
    return Trace(source, image, final, origins, traced)


def _origins(
    trials: Trials,
    image: Image,
    dockerfile: Dockerfile,
    stage: Stage,
    others: Mapping[str, Origins],
    *,
    files: ContextFiles,
) -> Origins:
    contents = reading.of(trials.engine, image)
    found = lineage.trace(trials.engine, image.content, dockerfile, stage, trials.labels)
    return Origins(contents, found, dockerfile, dict(others), files, files.sizes)


def verify(image: Image, again: Image, source: Source) -> None:
    """Make sure that an image is what its Dockerfile builds.

    Raises:
        OtherDockerfile: it is not; says the first layer that is another one.
    """
    mine, theirs = image.content, again.content
    name = source.dockerfile.name
    numbers = range(min(len(mine.diff_ids), len(theirs.diff_ids)))
    others = [
        number
        for number in numbers
        if mine.diff_ids[number] != theirs.diff_ids[number] and not _alike(mine.layers[number], theirs.layers[number])
    ]
    if len(mine.diff_ids) != len(theirs.diff_ids):
        raise OtherDockerfile(
            f"{image.name} was not built from this {name}: it has {len(mine.diff_ids)} layers, and what {name} builds"
            f" has {len(theirs.diff_ids)}",
            remedy="name the Dockerfile that it was built from, with the target and build arguments of that time",
        )
    if others:
        # Another instruction says more than other files, which a COPY of the whole folder holds, too.
        said = (number for number in others if mine.instructions[number] != theirs.instructions[number])
        raise _other(image, again, next(said, others[0]), name)


def _other(image: Image, again: Image, number: int, name: str) -> OtherDockerfile:
    line = again.content.lines[number]
    words = [looked.content.instructions[number] for looked in (image, again)]
    where = f"layer {number}" + (f" (line {line} of {name})" if line else "")
    if words[0] == words[1]:
        return OtherDockerfile(
            f"{image.name} was not built from this {name} and this folder: {where} is of the same instruction and"
            " holds other files",
            remedy="build the image again from what is there now, or name the folder that it was built from",
        )
    return OtherDockerfile(
        f"{image.name} was not built from this {name}: {where} is of `{shorten(words[1], 60)}`, and the image's of"
        f" `{shorten(words[0], 60)}`",
        remedy="name the Dockerfile that it was built from, with the target and build arguments of that time",
    )


def _alike(one: Layer, two: Layer) -> bool:
    """Whether two layers hold the same entries, though perhaps of another time."""
    columns = ("kinds", "sizes", "modes", "uids", "gids", "inodes")
    return (
        one.paths == two.paths
        and one.whiteouts == two.whiteouts
        and one.opaques == two.opaques
        and all(np.array_equal(getattr(one, column), getattr(two, column)) for column in columns)
    )
