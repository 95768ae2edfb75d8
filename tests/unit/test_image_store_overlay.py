"""Layers read from directories. Whiteouts and opaque marks, which only root can make, have tests with an engine."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import socket
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, note, reject
from hypothesis import strategies as st

from layerlab.image.formats.changeset import Budget, scan
from layerlab.image.store import overlay
from tests.unit.image_truth import Entry, differences, tar

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
        assert found.links == {"/bin": "usr/bin", "/loop": ".", "/var/lib/dpkg/info/secret.list": "/etc/passwd"}

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


def notes(folder: Path, names: Iterable[str]) -> Path:
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


class TestWhatOnlyTheArchiveTells:
    def scan(self, tree: Path, folder: Path, *names: str) -> None:
        overlay.scan(str(tree), notes(folder, names))

    @pytest.mark.parametrize("name", [".wh.usr", "tmp/.wh.gone", "bin/.wh.x"])
    def test_whiteouts(self, tree: Path, tmp_path: Path, name: str) -> None:
        """A whiteout that the directory does not show is beside what it is about; marks of other kinds are none."""
        self.scan(tree, tmp_path, "usr/", "var/", "x/.wh..wh..opq", ".wh..wh.plnk", "x.wh.y", ".wh.d/e")
        with pytest.raises(overlay.UnusualLayerError):
            self.scan(tree, tmp_path, name)

    @pytest.mark.parametrize(
        "content", [b"", b"no archive", gzip.compress(b'{"name":"x"}\n' * 999)[:-20]], ids=["empty", "text", "cut"]
    )
    def test_damaged_notes(self, tree: Path, tmp_path: Path, content: bytes) -> None:
        """Where it cannot be read, the layer is read in another way."""
        (tmp_path / "notes").write_bytes(content)
        try:
            overlay.scan(str(tree), tmp_path / "notes")
        except (OSError, overlay.UnusualLayerError):
            return
        assert not content


def stays(name: str) -> bool:
    """Whether no ``..`` of a name leads outside."""
    depths = accumulate(-1 if part == ".." else int(part not in {"", "."}) for part in name.split("/"))
    return min(depths) >= 0


PARTS = st.sampled_from(["a", "b", "c", "d", ".", "..", ""])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
KINDS = st.sampled_from(["file", "file", "directory", "symlink", "symlink", "link"])
ENTRIES = st.builds(
    Entry, NAMES.filter(stays), KINDS, target=NAMES, uid=st.just(os.getuid()), gid=st.just(os.getgid())
)


def extract(root: Path, entry: Entry) -> bool:
    """Put an entry where the kernel finds it, as engines do; whether that can be done without leaving the root.

    What cannot be done leaves nothing behind.
    """
    path, source = (root / os.path.normpath(f"/{name}")[1:] for name in (entry.path, entry.target))
    real, target = (Path(os.path.realpath(found.parent)) / found.name for found in (path, source))
    if path == root or not real.is_relative_to(root) or (entry.kind == "symlink" and not entry.target):
        return False
    is_folder = real.is_dir() and not real.is_symlink()
    if entry.kind == "link":
        is_there = os.path.lexists(target) and (target.is_symlink() or not target.is_dir())
        if not (stays(entry.target) and is_there and target.is_relative_to(root)) or target.is_relative_to(real):
            return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # a file or a link to nothing is on the way
        return False
    if is_folder and entry.kind != "directory":
        return False
    if os.path.lexists(path) and not is_folder:
        path.unlink()
    try:
        if entry.kind == "link":
            os.link(source, path, follow_symlinks=False)
        elif entry.kind == "symlink":
            path.symlink_to(entry.target)
        elif entry.kind == "directory":
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(entry.content)
            path.chmod(entry.mode)
    except OSError:  # what has just been removed was on the way: an engine does not take such an archive
        reject()
    return True


@pytest.mark.slow
@given(st.lists(ENTRIES, max_size=12))
def test_an_archive_is_what_the_kernel_makes_of_it(drawn: list[Entry]) -> None:
    """Odd names, entries below symbolic links and in the place of others: as extracting leaves them."""
    # An engine takes no name twice.
    once = {os.path.normpath(f"/{entry.path}"): entry for entry in drawn}.values()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "one/two/three")
        root.mkdir(parents=True)
        entries = [replace(e, mode=0o755 if e.kind == "directory" else 0o644) for e in once if extract(root, e)]

        note(str([(e.path, e.kind, e.target) for e in entries]))
        found = overlay.scan(str(root), notes(Path(folder), [entry.path for entry in entries]))
        assert differences(scan([tar(entries)], Budget())[0], found) == []
