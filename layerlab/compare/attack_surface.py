"""What somebody finds in an image who has got in: counted, so that images can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from layerlab.compare.image_settings import of_config, runs_as_root
from layerlab.image import Image
from layerlab.image.layer import DIRECTORY, FILE, SYMLINK
from layerlab.image.store.file_reader import FileReader

_PROGRAMS: Final[Mapping[str, re.Pattern[str]]] = {
    "shells": re.compile(r"(ba|da|a|z|k|mk|fi|c|tc)?sh|rbash|busybox"),
    "package managers": re.compile(r"apt(-get|itude)?|dpkg|apk|rpm|dnf|yum|pip[\d.]*|uvx?|conda|npm|yarn|gem|cargo"),
    "interpreters": re.compile(r"(python|perl|ruby|lua|php)[\d.]*t?|node|tclsh[\d.]*|[gm]?awk"),
    "network tools": re.compile(r"curl|wget|nc(at)?|netcat|socat|ssh|scp|sftp|ftp|telnet|rsync|git|openssl|ping|dig"),
}  # by the names of programs in folders called bin or sbin
KINDS: Final = (*_PROGRAMS, "set-id files", "writable paths", "users who can log in")
_NO_LOGIN: Final = frozenset({"", "nologin", "false", "sync"})


def attack_surface(image: Image, reader: FileReader) -> dict[str, int]:
    """How much there is of each of `KINDS`.

    A path is writable if the image's user may change it or what is in it: all that is his, his group's and that
    lets him, and what everybody may write to, but for sticky folders such as ``/tmp``. To root everything is.
    """
    merged, entries = image.stack.merged, image.stack.visible
    kinds, modes = merged.kinds[entries], merged.modes[entries]
    lines = (reader.read(None, "/etc/passwd") or b"").decode(errors="replace").splitlines()
    fields = [each for line in lines if len(each := line.split(":")) == 7]
    users = {name: (uid, gid, shell.strip()) for name, _, uid, gid, *_, shell in fields}
    folders = np.unique(merged.folders[entries]).tolist()
    in_bin = [index for index in folders if index >= 0 and merged.paths[index].endswith(("/bin", "/sbin"))]
    programs = {
        merged.paths[index].rpartition("/")[2]
        for index in entries[np.isin(merged.folders[entries], in_bin) & (kinds != DIRECTORY)].tolist()
        if merged.kinds[index] == SYMLINK or merged.modes[index] & 0o111
    }
    counts = {kind: sum(bool(names.fullmatch(name)) for name in programs) for kind, names in _PROGRAMS.items()}
    counts["set-id files"] = int(((kinds == FILE) & (modes & 0o6000 != 0)).sum())
    real = np.isin(kinds, (FILE, DIRECTORY))
    writable = real & (modes & 0o002 != 0) & ~((kinds == DIRECTORY) & (modes & 0o1000 != 0))
    if runs_as_root(image.config):
        writable = real
    else:
        user, _, group = of_config(image.config).get("user", "").partition(":")
        uid, gid = users.get(user, (user, "", ""))[:2]
        for number, owners, bit in ((uid, merged.uids, 0o200), (group or gid, merged.gids, 0o020)):
            if number.isdigit():
                writable |= real & (owners[entries] == int(number)) & (modes & bit != 0)
    counts["writable paths"] = int(writable.sum())
    there = (shell for _, _, shell in users.values() if merged.find(shell) or merged.find(f"/usr{shell}"))
    counts["users who can log in"] = sum(shell.rpartition("/")[2] not in _NO_LOGIN for shell in there)
    return counts
