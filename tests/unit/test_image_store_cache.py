"""What is kept between runs, and when it is not used."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from layerlab.image.formats.changeset import Budget, scan
from layerlab.image.layer import Layer
from layerlab.image.store import cache
from tests.unit.image_truth import Entry, differences, file, link, opaque, stacks, symlink, tar, whiteout


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own; the folder of its files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "layerlab" / "layers"


def a_layer() -> Layer:
    entries = [
        file("d/f", 3),
        link("d/g", "d/f"),
        link("h", "below"),
        symlink("bin", "usr/bin"),
        whiteout("w"),
        opaque("d"),
        file(b"caf\xe9".decode("utf-8", "surrogateescape")),
        Entry("s/demo-1.dist-info/RECORD", content=b"demo.py,,\nother.py,,\n"),
        Entry("s/empty-2.dist-info/RECORD"),
    ]
    return scan([tar(entries)], Budget())[0]


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


class TestLayers:
    def test_come_back_as_they_were(self) -> None:
        """A layer that was stored is loaded with everything that it holds."""
        layer = a_layer()
        cache.store_layer("key", layer)

        assert differences(layer, cache.load_layer("key")) == []

    @given(stacks())
    @pytest.mark.slow
    def test_of_any_kind_come_back(self, stack: list[list[Entry]]) -> None:
        """Whatever a layer holds, it comes back."""
        for entries in stack:
            layer = scan([tar(entries)], Budget())[0]
            cache.store_layer("any", layer)
            assert differences(layer, cache.load_layer("any")) == []

    def test_are_found_by_their_key_alone(self) -> None:
        """Another key finds nothing."""
        cache.store_layer(cache.key("overlay2", "/a", 1), a_layer())

        assert cache.load_layer(cache.key("overlay2", "/a", 2)) is None

    def test_a_file_of_another_key_is_not_used(self, folder: Path) -> None:
        """An entry that has got the name of another one is none."""
        cache.store_layer("one", a_layer())
        stored = only_file(folder)
        cache.store_layer("two", scan([tar([])], Budget())[0])
        (other,) = set(folder.iterdir()) - {stored}
        stored.replace(other)

        assert cache.load_layer("two") is None

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
            lambda path: path.write_bytes(path.read_bytes()[:-100]),
            lambda path: path.write_bytes(path.read_bytes().replace(b"kinds", b"sorts")),
            lambda path: path.write_bytes(pickle.dumps({"a": 1})),
            lambda path: np.savez(path, described=np.array([{"key": "key"}], dtype=object)),
            lambda path: (path.unlink(), path.mkdir()),
        ],
    )
    def test_a_damaged_file_is_written_anew(self, folder: Path, spoil: Callable[[Path], object]) -> None:
        """A file that cannot be read, or is something else, is as good as none."""
        layer = a_layer()
        cache.store_layer("key", layer)
        path = only_file(folder)
        spoil(path)

        assert cache.load_layer("key") is None
        if path.is_file():
            cache.store_layer("key", layer)
            assert differences(layer, cache.load_layer("key")) == []

    def test_nothing_is_left_half_written(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where writing fails, there is no file, and no error."""

        def full(*_: object, **__: object) -> None:
            raise OSError("No space left on device")

        monkeypatch.setattr(np, "savez", full)
        cache.store_layer("key", a_layer())

        assert list(folder.iterdir()) == []

    def test_where_nothing_can_be_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cache that cannot be there is as good as an empty one."""
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        cache.store_layer("key", a_layer())
        cache.prune()

        assert cache.load_layer("key") is None


class TestDocuments:
    def test_come_back(self) -> None:
        """A JSON object is kept in the same way."""
        cache.store_document("key", {"a": [1, "é"]})

        assert cache.load_document("key") == {"a": [1, "é"]}
        assert cache.load_document("other") is None

    def test_are_no_layers(self) -> None:
        """One is not taken for the other."""
        cache.store_document("document", {"a": 1})
        cache.store_layer("layer", a_layer())

        assert cache.load_layer("document") is None
        assert cache.load_document("layer") is None


class TestPrune:
    def test_removes_what_was_not_used_for_longest(self, folder: Path) -> None:
        """The cache stays within its size, and keeps what was used last."""
        for number in range(4):
            cache.store_layer(f"key {number}", a_layer())
        size = max(path.stat().st_size for path in folder.iterdir())
        for age, path in enumerate(sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, (1000 + age, 1000 + age))
        assert cache.load_layer("key 0")  # is used now
        cache.prune(largest=2 * size)

        assert [cache.load_layer(f"key {number}") is not None for number in range(4)] == [True, False, False, True]

    def test_keeps_all_that_fits(self, folder: Path) -> None:
        """Nothing is removed while there is room."""
        for number in range(3):
            cache.store_layer(f"key {number}", a_layer())
        cache.prune()

        assert len(list(folder.iterdir())) == 3
