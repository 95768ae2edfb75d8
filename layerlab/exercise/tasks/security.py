"""Task 6: no root, nothing that everybody may change, no secrets, no way back to root."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import (
    PRODUCTION,
    SINGLE_STAGE,
    app_folders,
    finding,
    gone_but_stored,
    installed_distributions,
    unknown,
)
from layerlab.exercise.tasks.secrets import build_arguments, secrets
from layerlab.exercise.tasks.ways_to_root import ways_to_root
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import counted, first_few

TASK: Final = 6
_OTHERS_WRITE: Final = 0o002
_STICKY: Final = 0o1000
_PACKAGES: Final = re.compile(r"/(?:site|dist)-packages(?:/|$)")
_SHARED: Final = frozenset({"", "/", "/usr", "/usr/local"})

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
    running = evidence.running
    findings = [*_writable(evidence), *_secrets(evidence), *ways_to_root(evidence)]
    if not running.up or not running.processes:
        message = "No process of the container stayed up, so nobody can tell as which user the service runs."
        message += f" {running.failure.message}" if running.failure else ""
        return unknown(TASK, message, findings)
    return verdict.judge(TASK, [*findings, *_processes(evidence), *_advice(evidence)])


def _processes(evidence: Evidence) -> Iterator[Finding]:
    processes = evidence.running.processes
    as_root = [process for process in processes if process.uid == 0]
    if not as_root:
        return
    names = first_few([shorten(process.command, 60) for process in as_root], 2)
    user = str(evidence.image.config.get("User") or "")
    told = evidence.last("USER")
    started = evidence.last("ENTRYPOINT") or evidence.last("CMD")
    total = len(processes)
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
        line = started.line if started and is_given_up else evidence.final.line
    message += " Whoever gets into the service is root in the container then, and may change all of it."
    yield finding("error", message, _ROOT_HINTS, line)


def _writable(evidence: Evidence) -> Iterator[Finding]:
    """The entries of the app, its packages and /etc that everybody may change.

    Not symbolic links, sticky directories and empty files; nor what the base has just so.
    """
    image, is_guarded = evidence.image, _guarded(evidence)
    by_line: dict[int | None, list[File]] = defaultdict(list)
    for file in image.files:
        is_open = file.visible and file.mode & _OTHERS_WRITE and _counts(file) and not _is_bases(image, file)
        if is_open and (is_guarded(file.path) or image.origins(file).kind == "context"):
            by_line[image.line_of(file)].append(file)
    for line, files in by_line.items():
        first = next((file for file in files if file.kind == "file"), files[0])
        where = f"since line {line}" if line else "in this image"
        message = (
            f"Everybody may change {first.path} (mode {first.mode & 0o7777:o})"
            + (f" and {len(files) - 1} more" if len(files) > 1 else "")
            + f" {where}. Whoever gets in as any user can put other code or settings there."
        )
        yield finding("error", message, _WRITABLE_HINTS, line)


def _secrets(evidence: Evidence) -> Iterator[Finding]:
    for secret in secrets(evidence):
        what = shorten(f"{secret.what[0].upper()}{secret.what[1:]}", 200)
        message = f"{what} can be read by whoever has the image: it is {secret.where}."
        message += gone_but_stored(evidence.image, secret.files)
        yield finding("error", message, _SECRET_HINTS, secret.line)
    for name, line in build_arguments(evidence):
        message = (
            f"The default of ARG {shorten(name, 60)} looks like a secret. It is not in the image, "
            "but in the Dockerfile and in the build cache, for whoever can read these."
        )
        yield finding("advice", message, _SECRET_HINTS, line)


def _advice(evidence: Evidence) -> Iterator[Finding]:
    image, running = evidence.image, evidence.running
    if running.hardened is False and running.seconds is not None:  # else it answers nowhere, which task 7 explains
        why = f" ({shorten(running.hardened_why, 200)})" if running.hardened_why else ""
        message = (
            f"With a read-only root and without capabilities the service does not answer{why}. "
            "It would be harder to abuse if it needed to write nowhere but in memory."
        )
        started = evidence.last("CMD", "ENTRYPOINT")
        yield finding("advice", message, _HARDENED_HINTS, started.line if started else None)
    uids = frozenset(process.uid for process in running.processes) - {0}
    is_guarded = _guarded(evidence)
    owned = (file for file in image.files if file.visible and file.kind == "file" and file.uid in uids)
    if own := [file for file in owned if is_guarded(file.path)]:
        more = f" and {counted(len(own) - 1, 'more file')} of the app, its packages or settings belong"
        message = (
            f"{own[0].path}"
            + (more if own[1:] else " belongs")
            + f" to the user that runs the service ({own[0].uid}), which could therefore change what it runs, or how."
        )
        yield finding("advice", message, _WRITABLE_HINTS, image.line_of(own[0]) or evidence.final.line)


def _counts(file: File) -> bool:
    if file.kind == "directory":
        return not file.mode & _STICKY
    return file.kind == "file" and file.bytes > 0


def _is_bases(snapshot: Snapshot, file: File) -> bool:
    base = snapshot.base_image_files.get(file.path)
    return base is not None and base.mode == file.mode and base.kind == file.kind


def _guarded(evidence: Evidence) -> Callable[[str], bool]:
    """Whether a path is one that nobody but its owner should change: of the app, its packages and /etc.

    The folder that holds the app's counts too: whoever may write there may put another app in its place.
    """
    apps = app_folders(evidence)
    places = tuple(f"{folder}/" for folder in {"/etc", *apps, *_environments(evidence)} - {"", "/"})
    above = {posixpath.dirname(folder) for folder in apps} - {"", "/"}
    return lambda path: path in above or f"{path}/".startswith(places) or bool(_PACKAGES.search(path))


def _environments(evidence: Evidence) -> Iterator[str]:
    """The folders that hold Python packages: virtual environments, and wherever else the interpreter finds them."""
    for file in evidence.image.files:
        if file.visible and posixpath.basename(file.path) == "pyvenv.cfg":
            yield posixpath.dirname(file.path)
    interpreter = evidence.running.interpreter
    if interpreter and interpreter.prefix not in _SHARED:
        yield interpreter.prefix
    for distribution in installed_distributions(evidence).values():
        folder = posixpath.dirname(distribution.location)
        if folder not in _SHARED:
            yield folder
        scripts = posixpath.normpath(f"{folder}/../../../bin")
        if _PACKAGES.search(folder) and scripts != "/bin":
            yield scripts
