"""Task 7: a production server that answers from outside and ends when it is told to."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Final

from layerlab.dockerfile import Instruction
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Answer, Evidence, Stop
from layerlab.exercise.tasks import judging
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten

TASK: Final = 7
_TELLS_CONTAINER: Final = re.compile(rb"[\"']container[\"']: *socket\.gethostname\(\)")
_SHELLS: Final = frozenset({"ash", "bash", "dash", "sh"})
# Servers that take a signal for something else than most do.
_DEAF: Final = {
    "waitress": "waitress as process 1 ignores {signal}; a small init as process 1 would pass it on.",
    "uwsgi": "uWSGI takes {signal} for a reload, unless its setting die-on-term says otherwise.",
}
_NOT_THE_LEARNERS: Final = frozenset({"engine", "network"})

_WHY_NOT: Final = "It is made for trying things out: slow, not hardened, and never meant for strangers' requests."
_START_HINTS: Final = (
    "What does the container print when it is started without arguments?",
    "Start it as the image starts it, and read its log to the end; what it cannot find, the final stage has not got.",
    f"ENV PATH, CMD: “The stage that ships” in {judging.MULTI_STAGE}.",
)
_ANSWER_HINTS: Final = (
    "Where does the service listen, and who can reach it there?",
    "Start it as the image starts it, and ask /status from outside the container.",
    f"0.0.0.0, 127.0.0.1: “Where it listens” in {judging.PRODUCTION}.",
)
_SERVER_HINTS: Final = (
    "Which program answers the requests, and what does its own documentation say that it is made for?",
    "requirements.txt holds a server that is made for production; let the command start that one.",
    f"gunicorn, Flask's own server: “Which server?” in {judging.SERVICE}.",
)
_STOP_HINTS: Final = (
    "Which process is number 1 in the container, and what does it do with the signal that `docker stop` sends?",
    "Let the server itself be process 1 and get a signal that it obeys, or let something in front pass signals on.",
    f"Exec form, shell form, SIGTERM: “Does it stop when told to?” in {judging.PRODUCTION}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 7."""
    running = evidence.running
    findings = [*_server(evidence), *_debugger(evidence), *_stop(evidence)]
    answers = running.seconds is not None and all(map(_is_right, (running.status, running.info)))
    failure = running.failure
    if not answers:
        if failure and failure.blame in _NOT_THE_LEARNERS and not findings:
            message = f"{failure.message} That is the {failure.blame}'s fault, not the Dockerfile's."
            return judging.unknown(TASK, message)
        findings.append(_silent(evidence))
    elif stranger := _stranger(evidence):
        findings.append(stranger)
    elif running.stop is None and not findings:
        return judging.unknown(TASK, "The container was not stopped, so nobody can tell how it ends.")
    return verdict.judge(TASK, findings)


def _line(evidence: Evidence) -> int | None:
    """That of what says what is started: an ENTRYPOINT only where no CMD comes after it."""
    started = evidence.last("CMD", "ENTRYPOINT")
    return started.line if started else evidence.final.line


def _is_right(answer: Answer) -> bool:
    return answer.status == 200 and answer.document is not None


def _stranger(evidence: Evidence) -> Finding | None:
    """Something that answers in the app's place: the app's ``/info`` tells the name of the container."""
    running = evidence.running
    told = (running.info.document or {}).get("container")
    is_told = any(map(_TELLS_CONTAINER.search, evidence.app.values()))
    if not is_told or not running.hostname or told == running.hostname:
        return None
    what = f"calls the container {shorten(str(told), 40)!r}" if told else "does not name the container"
    message = "What answers is not the app: its /info names the container that it runs in,"
    message += f" which is {running.hostname!r} here, and the answer {what}."
    return judging.finding("error", message, _ANSWER_HINTS, _line(evidence))


def _silent(evidence: Evidence) -> Finding:
    """Why the service does not answer as it should."""
    running, line = evidence.running, _line(evidence)
    failure = running.failure
    if failure:
        message, line = failure.message, failure.line or line
    elif running.seconds is None:
        message = "The service did not answer /status on port 5000 within 30 s."
    else:
        message = f"{_wrong('/status', running.status)} {_wrong('/info', running.info)}".strip()
    message += ("" if message.endswith(".") else ".") + _what_is_started(evidence)
    hints = _ANSWER_HINTS if running.up else _START_HINTS
    return judging.finding("error", message, hints, line)


def _what_is_started(evidence: Evidence) -> str:
    """The command that the engine makes of ENTRYPOINT and CMD, which may be another than they seem to say."""
    words = [str(word) for key in ("Entrypoint", "Cmd") for word in evidence.image.config.get(key) or ()]
    said = [each for each in (evidence.last("ENTRYPOINT"), evidence.last("CMD")) if each]
    started = shorten(shlex.join(words), 200)
    if not said:
        return (
            f" The final stage has neither CMD nor ENTRYPOINT, so the base image's own command is started"
            f" ({started}): an image has to start its service by itself, without arguments."
        )
    where = " and ".join(f"{each.keyword} on line {each.line}" for each in said)
    in_shell = any(not each.is_json for each in said)
    return f" What the engine makes of {where} is: {started}." + (
        " What is no JSON array (with double quotes) it gives to a shell, without what follows." if in_shell else ""
    )


def _wrong(path: str, answer: Answer) -> str:
    if _is_right(answer):
        return ""
    if answer.status is None:
        return f"GET {path} got no answer."
    return f"GET {path} answers {answer.status}{'' if answer.document is not None else ', without a JSON object'}."


def _server(evidence: Evidence) -> Iterator[Finding]:
    """A server that is not made for production: the one that answers, or one behind it.

    Flask's, Werkzeug's and wsgiref's servers are built on Python's ``http.server``, whose page for errors tells it
    under any name. Of those for production, only eventlet's is.
    """
    running = evidence.running
    python = running.interpreter
    behind = python.behind if python else ()
    if not behind and (not running.is_http_server or (python and "eventlet" in python.distributions)):
        return
    holder = f" by {shorten(python.holder, 80)!r}" if python and python.holder else ""
    called = next((answer.server for answer in (running.status, running.info) if answer.server), "")
    if behind:
        what = f"Port 5000 is held{holder}, and behind it, at {shorten(behind[0], 80)} in the container,"
    else:
        what = f"Port 5000 is held{holder or ' by a program'}, which calls itself {shorten(called, 80)!r}, and there"
    message = f"{what} Python's http.server answers (its page for errors tells),"
    message += f" on which Flask's and Werkzeug's development servers are built. {_WHY_NOT}"
    yield judging.finding("error", message, _SERVER_HINTS, _line(evidence))


def _debugger(evidence: Evidence) -> Iterator[Finding]:
    if evidence.running.debugger:
        message = "Werkzeug's debugger is open: whoever can reach the port may run Python code in the container,"
        message += " with a PIN of nine digits as the only lock."
        settings = (each for each in evidence.instructions if each.keyword == "ENV")
        debug = next((each for each in settings if "DEBUG" in each.value), None)
        yield judging.finding("error", message, _SERVER_HINTS, debug.line if debug else _line(evidence))


def _stop(evidence: Evidence) -> Iterator[Finding]:
    running, stop = evidence.running, evidence.running.stop
    still_loading = running.seconds is None and running.hurried
    if stop is None or not stop.killed or still_loading:  # what has not begun to serve need not end yet
        return
    why, started = _why_killed(evidence, stop)
    message = f"`docker stop` has to kill the service (after 10 s, exit code {stop.exit_code}):"
    message += f" {why} Requests under way are cut off then, at each update."
    line = started.line if started else _line(evidence)
    yield judging.finding("error", message, _STOP_HINTS, line)


def _why_killed(evidence: Evidence, stop: Stop) -> tuple[str, Instruction | None]:
    """Why the stop signal did not end it, by what process 1 is; and the instruction that is to be changed."""
    running, started = evidence.running, evidence.last("ENTRYPOINT") or evidence.last("CMD")
    asked = evidence.last("STOPSIGNAL") or evidence.last("CMD", "ENTRYPOINT")
    first = next((process.command for process in running.processes if process.is_first), "")
    shown = f"process 1 ({shorten(first, 80)})" if first else "process 1"
    if stop.signal == "SIGKILL":
        return "the image asks for SIGKILL itself, which no process can answer.", asked
    if posixpath.basename(first.split(" ")[0]) in _SHELLS:
        why = f"{shown} is a shell. It waits for what it has started instead of being replaced by it (`exec`),"
        why += f" and passes no {stop.signal} on."
        return why, started
    words = [posixpath.basename(word) for process in running.processes for word in process.command.split()[:3]]
    for server, what in _DEAF.items():
        if any(word.startswith(server) for word in (*words, running.status.server)):
            return f"{what.format(signal=stop.signal)} It ends on SIGINT, which the image may ask for.", asked
    if asked and asked.keyword == "STOPSIGNAL" and stop.signal != "SIGTERM":
        why = f"line {asked.line} asks for {stop.signal}, which does not end {shown}:"
        why += " most servers take it for something else, or ignore it."
        return why, asked
    if stop.is_deaf:
        return f"{shown} has no handler for {stop.signal}, and the kernel gives process 1 no other.", None
    return f"{shown} did not end on {stop.signal}: it does not obey the signal, or pass it on to the server.", None
