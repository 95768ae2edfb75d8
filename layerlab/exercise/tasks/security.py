"""Task 6: no root, nothing that everybody may change, no secrets, no way back to root."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import judging
from layerlab.exercise.tasks.secrets import build_arguments, secrets
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import counted, first_few

TASK: Final = 6
_OTHERS_WRITE: Final = 0o002
_STICKY: Final = 0o1000
_PACKAGES: Final = re.compile(r"/(?:site|dist)-packages(?:/|$)")
_SHARED: Final = frozenset({"", "/", "/usr", "/usr/local"})
_SETUID, _SETGID, _EXECUTABLE = 0o4000, 0o2000, 0o111
_SETTINGS: Final = re.compile(
    r"/etc/(?:sudoers|sudoers\.d/.+|doas\.conf|doas\.d/.+|pam\.conf|pam\.d/.+|security/.+)|/usr/local/etc/doas\.conf"
    r"|(?P<loader>/etc/(?:ld\.so\.preload|ld\.so\.conf|ld\.so\.conf\.d/.+|ld-musl-\w+\.path))"
)
_ACCOUNTS: Final = frozenset({"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"})
_FOLDERS: Final = frozenset(
    {"/etc", "/etc/pam.d", "/etc/sudoers.d", "/etc/doas.d", "/etc/ld.so.conf.d", "/etc/security"}
)
_LEADING_GROUPS: Final = frozenset({"sudo", "wheel", "admin", "shadow", "disk", "docker"})
# Programs that become root and ask first who may: what their packages bring gives the service's user no more rights.
_ASKING: Final = frozenset(
    {"chage", "chfn", "chsh", "crontab", "dbus-daemon-launch-helper", "doas", "expiry", "fusermount", "fusermount3"}
    | {"gpasswd", "mount", "newgidmap", "newgrp", "newuidmap", "passwd", "ping", "pkexec", "polkit-agent-helper-1"}
    | {"ssh-agent", "ssh-keysign", "su", "sudo", "sudoedit", "umount", "unix_chkpwd"}
)
# By their numbers in the kernel's include/uapi/linux/capability.h: with one of these, root is a step away.
_CAPABILITIES: Final = {
    **{0: "cap_chown", 1: "cap_dac_override", 2: "cap_dac_read_search", 3: "cap_fowner", 6: "cap_setgid"},
    **{7: "cap_setuid", 16: "cap_sys_module", 17: "cap_sys_rawio", 19: "cap_sys_ptrace", 21: "cap_sys_admin"},
    31: "cap_setfcap",
}
_DPKG: Final = "/var/lib/dpkg/"
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_MOST: Final = 3  # differences that a finding tells

_ROOT_HINTS: Final = (
    "As which user does each process of the running container run, and which instruction says so?",
    "Let the image itself name a user without rights for whatever is started, and let nothing change it back.",
    f"USER, root: “Who runs it, and what it may do” in {judging.PRODUCTION}.",
)
_WRITABLE_HINTS: Final = (
    "Who has to change these files while the service runs?",
    "Nobody, most often: reading is enough. What must be written belongs into a folder of its own.",
    f"chmod -R 777, COPY --chown: “Permissions: habit (8)” in {judging.SINGLE_STAGE}.",
)
_SECRET_HINTS: Final = (
    "Who can read this, once the image has been pushed?",
    "What is secret comes to the service when it is started, and to a build only for the command that needs it.",
    f"--env-file, --mount=type=secret: “What must not be in it” in {judging.PRODUCTION}.",
)
_HARDENED_HINTS: Final = (
    "Which files does the service write when it starts?",
    "Let it write into a folder that is in memory wherever the image runs, or not at all.",
    f"--read-only, --tmpfs: “What to set when you run it” in {judging.PRODUCTION}.",
)
_BACK_HINTS: Final = (
    "With this in the image, what can the service's user do that it could not do before?",
    "A service never needs to become root: whatever needs root belongs into the build.",
    f"Set-user-id, no-new-privileges: “What the kernel says” in {judging.PRODUCTION}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 6."""
    running = evidence.running
    findings = [*_writable(evidence), *_secrets(evidence), *_ways_to_root(evidence)]
    if not running.up or not running.processes:
        message = "No process of the container stayed up, so nobody can tell as which user the service runs."
        message += f" {running.failure.message}" if running.failure else ""
        return judging.unknown(TASK, message, findings)
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
        message += f" The image says USER {one_line(user)}, but what is started undoes it,"
        message += " or /etc/passwd gives that name"
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
    yield judging.finding("error", message, _ROOT_HINTS, line)


def _writable(evidence: Evidence) -> Iterator[Finding]:
    """The entries of the app, its packages and /etc that everybody may change.

    Not symbolic links, sticky directories and empty files; nor what the base has just so.
    """
    image, is_guarded = evidence.image, _guarded(evidence)
    by_line: dict[int | None, list[File]] = defaultdict(list)
    for file in image.files:
        if not file.visible or not file.mode & _OTHERS_WRITE:
            continue
        counts = file.bytes > 0 if file.kind == "file" else file.kind == "directory" and not file.mode & _STICKY
        base = image.base_image_files.get(file.path)
        is_new = base is None or (base.mode, base.kind) != (file.mode, file.kind)
        if counts and is_new and (is_guarded(file.path) or image.origins(file).kind == "context"):
            by_line[image.line_of(file)].append(file)
    for line, files in by_line.items():
        first = next((file for file in files if file.kind == "file"), files[0])
        where = f"since line {line}" if line else "in this image"
        message = (
            f"Everybody may change {first.path} (mode {first.mode & 0o7777:o})"
            + (f" and {len(files) - 1} more" if len(files) > 1 else "")
            + f" {where}. Whoever gets in as any user can put other code or settings there."
        )
        yield judging.finding("error", message, _WRITABLE_HINTS, line)


def _secrets(evidence: Evidence) -> Iterator[Finding]:
    for secret in secrets(evidence):
        what = shorten(f"{secret.what[0].upper()}{secret.what[1:]}", 200)
        message = f"{what} can be read by whoever has the image: it is {secret.where}."
        message += judging.gone_but_stored(evidence.image, secret.files)
        yield judging.finding("error", message, _SECRET_HINTS, secret.line)
    for name, line in build_arguments(evidence):
        message = f"The default of ARG {shorten(name, 60)} looks like a secret. It is not in the image,"
        message += " but in the Dockerfile and in the build cache, for whoever can read these."
        yield judging.finding("advice", message, _SECRET_HINTS, line)


def _advice(evidence: Evidence) -> Iterator[Finding]:
    image, running = evidence.image, evidence.running
    if running.hardened is False and running.seconds is not None:  # else it answers nowhere, which task 7 explains
        why = f" ({shorten(running.hardened_why, 200)})" if running.hardened_why else ""
        message = f"With a read-only root and without capabilities the service does not answer{why}."
        message += " It would be harder to abuse if it needed to write nowhere but in memory."
        started = evidence.last("CMD", "ENTRYPOINT")
        yield judging.finding("advice", message, _HARDENED_HINTS, started.line if started else None)
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
        yield judging.finding("advice", message, _WRITABLE_HINTS, image.line_of(own[0]) or evidence.final.line)


def _guarded(evidence: Evidence) -> Callable[[str], bool]:
    """Whether a path is one that nobody but its owner should change: of the app, its packages and /etc.

    The folder that holds the app's counts too: whoever may write there may put another app in its place.
    """
    apps = judging.app_folders(evidence)
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
    for distribution in judging.installed_distributions(evidence).values():
        folder = posixpath.dirname(distribution.location)
        if folder not in _SHARED:
            yield folder
        scripts = posixpath.normpath(f"{folder}/../../../bin")
        if _PACKAGES.search(folder) and scripts != "/bin":
            yield scripts


def _ways_to_root(evidence: Evidence) -> Iterator[Finding]:
    """What is not as in the base image, but for added users and groups and what packages bring; an error per line."""
    by_line: dict[int | None, list[str]] = defaultdict(list)
    snapshot = evidence.image
    capabilities = snapshot.capabilities()
    becomes_root = any(_runs_as_root(file) for file in snapshot.visible.values())
    for file in snapshot.files:
        given = capabilities.get(file.path, 0)
        is_candidate = file.visible and (_decides(file) or _runs_as_root(file))
        if given or (is_candidate and not _is_a_bases(snapshot, file)):
            whats = [*_differences(snapshot, file, given)]
            # `su` and its like believe what they read.
            if becomes_root and _decides(file) and _may_change(evidence, file):
                whats.append(
                    f"may be changed by the user that runs the service (mode {file.mode & 0o7777:o}, "
                    f"owner {file.uid}:{file.gid})"
                )
            by_line[snapshot.line_of(file)] += [f"{shorten(file.path, 100)} {what}" for what in whats]
    for line, found in by_line.items():
        if found:
            more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
            message = (
                f"What decides who is root is not as in the base image: {'; '.join(found[:_MOST])}{more}. That is a "
                "way back to root, and the service's user is worth nothing if whoever gets in can take it."
            )
            yield judging.finding("error", message, _BACK_HINTS, line)


def _decides(file: File) -> bool:
    """Whether a file says who is root, or a folder holds such files."""
    return file.path in _ACCOUNTS | _FOLDERS or bool(_SETTINGS.fullmatch(file.path))


def _differences(snapshot: Snapshot, file: File, capabilities: int) -> Iterator[str]:
    """How a file lets somebody become root as the base's file of that path, if there is one, does not."""
    settings = _SETTINGS.fullmatch(file.path)
    if _runs_as_root(file) and not (posixpath.basename(file.path) in _ASKING and _is_packaged(snapshot, file)):
        yield "runs as root, whoever starts it (set-user-id or set-group-id bit)"
    if given := [name for number, name in _CAPABILITIES.items() if capabilities >> number & 1]:
        yield f"gives whoever starts it the capability {', '.join(given)}"
    if file.path in _ACCOUNTS and file.kind == "file":
        yield from _accounts(snapshot, file)
    elif settings and file.kind != "directory":
        known = _lines(snapshot, snapshot.base_image_files.get(file.path))
        lines = _lines(snapshot, file)
        changed = [line for line in lines if line not in known] or [line for line in known if line not in lines]
        if settings["loader"]:
            changed = [line for line in changed if not _is_roots(snapshot, line)]
        if changed and not _is_packaged(snapshot, file):
            yield f"is another than the base's: {shorten(changed[0], 80)!r}"


def _runs_as_root(file: File) -> bool:
    as_root = (file.mode & _SETUID and file.uid == 0) or (file.mode & _SETGID and file.gid == 0)
    return file.kind == "file" and bool(as_root) and bool(file.mode & _EXECUTABLE)


def _is_a_bases(snapshot: Snapshot, file: File) -> bool:
    """Whether it is just what the base has at this path (stored again), or a file of a base that was copied."""
    if file.kind != "file":
        return False
    base = snapshot.base_image_files.get(file.path)
    if base is None:
        return snapshot.origins(file).kind == "base" and not snapshot.base_image_files
    same = (base.kind, base.mode, base.uid, base.gid) == (file.kind, file.mode, file.uid, file.gid)
    return same and _content(snapshot, base) == _content(snapshot, file)


def _content(snapshot: Snapshot, file: File | None) -> bytes:
    return (snapshot.contents(file.layer, file.path) if file and file.kind == "file" else None) or b""


def _lines(snapshot: Snapshot, file: File | None) -> list[str]:
    """The lines of a file of settings, without comments."""
    text = _content(snapshot, file).decode(errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _accounts(snapshot: Snapshot, file: File) -> Iterator[str]:
    """What a list of users or groups says of root, and did not in the base."""
    known = _lines(snapshot, snapshot.base_image_files.get(file.path))
    for row in (line.split(":") for line in _lines(snapshot, file) if line not in known):
        name, password, number, members, *_ = (*row, "", "", "", "")
        if file.path == "/etc/passwd" and number == "0" and name != "root":
            yield f"makes {shorten(name, 40)} a second root (UID 0)"
        elif file.path in {"/etc/passwd", "/etc/shadow"} and name == "root" and not password:
            yield "leaves root's password empty"
        elif file.path in {"/etc/passwd", "/etc/shadow"} and name == "root" and password[0] not in "x*!":
            yield "gives root a password"
        elif file.path in {"/etc/group", "/etc/gshadow"} and name in _LEADING_GROUPS and members:
            yield f"puts {shorten(members, 40)} into the group {name}"


def _is_roots(snapshot: Snapshot, path: str) -> bool:
    """Whether nobody but root can put something at a path from which the loader takes libraries."""
    path = posixpath.normpath(path)
    places = [path, *(path[: at.start()] for at in re.finditer("/", path) if at.start())]
    found = [snapshot.visible[place] for place in places if place in snapshot.visible]
    return path.startswith("/") and all(file.uid == 0 and not file.mode & 0o022 for file in found)


def _may_change(evidence: Evidence, file: File) -> bool:
    """Whether the service's user may change a file that decides who is root, or its folder."""
    processes = evidence.running.processes
    owners, groups = {process.uid for process in processes} - {0}, {process.gid for process in processes}
    return bool((file.uid in owners and file.mode & 0o200) or (file.gid in groups and file.mode & 0o020))


def _is_packaged(snapshot: Snapshot, file: File) -> bool:
    """Whether a package of the system brought a file just so, by the checksums that dpkg and apk keep."""
    content = _content(snapshot, file)
    path, md5 = file.path.lstrip("/"), hashlib.md5(content, usedforsecurity=False).hexdigest()
    if f"\n /{path} {md5}\n".encode() in _content(snapshot, snapshot.visible.get(f"{_DPKG}status")) + b"\n":
        return True
    row = re.compile(rf"^{md5}  (?:usr/)?{re.escape(path.removeprefix('usr/'))}$".encode(), re.MULTILINE)
    lists = (each for name, each in snapshot.visible.items() if name.startswith(_DPKG) and name.endswith(".md5sums"))
    if any(row.search(_content(snapshot, each)) for each in lists):
        return True
    sha1 = base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    stored = f"\nR:{posixpath.basename(path)}\n(?:a:.*\n)?Z:Q1{re.escape(sha1)}\n".encode()
    return any(re.search(stored, _content(snapshot, snapshot.visible.get(each))) for each in _APK)
