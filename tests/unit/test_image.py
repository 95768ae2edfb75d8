"""An image as a whole: its tables, and what always holds of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given

from layerlab import image
from layerlab.dockerfile import parse
from tests.unit.image_truth import Entry, directory, file, image_config, link, saved, stacks, symlink, tar, whiteout

SITE = "usr/local/lib/python3.13/site-packages"
STACK = [
    [
        directory("usr"),
        Entry(f"{SITE}/demo-1.0.dist-info/RECORD", content=b"demo.py,,\n"),
        file(f"{SITE}/demo.py", 90),
    ],
    [file("data/big", 5000), file("data/old", 40), link("data/again", "data/big")],
    [whiteout("data/old"), whiteout("data/big"), file("srv/app.py", 7, mode=0o600, uid=10001, gid=3)],
    [file("srv/app.py", 8), symlink("latest", "srv/app.py")],
]
HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:0123 in / "},
    {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
    {"created_by": "/bin/sh -c make data"},
    {"created_by": "/bin/sh -c #(nop) COPY dir:4567 in . "},
    {"created_by": "RUN /bin/sh -c chmod -R g=u . # buildkit"},
]
DOCKERFILE = "FROM base\nRUN make data\nCOPY app .\nRUN chmod -R g=u .\n"
COLUMNS = {
    "layers": {
        "index": "int64", "instruction": "str", "line": "Int64", "bytes": "int64", "live_bytes": "int64",
        "wasted_bytes": "int64", "change_bytes": "int64", "running_bytes": "int64", "files": "int64",
        "diff_id": "str",
    },
    "files": {
        "path": "str", "kind": "category", "bytes": "int64", "layer": "int64", "mode": "int64", "uid": "int64",
        "gid": "int64", "owner": "str", "part": "category",
    },
    "waste": {
        "path": "str", "bytes": "int64", "layer": "int64", "cause": "category", "by_layer": "int64",
        "by_line": "Int64",
    },
    "packages": {"name": "str", "version": "str", "manager": "category", "files": "int64", "bytes": "int64"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path: Path) -> str:
    layers = [tar(entries) for entries in STACK]
    path = tmp_path / "image.tar"
    path.write_bytes(saved(layers, image_config(layers, HISTORY, WorkingDir="/srv", User="10001")))
    return str(path)


def tables(looked: image.Image) -> dict[str, pd.DataFrame]:
    return {name: getattr(looked, name) for name in COLUMNS}


class TestTables:
    def test_layers(self, archive: str) -> None:
        """Each layer has its instruction, its line, its bytes and what became of them."""
        layers = image.read(None, archive, dockerfile=parse(DOCKERFILE)).layers

        assert list(layers.drop(columns="diff_id").astype(object).itertuples(index=False, name=None)) == [
            (0, "ADD file:0123 in /", pd.NA, 100, 100, 0, 100, 100, 2),
            (1, "RUN make data", 2, 5040, 5000, 40, 5040, 5140, 3),
            (2, "COPY dir:4567 in .", 3, 7, 0, 7, -33, 5107, 1),
            (3, "RUN chmod -R g=u .", 4, 8, 8, 0, 1, 5108, 1),
        ]  # fmt: skip

    def test_files(self, archive: str) -> None:
        """Each visible path is there once, with the attributes of its uppermost entry."""
        files = image.read(None, archive, dockerfile=parse(DOCKERFILE)).files
        shown = files[files["kind"] != "directory"]

        assert list(shown.itertuples(index=False, name=None)) == [
            ("/data/again", "file", 5000, 1, 0o644, 0, 0, "", "other"),
            ("/latest", "symlink", 0, 3, 0o777, 0, 0, "", "other"),
            ("/srv/app.py", "file", 8, 3, 0o644, 0, 0, "", "app"),
            (f"/{SITE}/demo-1.0.dist-info/RECORD", "file", 10, 0, 0o644, 0, 0, "", "python packages"),
            (f"/{SITE}/demo.py", "file", 90, 0, 0o644, 0, 0, "python:demo", "python packages"),
        ]

    def test_waste(self, archive: str) -> None:
        """Each wasted inode has its cause, and the layer and line that caused it."""
        waste = image.read(None, archive, dockerfile=parse(DOCKERFILE)).waste

        assert list(waste.itertuples(index=False, name=None)) == [
            ("/data/old", 40, 1, "deleted", 2, 3),
            ("/srv/app.py", 7, 2, "overwritten", 3, 4),
        ]

    def test_packages(self, archive: str) -> None:
        """Installed packages have what is theirs."""
        packages = image.read(None, archive).packages

        assert list(packages.itertuples(index=False, name=None)) == [("demo", "1.0", "python", 1, 90)]

    def test_lines_are_missing_without_a_dockerfile(self, archive: str) -> None:
        """What is not known is missing, not guessed."""
        looked = image.read(None, archive)

        assert looked.layers["line"].isna().all()
        assert looked.waste["by_line"].isna().all()

    @pytest.mark.parametrize("stack", [STACK, [], [[]]], ids=["an image", "no layers", "an empty layer"])
    def test_columns(self, tmp_path: Path, stack: list[list[Entry]]) -> None:
        """The columns and their types are the same for every image."""
        (tmp_path / "x.tar").write_bytes(saved([tar(entries) for entries in stack]))
        looked = image.read(None, str(tmp_path / "x.tar"))

        assert {
            name: {column: str(dtype) for column, dtype in table.dtypes.items()}
            for name, table in tables(looked).items()
        } == COLUMNS
        assert all(isinstance(table.index, pd.RangeIndex) for table in tables(looked).values())

    def test_categories(self, archive: str) -> None:
        """Categories are the same for every image, whether or not it has any."""
        looked = image.read(None, archive)

        assert list(looked.files["kind"].cat.categories) == ["file", "directory", "symlink", "device", "fifo"]
        assert list(looked.files["part"].cat.categories) == [
            "app", "python packages", "interpreter", "system", "compilers", "other",
        ]  # fmt: skip
        assert list(looked.waste["cause"].cat.categories) == ["overwritten", "deleted", "hidden"]
        assert list(looked.packages["manager"].cat.categories) == ["apk", "dpkg", "python"]

    def test_config(self, archive: str) -> None:
        """The config is the image's own, and the name as it was asked for."""
        looked = image.read(None, archive)

        assert looked.config["config"]["User"] == "10001"
        assert looked.name == archive

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        """Bytes that are not UTF-8 are shown as escapes, and the tables can be written out."""
        name = b"caf\xe9".decode("utf-8", "surrogateescape")
        (tmp_path / "x.tar").write_bytes(saved([tar([file(name, 1), file("café", 2)]), tar([whiteout(name)])]))
        looked = image.read(None, str(tmp_path / "x.tar"))

        assert looked.files["path"].tolist() == ["/café"]
        assert looked.waste["path"].tolist() == ["/caf\\xe9"]
        assert looked.waste.to_csv().encode()


class TestWithoutPandas:
    @pytest.mark.slow
    def test_a_look_imports_none(self, archive: str) -> None:
        """Looking at an image and describing it as JSON does not wait for pandas, which takes longer than both."""
        code = (
            "import json, sys; from layerlab import compare, image; "
            "print(json.dumps(compare.document(None, [image.read(None, sys.argv[1])])))\n"
            "sys.exit('pandas' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code, archive], capture_output=True, text=True, check=True)

        assert json.loads(done.stdout)["images"][0]["bytes"] == image.read(None, archive).total_bytes


class TestInvariants:
    @given(stacks())
    @pytest.mark.slow
    def test_live_and_wasted_bytes_are_all(self, stack: list[list[Entry]]) -> None:
        """Of any image, the tables agree with each other and with the totals."""
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(gzip.compress(saved([tar(entries) for entries in stack])))
            archive.flush()
            looked = image.read(None, archive.name)

        assert looked.live_bytes + looked.wasted_bytes == looked.total_bytes == looked.layers["bytes"].sum()
        assert looked.live_bytes == looked.files["bytes"].sum() == looked.layers["live_bytes"].sum()
        assert looked.wasted_bytes == looked.waste["bytes"].sum() == looked.layers["wasted_bytes"].sum()
        assert looked.files["path"].is_monotonic_increasing
        assert looked.files["path"].is_unique
        assert (looked.layers["running_bytes"].tolist() or [0])[-1] == looked.live_bytes
        assert looked.waste["bytes"].is_monotonic_decreasing
        assert (looked.waste["by_layer"] > looked.waste["layer"]).all()

    def test_a_second_look_is_the_same(self, archive: str) -> None:
        """What comes from the cache is what was read."""
        first, second = image.read(None, archive), image.read(None, archive)

        for name, table in tables(first).items():
            pd.testing.assert_frame_equal(table, tables(second)[name])
