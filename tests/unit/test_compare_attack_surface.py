"""What an attacker finds: each kind counted where it is, and not where it only looks like it."""

from __future__ import annotations

import os
from pathlib import Path

from layerlab.compare.attack_surface import attack_surface
from layerlab.image import Image
from layerlab.image.stack import stack_layers
from layerlab.image.store import overlay
from layerlab.image.store.file_reader import FileReader

PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/:/usr/sbin/nologin
me:x:1000:1000::/:/bin/nothing
"""


def surface(folder: Path, user: str) -> dict[str, int]:
    config = {"config": {"User": user}}
    layers = [overlay.scan(str(folder))]
    image = Image("none", "none", config, stack_layers(layers, config, ["sha256:0"]))
    return attack_surface(image, FileReader(None, image, (str(folder),)))


def test_each_kind(tmp_path: Path) -> None:
    """Programs by name in folders of programs, under /usr too; modes and users as the kernel would judge them."""
    modes = {
        "usr/bin/bash": 0o755,
        "usr/bin/python3.13": 0o755,
        "usr/sbin/nologin": 0o755,
        "usr/bin/apt-get": 0o644,  # nobody may run it
        "usr/bin/sudo": 0o4755,
        "opt/venv/bin/pip": 0o755,
        "usr/share/doc/curl": 0o755,
        "srv/mine": 0o644,
        "srv/everybodys": 0o666,
        "srv/groups": 0o664,
        "tmp/.keep": 0o644,
        "etc/passwd": 0o644,
    }
    for name, mode in modes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PASSWD if name == "etc/passwd" else "")
        path.chmod(mode)
    (tmp_path / "usr/bin/wget").symlink_to("../share/doc/curl")
    (tmp_path / "tmp").chmod(0o1777)

    found = surface(tmp_path, f"{os.getuid() or 5000}:{os.getgid() or 5000}")
    if os.getuid() == 0:
        os.chown(tmp_path / "srv/mine", 1000, 0)
        os.chown(tmp_path / "srv/groups", 0, 1000)
        found = surface(tmp_path, "me")
        assert found["writable paths"] == 3

    assert {kind: number for kind, number in found.items() if kind != "writable paths"} == {
        "shells": 1,
        "package managers": 1,
        "interpreters": 1,
        "network tools": 1,
        "set-id files": 1,
        "users who can log in": 1,
    }
    assert surface(tmp_path, "")["writable paths"] > len(modes)
