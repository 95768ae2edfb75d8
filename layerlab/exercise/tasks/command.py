"""Task 7: a production server that answers from outside and ends when it is told to."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Final

from layerlab.dockerfile import Instruction
from layerlab.dockerfile.shell.wrappers import unwrap
from layerlab.exercise import verdict
from layerlab.exercise.evidence.model import Answer, Evidence, Running, Snapshot, Stop
from layerlab.exercise.tasks import places
from layerlab.exercise.tasks.common import PRODUCTION, finding, unavailable
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import one_line, shorten

TASK: Final = 7
_DEVELOPMENT_HEADER: Final = re.compile(r"werkzeug|wsgiserver/|simplehttp|basehttp|^http\.server", re.IGNORECASE)
_DEVELOPMENT_COMMAND: Final = re.compile(
    r"(?:^|[\s/])flask(?:\s+\S+)*?\s+run\b|\s-m\s+(?:flask\s.*\brun\b|wsgiref|werkzeug|http\.server)"
)
# The app's own __main__ starts Flask's server, unless the learner has changed it: the answers tell then.
_APP_AS_PROGRAM: Final = re.compile(r"python[\d.]*\s.*-m\s+app(?:\.__main__)?(?:\s|$)")
_TELLS_CONTAINER: Final = re.compile(rb"[\"']container[\"']: *socket\.gethostname\(\)")
_ARGUMENTS: Final = re.compile(r"\$\{?[@*01]")  # of a script
_LONGEST: Final = 2_000  # characters of a command that are looked at
_WARNING: Final = re.compile(r"This is a development server|\* Serving Flask app|\* Debugger PIN")
# Servers that take a signal for something else than most do.
_DEAF: Final = {
    "waitress": "waitress as process 1 ignores {signal}; a small init as process 1 would pass it on.",
    "uwsgi": "uWSGI takes {signal} for a reload, unless its setting die-on-term says otherwise.",
}
_NOT_THE_LEARNERS: Final = frozenset({"engine", "network"})

_WHY_NOT: Final = "It is made for trying things out: it is slow, not hardened, and says so itself."
_ANSWER_HINTS: Final = (
    "What does the container print when it is started without arguments, and where does it listen?",
    "Start it as the image starts it, read its log, and ask /status from outside the container.",
    f"How the service is started, and where it listens: {PRODUCTION}.",
)
_SERVER_HINTS: Final = (
    "Which program answers the requests, and what does its own documentation say that it is made for?",
    "requirements.txt holds a server that is made for production; let the command start that one.",
    f"Workers, limits and signals of a production server: {PRODUCTION}.",
)
_STOP_HINTS: Final = (
    "Which process is number 1 in the container, and what does it do with the signal that `docker stop` sends?",
    "Let the server itself be process 1 and get a signal that it obeys, or let something in front pass signals on.",
    f"The exec form and the shell form of CMD, `exec`, and what ends a service: {PRODUCTION}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 7."""
    if evidence.image is None:
        refuted = list(_dockerfile_alone(evidence))
        return verdict.judge(TASK, refuted) if refuted else unavailable(TASK, evidence)
    running = evidence.running
    if running is None:
        return unavailable(TASK, evidence, "The container was not run, so nobody can tell what the image starts.")
    findings = [*_server(evidence, running), *_debugger(evidence, running), *_stop(evidence, evidence.image, running)]
    answers = running.seconds is not None and all(map(_is_right, (running.status, running.info)))
    failure = running.failure
    if not answers:
        if failure and failure.blame in _NOT_THE_LEARNERS and not findings:
            message = f"{failure.message} That is the {failure.blame}'s fault, not the Dockerfile's."
            return unavailable(TASK, evidence, message)
        findings.append(_silent(evidence, running))
    elif stranger := _stranger(evidence, running):
        findings.append(stranger)
    elif running.stop is None and not findings:
        return unavailable(TASK, evidence, "The container was not stopped, so nobody can tell how it ends.")
    return verdict.judge(TASK, findings)


def _dockerfile_alone(evidence: Evidence) -> Iterator[Finding]:
    """Where there is no image: a command that names a development server."""
    started = _started(evidence)
    blame = evidence.failure.blame if evidence.failure else None
    if started and blame == "dockerfile":
        command = " ".join(started.arguments) if started.is_json else started.value
        command = command[:_LONGEST]
        if _DEVELOPMENT_COMMAND.search(f" {command}") or _APP_AS_PROGRAM.search(command):
            message = f"The image would start {shorten(command, 80)!r}: Flask's development server. {_WHY_NOT}"
            yield finding(evidence, "error", message, _SERVER_HINTS, started.line)


def _started(evidence: Evidence) -> Instruction | None:
    """The instruction that says what is started; ENTRYPOINT only where no CMD comes after it."""
    return places.last(evidence, "CMD", "ENTRYPOINT")


def _line(evidence: Evidence) -> int | None:
    started = _started(evidence)
    return started.line if started else places.from_line(evidence)


def _is_right(answer: Answer) -> bool:
    return answer.status == 200 and answer.document is not None


def _stranger(evidence: Evidence, running: Running) -> Finding | None:
    """Something that answers in the app's place: the app's ``/info`` tells the name of the container."""
    told = (running.info.document or {}).get("container")
    is_told = any(
        path.startswith("app/") and _TELLS_CONTAINER.search(content) for path, content in evidence.workspace.items()
    )
    if not is_told or not running.hostname or told == running.hostname:
        return None
    what = f"calls the container {shorten(str(told), 40)!r}" if told else "does not name the container"
    message = (
        f"What answers is not the app: its /info names the container that it runs in, which is "
        f"{running.hostname!r} here, and the answer {what}."
    )
    return finding(evidence, "error", message, _ANSWER_HINTS, _line(evidence))


def _silent(evidence: Evidence, running: Running) -> Finding:
    """Why the service does not answer as it should."""
    failure = running.failure
    line = _line(evidence)
    if failure:
        message, line = failure.message, failure.line or line
    elif running.seconds is None:
        message = "The service did not answer /status on port 5000 within 30 s."
    else:
        message = f"{_wrong('/status', running.status)} {_wrong('/info', running.info)}".strip()
    message += ("" if message.endswith(".") else ".") + _lost_command(evidence)
    if not _started(evidence):
        message += " The final stage has neither CMD nor ENTRYPOINT, so the base image's own command is started."
    message += " Whoever runs the image gives it no arguments: it has to start the service by itself."
    return finding(evidence, "error", message, _ANSWER_HINTS, line)


def _lost_command(evidence: Evidence) -> str:
    """Why the command is another than the Dockerfile seems to say: a sentence, or nothing."""
    entry, command = places.last(evidence, "ENTRYPOINT"), places.last(evidence, "CMD")
    for each in (entry, command):
        if each and not each.is_json and each.value.lstrip().startswith("["):
            return (
                f" Line {each.line} looks like a JSON array and is none (JSON has double quotes), so a shell takes "
                "it as a command."
            )
    if entry and command and entry.line > command.line and entry.stage != command.stage:
        return f" ENTRYPOINT on line {entry.line} drops the CMD of line {command.line}, which is another stage's."
    if entry and command and not entry.is_json and not _ARGUMENTS.search(entry.value):
        return (
            f" ENTRYPOINT on line {entry.line} has the shell form, which takes no arguments, so the CMD of line "
            f"{command.line} is ignored."
        )
    if entry and command and entry.is_json and not command.is_json and not _runs_its_arguments(evidence, entry):
        config = evidence.image.config if evidence.image else {}
        started = shlex.join(str(word) for key in ("Entrypoint", "Cmd") for word in config.get(key) or ())
        return (
            f" ENTRYPOINT on line {entry.line} has the JSON form and CMD on line {command.line} the shell form, so "
            f"the first gets a shell as its arguments: {shorten(started, 200)}. Give CMD the JSON form, too."
        )
    return ""


def _runs_its_arguments(evidence: Evidence, entry: Instruction) -> bool:
    """Whether what an ENTRYPOINT starts runs CMD as a command, as an init or a script with ``exec "$@"`` does."""
    script = _script(evidence.image, entry) if evidence.image else ""
    return not unwrap(entry.arguments, {}).words or bool(_ARGUMENTS.search(script))


def _wrong(path: str, answer: Answer) -> str:
    if _is_right(answer):
        return ""
    if answer.status is None:
        return f"GET {path} got no answer."
    return f"GET {path} answers {answer.status}{'' if answer.document is not None else ', without a JSON object'}."


def _server(evidence: Evidence, running: Running) -> Iterator[Finding]:
    """A server that is not made for production: by what it answers, prints, and is called."""
    headers = [answer.server for answer in (running.status, running.info) if answer.server]
    seen = next((header for header in headers if _DEVELOPMENT_HEADER.search(header)), None)
    commands = [one_line(process.command) for process in running.processes]
    started = next((command for command in commands if _DEVELOPMENT_COMMAND.search(f" {command}")), None)
    if not headers and started is None:
        started = next((command for command in commands if _APP_AS_PROGRAM.search(command)), None)
    behind = running.interpreter.behind if running.interpreter else ()
    if seen and (name := seen.partition(", as ")[2]):
        what = f"The server that answers calls itself {shorten(name, 80)!r} and is Python's http.server"
    elif seen:
        what = f"The server that answers calls itself {shorten(seen, 80)!r}"
    elif behind:
        what = f"Behind what answers, at {shorten(behind[0], 80)} in the container, is Python's http.server"
    elif started:
        what = f"The container runs {shorten(started, 80)!r}"
    elif printed := _WARNING.search(running.logs):
        what = f"The server printed {printed[0]!r}"
    else:
        return
    pretends = any("gunicorn" in command for command in commands)
    but = ", whatever the command is called" if seen and pretends else ""
    message = f"{what}{but}: that is a development server. {_WHY_NOT}"
    yield finding(evidence, "error", message, _SERVER_HINTS, _line(evidence))


def _debugger(evidence: Evidence, running: Running) -> Iterator[Finding]:
    if running.debugger:
        message = (
            "Werkzeug's debugger is open: whoever can reach the port may run Python code in the container, "
            "with a PIN of nine digits as the only lock."
        )
        settings = (each for each in places.final_instructions(evidence) if each.keyword == "ENV")
        debug = next((each for each in settings if "DEBUG" in each.value), None)
        yield finding(evidence, "error", message, _SERVER_HINTS, debug.line if debug else _line(evidence))


def _stop(evidence: Evidence, snapshot: Snapshot, running: Running) -> Iterator[Finding]:
    stop = running.stop
    still_loading = running.seconds is None and running.hurried
    if stop is None or not stop.killed or still_loading:  # what has not begun to serve need not end yet
        return
    why, line = _why_killed(evidence, snapshot, running, stop)
    message = (
        f"`docker stop` had to kill the service (after {stop.seconds:.0f} s, exit code {stop.exit_code}): {why} "
        "Requests under way are cut off then, at each update."
    )
    yield finding(evidence, "error", message, _STOP_HINTS, line)


def _why_killed(evidence: Evidence, snapshot: Snapshot, running: Running, stop: Stop) -> tuple[str, int | None]:
    entry, command = places.last(evidence, "ENTRYPOINT"), places.last(evidence, "CMD")
    signal = places.last(evidence, "STOPSIGNAL")
    if stop.signal == "SIGKILL":
        return "the image asks for SIGKILL itself, which no process can answer.", _line_of(signal or command or entry)
    started = entry or command
    text = _of_shell(started) if started else ""
    if started and text and not _replaces_shell(text):
        form = "starts a shell" if started.is_json else "has the shell form"
        why = (
            f"line {started.line} {form}, so process 1 is a shell, which waits for what it starts and passes no "
            f"{stop.signal} on."
        )
        return why, started.line
    if server := _special(running):
        what = _DEAF[server].format(signal=stop.signal)
        return f"{what} It ends on SIGINT, which the image may ask for as its stop signal.", _line_of(
            signal or command or entry
        )
    script = _script(snapshot, entry or command)
    if script and not re.search(r"^\s*(?:exec|trap)\b|[;&|]\s*exec\b", script, re.MULTILINE):
        line = _line_of(entry or command)
        why = (
            f"process 1 is the script that line {line} starts. It waits for the server instead of being "
            f"replaced by it (`exec`), and passes no {stop.signal} on."
        )
        return why, line
    if signal and stop.signal != "SIGTERM":
        why = (
            f"line {signal.line} asks for {stop.signal}, which does not end process 1: most servers take it for "
            "something else, or ignore it."
        )
        return why, signal.line
    why = f"process 1 did not end on {stop.signal}: it ignores the signal, or does not pass it on to the server."
    return why, _line(evidence)


def _special(running: Running) -> str | None:
    """The one of these servers that runs."""
    words = [word.rpartition("/")[2] for process in running.processes for word in process.command.split()[:3]]
    return next(
        (name for name in _DEAF if any(word.startswith(name) for word in (*words, running.status.server))), None
    )


def _line_of(instruction: Instruction | None) -> int | None:
    return instruction.line if instruction else None


def _of_shell(started: Instruction) -> str:
    """What a shell is given to do by the shell form, or by ``["sh", "-c", ...]``; nothing where there is none."""
    if not started.is_json:
        return started.value
    words = started.arguments
    is_shell = bool(words) and posixpath.basename(words[0]) in {"sh", "bash", "dash", "ash"}
    return words[2] if is_shell and len(words) > 2 and words[1].startswith("-") and words[1].endswith("c") else ""


def _replaces_shell(command: str) -> bool:
    return bool(re.search(r"(?:^|[;&|]\s*)exec\s", command))


def _script(snapshot: Snapshot, started: Instruction | None) -> str:
    """The text of the script that is started, if it is one."""
    words = started.arguments if started and started.is_json else ()
    folder = str(snapshot.config.get("WorkingDir") or "/").rstrip("/")
    for word in words[:3]:
        path = word if word.startswith("/") else f"{folder}/{word.removeprefix('./')}"
        content = snapshot.contents(None, path) or b""
        is_told = posixpath.basename(words[0]) in {"sh", "bash", "dash", "ash"} and word in words[1:]
        if is_told or (content.startswith(b"#!") and b"sh" in content[:40].split(b"\n")[0]):
            return content[:100_000].decode(errors="replace")
    return ""
