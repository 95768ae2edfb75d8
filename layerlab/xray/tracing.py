"""Traces an image to the stages and lines of its Dockerfile: builds it, and each stage as a target, from the cache.

What BuildKit has built here is in its cache, so this takes a second or two. That the Dockerfile is the image's is
verified: the layers of what it builds are those of the image, or bring the same files in the same sizes and take the
same away, where the cache has forgotten it and it had to be built again, or where the classic builder has built it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import numpy as np

from layerlab import bases
from layerlab import dockerfile as dockerfiles
from layerlab import image as images
from layerlab.builder import Trials, adapted
from layerlab.builder import context as contexts
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.errors import OtherDockerfile
from layerlab.image import Image
from layerlab.image.formats.archive import opened_below
from layerlab.image.layer import DIRECTORY
from layerlab.image.stack import LayerStack
from layerlab.image.store import file_reader as reading
from layerlab.ui.text import shorten
from layerlab.xray.provenance import layer_history
from layerlab.xray.provenance.file_origins import FileOrigins

Contents = Mapping[str, int | None]  # the sizes of a layer's files, by path; None for what it takes away


@dataclass(frozen=True)
class BuildSource:
    """What an image was built from."""

    dockerfile: Path
    folder: Path  # the build context
    target: str | None = None  # the stage that is the image; the last if None
    build_args: Mapping[str, str] = field(default_factory=dict)  # values for the Dockerfile's ARGs
    platform: str = ""  # what it was built for, see `layerlab.dockerfile.parse`

    @cached_property
    def context(self) -> contexts.Context:
        """What is sent to the engine.

        Raises:
            DockerfileError, ContextError: see `layerlab.builder.context.collect`.
        """
        return self.collect()

    def collect(self, ignored: Sequence[str] = ()) -> contexts.Context:
        """The same as it is now, without what these lines of a ``.dockerignore`` name, too."""
        name = os.path.relpath(self.dockerfile.resolve(), self.folder.resolve())
        return contexts.collect(self.folder, name, ignored=ignored)

    @cached_property
    def parsed(self) -> Dockerfile:
        """The Dockerfile; a DockerfileError if it cannot be read, or is wrong."""
        return self.parse(self.context.text)

    def parse(self, text: str) -> Dockerfile:
        """Another text in place of the Dockerfile; a DockerfileError if it is wrong."""
        return dockerfiles.parse(text, self.build_args, self.platform)

    @property
    def built_from(self) -> Dockerfile:
        """The Dockerfile as far as the stage that is the image (else a DockerfileError), to which layers are tied."""
        final = self.parsed.target(self.target)
        return replace(self.parsed, stages=self.parsed.stages[: final.index + 1])


@dataclass(frozen=True, eq=False)
class Trace:
    """An image, its layers tied to the lines of the Dockerfile, and the stages that it was built from."""

    source: BuildSource
    image: Image
    final: Stage
    origins: FileOrigins = field(repr=False)
    built: Mapping[str, FileOrigins] = field(repr=False)  # of the other stages that it needs, by their labels

    @property
    def dockerfile(self) -> Dockerfile:
        """What it was built from, parsed."""
        return self.source.parsed


def trace(trials: Trials, image: Image, source: BuildSource) -> Trace:
    """Trace an image, which the engine has or a file, to what it was built from, as somebody says.

    What this gives can be used as long as the trial images are there.

    Raises:
        OtherDockerfile: it was not built from this.
        LabError: it cannot be built; see `layerlab.builder.build`.
    """
    context, parsed = source.context, source.parsed
    final = parsed.target(source.target)
    bases.ensure_for(trials.engine, parsed, source.target, report=trials.report)
    again = trials.build(context, target=source.target, build_args=source.build_args)
    verify(image, images.read(trials.engine, again.image_id, dockerfile=source.built_from), source)
    context, adapted = _named(source, trials.scratch)
    files = {entry.name: entry for entry in context.entries if stat.S_ISREG(entry.status.st_mode)}
    sizes = {name: entry.bytes for name, entry in files.items()}
    traced: dict[str, FileOrigins] = {}

    def origins(image: Image, stage: Stage) -> FileOrigins:
        reader = reading.for_image(trials.engine, image)
        found = layer_history.trace(trials.engine, image.stack, parsed, stage, trials.labels)
        return FileOrigins(reader, found, parsed, dict(traced), sizes, lambda name: _read(files[name]))

    for stage in parsed.needed(final):
        if stage != final:
            label = adapted.stages[stage.index].label
            built = trials.build(context, target=label, build_args=source.build_args)
            traced[stage.label] = origins(images.read(trials.engine, built.image_id), stage)
    return Trace(source, image, final, origins(image, final), traced)


def verify(image: Image, again: Image, source: BuildSource) -> None:
    """Make sure that an image is what its Dockerfile builds.

    Raises:
        OtherDockerfile: it is not; says the first layer that is another one.
    """
    mine, theirs, name = image.stack, again.stack, source.dockerfile.name
    remedy = "name the Dockerfile that it was built from, with the target and build arguments of that time"
    beside = zip(mine.diff_ids, theirs.diff_ids, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], beside))
    changed, changed_again = _changed(mine, same), _changed(theirs, same)
    if len(changed) != len(changed_again):
        raise OtherDockerfile(
            f"{image.name} was not built from this {name}: it has {same + len(changed)} layers, and what {name}"
            f" builds has {same + len(changed_again)}",
            remedy=remedy,
        )
    sent = f"/{posixpath.basename(source.context.dockerfile)}"
    pairs = zip(changed, changed_again, strict=True)
    others = [(number, number_again) for (number, one), (number_again, two) in pairs if not _alike(one, two, sent)]
    if not others:
        return
    # Another instruction says more than other files, which a COPY of the whole folder holds, too.
    said = (pair for pair in others if not _is_of_same_instruction(mine, theirs, *pair))
    number, number_again = next(said, others[0])
    line = theirs.lines[number_again]
    where = f"layer {number}" + (f" (line {line} of {name})" if line else "")
    if _is_of_same_instruction(mine, theirs, number, number_again):
        why = "of the same instruction and holds other files"
        remedy = "build the image again from what is there now, or name the folder that it was built from"
    else:
        ours, its = (shorten(text, 60) for text in (theirs.instructions[number_again], mine.instructions[number]))
        why = f"of `{ours}`, and the image's of `{its}`"
    raise OtherDockerfile(f"{image.name} was not built from this {name} and folder: {where} is {why}", remedy=remedy)


def _changed(stack: LayerStack, first: int) -> list[tuple[int, Contents]]:
    """The layers from the first on that bring or take away any file, with what they do."""
    found: list[tuple[int, Contents]] = []
    for number, layer in enumerate(stack.layers[first:], first):
        # Builders do not agree on which directories they store. The classic one leaves out layers without a change.
        files = np.flatnonzero(layer.kinds != DIRECTORY).tolist()
        contents = {layer.paths[index]: int(layer.sizes[index]) for index in files}
        if contents or layer.whiteouts:
            found.append((number, {**contents, **dict.fromkeys(layer.whiteouts)}))
    return found


def _alike(one: Contents, two: Contents, sent: str) -> bool:
    """Whether two layers bring and take away the same; the Dockerfile is `sent` though ``.dockerignore`` names it."""
    others = {path for path in one.keys() | two.keys() if one.get(path, -1) != two.get(path, -1)}
    return all(path not in one and path.endswith(sent) for path in others)


def _is_of_same_instruction(mine: LayerStack, theirs: LayerStack, number: int, number_again: int) -> bool:
    is_written = number in mine.origins and mine.origins[number] == theirs.origins.get(number_again)
    return is_written or mine.instructions[number] == theirs.instructions[number_again]


def _read(entry: contexts.Entry) -> bytes:
    """The first megabyte of a file of a context; nothing where it is no regular file any more."""
    with suppress(OSError), opened_below(entry.path.parent, entry.path.name) as handle:
        return os.pread(handle, reading.LARGEST, 0)
    return b""


def with_dockerfile(context: contexts.Context, text: str, scratch: Path) -> contexts.Context:
    """The same context with another Dockerfile, at the same place and with the same mode.

    The folder `scratch` gets it, and has to be there as long as the context is used.
    """
    path = scratch / f"{len(list(scratch.iterdir()))}"
    path.write_text(text, encoding="utf-8")
    status = path.lstat()
    old = next(entry for entry in context.entries if entry.name == context.dockerfile)
    new = replace(old, path=path, status=os.stat_result((old.status.st_mode, *status[1:])))
    return replace(context, text=text, entries=tuple(new if entry is old else entry for entry in context.entries))


def _named(source: BuildSource, scratch: Path) -> tuple[contexts.Context, Dockerfile]:
    """The context with a name for each stage, since BuildKit finds a target by its name alone; and its Dockerfile."""
    text = adapted.with_names(source.context.text, source.parsed)
    return with_dockerfile(source.context, text, scratch), source.parse(text)
