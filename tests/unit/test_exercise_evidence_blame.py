"""Whose fault a failed build is, for errors that cannot be had from every engine."""

from __future__ import annotations

import pytest

from layerlab.builder.trials import TooMuchDisk
from layerlab.dockerfile import parse
from layerlab.errors import (
    BaseImageError,
    BuildTimeout,
    ContextError,
    DockerfileError,
    EngineGone,
    LabError,
    RegistryRefused,
    StepFailed,
)
from layerlab.exercise.evidence.blame import explain

DOCKERFILE = parse(
    "# syntax=example.com/front:1\nFROM python:3.13-slim AS build\nRUN pip install x\n"
    "COPY --link --from=hub.example/astral/uv:0.9 /uv /\nRUN <<EOF\necho a\nEOF\nFROM docker.io/library/debian:nope\n"
)


def failed(log: str, code: int = 1) -> StepFailed:
    """A RUN on line 3 that failed."""
    what = f"line 3 of the Dockerfile failed with exit code {code}: RUN pip install x"
    return StepFailed(what, remedy="read the end of its log", line=3, instruction="RUN pip install x", log=log)


class TestSteps:
    @pytest.mark.parametrize(
        ("log", "blame"),
        [
            ("WARNING: Retrying ... Failed to establish a new connection: [Errno -3]\nERROR: no matching", "network"),
            ("W: Temporary failure resolving 'mirror.example'\nE: Unable to locate package gcc", "network"),
            ("error: error sending request for url (https://index.example/simple/): dns error", "network"),
            ("curl: (6) Could not resolve host: example.com", "network"),
            ("ERROR: Could not find a version that satisfies the requirement flaskk", "dockerfile"),
            ("E: Unable to locate package gccc", "dockerfile"),
            ("OSError: [Errno 28] No space left on device", "engine"),
            ("gcc: fatal error: Killed signal terminated program cc1", "limit"),
            ("Killed", "limit"),
            ("tail: out of memory", "limit"),
            ("Traceback (most recent call last):\nMemoryError", "limit"),
            ("/bin/sh: 1: Cannot fork", "limit"),
            ("sh: can't fork: Resource temporarily unavailable", "limit"),
            ("make: killed by nobody, just wrong", "dockerfile"),
            ("secret token not found: not found", "dockerfile"),
        ],
    )
    def test_log(self, log: str, blame: str) -> None:
        """The end of a step's log tells whose fault it is."""
        failure = explain(failed(log), DOCKERFILE, None)

        assert (failure.blame, failure.line) == (blame, 3)

    def test_exit_code(self) -> None:
        """A step that was killed hit a limit, though it said nothing."""
        assert explain(failed("", 137), DOCKERFILE, None).blame == "limit"


class TestImages:
    @pytest.mark.parametrize(
        ("error", "blame", "line"),
        [
            (
                BaseImageError("no registry can be reached for example.com/front:1 (no such host)", remedy=""),
                "network",
                1,
            ),
            (BaseImageError("no registry reached for hub.example/astral/uv:0.9 (EOF)", remedy=""), "network", 4),
            (
                RegistryRefused("the registry does not give debian:nope (debian:nope: not found)", remedy=""),
                "dockerfile",
                8,
            ),
            (
                RegistryRefused(
                    "the registry does not give debian:nope (pull access denied, repository does not exist or may"
                    " require authorization)",
                    remedy="",
                ),
                "dockerfile",
                8,
            ),
            (
                RegistryRefused("the registry does not give debian:nope (toomanyrequests: limit)", remedy=""),
                "network",
                8,
            ),
            (
                RegistryRefused("the registry does not give debian:nope (500 Internal Server Error)", remedy=""),
                "network",
                8,
            ),
        ],
    )
    def test_missing(self, error: LabError, blame: str, line: int) -> None:
        """Only an image that its registry does not know is the Dockerfile's fault; the line is that of its name."""
        failure = explain(error, DOCKERFILE, None)

        assert (failure.blame, failure.line) == (blame, line)


class TestOthers:
    @pytest.mark.parametrize(
        ("error", "blame", "line"),
        [
            (DockerfileError("line 4 of the Dockerfile: Unknown flag: link", remedy="r", line=4), "engine", 4),
            (DockerfileError("line 4 of the Dockerfile: Unknown flag: lnik", remedy="r", line=4), "dockerfile", 4),
            (
                DockerfileError(
                    "line 6 of the Dockerfile: this engine's builder knows no heredocs", remedy="r", line=6
                ),
                "engine",
                5,
            ),
            (BuildTimeout("the build took longer than its limit of 600 s", remedy="r"), "limit", 3),
            (TooMuchDisk(free=50_000_000_000), "limit", 3),
            (TooMuchDisk(free=200_000_000), "engine", 3),
            (ContextError("the build context is too big: 2000 MB", remedy="r"), "limit", None),
            (ContextError("a in the build context cannot be read", remedy="r"), "workspace", None),
            (EngineGone("the engine stopped answering", remedy="r"), "engine", 3),
        ],
    )
    def test_blame_and_line(self, error: LabError, blame: str, line: int | None) -> None:
        """Each error has its fault, and its line where it has one."""
        failure = explain(error, DOCKERFILE, 3)

        assert (failure.blame, failure.line) == (blame, line)
