"""Task 6: no root, nothing that everybody may change, no secrets, no way back to root."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Running, Snapshot
from layerlab.exercise.tasks import writable
from layerlab.exercise.tasks.judging import (
    PRODUCTION,
    SINGLE_STAGE,
    final_stage,
    finding,
    from_line,
    gone_but_stored,
    last,
    line_of,
    unavailable,
)
from layerlab.exercise.tasks.secrets import Secret, build_arguments, secrets
from layerlab.exercise.tasks.ways_to_root import ways_to_root
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import counted, first_few

TASK: Final = 6

_ROOT_HINTS: Final = (
    "As which user does each process of the running container run, and which instruction says so?",
    "Let the image itself name a user without rights for whatever is started, and let nothing change it back.",
    f"USER, root: “Who runs it, and what it may do” in {PRODUCTION}.",
)
_WRITABLE_HINTS: Final = (
    "Who has to change these files while the service runs?",
    "Nobody, most often: reading is enough. What must be written belongs into a folder of its own.",
    f"chmod -R 777, COPY --chown: “Permissions: habit (8)” in {SINGLE_STAGE}.",
)
_SECRET_HINTS: Final = (
    "Who can read this, once the image has been pushed?",
    "What is secret comes to the service when it is started, and to a build only for the command that needs it.",
    f"--env-file, --mount=type=secret: “What must not be in it” in {PRODUCTION}.",
)
_HARDENED_HINTS: Final = (
    "Which files does the service write when it starts?",
    "Let it write into a folder that is in memory wherever the image runs, or not at all.",
    f"--read-only, --tmpfs: “What to set when you run it” in {PRODUCTION}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 6."""
    if evidence.image is None:
        return unavailable(TASK, evidence)
    snapshot, running = evidence.image, evidence.running
    findings = [
        *_writable(evidence, snapshot),
        *_secrets(evidence, snapshot),
        *ways_to_root(evidence, snapshot),
    ]
    if running is None or not running.up or not running.processes:
        return verdict.judge(TASK, [*findings, *_nobody_there(evidence, running).findings], unknown=True)
    findings += [*_processes(evidence, snapshot, running), *_advice(evidence, snapshot, running)]
    return verdict.judge(TASK, findings)


def _nobody_there(evidence: Evidence, running: Running | None) -> Result:
    message = "No process of the container stayed up, so nobody can tell as which user the service runs."
    if running and running.failure:
        message += f" {running.failure.message}"
    return unavailable(TASK, evidence, message)


def _processes(evidence: Evidence, snapshot: Snapshot, running: Running) -> Iterator[Finding]:
    as_root = [process for process in running.processes if process.uid == 0]
    if not as_root:
        return
    names = first_few([shorten(process.command, 60) for process in as_root], 2)
    user = str(snapshot.config.get("User") or "")
    told = last(evidence, "USER")
    started = last(evidence, "ENTRYPOINT") or last(evidence, "CMD")
    total = len(running.processes)
    who = f"{len(as_root)} of {total} processes run" if total > 1 else "The only process runs"
    message = f"{who} as root (UID 0): {names}."
    if user.partition(":")[0] not in {"", "0", "root"}:
        message += (
            f" The image says USER {one_line(user)}, but what is started undoes it, or /etc/passwd gives that name"
        )
        message += " the UID 0."
        line = started.line if started else None
    elif told:
        message += f" That is what line {told.line} says."
        line = told.line
    else:
        message += " No USER says otherwise"
        is_given_up = started is not None and len(as_root) < total
        message += ", and what is started gives up root for a part of them only." if is_given_up else "."
        line = started.line if started and is_given_up else from_line(evidence)
    message += " Whoever gets into the service is root in the container then, and may change all of it."
    yield finding(evidence, "error", message, _ROOT_HINTS, line)


def _writable(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    by_line: dict[int | None, list[File]] = defaultdict(list)
    for file in writable.world_writable(evidence, snapshot):
        by_line[line_of(snapshot, file)].append(file)
    for line, files in by_line.items():
        first = next((file for file in files if file.kind == "file"), files[0])
        where = f"since line {line}" if line else "in this image"
        message = (
            f"Everybody may change {first.path} (mode {first.mode & 0o7777:o})"
            + (f" and {len(files) - 1} more" if len(files) > 1 else "")
            + f" {where}. Whoever gets in as any user can put other code or settings there."
        )
        yield finding(evidence, "error", message, _WRITABLE_HINTS, line)


def _secrets(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    for secret in secrets(evidence, snapshot):
        yield finding(evidence, "error", _leaked(evidence, snapshot, secret), _SECRET_HINTS, secret.line)
    for name, line in build_arguments(evidence):
        message = (
            f"The default of ARG {shorten(name, 60)} looks like a secret. It is not in the image, "
            "but in the Dockerfile and in the build cache, for whoever can read these."
        )
        yield finding(evidence, "advice", message, _SECRET_HINTS, line)


def _leaked(evidence: Evidence, snapshot: Snapshot, secret: Secret) -> str:
    what = f"{secret.what[0].upper()}{secret.what[1:]}"
    message = f"{shorten(what, 200)} can be read by whoever has the image: it is {secret.where}."
    return message + gone_but_stored(snapshot, secret.files)


def _advice(evidence: Evidence, snapshot: Snapshot, running: Running) -> Iterator[Finding]:
    if running.hardened is False and running.seconds is not None:  # else it answers nowhere, which task 7 explains
        why = f" ({shorten(running.hardened_why, 200)})" if running.hardened_why else ""
        message = (
            f"With a read-only root and without capabilities the service does not answer{why}. "
            "It would be harder to abuse if it needed to write nowhere but in memory."
        )
        started = last(evidence, "CMD", "ENTRYPOINT")
        yield finding(evidence, "advice", message, _HARDENED_HINTS, started.line if started else None)
    uids = frozenset(process.uid for process in running.processes) - {0}
    own = writable.own(evidence, snapshot, uids)
    if own:
        more = f" and {counted(len(own) - 1, 'more file')} of the app, its packages or settings belong"
        message = (
            f"{own[0].path}"
            + (more if own[1:] else " belongs")
            + f" to the user that runs the service ({own[0].uid}), which could therefore change what it runs, or how."
        )
        stage = final_stage(evidence)
        yield finding(
            evidence, "advice", message, _WRITABLE_HINTS, line_of(snapshot, own[0]) or (stage.line if stage else None)
        )
