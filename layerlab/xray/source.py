"""What an image was built from, as somebody says: a Dockerfile and the folder that is its build context."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from layerlab import dockerfile as dockerfiles
from layerlab.builder import adapted
from layerlab.builder import context as contexts
from layerlab.dockerfile import Dockerfile
from layerlab.image.store.file_reader import LARGEST


@dataclass(frozen=True)
class BuildSource:
    """What an image was built from.

    Attributes:
        dockerfile: The Dockerfile's path.
        folder: The build context.
        target: The stage that is the image; the last if None.
        build_args: Values for the Dockerfile's ARGs.
        platform: What it was built for, see `layerlab.dockerfile.parse`.
    """

    dockerfile: Path
    folder: Path
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""

    @cached_property
    def context(self) -> contexts.Context:
        """What is sent to the engine.

        Raises:
            DockerfileError: there is no such Dockerfile, or it cannot be read.
            ContextError: the folder cannot be read, or is over a limit.
        """
        return self.collect()

    def collect(self, ignored: Sequence[str] = ()) -> contexts.Context:
        """The same as it is now, without what these lines of a ``.dockerignore`` name, too."""
        name = os.path.relpath(self.dockerfile.resolve(), self.folder.resolve())
        return contexts.collect(self.folder, name, ignored=ignored)

    @cached_property
    def parsed(self) -> Dockerfile:
        """The Dockerfile.

        Raises:
            DockerfileError: it cannot be read, or is wrong.
        """
        return self.parse(self.context.text)

    def parse(self, text: str) -> Dockerfile:
        """Another text in place of the Dockerfile.

        Raises:
            DockerfileError: it is wrong.
        """
        return dockerfiles.parse(text, self.build_args, self.platform)

    @property
    def built_from(self) -> Dockerfile:
        """The Dockerfile as far as the stage that is the image, to whose lines layers are tied.

        Raises:
            DockerfileError: it cannot be read, is wrong, or has no such stage.
        """
        final = self.parsed.target(self.target)
        return replace(self.parsed, stages=self.parsed.stages[: final.index + 1])


class ContextFiles(Mapping[str, bytes]):
    """The regular files of a context, by path relative to it; read when they are asked for, and cut at 1 MB."""

    def __init__(self, context: contexts.Context) -> None:
        self._entries = {entry.name: entry for entry in context.entries if stat.S_ISREG(entry.status.st_mode)}

    @property
    def sizes(self) -> dict[str, int]:
        """Their sizes."""
        return {name: entry.bytes for name, entry in self._entries.items()}

    def __getitem__(self, name: str) -> bytes:
        entry = self._entries[name]
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with os.fdopen(handle, "rb") as file:
            return file.read(LARGEST)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def with_dockerfile(context: contexts.Context, text: str, scratch: Path) -> contexts.Context:
    """The same context with another Dockerfile, at the same place and with the same mode.

    Args:
        context: The context.
        text: The other Dockerfile.
        scratch: A folder for it, which has to be there as long as the context is used.
    """
    path = scratch / f"{len(list(scratch.iterdir()))}"
    path.write_text(text, encoding="utf-8")
    status = path.lstat()
    entries = [
        replace(entry, path=path, status=os.stat_result((entry.status.st_mode, *status[1:])))
        if entry.name == context.dockerfile
        else entry
        for entry in context.entries
    ]
    return replace(context, text=text, entries=tuple(entries))


def named(source: BuildSource, scratch: Path) -> tuple[contexts.Context, Dockerfile]:
    """The context with a name for each stage, since BuildKit finds a target by its name alone; and its Dockerfile."""
    text = adapted.with_names(source.context.text, source.parsed)
    if text == source.context.text:
        return source.context, source.parsed
    return with_dockerfile(source.context, text, scratch), source.parse(text)
