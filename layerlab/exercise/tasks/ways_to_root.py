"""What lets a user of the container become root again although the base image does not: for task 6."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from layerlab.dockerfile import Stage
from layerlab.dockerfile.shell.commands import commands
from layerlab.exercise.evidence.model import Evidence, File, Snapshot
from layerlab.exercise.tasks.common import PRODUCTION, final_chain, finding, line_of
from layerlab.exercise.verdict import Finding
from layerlab.ui.text import shorten
from layerlab.ui.units import first_few

_SETUID: Final = 0o4000
_SETGID: Final = 0o2000
_EXECUTABLE: Final = 0o111
_OWNER_WRITES: Final = 0o200
_GROUP_WRITES: Final = 0o020
_ACCOUNTS: Final = (
    "/etc",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/pam.d",
    "/etc/pam.d/su",
    "/etc/pam.d/common-account",
    "/etc/pam.d/common-auth",
    "/etc/ld.so.preload",
    "/etc/sudoers",
    "/etc/sudoers.d",
)
"""Whoever may change one of these decides who becomes root."""
_CAPABILITY_TO_ROOT: Final = re.compile(
    r"cap_(?:chown|dac_override|dac_read_search|fowner|setfcap|setgid|setuid|sys_admin|sys_module|sys_ptrace)\b"
    r"|\ball\b|^=",
    re.IGNORECASE,
)
_TRUST: Final = re.compile(
    r"-?auth\s+(?:(?:sufficient|\[[^\]]*success=(?:done|ok)[^\]]*\])\s+\S*pam_permit\.so|.*pam_wheel\.so\b.*\btrust\b)"
)
_BACK_HINTS: Final = (
    "With this in the image, what can the service's user do that it could not do before?",
    "A service never needs to become root: whatever needs root belongs into the build.",
    f"What a user without rights may still do, and how it is kept from more: {PRODUCTION}.",
)


def ways_to_root(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """All that are found, an error each."""
    yield from _setuid(evidence, snapshot)
    yield from _rules(evidence, snapshot)
    yield from _trusts(evidence, snapshot)
    yield from _passwords(evidence, snapshot)
    yield from _capabilities(evidence, snapshot)
    yield from _accounts(evidence, snapshot)


def _setuid(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Programs that run as root whoever starts them, and that the base does not have."""
    by_line: dict[int | None, list[File]] = defaultdict(list)
    for file in snapshot.files:
        base = snapshot.base_image_files.get(file.path)
        if file.visible and _runs_as_root(file) and not (base and _runs_as_root(base)):
            by_line[line_of(snapshot, file)].append(file)
    for line, files in by_line.items():
        message = (
            f"{first_few([file.path for file in files])} came with line {line}, and whoever starts "
            f"{'one of them' if len(files) > 1 else 'it'} runs it as root (set-user-id or set-group-id bit). "
            "That is a way back to root which the base image does not have."
        )
        yield finding(evidence, "error", message, _BACK_HINTS, line)


def _runs_as_root(file: File) -> bool:
    as_root = (file.mode & _SETUID and file.uid == 0) or (file.mode & _SETGID and file.gid == 0)
    return file.kind == "file" and bool(as_root) and bool(file.mode & _EXECUTABLE)


def _rules(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Rules of sudo and doas that let somebody become root."""
    for file in snapshot.files:
        is_rules = file.path in {"/etc/sudoers", "/etc/doas.conf", "/usr/local/etc/doas.conf"} or (
            file.path.startswith(("/etc/sudoers.d/", "/etc/doas.d/")) and not file.path.endswith("/README")
        )
        if file.visible and file.kind == "file" and is_rules:
            text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace")
            granted = [line.strip() for line in text.splitlines() if _grants(line.strip())]
            if granted:
                line = line_of(snapshot, file)
                message = (
                    f"{file.path} lets a user become root: {shorten(granted[0], 80)!r}. The service's user "
                    "is worth nothing if whoever gets in can ask for root."
                )
                yield finding(evidence, "error", message, _BACK_HINTS, line)


def _trusts(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Lines for PAM, which the base does not have, that let somebody in without a password; pam.conf(5)."""
    for file in snapshot.files:
        if not (file.visible and file.kind == "file" and file.path.startswith("/etc/pam.d/")):
            continue
        base = snapshot.base_image_files.get(file.path)
        known = (snapshot.contents(base.layer, file.path) or b"").splitlines() if base else []
        rows = (snapshot.contents(file.layer, file.path) or b"").splitlines()
        added = [row.decode(errors="replace").strip() for row in rows if row not in known]
        if trusting := [row for row in added if _TRUST.match(row)]:
            message = (
                f"{file.path} lets somebody in without a password: {shorten(trusting[0], 80)!r}. `su` and its "
                "like ask it, so that is a way back to root which the base image does not have."
            )
            yield finding(evidence, "error", message, _BACK_HINTS, line_of(snapshot, file))


def _grants(rule: str) -> bool:
    if re.match(r"permit\b(?!.*\broot\b\s*$)", rule):
        return True
    return bool(re.match(r"(?!#|@|Defaults|root\b|%(?:sudo|admin|wheel)\b|\w+_Alias)\S+\s+\S+\s*=", rule))


def _passwords(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Root's password, emptied or set; and other users who are root."""
    for file in snapshot.files:
        if file.visible and file.path in {"/etc/shadow", "/etc/passwd"}:
            text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace")
            for row in text.splitlines():
                what = _password(file.path, row.split(":"))
                if what:
                    message = f"{file.path} {what}, so a user of the container may become root with `su`."
                    yield finding(evidence, "error", message, _BACK_HINTS, line_of(snapshot, file))


def _capabilities(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Programs that were given a capability with which whoever starts them becomes root; setcap(8), capabilities(7).

    A snapshot does not hold capabilities, so the commands that give them are read.
    """
    dockerfile = evidence.dockerfile
    if dockerfile is None:
        return
    final = {stage.label for stage in final_chain(evidence)}
    needed = dockerfile.needed(dockerfile.target())
    for stage, run in [(each, run) for each in needed for run in each.instructions]:
        for command in commands(dockerfile, run, evidence.context):
            spec, *paths = [word for word in command.words[1:] if not word.startswith("-")] or [""]
            given = _CAPABILITY_TO_ROOT.search(spec) if command.name == "setcap" else None
            if given and (stage.label in final or any(_came_from(snapshot, path, stage) for path in paths)):
                message = (
                    f"{first_few(paths)} gets the capability {given[0]} here, and whoever starts it may become root "
                    "with it or change what is root's. That is a way back to root which the base does not have."
                )
                yield finding(evidence, "error", message, _BACK_HINTS, run.line)


def _came_from(snapshot: Snapshot, path: str, stage: Stage) -> bool:
    """Whether a file of the image has this name and came from this stage."""
    name = posixpath.basename(path)
    return any(
        file.visible and posixpath.basename(file.path) == name and stage.label in snapshot.origins(file).through
        for file in snapshot.files
    )


def _password(path: str, fields: list[str]) -> str:
    if len(fields) < 3:
        return ""
    name, password = fields[0], fields[1]
    if path == "/etc/passwd":
        if fields[2] != "0":
            return ""
        if name != "root":
            return f"makes {shorten(name, 40)} a second root (UID 0)"
        return "leaves root's password empty" if not password else ""
    if name != "root":
        return ""
    return "leaves root's password empty" if not password else "gives root a password" if password[0] == "$" else ""


def _accounts(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Lists of users that the service's own user may change, where a program reads them as root."""
    running = evidence.running
    uids = {process.uid for process in running.processes} - {0} if running else set()
    gid = _group(snapshot)
    if not any(_runs_as_root(file) for file in snapshot.visible.values()):
        return  # nothing such as `su` is there that would believe them
    for file in snapshot.files:
        if not file.visible or file.path not in _ACCOUNTS or file.kind not in {"file", "directory"}:
            continue
        own = file.uid in uids and file.mode & _OWNER_WRITES
        if own or (file.gid == gid and file.mode & _GROUP_WRITES):
            message = (
                f"The user that runs the service may change {file.path} (mode {file.mode & 0o7777:o}, owner "
                f"{file.uid}:{file.gid}): a line in it makes anybody root, for `su` believes what it says."
            )
            yield finding(evidence, "error", message, _BACK_HINTS, line_of(snapshot, file))


def _group(snapshot: Snapshot) -> int | None:
    """The group that the image's USER gives to what is started; None if it names one that is not known."""
    user, _, group = str(snapshot.config.get("User") or "0").partition(":")
    if group:
        return int(group) if group.isdecimal() else None
    text = (snapshot.contents(None, "/etc/passwd") or b"").decode(errors="replace")
    rows = (row.split(":") for row in text.splitlines())
    known = next(
        (row[3] for row in rows if len(row) > 3 and user in {row[0], row[2]}), "0" if user.isdecimal() else ""
    )
    return int(known) if known.isdecimal() else None
