"""Where the content of a file came from, followed through the stages that it was copied from."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from layerlab.checker import copies
from layerlab.checker.contents import LARGEST, Contents
from layerlab.checker.evidence import File, Origin, Picture
from layerlab.checker.lineage import Lineage, Step
from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.image.layer import DIRECTORY, FILE, KINDS, SYMLINK

_WILDCARDS: Final = frozenset("*?[")
_TELLING: Final = 100
"""Bytes of a file that no other file has by chance."""


class Names:
    """Finds entries in the picture of a stage that something is taken from."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._above = {file.path: file for file in picture.files if file.visible}

    def at(self, path: str) -> File | None:
        """What a container of that stage sees at this path."""
        return self._above.get(path) or self.picture.base_files.get(path)

    def like(self, path: str, kind: str, size: int, source: str = "/") -> File | None:
        """The entry of this name, kind and size in a folder whose path ends most like this one's, if there is one."""
        prefix = f"{source.rstrip('/')}/"
        found = [
            file
            for file in self._by_name.get((posixpath.basename(path), kind, size if kind == "file" else 0), ())
            if file.path == source or file.path.startswith(prefix)
        ]
        return max(found, key=lambda file: (common_suffix(file.path, path), file.layer), default=None)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, int], list[File]]:
        """Visible entries by name, kind and size."""
        names: dict[tuple[str, str, int], list[File]] = {}
        for file in self.picture.visible.values():
            names.setdefault((posixpath.basename(file.path), file.kind, file.bytes), []).append(file)
        return names


@dataclass(frozen=True, eq=False)
class Origins:
    """Tells origins of one image's files; called with a file.

    Attributes:
        contents: The image's files.
        lineage: What made its layers.
        dockerfile: That it was built from.
        others: The pictures of other stages, by label.
        context: The build context, by path relative to it; files of 1 MB or more may be cut.
    """

    contents: Contents
    lineage: Lineage
    dockerfile: Dockerfile
    others: Mapping[str, Picture]
    context: Mapping[str, bytes]
    _names: dict[str, Names] = field(default_factory=dict, repr=False)
    _known: dict[int, Origin] = field(default_factory=dict, repr=False)

    def __call__(self, file: File) -> Origin:
        """Where the content of this file came from."""
        index = self.contents.index(file.layer, file.path)
        return Origin("unknown") if index is None else self._of(index)

    def _of(self, index: int) -> Origin:
        if index not in self._known:
            self._known[index] = self._find(index)
        return self._known[index]

    def _find(self, index: int) -> Origin:
        layer = int(self.contents.content.merged.layers[index])
        if layer < self.lineage.base_layers:
            first = self.lineage.stages[0]
            return Origin("base", first.label, first.line)
        if (folder := self._folder_before(index, layer)) is not None:
            return self._of(folder)
        step = self.lineage.steps.get(layer)
        if step is None or step.instruction is None:
            return Origin("unknown", step.stage.label if step else None, step.line if step else None)
        if step.instruction.keyword in {"COPY", "ADD"}:
            return self._copied(index, step, step.instruction)
        if step.instruction.keyword == "RUN":
            return self._ran(index, step, step.instruction)
        return Origin("made", step.stage.label, step.line)

    def _folder_before(self, index: int, layer: int) -> int | None:
        """The folder that lower layers have here: an instruction that puts something into it stores it again."""
        merged = self.contents.content.merged
        if merged.kinds[index] != DIRECTORY:
            return None
        lower = (self.contents.index(number, merged.paths[index]) for number in reversed(range(layer)))
        return next((found for found in lower if found is not None and merged.kinds[found] == DIRECTORY), None)

    def _copied(self, index: int, step: Step, instruction: Instruction) -> Origin:
        reference = instruction.flag("from")
        if not reference:
            return Origin("context", step.stage.label, step.line)
        source = self.dockerfile.find_stage(reference)
        if source is None:
            return Origin("base", step.stage.label, step.line)
        merged = self.contents.content.merged
        path, kind, size = merged.paths[index], KINDS[merged.kinds[index]], int(merged.sizes[index])
        names = self._names_in(source.label)
        if names is None:
            return Origin("unknown", step.stage.label, step.line, (source.label,))
        found = _copied_from(names, path, kind, size, step)
        if found is None and kind != "directory":
            found = names.like(path, kind, size)
        if found is not None:
            return _through(source.label, names.picture.origins(found))
        if kind == "directory":  # COPY makes the folders that lead to its destination itself
            return Origin("made", step.stage.label, step.line)
        return Origin("unknown", step.stage.label, step.line, (source.label,))

    def _ran(self, index: int, step: Step, instruction: Instruction) -> Origin:
        merged = self.contents.content.merged
        if (earlier := self._unchanged.get(index)) is not None:
            return self._of(earlier)
        if merged.kinds[index] == SYMLINK and (link := self._link_before(index)) is not None:
            return self._of(link)
        if (mounted := self._mounted(index, instruction)) is not None:
            return mounted
        if merged.kinds[index] == FILE and merged.sizes[index] > 0 and self._is_of_context(index):
            return Origin("context", step.stage.label, step.line)
        return Origin("made", step.stage.label, step.line)

    def _link_before(self, index: int) -> int | None:
        """The symbolic link of a lower layer that leads to the same place; changing its owner stores it again."""
        merged, contents = self.contents.content.merged, self.contents
        path, layer = merged.paths[index], int(merged.layers[index])
        for lower in reversed(range(layer)):
            found = contents.index(lower, path)
            if found is not None:
                # Where hidden entries cannot be read, the same is more likely than another.
                target = contents.target(lower, path) if merged.kinds[found] == SYMLINK else ""
                return found if target is None or target == contents.target(layer, path) else None
        return None

    @cached_property
    def _unchanged(self) -> dict[int, int]:
        """What RUNs store again although nothing but owner or mode has changed, with the earlier entry."""
        runs = [layer for layer, step in self.lineage.steps.items() if _keyword(step) == "RUN"]
        return copies.unchanged(self.contents, runs)

    def _mounted(self, index: int, instruction: Instruction) -> Origin | None:
        """The origin of an entry that a RUN has copied from a stage that it mounts; None if it has not."""
        merged = self.contents.content.merged
        path, kind, size = merged.paths[index], KINDS[merged.kinds[index]], int(merged.sizes[index])
        for reference, folder in _mounts(instruction):
            stage = self.dockerfile.find_stage(reference)
            names = self._names_in(stage.label) if stage else None
            found = names.like(path, kind, size, folder) if names else None
            if stage and names and found and self._is_same(index, names.picture, found):
                return _through(stage.label, names.picture.origins(found))
        return None

    def _is_same(self, index: int, picture: Picture, file: File) -> bool:
        """Whether an entry of this name, kind and size elsewhere is the same: by its place, or its bytes."""
        merged = self.contents.content.merged
        path, size = merged.paths[index], int(merged.sizes[index])
        if common_suffix(path, file.path) > 2 or size > LARGEST:
            return True
        if size < _TELLING:
            return False
        own = self.contents.read(int(merged.layers[index]), path)
        return own is not None and own == picture.contents(None, file.path)

    def _is_of_context(self, index: int) -> bool:
        """Whether a file of the build context has the same bytes, and the same name if it is short."""
        merged = self.contents.content.merged
        path, size = merged.paths[index], int(merged.sizes[index])
        alike = [
            content
            for name, content in self._context_files.get(size, ())
            if size >= _TELLING or name == posixpath.basename(path)
        ]
        return bool(alike) and self.contents.read(int(merged.layers[index]), path) in alike

    @cached_property
    def _context_files(self) -> dict[int, list[tuple[str, bytes]]]:
        """Names and bytes of the build context's files, by size."""
        found: dict[int, list[tuple[str, bytes]]] = {}
        for path, content in self.context.items():
            if 0 < len(content) < LARGEST:
                found.setdefault(len(content), []).append((posixpath.basename(path), content))
        return found

    def _names_in(self, label: str) -> Names | None:
        if label not in self._names and label in self.others:
            self._names[label] = Names(self.others[label])
        return self._names.get(label)


def common_suffix(path: str, other: str) -> int:
    """How many of the last parts of two paths are the same.

    >>> common_suffix("/opt/venv/bin/flask", "/venv/bin/flask")
    3
    """
    count = 0
    for one, two in zip(reversed(path.strip("/").split("/")), reversed(other.strip("/").split("/")), strict=False):
        if one != two:
            break
        count += 1
    return count


def sources(path: str, instruction: Instruction, workdir: str | None) -> Iterator[str]:
    """Where a COPY or ADD may have taken what it has put at this path, the likeliest first.

    Sources are followed as they are written; those with variables are left out.
    """
    *written, destination = (argument.strip("\"'") for argument in instruction.arguments)
    if "$" in destination or (workdir is None and not destination.startswith("/")):
        return
    target = posixpath.normpath(posixpath.join(workdir or "/", destination))
    below = path == target or path.startswith(f"{target.rstrip('/')}/")
    relative = posixpath.relpath(path, target) if below else None
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


def _copied_from(names: Names, path: str, kind: str, size: int, step: Step) -> File | None:
    instruction = step.instruction
    if instruction is None:
        return None
    for source in sources(path, instruction, step.workdir):
        found = names.at(source)
        # A further name of an inode says that it has no bytes of its own.
        if found is not None and found.kind == kind and (kind != "file" or found.bytes in {size, 0}):
            return found
    if kind != "file":
        return None
    # One file under a new name, in a place that cannot be told.
    for argument in instruction.arguments[:-1]:
        found = names.at(posixpath.normpath(f"/{argument.strip(chr(34)).lstrip('/')}"))
        if found is not None and found.kind == "file" and found.bytes == size:
            return found
    return None


def _mounts(instruction: Instruction) -> Iterator[tuple[str, str]]:
    """The stages or images whose files a RUN mounts, each with the folder of theirs that it mounts."""
    for name, value in instruction.flags:
        options = dict(option.partition("=")[::2] for option in value.split(",")) if name == "mount" else {}
        if options.get("from") and options.get("type", "bind") in {"bind", "cache"}:
            folder = options.get("source") or options.get("src") or "/"
            yield options["from"], "/" if "$" in folder else posixpath.normpath(f"/{folder.lstrip('/')}")


def _through(label: str, origin: Origin) -> Origin:
    return Origin(origin.kind, origin.stage, origin.line, (label, *origin.through))


def _keyword(step: Step) -> str:
    return step.instruction.keyword if step.instruction else ""
