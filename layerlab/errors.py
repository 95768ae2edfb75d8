"""Everything that the lab raises on purpose.

Each says what happened and why (``str(error)``) and what to do next (``error.remedy``)::

    try:
        lab.build("optimized")
    except LabError as error:
        print(error, error.remedy)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Blame = Literal["dockerfile", "workspace", "engine", "network", "limit"]


@dataclass(frozen=True)
class Failure:
    """What does not work in somebody's image or build, and who is to blame: told, not raised."""

    blame: Blame  # the Dockerfile, another file of the workspace, the engine, the network, or a limit of ours
    message: str  # what happened, then what to do: a sentence or two each
    line: int | None = None  # the line of the Dockerfile that it is about, if there is one
    log: str = ""  # the lines of a step's log that tell why it failed


class LabError(Exception):
    """Something that the user can do something about.

    Args:
        what: What happened and why, one sentence without a full stop at the end.
        remedy: What to do next, one sentence without a full stop at the end.
    """

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy

    @property
    def one_line(self) -> str:
        """What happened and what to do, on one line, for a terminal."""
        return " ".join(f"{self}: {self.remedy}.".split())

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook in place of a traceback: the reader can do something about it."""
        return [f"{type(self).__name__}: {self}.", f"What to do: {self.remedy}."]


class UsageError(LabError):
    """The command line or a function was given something that cannot be."""


class StorageError(LabError):
    """A folder in which the lab keeps things cannot be used."""


class EngineError(LabError):
    """The Docker engine."""


class EngineNotFound(EngineError):
    """No engine answers, and none could be started."""


class EngineTooOld(EngineError):
    """The engine lacks what the lab needs."""


class EngineGone(EngineError):
    """The engine answered before and does not any more."""


class BaseImageError(LabError):
    """A base image cannot be had."""


class RegistryRefused(BaseImageError):
    """A registry answered, and said no."""


class StandInError(BaseImageError):
    """A stand-in could not be made, or may not be made on this engine."""


class BuildError(LabError):
    """An image could not be built."""


class DockerfileError(BuildError):
    """The Dockerfile cannot be read or does not parse.

    Args:
        what: What happened and why.
        remedy: What to do next.
        line: The line that is wrong, counted from 1; None if it is the file as a whole.
    """

    def __init__(self, what: str, *, remedy: str, line: int | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.line = line


class ContextError(BuildError):
    """The build context cannot be read or is over its limits."""


class StepFailed(BuildError):
    """A step of a build failed.

    Args:
        what: What happened and why.
        remedy: What to do next.
        line: The line of the Dockerfile on which the instruction begins, counted from 1; None if unknown.
        instruction: The instruction as the Dockerfile has it.
        log: The last lines that the step printed.
    """

    def __init__(self, what: str, *, remedy: str, line: int | None, instruction: str, log: str) -> None:
        super().__init__(what, remedy=remedy)
        self.line = line
        self.instruction = instruction
        self.log = log

    def _render_traceback_(self) -> list[str]:
        """The end of the step's log comes first, as in a terminal."""
        return [*self.log.splitlines(), *super()._render_traceback_()]


class BuildTimeout(BuildError):
    """The time limit of a build was reached."""


class ImageNotFound(LabError):
    """No image and no file has that name."""


class ArchiveError(LabError):
    """The archive is damaged, hostile or of an unknown kind."""


class OtherDockerfile(LabError):
    """An image was not built from this Dockerfile and this folder."""


class ServiceError(LabError):
    """A container of the service."""


class ServiceNotReady(ServiceError):
    """The service did not answer in time, or ended."""


class PortInUse(ServiceError):
    """The port that was asked for is taken."""
