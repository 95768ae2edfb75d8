"""Where the content of a file came from, followed through the stages that it was copied from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import takewhile
from typing import Final, Literal

import numpy as np

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.errors import ArchiveError
from layerlab.image.filesystem import NEVER
from layerlab.image.formats.changeset import followed
from layerlab.image.layer import DIRECTORY, FILE, SYMLINK
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import LARGEST, FileReader
from layerlab.xray.provenance import copies
from layerlab.xray.provenance.layer_history import LayerHistory, LayerInstruction

# How what ADD gets from elsewhere begins.
_REMOTE: Final = re.compile(r"[\"']?(?:https?://|git@|git://|ssh://)", re.IGNORECASE)
_WILDCARDS: Final = frozenset("*?[")
_ENVIRONMENT: Final = "pyvenv.cfg"  # lies in every virtual environment (PEP 405)
_TELLING: Final = 100  # bytes of a file that no other file has by chance


@dataclass(frozen=True)
class Origin:
    """Where the content of a file came from, through all the copies."""

    # ``base`` an external base image (or ``COPY --from`` an image), ``context`` the build context, ``made`` an
    # instruction (RUN, mostly) made it, ``unknown`` could not be told.
    kind: Literal["base", "context", "made", "unknown"]
    stage: str | None = None  # the stage in which that happened (for ``context``: that copied it from there)
    line: int | None = None  # of that instruction
    # The labels of the stages that it was taken from by ``COPY --from`` on its way, the last first; empty if it never
    # left its stage: where the final stage is FROM another, its layers keep that stage's label.
    through: tuple[str, ...] = ()
    # For each stage of `through`, the index of the file's entry in that stage's image.
    hops: tuple[int, ...] = field(default=(), compare=False)
    # The index of the entry that it was at first, in the image of the last stage of `through`, or else in the image
    # itself; None if it was in neither: it came from an image that only COPY names, or is unknown.
    entry: int | None = field(default=None, compare=False)
    image: str = field(default="", compare=False)  # for ``base``, the image as the Dockerfile names it
    # For ``context``, the file's path in it, or that of the archive that ADD has unpacked; for what COPY takes from
    # an image, its path there. Empty where that cannot be told.
    source: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class FileOrigins:
    """Tells where the files of one image came from."""

    reader: FileReader  # the image's files
    layer_history: LayerHistory  # what made its layers
    dockerfile: Dockerfile  # that it was built from
    others: Mapping[str, FileOrigins]  # the same of other stages, by label
    context: Mapping[str, int]  # the sizes of the build context's files, by path relative to it
    read_context: Callable[[str], bytes]  # gives the bytes of one of them; those of 1 MB or more may be cut
    _known: dict[int, Origin] = field(default_factory=dict, repr=False)

    def origin_at(self, layer: int, path: str) -> Origin:
        """Where the content of the entry that a layer has at this path came from."""
        index = self.reader.stack.entry_at(layer, path)
        return Origin("unknown") if index is None else self.origin(index)

    def origin(self, index: int) -> Origin:
        """Where the content of an entry came from."""
        if index not in self._known:
            self._known[index] = self._find(index)
        return self._known[index]

    def first_stack(self, origin: Origin) -> LayerStack:
        """The image in which a file was at first."""
        first = self
        for label in origin.through:
            first = first.others[label]
        return first.reader.stack

    def _find(self, index: int) -> Origin:
        layer = int(self.reader.stack.merged.layers[index])
        if layer < self.layer_history.base_layers:
            first = self.layer_history.stages[0]
            return Origin("base", first.label, first.line, entry=index, image=first.base)
        stack, kinds = self.reader.stack, self.reader.stack.merged.kinds
        # An instruction that puts something into a folder stores it again.
        for before in stack.entries_below(layer, stack.merged.paths[index]) if kinds[index] == DIRECTORY else ():
            if kinds[before] == DIRECTORY:
                return self.origin(before)
        step = self.layer_history.steps.get(layer)
        if step is None:
            return Origin("unknown")
        if step.instruction.keyword in {"COPY", "ADD"}:
            return self._copied(index, step)
        if step.instruction.keyword == "RUN":
            return self._ran(index, step)
        return Origin("made", step.stage.label, step.line, entry=index)

    def _copied(self, index: int, step: LayerInstruction) -> Origin:
        reference = step.instruction.flag("from")
        merged = self.reader.stack.merged
        path, kind, size = merged.paths[index], int(merged.kinds[index]), int(merged.sizes[index])
        if not reference:
            return self._brought(index, step)
        stage = self.dockerfile.find_stage(reference)
        if stage is None:
            source = next(sources(path, step), "")
            return Origin("base", step.stage.label, step.line, image=reference, source=source)
        if stage.label not in self.others:
            return Origin("unknown", step.stage.label, step.line, (stage.label,))
        other = self.others[stage.label]
        found = _copied_from(other, path, kind, size, step)
        if found is None and kind != DIRECTORY:
            found = other.most_alike(path, kind, size)
        if found is not None:
            return self._through(stage.label, found)
        if kind == DIRECTORY:  # COPY makes the folders that lead to its destination itself
            return Origin("made", step.stage.label, step.line, entry=index)
        return Origin("unknown", step.stage.label, step.line, (stage.label,))

    def _brought(self, index: int, step: LayerInstruction) -> Origin:
        """The origin of what a COPY or ADD has not taken from a stage or image."""
        source, instruction = self._in_context(self.reader.stack.merged.paths[index], step), step.instruction
        if not source and (instruction.heredocs or any(map(_REMOTE.match, instruction.arguments[:-1]))):
            return Origin("made", step.stage.label, step.line, entry=index)  # the Dockerfile's text, or a download
        return Origin("context", step.stage.label, step.line, entry=index, source=source)

    def _in_context(self, path: str, step: LayerInstruction) -> str:
        """The file of the build context that was copied to this path; empty where that cannot be told."""
        instruction = step.instruction
        for source in sources(path, step):
            if source.lstrip("/") in self.context:
                return source.lstrip("/")
        written = [posixpath.normpath(argument.strip("\"'")).lstrip("/") for argument in instruction.arguments[:-1]]
        named = [source for source in written if source in self.context]  # an archive, or under a new name
        return named[0] if len(named) == 1 and not instruction.heredocs else ""

    def _through(self, label: str, index: int) -> Origin:
        """The origin of what was taken from a stage's entry."""
        origin = self.others[label].origin(index)
        return replace(origin, through=(label, *origin.through), hops=(index, *origin.hops))

    def _ran(self, index: int, step: LayerInstruction) -> Origin:
        merged = self.reader.stack.merged
        if (earlier := self._unchanged.get(index)) is not None:
            return self.origin(earlier)
        if merged.kinds[index] == SYMLINK and (link := self._link_before(index)) is not None:
            return self.origin(link)
        if (mounted := self._mounted(index, step.instruction)) is not None:
            return mounted
        of_context = merged.kinds[index] == FILE and merged.sizes[index] > 0
        if of_context and (source := self._same_in_context(index, step.instruction)):
            return Origin("context", step.stage.label, step.line, entry=index, source=source)
        return Origin("made", step.stage.label, step.line, entry=index)

    def _link_before(self, index: int) -> int | None:
        """The symbolic link of a lower layer that leads to the same place; changing its owner stores it again."""
        stack, merged = self.reader.stack, self.reader.stack.merged
        path, layer = merged.paths[index], int(merged.layers[index])
        found = next(stack.entries_below(layer, path), None)
        is_same = found is not None and stack.target(int(merged.layers[found]), path) == stack.target(layer, path)
        return found if is_same else None

    @cached_property
    def _unchanged(self) -> dict[int, int]:
        """What RUNs store again although nothing but owner or mode has changed, with the earlier entry."""
        runs = [layer for layer, step in self.layer_history.steps.items() if step.instruction.keyword == "RUN"]
        return copies.unchanged(self.reader, runs)

    def _mounted(self, index: int, instruction: Instruction) -> Origin | None:
        """The origin of an entry that a RUN has copied from a stage that it mounts; None if it has not."""
        merged = self.reader.stack.merged
        path, kind, size = merged.paths[index], int(merged.kinds[index]), int(merged.sizes[index])
        for reference, folder in mounts(instruction):
            stage = self.dockerfile.find_stage(reference)
            if stage is not None and stage.label in self.others:
                found = self.others[stage.label].most_alike(path, kind, size, folder)
                if found is not None and self._is_same(index, self.others[stage.label].reader, found):
                    return self._through(stage.label, found)
        return None

    def _is_same(self, index: int, others: FileReader, found: int) -> bool:
        """Whether an entry of this name, kind and size elsewhere is the same: by its place, or its bytes."""
        merged = self.reader.stack.merged
        path, size = merged.paths[index], int(merged.sizes[index])
        other = others.stack.merged.paths[found]
        if common_suffix(path, other) > 2 or size > LARGEST:
            return True
        if size < _TELLING:
            return False
        own = self.reader.read(int(merged.layers[index]), path)
        return own is not None and own == others.read(None, other)

    def _same_in_context(self, index: int, instruction: Instruction) -> str:
        """A file of the build context with the same bytes, and the same name if it is short; empty if none is."""
        merged = self.reader.stack.merged
        path, size = merged.paths[index], int(merged.sizes[index])
        if not 0 < size < LARGEST:
            return ""
        alike, base = self._context_files.get(size, []), posixpath.basename(path)
        alike = [name for name in alike if size >= _TELLING or posixpath.basename(name) == base]
        if not any(mount.kind == "bind" and not mount.origin for mount in instruction.mounts):
            alike = [name for name in alike if not name.startswith(self._left_behind)]
        if not alike:
            return ""
        content = self.reader.read(int(merged.layers[index]), path)
        return next((name for name in alike if self.read_context(name) == content), "")

    @cached_property
    def _left_behind(self) -> tuple[str, ...]:
        """The virtual environments of the build context, left by trying the app, if this stage has copied none."""
        merged = self.reader.stack.merged
        for layer, step in self.layer_history.steps.items():
            entries = range(int(merged.starts[layer]), int(merged.starts[layer + 1]))
            names = (posixpath.basename(merged.paths[index]) for index in entries)
            if step.instruction.keyword in {"COPY", "ADD"} and _ENVIRONMENT in names:
                return ()
        return tuple(name.removesuffix(_ENVIRONMENT) for name in self.context if name.endswith(f"/{_ENVIRONMENT}"))

    @cached_property
    def _context_files(self) -> dict[int, list[str]]:
        """The build context's files, by size."""
        found: dict[int, list[str]] = {}
        for name, size in self.context.items():
            found.setdefault(size, []).append(name)
        return found

    def resolved(self, path: str) -> int | None:
        """What symbolic links on the way to a path, or at its end, lead to: COPY follows those of its sources."""
        with suppress(ArchiveError):  # in a circle
            target = partial(self.reader.stack.target, None)
            return self.reader.stack.merged.find(followed(path, target, clamped=True))
        return None

    def most_alike(self, path: str, kind: int, size: int, source: str = "/") -> int | None:
        """The entry of this name, kind and size in a folder whose path ends most like this one's, if there is one."""
        paths, layers = self.reader.stack.merged.paths, self.reader.stack.merged.layers
        prefix = f"{source.rstrip('/')}/"
        alike = self._by_name.get((posixpath.basename(path), kind, size if kind == FILE else 0), ())
        found = [index for index in alike if paths[index] == source or paths[index].startswith(prefix)]
        return max(found, key=lambda index: (common_suffix(paths[index], path), layers[index]), default=None)

    @cached_property
    def _by_name(self) -> dict[tuple[str, int, int], list[int]]:
        """Visible entries by name, kind and size."""
        names: dict[tuple[str, int, int], list[int]] = {}
        merged = self.reader.stack.merged
        visible = np.flatnonzero(merged.gone_by == NEVER)
        columns = (visible.tolist(), merged.kinds[visible].tolist(), merged.sizes[visible].tolist())
        for index, kind, size in zip(*columns, strict=True):
            key = (posixpath.basename(merged.paths[index]), kind, size if kind == FILE else 0)
            names.setdefault(key, []).append(index)
        return names


def common_suffix(path: str, other: str) -> int:
    """How many of the last parts of two paths are the same.

    >>> common_suffix("/opt/venv/bin/flask", "/venv/bin/flask")
    3
    """
    pairs = zip(path.strip("/").split("/")[::-1], other.strip("/").split("/")[::-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def sources(path: str, step: LayerInstruction) -> Iterator[str]:
    """Where a COPY or ADD may have taken what it has put at this path, the likeliest first.

    Sources are followed as they are written; those with variables are left out.
    """
    *written, destination = (argument.strip("\"'") for argument in step.instruction.arguments)
    if "$" in destination or (step.workdir is None and not destination.startswith("/")):
        return
    target = posixpath.normpath(posixpath.join(step.workdir or "/", destination))
    below = f"{target.rstrip('/')}/"
    relative = "." if path == target else path.removeprefix(below) if path.startswith(below) else None
    for source in reversed(written):  # a later one overwrites an earlier one
        if "$" in source or relative is None:
            continue
        folder = posixpath.normpath(f"/{source.lstrip('/')}")
        if _WILDCARDS & set(folder):
            while _WILDCARDS & set(folder):
                folder = posixpath.dirname(folder)
        elif relative == "." or relative.split("/")[0] == posixpath.basename(folder):
            yield folder if relative == "." else posixpath.join(posixpath.dirname(folder), relative)
        yield posixpath.normpath(posixpath.join(folder, relative))


def _copied_from(other: FileOrigins, path: str, kind: int, size: int, step: LayerInstruction) -> int | None:
    merged = other.reader.stack.merged
    for source in sources(path, step):
        for find in (merged.find, other.resolved):
            found = find(source)
            if found is not None and merged.kinds[found] == kind and (kind != FILE or merged.sizes[found] == size):
                return found
    if kind != FILE:
        return None
    # One file under a new name, in a place that cannot be told.
    for argument in step.instruction.arguments[:-1]:
        found = other.resolved(posixpath.normpath(f"/{argument.strip(chr(34)).lstrip('/')}"))
        if found is not None and merged.kinds[found] == FILE and merged.sizes[found] == size:
            return found
    return None


def mounts(instruction: Instruction) -> Iterator[tuple[str, str]]:
    """The stages or images whose files a RUN mounts, each with the folder of theirs that it mounts."""
    for mount in instruction.mounts:
        if mount.origin and mount.kind in {"bind", "cache"}:
            yield mount.origin, "/" if "$" in mount.source else mount.source
