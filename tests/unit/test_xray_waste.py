"""Causes of waste: facts are told apart by content, judgements by place, and no byte is counted twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerlab import xray
from layerlab.image.store.file_reader import FileReader
from layerlab.xray import waste
from layerlab.xray.waste import BYTECODE, CACHES, HEADERS, TESTS, TOOLS
from tests.unit.image_folders import layer, read_folders

KB = b"0123456789" * 200


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def overwritten(tmp_path: Path) -> FileReader:
    """An image whose upper layer overwrites files in every way."""
    names = ["same", "mode", "content", "longer", "empty", "emptied"]
    below = layer(tmp_path / "0", {f"/a/{name}": KB for name in names} | {"/a/empty": b""})
    again = {"/a/same": KB, "/a/mode": KB, "/a/content": KB[::-1], "/a/longer": KB + KB, "/a/empty": b""}
    above = layer(tmp_path / "1", again | {"/a/emptied": b""})
    (above / "a/mode").chmod(0o777)
    (above / "a/empty").chmod(0o600)
    return read_folders([below, above])


def causes_of(image: FileReader, *, reads: bool = True) -> dict[str, str]:
    """The cause of each path."""
    rows = waste.rows(image.stack, image if reads else None)
    return {image.stack.merged.paths[row.entry]: row.cause for row in rows}


class TestFacts:
    def test_overwritten_files_are_told_apart(self, overwritten: FileReader) -> None:
        """Another content, another mode and nothing at all are three causes."""
        assert causes_of(overwritten) == {
            "/a/same": waste.NOTHING,
            "/a/mode": waste.METADATA,
            "/a/content": waste.CONTENT,
            "/a/longer": waste.CONTENT,
            "/a/empty": waste.METADATA,
            "/a/emptied": waste.CONTENT,
        }

    def test_nothing_is_claimed_that_was_not_read(self, overwritten: FileReader) -> None:
        """Where contents are not read, files of the same size are not compared, and called so."""
        found = causes_of(overwritten, reads=False)
        assert {path for path, cause in found.items() if cause == waste.NOT_COMPARED} == {
            "/a/same",
            "/a/mode",
            "/a/content",
        }
        assert found["/a/longer"] == waste.CONTENT

    def test_facts_add_up_to_the_waste(self, overwritten: FileReader) -> None:
        """Whether contents are read or not, the facts are the image's wasted bytes."""
        for reads in (True, False):
            table = waste.causes(overwritten.image, overwritten if reads else None)
            assert table.loc[table["is_fact"], "bytes"].sum() == overwritten.image.wasted_bytes


JUDGED = {
    "/var/lib/apt/lists/deb_main_Packages.lz4": CACHES,
    "/var/cache/apt/archives/curl.deb": CACHES,
    "/var/cache/apk/x.tar.gz": CACHES,
    "/root/.cache/pip/http-v2/a/b": CACHES,
    "/opt/venv/.cache/http-v2/a/b": CACHES,
    "/root/.cache/uv/archive-v0/x": CACHES,
    "/srv/.uv/wheels-v5/pypi/flask": CACHES,
    "/root/.npm/_cacache/index": CACHES,
    "/tmp/wheels/flask.whl": CACHES,
    "/usr/local/lib/python3.13/ensurepip/_bundled/pip.whl": TOOLS,
    "/var/lib/dpkg/status-old": CACHES,
    "/v/lib/python3.13/site-packages/numpy/tests/test_a.py": TESTS,
    "/v/lib/python3.13/site-packages/numpy/tests/data/x.h": TESTS,
    "/usr/local/lib/python3.13/test/test_os.py": TESTS,
    "/usr/local/lib/python3.13/idlelib/idle_test/x.py": TESTS,
    "/app/tests/test_app.py": TESTS,
    "/v/lib/python3.13/site-packages/django/test/client.py": None,
    "/v/lib/python3.13/site-packages/numpy/testing/__init__.py": None,
    "/v/lib/python3.13/site-packages/numpy/core.pyi": HEADERS,
    "/v/lib/python3.13/site-packages/numpy/lib.a": HEADERS,
    "/usr/include/stdio.h": HEADERS,
    "/usr/lib/x86_64-linux-gnu/libc.a": HEADERS,
    "/usr/local/bin/uv": TOOLS,
    "/usr/local/go/bin/go": TOOLS,
    "/root/.cargo/bin/rustc": TOOLS,
    "/app/main.py": None,
    "/usr/share/doc/readme": None,
}


class TestJudgements:
    def test_each_by_its_place(self, tmp_path: Path) -> None:
        """Indexes, caches, tests, tools and headers are known by where they lie; what may be needed is not judged."""
        image = read_folders([layer(tmp_path / "0", {path: f"{path}\n".encode() * 3 for path in JUDGED})])
        found = causes_of(image)
        assert {path: found.get(path) for path in JUDGED} == JUDGED

    def test_packages_are_judged_as_a_whole(self, tmp_path: Path) -> None:
        """What a compiler's or a -dev package owns is judged by its package, whatever it is called."""
        info = "/var/lib/dpkg/info/"
        files = {
            f"{info}gcc-14.list": b"/usr/bin/gcc-14\n/usr/lib/gcc/x\n",
            f"{info}libpq-dev.list": b"/usr/bin/pg_config\n",
            f"{info}libpq5.list": b"/usr/lib/libpq.so.5\n",
            "/usr/bin/gcc-14": b"1",
            "/usr/lib/gcc/x": b"2",
            "/usr/bin/pg_config": b"3",
            "/usr/lib/libpq.so.5": b"4",
            "/v/site-packages/pip-25.dist-info/RECORD": b"pip/__init__.py,,\n",
            "/v/site-packages/pip/__init__.py": b"5",
        }
        found = causes_of(read_folders([layer(tmp_path / "0", files)]))
        assert {path: found.get(path) for path in files if not path.startswith(info) and "RECORD" not in path} == {
            "/usr/bin/gcc-14": TOOLS,
            "/usr/lib/gcc/x": TOOLS,
            "/usr/bin/pg_config": HEADERS,
            "/usr/lib/libpq.so.5": None,
            "/v/site-packages/pip/__init__.py": TOOLS,
        }

    def test_bytecode_counts_only_beside_its_module(self, tmp_path: Path) -> None:
        """Without its module, or of another interpreter, bytecode is of no use."""
        cached = "/srv/__pycache__/"
        files = {
            "/usr/local/bin/python3.13": b"#!",
            "/srv/a.py": b"a",
            f"{cached}a.cpython-313.pyc": b"used",
            f"{cached}a.cpython-311.pyc": b"of another",
            f"{cached}gone.cpython-313.pyc": b"without",
        }
        found = causes_of(read_folders([layer(tmp_path / "0", files)]))
        assert found == dict.fromkeys([f"{cached}a.cpython-311.pyc", f"{cached}gone.cpython-313.pyc"], BYTECODE)

    def test_the_same_content_is_needed_once(self, tmp_path: Path) -> None:
        """Of several files with the same bytes, the one in the lowest layer stays; small ones are let be."""
        big = os.urandom(1_000_000)
        below = layer(tmp_path / "0", {"/a/lib.py": KB, "/big": big, "/a/tiny.py": b"x"})
        above = layer(tmp_path / "1", {"/b/lib.py": KB, "/other": big, "/b/tiny.py": b"x", "/b/else.py": KB})
        image = read_folders([below, above])
        rows = waste.rows(image.stack, image)
        paths = image.stack.merged.paths
        assert {paths[row.entry] for row in rows if row.cause == waste.SAME} == {"/b/lib.py", "/other"}

    def test_hard_links_are_one_file(self, tmp_path: Path) -> None:
        """A further name of an inode stores nothing, so it is no second copy."""
        folder = layer(tmp_path / "0", {"/a/lib.py": KB})
        (folder / "b").mkdir()
        os.link(folder / "a/lib.py", folder / "b/lib.py")
        assert causes_of(read_folders([folder])) == {}


class TestSums:
    def test_no_byte_has_two_causes(self, tmp_path: Path, overwritten: FileReader) -> None:
        """All causes and what is needed add up to what is stored; each inode has one row at most."""
        judged = read_folders([layer(tmp_path / "j", {path: path.encode() * 9 for path in JUDGED})])
        for image in (overwritten, judged):
            rows = waste.rows(image.stack, image)
            sums = waste.totals(image.stack, rows)
            assert sum(sums.values()) == image.image.total_bytes
            assert sums["needed"] >= 0
            inodes = [int(image.stack.merged.inodes[row.entry]) for row in rows]
            assert len(inodes) == len(set(inodes))

    def test_tables_have_the_promised_columns(self, overwritten: FileReader) -> None:
        """Empty or not, the tables have the same columns and types."""
        table = waste.causes(overwritten.image, overwritten)
        types = {column: str(kind) for column, kind in table.dtypes.items()}
        assert types == {
            "cause": "category", "is_fact": "bool", "bytes": "int64", "files": "int64", "layer": "int64",
            "line": "Int64", "by_layer": "Int64", "by_line": "Int64", "details": "object", "examples": "object",
        }  # fmt: skip
        assert list(table["cause"].cat.categories) == list(waste.CAUSES)

    def test_the_document_is_plain(self, overwritten: FileReader) -> None:
        """JSON gets the same sums, owners that add up to what is live, and no advice where nothing is large."""
        said = xray.document(xray.examine(None, overwritten.image, read_contents=False))
        assert sum(cause["bytes"] for cause in said["causes"] if cause["is_fact"]) == overwritten.image.wasted_bytes
        assert sum(owner["bytes"] for owner in said["owners"]) == overwritten.image.live_bytes
        assert said["findings"] == []
