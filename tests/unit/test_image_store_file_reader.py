"""Reading layers: only what belongs to them, only regular files, and nothing twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlab.image import read
from layerlab.image.store import file_reader as reading
from layerlab.image.store.file_reader import FileReader
from tests.unit.image_folders import layer, read_folders
from tests.unit.image_truth import Entry, directory, link, saved, symlink, tar


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def two(tmp_path: Path) -> FileReader:
    """Two layers, of which the upper replaces a file of the lower."""
    below = layer(tmp_path / "below", {"/app/main.py": b"old", "/app/rest": b"rest"})
    return read_folders([below, layer(tmp_path / "above", {"/app/main.py": b"new!"})])


def test_layers_are_read_one_by_one(two: FileReader) -> None:
    """The visible file and the hidden one at the same path are both there; what is not there is None."""
    assert two.read(None, "/app/main.py") == b"new!"
    assert two.read(0, "/app/main.py") == b"old"
    assert two.read(1, "/app/rest") is None
    assert two.read(None, "/app/rest") == b"rest"
    assert two.read(None, "/app") is None
    assert [two.read(layer, "/app/rest") for layer in (-1, 2, 99)] == [None] * 3


def test_no_more_than_the_limit_is_read(two: FileReader) -> None:
    """A large file is read as far as was asked for."""
    assert two.read(None, "/app/rest", limit=2) == b"re"
    assert reading.LARGEST == 1_000_000


def swap_folder(root: Path, secret: Path) -> None:
    (root / "app").rename(root / "gone")
    (root / "app").symlink_to(secret.parent)


def swap_file(root: Path, secret: Path) -> None:
    (root / "app/secret").unlink()
    (root / "app/secret").symlink_to(secret)


def swap_pipe(root: Path, _: Path) -> None:
    (root / "app/secret").unlink()
    os.mkfifo(root / "app/secret")


@pytest.mark.parametrize("swap", [swap_folder, swap_file, swap_pipe])
def test_no_link_leads_out_of_a_layer(tmp_path: Path, swap: Callable[[Path, Path], None]) -> None:
    """What became a link or a pipe after the layer was looked at is not opened, though its target can be read."""
    secret = layer(tmp_path / "host", {"/secret": b"of the host"}) / "secret"
    root = layer(tmp_path / "layer", {"/app/secret": b"of the layer"})
    image = read_folders([root])
    assert image.read(0, "/app/secret") == b"of the layer"
    swap(root, secret)
    assert image.read(0, "/app/secret") is None
    assert image.digests([image.stack.entry_at(0, "/app/secret") or 0]) == {}


def test_targets_of_links_are_told_but_not_followed(tmp_path: Path) -> None:
    """A symbolic link has a target and no content."""
    root = layer(tmp_path / "layer", {"/file": b"x"})
    (root / "link").symlink_to("/etc/hostname")
    image = read_folders([root])
    assert image.stack.target(None, "/link") == image.stack.target(0, "/link") == "/etc/hostname"
    assert image.stack.target(None, "/file") is image.stack.target(None, "/none") is None
    assert image.read(None, "/link") is None


def test_files_below_links_of_an_archive(tmp_path: Path) -> None:
    """What an archive names through symbolic links, or with dots, is read under the path where it is."""
    lower = [directory("usr/bin"), symlink("bin", "usr/bin"), Entry("bin/tool", content=b"tool")]
    upper = [symlink("s", "d"), link("t", "s"), Entry("d/./e/../x", content=b"x"), Entry("t/y", content=b"y")]
    path = tmp_path / "image.tar"
    path.write_bytes(saved([tar(lower), tar([*upper, link("z", "t/y")])]))
    found = reading.for_image(None, read(None, str(path)))

    assert [found.read(None, name) for name in ("/usr/bin/tool", "/d/x", "/d/y", "/z")] == [b"tool", b"x", b"y", b"y"]


def test_an_archive_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of an archive's files are kept by layer; what is known needs no archive any more."""
    (tmp_path / "image.tar").write_bytes(saved([tar([Entry("a", content=b"a")]), tar([Entry("b", content=b"b")])]))
    image = read(None, str(tmp_path / "image.tar"))
    first = reading.for_image(None, image).digests([0, 1])
    assert first == {index: hashlib.sha256(name).hexdigest() for index, name in enumerate((b"a", b"b"))}

    monkeypatch.setattr(reading.archive, "read_path", None)
    assert reading.for_image(None, image).digests([1, 0]) == first


def test_digests_are_remembered(two: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are true, and the next look at the same layers opens no file."""
    index = two.stack.entry_at(0, "/app/main.py")
    assert index is not None
    first = two.digests([index])
    assert first == {index: hashlib.sha256(b"old").hexdigest()}
    again = read_folders([Path(folder) for folder in two.directories or ()])

    def refuse(*_: object) -> int:
        raise AssertionError("opened a file")

    monkeypatch.setattr(reading, "opened_below", refuse)
    assert again.digests([index]) == first
