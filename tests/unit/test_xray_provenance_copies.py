"""Copies: what layers store although the image had it already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerlab.xray.provenance import copies
from layerlab.xray.provenance.copies import Copy
from tests.unit.image_folders import layer, read_folders

KB = b"0123456789" * 100
MB = os.urandom(1_000_000)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_copies_are_found_by_path_by_name_and_by_size(tmp_path: Path) -> None:
    """The same path, the same name elsewhere, and large files under any name count; small or other ones do not."""
    base = layer(tmp_path / "0", {"/a/same": KB, "/a/base-twice": KB, "/b/base-twice": KB, "/big": MB, "/tiny": b"x"})
    first = layer(tmp_path / "1", {"/a/same": KB, "/tiny": b"x", "/c/same": KB, "/renamed": KB, "/other-big": MB})
    second = layer(tmp_path / "2", {"/a/same": KB[::-1], "/c/same": KB, "/new": KB + KB, "/dir/new": KB + KB})
    found = copies.find(read_folders([base, first, second]), 1)
    assert found == (
        Copy("/a/same", 1000, 1, "/a/same", 0),
        Copy("/c/same", 1000, 1, "/a/same", 0),
        Copy("/other-big", 1_000_000, 1, "/big", 0),
        Copy("/c/same", 1000, 2, "/c/same", 1),
        Copy("/new", 2000, 2, "/dir/new", 2),
    )


def test_hard_links_are_no_copies(tmp_path: Path) -> None:
    """A further name of an inode stores nothing."""
    base = layer(tmp_path / "0", {"/else": b""})
    above = layer(tmp_path / "1", {"/a/file": MB})
    (above / "b").mkdir()
    os.link(above / "a/file", above / "b/file")
    assert copies.find(read_folders([base, above]), 1) == ()


def test_nothing_is_above_a_base_alone(tmp_path: Path) -> None:
    """An image that adds no layer stores nothing again."""
    base = layer(tmp_path / "0", {"/a/file": KB, "/b/file": KB})
    assert copies.find(read_folders([base]), 1) == ()


def test_unchanged_files_are_told_from_changed_ones(tmp_path: Path) -> None:
    """A file that is stored again is unchanged only if its bytes are."""
    base = layer(tmp_path / "0", {"/same": b"abc", "/changed": b"abc", "/longer": b"abc", "/empty": b""})
    above = layer(
        tmp_path / "1", {"/same": b"abc", "/changed": b"abd", "/longer": b"abcd", "/empty": b"", "/new": b"abc"}
    )
    image = read_folders([base, above])
    again = {image.stack.entry_at(1, path): image.stack.entry_at(0, path) for path in ("/same", "/empty")}
    assert copies.unchanged(image, [1]) == again
    assert copies.unchanged(image, []) == {}
