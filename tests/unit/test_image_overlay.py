"""Layers read from directories. Whiteouts and opaque marks, which only root can make, have tests with an engine."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest

from layerlab.image import overlay
from layerlab.image.changeset import Budget, scan
from tests.unit.image_truth import differences

STATUS = "Package: tool\nStatus: install ok installed\nVersion: 1.2\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with one of everything."""
    root = tmp_path / "diff"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "tool").write_bytes(b"x" * 1000)
    (root / "usr" / "bin" / "tool").chmod(0o4755)
    (root / "usr" / "again").hardlink_to(root / "usr" / "bin" / "tool")
    (root / "a").hardlink_to(root / "usr" / "bin" / "tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "loop").symlink_to(".")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.mkfifo(root / "tmp" / "pipe")
    (root / "usr" / "-0 é\n").write_bytes(b"")
    with open(os.fsencode(root) + b"/caf\xe9", "wb"):  # noqa: PTH123
        pass
    info = root / "var" / "lib" / "dpkg" / "info"
    info.mkdir(parents=True)
    (info / "tool.list").write_text("/.\n/usr/bin/tool\n")
    (info / "secret.list").symlink_to("/etc/passwd")
    (info.parent / "status").write_text(STATUS)
    return root


class TestScan:
    def test_finds_what_an_archive_of_it_holds(self, tree: Path) -> None:
        """The walk of a directory and its archive by Python's tarfile are the same layer."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", errors="surrogateescape") as out:
            for path in sorted(tree.iterdir()):
                out.add(path, arcname=path.name)
        expected, _ = scan([archive.getvalue()], Budget())

        assert differences(expected, overlay.scan(str(tree))) == []

    def test_names_of_one_inode_count_once(self, tree: Path) -> None:
        """Hard links share an inode, wherever they lie."""
        found = overlay.scan(str(tree))

        assert found.bytes == 1000 + len("/.\n/usr/bin/tool\n") + len(STATUS)
        names = [found.paths[n] for n in np.flatnonzero(found.inodes == found.paths.index("/a"))]
        assert names == ["/a", "/usr/again", "/usr/bin/tool"]

    def test_follows_no_links(self, tree: Path) -> None:
        """What is read as a package database lies in the layer itself."""
        found = overlay.scan(str(tree))

        assert [(claim.name, claim.version) for claim in found.claims] == [("tool", ""), ("tool", "1.2")]
        assert not any(path.startswith(("/loop/", "/bin/")) for path in found.paths)
        assert found.links == {"/bin": "usr/bin", "/loop": "."}

    def test_sockets_are_no_entries(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No archive of a layer can hold a socket."""
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
            (tmp_path / "file").touch()

            assert overlay.scan(str(tmp_path)).paths == ["/file"]

    @pytest.mark.parametrize(
        ("attributes", "opaques"),
        [
            ({}, ()),
            ({"trusted.overlay.opaque": b"y"}, ("/", "/sub")),
            ({"trusted.overlay.origin": b"...", "trusted.overlay.impure": b"y"}, ()),
            ({"user.overlay.opaque": b"y"}, ()),
        ],
    )
    def test_opaque_directories(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, bytes], opaques: tuple[str, ...]
    ) -> None:
        """A directory is opaque where the kernel's attribute says so, the root too."""
        (tmp_path / "sub").mkdir()
        monkeypatch.setattr(os, "listxattr", lambda _: list(attributes))
        monkeypatch.setattr(os, "getxattr", lambda _, name: attributes[name])

        assert overlay.scan(str(tmp_path)).opaques == opaques

    @pytest.mark.parametrize("attributes", [{"trusted.overlay.redirect": b"/x"}, {"trusted.overlay.opaque": b"x"}])
    def test_what_only_the_kernel_can_put_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, bytes]
    ) -> None:
        """Renamed directories, and whiteouts in attributes, are said to be unusual rather than misread."""
        monkeypatch.setattr(os, "listxattr", lambda _: list(attributes))
        monkeypatch.setattr(os, "getxattr", lambda _, name: attributes[name])

        with pytest.raises(overlay.UnusualLayerError):
            overlay.scan(str(tmp_path))

    def test_nothing(self, tmp_path: Path) -> None:
        """A layer's directory may be empty."""
        assert len(overlay.scan(str(tmp_path))) == 0

    def test_a_directory_that_is_gone(self, tmp_path: Path) -> None:
        """What cannot be read is the caller's business."""
        with pytest.raises(OSError, match="gone"):
            overlay.scan(str(tmp_path / "gone"))

    def test_a_link_to_a_directory_is_not_followed(self, tmp_path: Path) -> None:
        """A layer's directory itself is no symbolic link either."""
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(OSError, match="link"):
            overlay.scan(str(tmp_path / "link"))


class TestCanRead:
    def test_only_who_sees_trusted_attributes(self, tmp_path: Path) -> None:
        """The marks of a layer's directory are read by none but a process that can see such attributes."""
        path = tmp_path / "file"
        path.touch()
        try:
            os.setxattr(path, "trusted.test", b"y")
            seen = os.listxattr(path)
        except PermissionError:
            seen = []

        assert overlay.can_read() == ("trusted.test" in seen)

    @pytest.mark.parametrize(
        ("uid", "users", "status", "expected"),
        [
            (0, "         0          0 4294967295\n", "Name:\tx\nCapEff:\t000001ffffffffff\n", True),
            (0, "         0          0 4294967295\n", "CapEff:\t00000000a80425fb\n", False),
            (0, "         0       1000          1\n", "CapEff:\t000001ffffffffff\n", False),
            (1000, "         0          0 4294967295\n", "CapEff:\t000001ffffffffff\n", False),
            (0, "         0          0 4294967295\n", "Name:\tx\n", False),
        ],
        ids=["root", "root in a container", "root of a user namespace", "a user", "unknown"],
    )
    def test_takes_more_than_being_root(
        self, monkeypatch: pytest.MonkeyPatch, uid: int, users: str, status: str, expected: bool
    ) -> None:
        """Root counts only outside of user namespaces and with CAP_SYS_ADMIN, as the kernel asks."""
        texts = {"/proc/self/uid_map": users, "/proc/self/status": status}
        monkeypatch.setattr(Path, "read_text", lambda path, **_: texts[str(path)])
        monkeypatch.setattr(os, "geteuid", lambda: uid)

        assert overlay.can_read() == expected


class TestCountWhiteouts:
    def write(self, folder: Path, *names: str) -> Path:
        """What the engine keeps of an archive with entries of these names."""
        path = folder / "tar-split.json.gz"
        lines = []
        for name in names:
            try:
                named = {"name": name} if name.encode() else {}
            except UnicodeEncodeError:
                named = {"name_raw": base64.b64encode(os.fsencode(name)).decode()}
            lines += [{"type": 2, "payload": base64.b64encode(bytes(512)).decode()}, {"type": 1, **named}]
        path.write_bytes(gzip.compress("\n".join(json.dumps(line, separators=(",", ":")) for line in lines).encode()))
        return path

    def test_in_any_folder(self, tmp_path: Path) -> None:
        """Each whiteout counts once; opaque marks, AUFS's files and names that only look alike are none."""
        names = ["a/.wh.b", ".wh.c", "a/.wh.b", "x/.wh..wh..opq", ".wh..wh.plnk", "x.wh.y", ".wh.d/e", "f/.whg"]

        assert overlay.count_whiteouts(self.write(tmp_path, *names)) == 2

    def test_of_names_that_are_no_text(self, tmp_path: Path) -> None:
        """A name that is not UTF-8 is kept in another way."""
        assert overlay.count_whiteouts(self.write(tmp_path, "caf\udce9/.wh.x", "a/.wh.\udce9", "\udce9")) == 2

    def test_of_a_large_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is read in blocks, and no name is cut in two."""
        monkeypatch.setattr(overlay, "_BLOCK", 10)

        assert overlay.count_whiteouts(self.write(tmp_path, *(f"folder/.wh.{n}" for n in range(100)))) == 100
