"""What the engine and the containers say, in a form that may be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import requests
import urllib3
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from layerlab.engine import Engine, disk_full, gone, is_disk_full
from layerlab.errors import ServiceError

READ_LINES, SHOWN_LINES = 50, 6  # of the end of a log, in a message
SHOWN_WIDTH: Final = 200  # characters of each of those lines
# Those whose numbers are the same everywhere: the engine's machine may be another one.
SIGNALS: Final = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL",
    6: "SIGABRT",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}

# ECMA-48: CSI sequences; the strings OSC, DCS, SOS, PM and APC, ended by BEL or ST; any other escape.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextmanager
def engine_errors(engine: Engine, doing: str) -> Iterator[None]:
    """Raise what goes wrong in a call to the engine as an error of ours.

    Raises:
        ServiceError: the engine refused, or the container is gone.
        EngineDiskFull: its disk is full.
        EngineGone: it does not answer any more.
    """
    try:
        yield
    except NotFound as error:
        raise ServiceError(
            f"{doing} is not possible: the container is not there any more", remedy="start the service again"
        ) from error
    except APIError as error:
        if is_disk_full(explanation(error)):
            raise disk_full(explanation(error)) from error
        raise ServiceError(
            f"{doing} is not possible: {explanation(error)}",
            remedy="see that the service still runs (`docker ps -a`)",
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise gone(engine, error) from error


def explanation(error: APIError) -> str:
    """The engine's own words, in one line."""
    return printable(" ".join(str(error.explanation or error).split())).removesuffix(": unknown")


def printable(text: str) -> str:
    r"""The text without anything that a terminal would obey: a container may print what it likes.

    >>> printable("\x1b[31mred\x1b[0m\r\n\x1b]0;a title\x07done")
    'red\ndone'
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def last_lines(container: Container) -> str:
    """The end of what the container printed, short enough for a message; empty if it printed nothing."""
    return excerpt(printable(container.logs(tail=READ_LINES).decode(errors="replace")))


def excerpt(log: str) -> str:
    r"""The last lines of a log that tell something: the frames of a traceback, which are indented, do not.

    >>> excerpt("Traceback (most recent call last):\n  File ...\nKeyError: 'PORT'\n")
    "Traceback (most recent call last):\nKeyError: 'PORT'"
    """
    telling = [
        line[:SHOWN_WIDTH].rstrip() for line in log.splitlines() if line.strip(" \t~^") and not line[0].isspace()
    ]
    return "\n".join(telling[-SHOWN_LINES:])


def how_it_ended(state: Mapping[str, Any]) -> str:
    """How a container ended, from the ``State`` that the engine's inspection gives.

    >>> how_it_ended({"ExitCode": 139, "OOMKilled": False})
    'ended by SIGSEGV (exit code 139)'
    """
    code = int(state["ExitCode"])
    if state.get("OOMKilled"):
        return f"was killed for needing more memory than its limit (exit code {code})"
    # As a shell does, the engine gives 128 + n for a process that signal n ended.
    by = SIGNALS.get(code - 128)
    return f"ended by {by} (exit code {code})" if by else f"ended with exit code {code}"
