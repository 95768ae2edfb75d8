"""Why a container does not answer, in plain words: read from what the engine says and from what it printed.

Pure functions; ``container`` gathers what they read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from layerlab.builder import failures
from layerlab.exercise.evidence.model import Blame, Failure
from layerlab.service.sockets import Listener
from layerlab.service.talk import excerpt, how_it_ended
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import how_large, listed

PORT: Final = 5000
_WIDTH: Final = 300  # characters of what somebody else says, in a message

# How those who start a program say that they cannot: the engine, runc, shells, env, init programs, setpriv.
_CANNOT_RUN: Final = tuple(
    re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    for pattern in (
        r'exec: "(?P<program>[^"\n]+)":.*?(?P<why>not found|no such file|permission denied|is a directory)',
        r"exec (?P<program>\S[^\n]*?) failed: (?P<why>no such file|permission denied)",
        r"^exec:? (?P<program>\S+): (?P<why>no such file|permission denied|exec format error)",
        r"(?P<program>[^\s:]+): [^\s:]+: (?P<why>bad interpreter)",
        r"^\S*(?:env|dumb-init)\S*:? ['‘]?(?P<program>[^\s'’][^\n'’]*?)['’]?: "
        r"(?P<why>no such file|permission denied)",
        r"failed to execute (?P<program>\S[^\n]*?): (?P<why>no such file|permission denied)",
        r"^(?:\S*sh|/\S+): (?:(?:line )?\d+: )?exec: (?P<program>\S[^\n]*?): "
        r"(?P<why>not found|no such file|permission denied|exec format error)",
        r"^(?:\S*sh|/\S+): (?:(?:line )?\d+: )?(?:exec: )?(?P<program>[^\s:]+): "
        r"(?P<why>not found|command not found|no such file or directory$|permission denied$|exec format error)",
    )
)
_NO_NAME: Final = re.compile(
    r"exec user process caused:? ?\"?(?P<why>no such file|permission denied|exec format error)"
)


@dataclass(frozen=True)
class Refusal:
    """A program that could not be run, as whoever tried says it.

    Attributes:
        program: Its name or path; empty where that is not said.
        why: ``missing``, ``forbidden``, or ``format`` (neither a program for this machine nor a script).
    """

    program: str
    why: str


@dataclass(frozen=True)
class Script:
    """A program that could not be run, as the image has it.

    Attributes:
        path: Where it is.
        interpreter: What its ``#!`` line names; empty if it has none.
        link: What the interpreter is a link to, if it is one.
        exists: Whether that interpreter is in the image.
        closed: The first folder or file on the way to it, or to its interpreter, that is only its owner's or its
            group's to enter or run; empty if there is none.
    """

    path: str
    interpreter: str
    link: str = ""
    exists: bool = True
    closed: str = ""


def refusal(text: str) -> Refusal | None:
    """Which program could not be run and why, if this text (of the engine, or of a log) says so."""
    for pattern in (*_CANNOT_RUN, _NO_NAME):
        if found := pattern.search(text):
            kinds = {"permission": "forbidden", "is a directory": "forbidden", "format": "format"}
            why = found["why"].lower()
            kind = next((kind for word, kind in kinds.items() if word in why), "missing")
            return Refusal(found.groupdict().get("program") or "", kind)
    return None


def of_refusal(found: Refusal, script: Script | None) -> Failure:
    """Why a program could not be run; `script` is what the image has under its name, if anything."""
    program = script.path if script else found.program or "the program that CMD or ENTRYPOINT names"
    program = shorten(program, _WIDTH)
    message = ""
    if script is not None:
        message = _of_script(found, program, script)
    elif found.why == "missing":
        message = _of_name(found, program)
    if not message and found.why == "format":
        message = (
            f"{program} cannot be run: it is no program for this machine, and no script whose first line names an "
            "interpreter (#!/bin/sh). Give it that line, or build it for this platform."
        )
    return _dockerfile(
        message
        or f"{program} may not be run by the image's user: it is not executable, or in a folder that this user may "
        "not enter. See its permissions and its owner in the final stage."
    )


def _of_script(found: Refusal, program: str, script: Script) -> str:
    """Why a program that is in the image could not be run; empty if that is told by the refusal alone."""
    if script.interpreter and not script.exists:
        return _missing_interpreter(program, script)
    if script.closed not in {"", script.path} and found.why != "format":
        return _closed(program, script)
    if found.why != "missing":
        return ""
    return (
        f"{program} is in the image but cannot be run: what it needs to start (its interpreter, or its loader "
        "for shared libraries) is not. See that the base of the final stage fits the one where it was made."
    )


def _of_name(found: Refusal, program: str) -> str:
    """Why there is no program of a name."""
    if bash := failures.of_bash(f"sh: {found.program}: not found"):
        return f"There is no program called {program}: {bash}."
    if len(found.program.split()) > 1:
        words = shorten(failures.apart(found.program), _WIDTH)
        return (
            f"There is no file called {program!r}: in the JSON array that starts it, that is one string with spaces. "
            f"Give each word a string of its own: {words}."
        )
    place = "is not in the final stage" if "/" in program else "is not in any folder of the final stage's PATH"
    return f"{program} cannot be started: it {place}. See what is copied there, and ENV PATH."


def _missing_interpreter(program: str, script: Script) -> str:
    interpreter = shorten(script.interpreter, _WIDTH)
    if script.interpreter.endswith("\r"):
        return (
            f"{program} cannot be started: its lines end as on Windows, so that its interpreter would be called "
            f"{interpreter} and a carriage return. Save it with Unix line ends."
        )
    what = f"{program} is in the image, but the interpreter in its first line is not: {interpreter}"
    if script.link:
        what += f" is a link to {shorten(script.link, _WIDTH)}, which does not exist here"
    return (
        f"{what}. A virtual environment works only at the path where it was made, and only where the Python that "
        "made it is at the same path as well."
    )


def _closed(program: str, script: Script) -> str:
    closed = shorten(script.closed, _WIDTH)
    if not script.path.startswith(f"{script.closed}/"):
        link = f" (a link to {shorten(script.link, _WIDTH)})" if script.link else ""
        program = f"{shorten(script.interpreter, _WIDTH)}{link}, the interpreter of {program},"
    return (
        f"{program} may not be run by the image's user: {closed} is for its owner and its group alone. Put it where "
        "everybody may enter, such as /usr/local or /opt; a virtual environment needs its Python there, too."
    )


def not_started(explanation: str, script: Script | None = None) -> Failure:
    """Why the engine could not create or start the container; `explanation` is what it says."""
    if found := refusal(explanation):
        return of_refusal(found, script)
    text = explanation.lower()
    said = shorten(explanation, _WIDTH)
    if "no command specified" in text:
        return _dockerfile("The image names no command to run. End the Dockerfile with CMD or ENTRYPOINT.")
    if "unable to find user" in text or "unable to find group" in text or "no matching entries in" in text:
        return _dockerfile(f"The user that USER names does not exist in the final stage ({said}).")
    if "chdir to cwd" in text or ("mkdir" in text and "not a directory" in text):
        return _dockerfile(f"The image's user may not enter its WORKDIR ({said}).")
    return Failure("engine", f"The engine could not start the container: {said}")


def ended(state: Mapping[str, Any], log: str, memory: int, script: Script | None = None) -> Failure:
    """Why the container ended before it answered.

    Args:
        state: As the engine's inspection has it.
        log: What it printed.
        memory: Its limit, in bytes.
        script: What the image has under the name of the program that could not be run, if that was so.
    """
    if state.get("OOMKilled"):
        return _out_of_memory(memory)
    how = f"The container {how_it_ended(state)} before it answered"
    if state["ExitCode"] != 0 and (reason := of_log(log, script)):
        return Failure(reason.blame, f"{how}: {reason.message[:1].lower()}{reason.message[1:]}")
    if state["ExitCode"] == 0:
        return _dockerfile(
            f"{how}: its first process had nothing more to do. The server must be the command, and stay in the "
            f"foreground.{_last_words(log)}"
        )
    return _dockerfile(f"{how}.{_last_words(log) or ' It printed nothing.'}")


def silent(
    status: int | None,
    found: frozenset[Listener] | None,
    log: str,
    *,
    seconds: float,
    out_of_memory: int | None = None,
    script: Script | None = None,
) -> Failure:
    """Why a container that runs does not answer ``GET /status`` with 200.

    Args:
        status: What it answered last, if anything.
        found: Where it listens; None if that cannot be told.
        log: What it printed.
        seconds: How long it was waited for.
        out_of_memory: Its limit, if a process of it was killed for needing more.
        script: See `ended`.
    """
    if out_of_memory:
        return _out_of_memory(out_of_memory)
    reason = of_log(log, script)
    if status is not None:
        what = f"The service answers GET /status with {status}, not 200."
    elif found is None:
        what = f"No answer to GET /status came on port {PORT} within {seconds:.0f} s."
    else:
        what = _where(found, seconds)
        if found:
            return _dockerfile(what)
    if reason:
        return Failure(reason.blame, f"{what} {reason.message}")
    return _dockerfile(f"{what}{_last_words(log)}")


def _where(found: frozenset[Listener], seconds: float) -> str:
    if not found:
        return f"The container runs, but nothing in it listened on any port within {seconds:.0f} s."
    here = [listener for listener in found if listener.port == PORT]
    if any(not listener.is_loopback for listener in here):
        return f"The service listens on port {PORT}, but did not answer GET /status within {seconds:.0f} s."
    if here:
        return (
            f"The service listens on {here[0].address} port {PORT}, which only the container itself can reach. Let "
            "it listen on all addresses, 0.0.0.0."
        )
    ports = listed(sorted({listener.port for listener in found}))
    return f"The service listens on port {ports}, not on {PORT}. Let it listen on 0.0.0.0:{PORT}."


def _out_of_memory(memory: int) -> Failure:
    return Failure(
        "limit",
        f"A process was killed for needing more memory than the {how_large(memory)} that a check allows. Let the "
        "service start fewer workers, or find what takes so much.",
    )


# The first that is found counts: what comes first explains what comes later.
_SIGNS: Final = tuple(
    (re.compile(pattern, re.MULTILINE), message)
    for pattern, message in (
        (
            r"No module named '?encodings'?",
            "Python did not find its own standard library. An interpreter that is copied needs its library at the "
            "same path as before, and a virtual environment the Python that made it.",
        ),
        (
            r"(?P<what>[^\s:]+\.so[.\d]*): cannot open shared object file",
            "The shared library {what} is not in the final stage. What a package was compiled against must be "
            "installed there too, without its headers.",
        ),
        (
            r"Error loading shared library (?P<what>[^\s:]+)",
            "The shared library {what} is not in the final stage, or what needs it was made for another C library "
            "(Debian's and Alpine's differ).",
        ),
        (
            r"version [`'](?P<what>GLIBC_[\d.]+)' not found|(?P<other>symbol not found)",
            "A program or package was made for another C library than that of the final stage ({what}). Build on "
            "the same distribution, and the same release, as the final stage is.",
        ),
        (
            r"ModuleNotFoundError: No module named '(?P<what>app(?:\.[\w.]+)?)'",
            "Python did not find the module '{what}': the app is not in the folder from which the server starts, "
            "or the server does not look there (PYTHONPATH). See "
            "WORKDIR and where app/ is copied.",
        ),
        (
            r"(?:ModuleNotFoundError: |python[\d.]*: |ImportError: )No module named '?(?P<what>[\w.]+)'?",
            "Python did not find the module '{what}': it is not installed, or not where this interpreter looks.",
        ),
        (
            r"can't open file '(?P<what>[^'\n]+)'",
            "Python did not find the file {what} that it was told to run. See WORKDIR and what is copied.",
        ),
        (
            r"PermissionError: \[Errno 13\] Permission denied: '(?P<what>[^'\n]+)'",
            "The image's user may not use {what}. See its owner and its permissions in the final stage.",
        ),
        (
            r"^(?:setpriv|su-exec|gosu|su|chown|error)\b.*(?P<what>Operation not permitted)",
            "The entry point may not do what it tries ({what}): it has to run as root to become another user.",
        ),
        (
            r"OSError: \[Errno 30\] Read-only file system: '(?P<what>[^'\n]+)'",
            "It could not write {what}: the file system is read-only.",
        ),
        (
            r"Address already in use",
            "Port 5000 is taken within the container: two servers are started.",
        ),
        (
            r"^SyntaxError: (?:source code .*cannot contain null bytes|Non-UTF-8 code .* in file /\S*sh\b)",
            "Python was started with a program in the place of its own options and files.",
        ),
        (
            r"^SyntaxError: (?P<what>.*)$",
            "Python could not read a file of the app or of the server's configuration (SyntaxError: {what}).",
        ),
    )
)


def of_log(log: str, script: Script | None = None) -> Failure | None:
    """What a log tells about why a service does not start, if it tells anything known."""
    if found := refusal(log):
        return of_refusal(found, script)
    for pattern, message in _SIGNS:
        if match := pattern.search(log):
            what = next((value for value in match.groups() if value), "")
            blame: Blame = "workspace" if "SyntaxError" in message else "dockerfile"
            return Failure(blame, message.format(what=shorten(what, _WIDTH)))
    return None


def _last_words(log: str) -> str:
    shown = one_line(excerpt(log))
    return f" It printed last: {shown if len(shown) <= _WIDTH else '…' + shown[-_WIDTH:]}" if shown else ""


def _dockerfile(message: str) -> Failure:
    return Failure("dockerfile", message)
