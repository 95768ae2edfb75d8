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
    """One layer of an image.

    Attributes:
        index: From the bottom, 0 first.
        stage: The label of the stage whose instruction made it; None for a layer of the external base image.
        line: The line of that instruction; None for a base layer (or where it is not known).
        bytes: Of its regular files.
    """

    index: int
    stage: str | None
    line: int | None
    bytes: int

    @property
    def is_base(self) -> bool:
        """Whether it came with the external base image."""
        return self.stage is None


@dataclass(frozen=True)
class File:
    """An entry of a layer.

    Attributes:
        path: Absolute.
        kind: What it is.
        bytes: Of a regular file; 0 for a further name of an inode, and for anything else.
        mode: Permission bits with set-user-id (0o4000), set-group-id and sticky bit (0o1000).
        uid, gid: Owner.
        layer: The index of its layer.
        visible: Whether a container of the image sees this very entry.
        hidden_by: The index of the layer that hides or removes it; None if it is visible.
    """

    path: str
    kind: Literal["file", "directory", "symlink", "device", "fifo"]
    bytes: int
    mode: int
    uid: int
    gid: int
    layer: int
    visible: bool
    hidden_by: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """An image: of the final stage, or of another that BuildKit ran.

    Attributes:
        stage: The stage's label.
        config: The image's config (``config`` within the image config: User, Env, Cmd ...).
        base_config: The same of the external base image; empty for scratch.
        history: ``created_by`` of each history entry, those of the base image left out.
        layers: From the bottom.
        files: The entries of its layers above the external base, layer by layer, those that a container does not see
            included; whiteouts are none.
        total_bytes: Of all layers, the base's included.
        copies: See `Copy`; only of the final image, only files of 1 kB or more.
        origins: Of files; called with one.
        traced: What tells them, for the snapshots of stages that take something from this one.
        contents: Reads a visible or hidden file of a layer above the base, or a visible one of the base, up to 1 MB:
            by layer (None: the visible one) and path. None if there is no such file.
        capabilities: The capabilities that programs above the base give to whoever starts them, as bits by path.
        base: See `base_image_files`; described when it is asked for, as there are tens of thousands.
        system_installs, python_installs: Of its layers above the external base.
    """

    stage: str
    config: Mapping[str, Any]
    base_config: Mapping[str, Any]
    history: tuple[str, ...]
    layers: tuple[SnapshotLayer, ...]
    files: tuple[File, ...]
    total_bytes: int
    copies: tuple[Copy, ...] = ()
    origins: Callable[[File], Origin] = lambda _: Origin("unknown")
    contents: Callable[[int | None, str], bytes | None] = lambda _layer, _path: None
    capabilities: Callable[[], Mapping[str, int]] = dict
    base: Callable[[], Mapping[str, File]] = dict
    system_installs: tuple[SystemInstall, ...] = ()
    python_installs: tuple[PythonInstall, ...] = ()
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
    """A RUN that changed which system packages a stage has (from the package database in its layer).

    Attributes:
        stage: The stage's label.
        line: Of the RUN; of the stage's FROM for one that ONBUILD asks for.
        packages: The names of those that it added, sorted.
        manager: ``dpkg`` or ``apk``.
        layer: The index of its layer.
        recommended: Those of the packages that came only because others recommend them, sorted.
        index: The folder of a package index that was there before (in the layers below it, or in a cache mount) and
            that it did not write anew as far as its layer shows; empty if there was none.
        index_line: Of the instruction that brought it, where that is a layer's.
        needs_index: Whether it fails without that index; None if that was not tried.
        failure: Why it could not be tried.
    """

    stage: str
    line: int
    packages: tuple[str, ...]
    manager: str = "dpkg"
    layer: int = 0
    recommended: tuple[str, ...] = ()
    index: str = ""
    index_line: int | None = None
    needs_index: bool | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class RanStep:
    """An instruction that BuildKit ran.

    Attributes:
        stage: The stage's label.
        line: Of the instruction; None for what ONBUILD asks for.
        instruction: On one line.
        cached: Whether its result was there already.
        seconds: How long it took, if it was not.
    """

    stage: str
    line: int | None
    instruction: str
    cached: bool
    seconds: float | None = None


@dataclass(frozen=True)
class PythonInstall:
    """A RUN in whose layer distributions lie that requirements.txt pins.

    Attributes:
        stage: The stage's label.
        line: Of the RUN; for what an ONBUILD asks for, that of FROM.
        instruction: The RUN on one line.
        distributions: Their normalised names, sorted; those that only lie in another place than before left out.
        moved: The names of those.
        bytes: Of the layer's files.
        layer: Its index in the stage's image.
    """

    stage: str
    line: int
    instruction: str
    distributions: tuple[str, ...]
    bytes: int = 0
    layer: int = 0
    moved: tuple[str, ...] = ()

    def is_step(self, step: RanStep) -> bool:
        """Whether this is the step that BuildKit ran."""
        asked = step.line is None and step.instruction.endswith(self.instruction)
        return step.stage == self.stage and (step.line == self.line or asked)


@dataclass(frozen=True)
class AppChange:
    """What a build ran again after a comment line was appended to every ``app/**/*.py``.

    Attributes:
        again: The RUN that installs Python packages and was run again; None if none was.
        because: The line of the COPY before it that ran again, and so made it.
        failure: Why that could not be seen.
    """

    again: PythonInstall | None = None
    because: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class PinChange:
    """What became of the image when requirements.txt pinned another release of one distribution.

    Attributes:
        name: The distribution's.
        old, new: The release that is pinned, and the one that was put in its place.
        found: The releases that the service finds then.
        refused: What the build said that failed because of it.
        is_sent: Whether the file is part of the build context at all.
        failure: Why that could not be seen.
    """

    name: str
    old: str
    new: str
    found: tuple[str, ...] = ()
    refused: str = ""
    is_sent: bool = True
    failure: Failure | None = None

    @property
    def decides(self) -> bool:
        """Whether requirements.txt decides what is installed."""
        return self.new in self.found or bool(self.refused)


@dataclass(frozen=True)
class HandedOn:
    """What a RUN of the final stage did without the wheels and archives of the build stages that it had at hand.

    Attributes:
        line: Of the RUN.
        stages: The labels of the stages that made them.
        taken: The names of the distributions that it then did not install: it takes them from those stages.
        names: Of all distributions that it might have taken so.
        failure: Why that could not be seen.
    """

    line: int
    stages: tuple[str, ...]
    names: tuple[str, ...]
    taken: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class NoImage:
    """All that there is to judge by where no image could be built.

    Attributes:
        failure: Why.
        requirements: See `Evidence`.
    """

    failure: Failure
    requirements: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """Everything about a workspace whose image could be built.

    Attributes:
        dockerfile: Parsed.
        image_id: Of the final image.
        image: That image.
        running: Its container.
        context: Files of the build context as BuildKit got it (after ``.dockerignore``), by path relative to it, with
            their contents up to 1 MB (longer ones cut).
        app: The same of ``app/*.py`` in the workspace, whether or not ``.dockerignore`` names them.
        requirements: The pins of ``requirements.txt`` in the workspace, version by normalised name.
        ran: The steps of the build, those that failed or did not begin left out.
        stages: The snapshots of the other stages that ran, by label.
        system_installs: Of all stages that ran.
        app_change, pin_change, handed_on: What the experiments showed; None, None and nothing if none was made.
        is_quick: Whether the experiments were left out on purpose.
        single_bytes: ``total_bytes`` of the lab's single-stage image of the same level.
        failure: Why that could not be had.
        level: Of the exercise: 1, or 2 (requirements.txt pins psycopg2).
        is_worked_example: Whether the Dockerfile is the lab's own but for comments and blanks.
    """

    dockerfile: Dockerfile
    image_id: str
    image: Snapshot
    running: Running
    context: Mapping[str, bytes] = field(default_factory=dict)
    app: Mapping[str, bytes] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)
    ran: tuple[RanStep, ...] = ()
    stages: Mapping[str, Snapshot] = field(default_factory=dict)
    system_installs: tuple[SystemInstall, ...] = ()
    app_change: AppChange | None = None
    pin_change: PinChange | None = None
    handed_on: tuple[HandedOn, ...] = ()
    is_quick: bool = False
    single_bytes: int | None = None
    failure: Failure | None = None
    level: int = 1
    is_worked_example: bool = False

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
