"""All that the tasks judge by: plain data about a Dockerfile, its builds, its image and its running container.

It is gathered from an engine by ``gather``; the tasks are pure functions of it, and tests can write it down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from layerlab import service
from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.errors import Failure
from layerlab.service import Running
from layerlab.xray.provenance.copies import Copy
from layerlab.xray.provenance.file_origins import FileOrigins, Origin

Answer = service.Answer
Distribution = service.Distribution
Interpreter = service.Interpreter
Stop = service.Stop
"""What is seen of a container; the tasks, which import nothing that talks to one, have these from here."""

SMALLEST_BUNDLE: Final = 100_000
"""Bytes of a file that may hold Python packages: a .pex, a zip application."""


@dataclass(frozen=True)
class SnapshotLayer:
    """One layer of an image."""

    index: int  # from the bottom, 0 first
    stage: str | None  # the label of the stage whose instruction made it; None for a layer of the external base image
    line: int | None  # the line of that instruction; None for a base layer (or where it is not known)
    bytes: int  # of its regular files

    @property
    def is_base(self) -> bool:
        """Whether it came with the external base image."""
        return self.stage is None


@dataclass(frozen=True)
class File:
    """An entry of a layer."""

    path: str  # absolute
    kind: Literal["file", "directory", "symlink", "device", "fifo"]
    bytes: int  # of a regular file; 0 for a further name of an inode, and for anything else
    mode: int  # permission bits with set-user-id (0o4000), set-group-id and sticky bit (0o1000)
    uid: int  # of its owner
    gid: int  # of its group
    layer: int  # the index of its layer
    visible: bool  # whether a container of the image sees this very entry
    hidden_by: int | None = None  # the index of the layer that hides or removes it; None if it is visible


@dataclass(frozen=True)
class Snapshot:
    """An image: of the final stage, or of another that BuildKit ran."""

    stage: str  # the stage's label
    config: Mapping[str, Any]  # the image's config (`config` within the image config: User, Env, Cmd ...)
    base_config: Mapping[str, Any]  # the same of the external base image; empty for scratch
    history: tuple[str, ...]  # `created_by` of each history entry, those of the base image left out
    layers: tuple[SnapshotLayer, ...]  # from the bottom
    # The entries of its layers above the external base, layer by layer, those that a container does not see
    # included; whiteouts are none.
    files: tuple[File, ...]
    total_bytes: int  # of all layers, the base's included
    copies: tuple[Copy, ...] = ()  # see `Copy`; only of the final image, only files of 1 kB or more
    origins: Callable[[File], Origin] = lambda _: Origin("unknown")  # of files; called with one
    # Reads a visible or hidden file of a layer above the base, or a visible one of the base, up to 1 MB: by
    # layer (None: the visible one) and path. None if there is no such file.
    contents: Callable[[int | None, str], bytes | None] = lambda _layer, _path: None
    # The capabilities that programs above the base give to whoever starts them, as bits by path.
    capabilities: Callable[[], Mapping[str, int]] = dict
    # See `base_image_files`; described when it is asked for, as there are tens of thousands.
    base: Callable[[], Mapping[str, File]] = dict
    # Of its layers above the external base.
    system_installs: tuple[SystemInstall, ...] = ()
    python_installs: tuple[PythonInstall, ...] = ()
    # What tells them, for the snapshots of stages that take something from this one.
    traced: FileOrigins | None = field(default=None, repr=False)

    @cached_property
    def base_image_files(self) -> Mapping[str, File]:
        """What the external base shows by itself, by path: also what a layer above replaces or removes."""
        return self.base()

    @cached_property
    def base_files(self) -> Mapping[str, File]:
        """The entries of the external base that a container sees, by path."""
        return {path: file for path, file in self.base_image_files.items() if file.visible}

    @cached_property
    def visible(self) -> dict[str, File]:
        """What a container sees, by path; the base's entries included."""
        above = {file.path: file for file in self.files if file.visible}
        return {**self.base_files, **above}

    def line_of(self, file: File) -> int | None:
        """The line of the Dockerfile that stored a file; None for one of the base."""
        return self.layers[file.layer].line


@dataclass(frozen=True)
class SystemInstall:
    """A RUN that changed which system packages a stage has (from the package database in its layer)."""

    stage: str  # the stage's label
    line: int  # of the RUN; of the stage's FROM for one that ONBUILD asks for
    packages: tuple[str, ...]  # the names of those that it added, sorted
    manager: str = "dpkg"  # `dpkg` or `apk`
    layer: int = 0  # the index of its layer
    recommended: tuple[str, ...] = ()  # those of the packages that came only because others recommend them, sorted
    # The folder of a package index that was there before (in the layers below it, or in a cache mount) and that
    # it did not write anew as far as its layer shows; empty if there was none.
    index: str = ""
    index_line: int | None = None  # of the instruction that brought it, where that is a layer's
    needs_index: bool | None = None  # whether it fails without that index; None if that was not tried
    failure: Failure | None = None  # why it could not be tried


@dataclass(frozen=True)
class RanStep:
    """An instruction that BuildKit ran."""

    stage: str  # the stage's label
    line: int | None  # of the instruction; None for what ONBUILD asks for
    instruction: str  # on one line
    cached: bool  # whether its result was there already
    seconds: float | None = None  # how long it took, if it was not


@dataclass(frozen=True)
class PythonInstall:
    """A RUN in whose layer distributions lie that requirements.txt pins."""

    stage: str  # the stage's label
    line: int  # of the RUN; for what an ONBUILD asks for, that of FROM
    instruction: str  # the RUN on one line
    # Their normalised names, sorted; those that only lie in another place than before left out.
    distributions: tuple[str, ...]
    bytes: int = 0  # of the layer's files
    layer: int = 0  # its index in the stage's image
    moved: tuple[str, ...] = ()  # the names of those that only lie in another place than before

    def is_step(self, step: RanStep) -> bool:
        """Whether this is the step that BuildKit ran."""
        asked = step.line is None and step.instruction.endswith(self.instruction)
        return step.stage == self.stage and (step.line == self.line or asked)


@dataclass(frozen=True)
class AppChange:
    """What a build ran again after a comment line was appended to every ``app/**/*.py``."""

    again: PythonInstall | None = None  # the RUN that installs Python packages and was run again; None if none was
    because: int | None = None  # the line of the COPY before it that ran again, and so made it
    failure: Failure | None = None  # why that could not be seen


@dataclass(frozen=True)
class PinChange:
    """What became of the image when requirements.txt pinned another release of one distribution."""

    name: str  # the distribution's
    old: str  # the release that is pinned
    new: str  # the one that was put in its place
    found: tuple[str, ...] = ()  # the releases that the service finds then
    refused: str = ""  # what the build said that failed because of it
    is_sent: bool = True  # whether the file is part of the build context at all
    failure: Failure | None = None  # why that could not be seen

    @property
    def decides(self) -> bool:
        """Whether requirements.txt decides what is installed."""
        return self.new in self.found or bool(self.refused)


@dataclass(frozen=True)
class HandedOn:
    """What a RUN of the final stage did without the wheels and archives of the build stages that it had at hand."""

    line: int  # of the RUN
    stages: tuple[str, ...]  # the labels of the stages that made them
    names: tuple[str, ...]  # of all distributions that it might have taken so
    # The names of the distributions that it then did not install: it takes them from those stages.
    taken: tuple[str, ...] = ()
    failure: Failure | None = None  # why that could not be seen


@dataclass(frozen=True)
class NoImage:
    """All that there is to judge by where no image could be built."""

    failure: Failure  # why
    requirements: Mapping[str, str] = field(default_factory=dict)  # see `Evidence`


@dataclass(frozen=True)
class Evidence:
    """Everything about a workspace whose image could be built."""

    dockerfile: Dockerfile  # parsed
    image_id: str  # of the final image
    image: Snapshot
    running: Running  # its container
    # Files of the build context as BuildKit got it (after `.dockerignore`), by path relative to it, with their
    # contents up to 1 MB (longer ones cut).
    context: Mapping[str, bytes] = field(default_factory=dict)
    # The same of `app/*.py` in the workspace, whether or not `.dockerignore` names them.
    app: Mapping[str, bytes] = field(default_factory=dict)
    # The pins of `requirements.txt` in the workspace, version by normalised name.
    requirements: Mapping[str, str] = field(default_factory=dict)
    ran: tuple[RanStep, ...] = ()  # the steps of the build, those that failed or did not begin left out
    # The snapshots of the other stages that ran, by label.
    stages: Mapping[str, Snapshot] = field(default_factory=dict)
    system_installs: tuple[SystemInstall, ...] = ()  # of all stages that ran
    # What the experiments showed; None, None and nothing if none was made.
    app_change: AppChange | None = None
    pin_change: PinChange | None = None
    handed_on: tuple[HandedOn, ...] = ()
    is_quick: bool = False  # whether the experiments were left out on purpose
    single_bytes: int | None = None  # `total_bytes` of the lab's single-stage image of the same level
    failure: Failure | None = None  # why that could not be had
    level: int = 1  # of the exercise: 1, or 2 (requirements.txt pins psycopg2)
    is_worked_example: bool = False  # whether the Dockerfile is the lab's own but for comments and blanks

    @property
    def final(self) -> Stage:
        """The stage that is built."""
        return self.dockerfile.target()

    @property
    def chain(self) -> tuple[Stage, ...]:
        """The final stage and the stages that it is FROM, itself last."""
        return self.dockerfile.chain(self.final)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions that make the final image, in their order."""
        return tuple(each for stage in self.chain for each in stage.instructions)

    def last(self, *keywords: str) -> Instruction | None:
        """The last instruction of the final image with one of these keywords."""
        return next((each for each in reversed(self.instructions) if each.keyword in keywords), None)
