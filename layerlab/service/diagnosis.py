"""Why a container does not start, ends, or does not answer: told from the engine's words, its log and its sockets."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from docker.models.containers import Container

from layerlab.builder.failures import of_bash
from layerlab.engine import Engine
from layerlab.errors import Blame, Failure, ServiceNotReady
from layerlab.service.ending import excerpt, how_it_ended, printed
from layerlab.service.engine_calls import LINK, file_status, read_beginning
from layerlab.service.waiting import PORT, PROBE, Listener, Wait
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import how_large, listed

LOG_LINES: Final = 100  # of the end of what a container printed
_BEGINNING: Final = 1024  # bytes that are read of a file
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WIDTH: Final = 300  # characters of what somebody else says, in a message

# How those who start a program say that they cannot: the engine, runc, shells, env, init programs, setpriv.
# A log may hold lines that look alike, so that each pattern stands where its line begins, or names who speaks.
_CANNOT_RUN: Final = tuple(
    re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    for pattern in (
        r'exec: "(?P<program>[^"\n]+)":.*?(?P<why>not found|no such file|permission denied|is a directory)',
        r"^(?:\S*sh|/\S+): (?:(?:line )?\d+: )?exec: (?P<program>\S[^\n]*?): "
        r"(?P<why>not found|no such file|permission denied|exec format error)",
        r"^(?:\S*sh|/\S+): (?:(?:line )?\d+: )?(?P<program>[^\s:'‘][^\s:]*): "
        r"(?P<why>not found|command not found|no such file or directory$|permission denied$|exec format error)",
        r"exec (?P<program>\S[^\n]*?) failed: (?P<why>no such file|permission denied)",
        r"^exec:? (?P<program>\S+): (?P<why>no such file|permission denied|exec format error)",
        r"(?P<program>[^\s:]+): [^\s:]+: (?P<why>bad interpreter)",
        r"^\S*\b(?:env|dumb-init)\b\S*:? ['‘]?(?P<program>[^\s'’][^\n'’]*?)['’]?: "
        r"(?P<why>no such file|permission denied)",
        r"failed to execute (?P<program>\S[^\n]*?): (?P<why>no such file|permission denied)",
        r"exec user process caused:? ?\"?(?P<why>no such file|permission denied|exec format error)",
    )
)


@dataclass(frozen=True)
class Refusal:
    """A program that could not be run, as whoever tried says it."""

    program: str  # its name or path; empty where that is not said
    why: str  # ``missing``, ``forbidden``, or ``format`` (neither a program for this machine nor a script)


@dataclass(frozen=True)
class Script:
    """A program that could not be run, as the image has it."""

    path: str
    interpreter: str  # what its ``#!`` line names; empty if it has none
    link: str = ""  # what the interpreter is a link to, if it is one
    exists: bool = True  # whether that interpreter is in the image


def why_not_ready(engine: Engine, container: Container, wait: Wait) -> Failure:
    """Why a container, inspected after the wait, has not answered: it has ended, or it runs and is silent."""
    state, limit = container.attrs["State"], int(container.attrs["HostConfig"]["Memory"])
    log = printed(engine, container, LOG_LINES)
    if state.get("OOMKilled"):
        what = "A process of the service was killed for needing more memory than its limit"
        if not state["Running"]:
            what = f"The container {how_it_ended(state)} before it answered"
        return Failure(
            "limit", f"{what}. Give it more than {how_large(limit)} of memory, or let it run fewer workers."
        )
    found = refusal(log)
    script = look_up(container, found.program) if found else None
    return why_silent(wait, log, script) if state["Running"] else why_ended(state, log, script)


def with_last_words(failure: Failure, log: str) -> Failure:
    """The same, and what the container printed last where that tells why in no way that is known."""
    if failure.blame == "limit":
        return Failure("limit", f"{failure.message} A check gives it no more.")
    if told_by_log(log):
        return failure
    last = one_line(excerpt(log))
    quoted = f"It printed last: {last if len(last) <= _WIDTH else '…' + last[-_WIDTH:]}"
    return Failure(failure.blame, f"{failure.message} {quoted if last else 'It printed nothing.'}")


def not_ready(failure: Failure, log: str | None = None) -> ServiceNotReady:
    """The same as an error, with the end of the container's log where there is one."""
    what, _, remedy = failure.message.removesuffix(".").partition(". ")
    what = what[:1].lower() + what[1:]
    if log is not None:
        what += f", having printed last:\n{excerpt(log)}" if excerpt(log) else ", having printed nothing"
    remedy = remedy[:1].lower() + remedy[1:] or "mend what its last lines say and build the image again"
    return ServiceNotReady(what, remedy=remedy)


def refusal(text: str) -> Refusal | None:
    """Which program could not be run and why, if this text (of the engine, or of a log) says so."""
    for pattern in _CANNOT_RUN:
        if found := pattern.search(text):
            kinds = {"permission": "forbidden", "is a directory": "forbidden", "format": "format"}
            why = found["why"].lower()
            kind = next((kind for word, kind in kinds.items() if word in why), "missing")
            return Refusal(found.groupdict().get("program") or "", kind)
    return None


def why_refused(found: Refusal, script: Script | None) -> Failure:
    """Why a program could not be run; `script` is what the image has under its name, if anything."""
    program = shorten(script.path if script else found.program or "the program of CMD or ENTRYPOINT", _WIDTH)
    interpreter = "its interpreter"
    if script and script.interpreter:
        link = f" (a link to {shorten(script.link, _WIDTH)})" if script.link else ""
        interpreter += f" {shorten(script.interpreter, _WIDTH)}{link}"
    if script and script.interpreter and not script.exists:
        message = _missing_interpreter(program, script)
    elif script and found.why == "missing":
        message = (
            f"{program} is in the image but cannot be run: what it needs to start ({interpreter}, or its loader "
            "for shared libraries) is not, or the image's user may not enter its folder. See that the base of the "
            "final stage fits the one where it was made."
        )
    elif found.why == "missing":
        message = _of_name(found, program)
    elif found.why == "format":
        message = f"{program} cannot be run: it is no program for this machine, and no script whose first line names"
        message += " an interpreter (#!/bin/sh). Give it that line, or build it for this platform."
    else:
        message = (
            f"{program} may not be run by the image's user: it or {interpreter} is not executable, or in a "
            "folder that this user may not enter, such as /root. See its permissions and its owner in the final "
            "stage; a virtual environment needs its Python where everybody may enter, too."
        )
    return _dockerfile(message)


def _of_name(found: Refusal, program: str) -> str:
    """Why there is no program of a name."""
    if bash := of_bash(f"sh: {found.program}: not found"):
        return f"There is no program called {program}: {bash}."
    if len(found.program.split()) > 1:
        words = shorten(_apart(found.program), _WIDTH)
        return (
            f"There is no file called {program!r}: in the JSON array that starts it, that is one string with spaces. "
            f"Give each word a string of its own: {words}."
        )
    place = "is not in the final stage" if "/" in program else "is not in any folder of the final stage's PATH"
    return f"{program} cannot be started: it {place}. See what is copied there, and ENV PATH."


def _apart(command: str) -> str:
    """A command that was given as one string, as a JSON array of its words."""
    try:
        return json.dumps(shlex.split(command))
    except ValueError:  # a quotation that does not end
        return json.dumps(command.split())


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


def why_not_started(explanation: str, container: Container | None = None) -> Failure:
    """Why the engine could not create or start the container; `explanation` is what it says."""
    if found := refusal(explanation):
        return why_refused(found, look_up(container, found.program) if container else None)
    text = explanation.lower()
    said = shorten(explanation, _WIDTH)
    if "no command specified" in text:
        return _dockerfile("The image names no command to run. End the Dockerfile with CMD or ENTRYPOINT.")
    if "unable to find user" in text or "unable to find group" in text or "no matching entries in" in text:
        return _dockerfile(f"The user that USER names does not exist in the final stage ({said}).")
    if "chdir to cwd" in text or ("mkdir" in text and "not a directory" in text):
        return _dockerfile(f"The image's user may not enter its WORKDIR ({said}).")
    return Failure("engine", f"The engine could not start the container: {said}")


def why_ended(state: Mapping[str, Any], log: str, script: Script | None = None) -> Failure:
    """Why a container ended before it answered, from its state as the engine inspects it, and what it printed.

    `script` is what the image has under the name of the program that could not be run, if that was so.
    """
    how = f"The container {how_it_ended(state)} before it answered"
    if state["ExitCode"] != 0 and (reason := told_by_log(log, script)):
        return Failure(reason.blame, f"{how}: {reason.message[:1].lower()}{reason.message[1:]}")
    if state["ExitCode"] == 0:
        return _dockerfile(
            f"{how}. Its first process had nothing more to do: the server must be the command, and stay in the "
            "foreground."
        )
    return _dockerfile(f"{how}.")


def why_silent(wait: Wait, log: str, script: Script | None = None) -> Failure:
    """Why a container that runs does not answer the probe with 200; see `why_ended`."""
    if wait.status is not None:
        what = f"The service answers GET {PROBE} with {wait.status}, not 200."
    elif wait.found is None:
        what = f"No answer to GET {PROBE} came on port {PORT} within {wait.waited:.0f} s."
    else:
        what = _where(wait.found, wait.waited)
        if wait.found:
            return _dockerfile(what)
    if reason := told_by_log(log, script):
        return Failure(reason.blame, f"{what} {reason.message}")
    return _dockerfile(what)


def _where(found: frozenset[Listener], seconds: float) -> str:
    if not found:
        return f"The container runs, but nothing in it listened on any port within {seconds:.0f} s."
    here = [listener for listener in found if listener.port == PORT]
    if any(not listener.is_loopback for listener in here):
        return f"The service listens on port {PORT}, but did not answer GET {PROBE} within {seconds:.0f} s."
    if here:
        return (
            f"The service listens on {here[0].address} port {PORT}, which only the container itself can reach. Let "
            f"it listen on all addresses, 0.0.0.0:{PORT}."
        )
    ports = listed(sorted({listener.port for listener in found}))
    return f"The service listens on port {ports}, not on {PORT}. Let it listen on 0.0.0.0:{PORT}."


def look_up(container: Container, name: str) -> Script | None:
    """What the container has under a program's name or path, with what its ``#!`` line names; None if nothing.

    An empty name stands for what ENTRYPOINT, or else CMD, names.
    """
    config = container.attrs["Config"]
    started = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()), ""][0]
    for path in _places(config, name or started):
        if (beginning := read_beginning(container, path, _BEGINNING)) is not None:
            return _script(container, path, beginning)
    return None


def _places(config: Mapping[str, Any], name: str) -> list[str]:
    directory = PurePosixPath(config.get("WorkingDir") or "/")
    if not name or "\0" in name:
        return []
    if "/" in name:
        return [str(directory / name)]
    variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    folders = (variables.get("PATH") or _DEFAULT_PATH).split(":")
    return [str(directory / folder / name) for folder in folders[:50]]


def _script(container: Container, path: str, beginning: bytes) -> Script:
    if not beginning.startswith(b"#!"):
        return Script(path, "")
    line = beginning[2:].split(b"\n")[0].decode(errors="replace").lstrip(" \t")
    word = line.split(" ")[0].split("\t")[0]
    stat = file_status(container, word)
    link = str(stat["linkTarget"]) if stat and int(stat["mode"]) & LINK else ""
    exists = stat is not None and (not link or file_status(container, link) is not None)
    return Script(path, shorten(word, 300) + "\r" * word.endswith("\r"), link, exists)


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
            r"(?P<what>[^\s:]+\.so[.\d]*): cannot open shared object file"
            r"|Error loading shared library (?P<other>[^\s:]+)",
            "The shared library {what} is not in the final stage. What a package was compiled against must be "
            "installed there too, without its headers, and made for the same C library.",
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
            r"Read-only file system(?:: '(?P<what>[^'\n]+)')?",
            "It could not write {what}: the file system is read-only. Let it write to /tmp only; with "
            "`hardened=False` all of its file system can be written.",
        ),
        (r"Address already in use", "Port 5000 is taken within the container: two servers are started."),
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


def told_by_log(log: str, script: Script | None = None) -> Failure | None:
    """What a log tells about why a service does not start, if it tells anything known."""
    if found := refusal(log):
        return why_refused(found, script)
    for pattern, message in _SIGNS:
        if match := pattern.search(log):
            what = next((value for value in match.groups() if value), "")
            blame: Blame = "workspace" if "SyntaxError" in message else "dockerfile"
            return Failure(blame, message.format(what=shorten(what, _WIDTH) or "a file"))
    return None


def _dockerfile(message: str) -> Failure:
    return Failure("dockerfile", message)
