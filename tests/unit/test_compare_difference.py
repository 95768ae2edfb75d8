"""Two images beside each other, held against a naive merge of their layers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from layerlab.compare import Difference, document
from tests.unit.image_truth import (
    Entry,
    Naive,
    directory,
    file,
    link,
    merge,
    stacks,
    whiteout,
)
from tests.unit.stacked import read

Stack = list[list[Entry]]
ALMOST_ALL = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of one test is known in another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def between(before: Stack, after: Stack) -> Difference:
    return Difference(read("before.tar", before), read("after.tar", after))


def described(naive: Naive) -> dict[str, tuple[str, int, int, int]]:
    """Kind, size, mode, and the bytes that count, of each path."""
    first: dict[tuple[int, int], str] = {}
    for path in sorted(naive.tree):
        first.setdefault(naive.tree[path].inode, path)
    found = {}
    for path, seen in naive.tree.items():
        size = naive.sizes[seen.inode] if seen.kind == "file" else 0
        found[f"/{path}"] = seen.kind, size, seen.mode, size if first[seen.inode] == path else 0
    return found


class TestPaths:
    @pytest.mark.slow
    @ALMOST_ALL
    @given(stacks(), stacks())
    def test_agree_with_a_naive_merge(self, before: Stack, after: Stack) -> None:
        """Every path that differs is listed, no other, with its bytes in both images."""
        old, new = described(merge(before)), described(merge(after))
        expected = {
            path: (
                "removed" if path not in new else "added" if path not in old else "changed",
                old.get(path, (0,) * 4)[3],
                new.get(path, (0,) * 4)[3],
            )
            for path in old | new
            if old.get(path) != new.get(path)
        }

        found = between(before, after).paths

        assert {row.path: (row.change, row.bytes_before, row.bytes_after) for row in found.itertuples()} == expected
        assert found["path"].is_monotonic_increasing

    def test_say_what_has_changed(self) -> None:
        """Kind, size, mode, owner and group are told apart; a hard link whose other name went is told, too."""
        before = [[
            file("kind"), file("size", 1), file("mode"), file("ids"), file("same", 9), file("a", 7), link("b", "a"),
        ]]  # fmt: skip
        after = [[
            directory("kind"), file("size", 2), file("mode", mode=0o600), file("ids", uid=5, gid=6), file("same", 9),
            file("b", 7),
        ]]  # fmt: skip

        table = between(before, after).paths

        assert list(table[["path", "change", "what", "kind"]].itertuples(index=False, name=None)) == [
            ("/a", "removed", "", "file"),
            ("/b", "changed", "shares", "file"),
            ("/ids", "changed", "uid, gid", "file"),
            ("/kind", "changed", "kind, mode", "directory"),
            ("/mode", "changed", "mode", "file"),
            ("/size", "changed", "size", "file"),
        ]

    def test_hostile_names(self) -> None:
        """Names that are no UTF-8 come as escapes, in tables and in JSON."""
        difference = between([[]], [[file(b"bad\xff\n".decode("utf-8", "surrogateescape"), 3)]])

        assert difference.paths["path"].tolist() == ["/bad\\xff\n"]
        assert json.loads(json.dumps(difference.document(paths=True)))["paths"][0]["path"] == "/bad\\xff\n"


class TestSums:
    @pytest.mark.slow
    @ALMOST_ALL
    @given(stacks(), stacks())
    def test_add_up(self, before: Stack, after: Stack) -> None:
        """By layer and by owner all bytes are accounted for, by place and by path all that containers see."""
        difference = between(before, after)
        one, other = difference.before, difference.after

        sums = {
            name: getattr(difference, name)["difference"].sum() for name in ("layers", "owners", "places", "paths")
        }

        assert sums == {
            "layers": other.total_bytes - one.total_bytes,
            "owners": other.total_bytes - one.total_bytes,
            "places": other.live_bytes - one.live_bytes,
            "paths": other.live_bytes - one.live_bytes,
        }

    @pytest.mark.slow
    @ALMOST_ALL
    @given(stacks(), stacks())
    def test_each_path_counts_in_the_innermost_place(self, before: Stack, after: Stack) -> None:
        """What is said of a place is what is at it and below, without the places named below it."""
        difference = between(before, after)
        places = difference.places
        named = set(places["path"])
        files = difference.paths
        expected = (
            files.assign(
                place=[
                    next((p for p in sorted(named, key=len, reverse=True) if f"{path}/".startswith(f"{p}/")), "")
                    for path in files["path"]
                ],
                **{
                    change: (files["change"] == change) & (files["kind"] != "directory")
                    for change in ("added", "removed", "changed")
                },
            )
            .groupby("place")[["bytes_before", "bytes_after", "added", "removed", "changed"]]
            .sum()
            .astype("int64")
        )

        found = places.set_index("path")[expected.columns]

        kept = expected[(expected != 0).any(axis=1)]
        pd.testing.assert_frame_equal(found.sort_index(), kept, check_names=False, check_index_type=False)

    def test_an_image_and_itself(self) -> None:
        """Nothing differs: every layer is the same, and no path, place or setting is listed."""
        difference = between([[file("a", 5)]], [[file("a", 5)]])

        assert difference.layers["change"].tolist() == ["same"]
        assert difference.owners["change"].tolist() == ["same"]
        assert [len(table) for table in (difference.paths, difference.places, difference.settings)] == [0, 0, 0]


class TestLayers:
    def test_same_changed_added_removed(self) -> None:
        """Layers of one digest are the same; the same step with another layer has changed; others come and go."""
        base = [file("base", 100)]
        before = read(
            "before.tar", [base, [file("app", 10)], [file("old", 1)]], ["RUN base", "RUN copy app", "RUN old step"]
        )
        after = read(
            "after.tar", [base, [file("app", 12)], [file("new", 2)]], ["RUN base", "RUN copy app", "RUN new step"]
        )

        table = Difference(before, after).layers

        columns = [
            "change",
            "instruction",
            "index_before",
            "index_after",
            "bytes_before",
            "bytes_after",
            "difference",
        ]
        assert list(table.columns) == columns
        assert table.fillna(-1).to_numpy().tolist() == [
            ["same", "RUN base", 0, 0, 100, 100, 0],
            ["changed", "RUN copy app", 1, 1, 10, 12, 2],
            ["removed", "RUN old step", 2, -1, 1, 0, -1],
            ["added", "RUN new step", -1, 2, 0, 2, 2],
        ]


class TestOwners:
    STACK = (
        [file("site-packages/pandas/core.py", 300), file("app/x", 20)],
        [
            Entry("site-packages/pandas-2.0.dist-info/METADATA", content=b"Name: pandas\nVersion: 2.0\n\n"),
            Entry(
                "site-packages/pandas-2.0.dist-info/RECORD",
                content=b"pandas/core.py,,\npandas-2.0.dist-info/METADATA,,\n",
            ),
        ],
    )

    def test_by_package_and_part(self) -> None:
        """Packages are told with their versions, what nobody owns by its part, and waste is an owner of its own."""
        newer = [
            [file("site-packages/pandas/core.py", 250)],
            [
                Entry("site-packages/pandas-3.0.dist-info/METADATA", content=b"Name: pandas\nVersion: 3.0\n\n"),
                Entry(
                    "site-packages/pandas-3.0.dist-info/RECORD",
                    content=b"pandas/core.py,,\npandas-3.0.dist-info/METADATA,,\n",
                ),
                file("etc/gone", 40),
            ],
            [whiteout("etc/gone")],
        ]

        table = between([*self.STACK], newer).owners

        rows = {
            row.owner: (row.change, row.version_before, row.version_after, row.difference)
            for row in table.itertuples()
        }
        assert rows["python:pandas"] == ("changed", "2.0", "3.0", -50)
        assert rows["waste"] == ("added", "", "", 40)
        assert rows["(app)"] == ("removed", "", "", -20)

    @ALMOST_ALL
    @given(stacks())
    @pytest.mark.slow
    def test_owned_bytes_are_those_of_the_table_of_files(self, stack: Stack) -> None:
        """Sums by owner over the table of files, made by pandas, are the same."""
        looked = read("one.tar", stack)
        owner = looked.files["owner"].where(looked.files["owner"] != "", "(" + looked.files["part"].astype(str) + ")")
        expected = looked.files.groupby(owner)["bytes"].sum().to_dict() | {"waste": looked.wasted_bytes}

        found = Difference(looked, looked).owners.set_index("owner")["bytes_after"].to_dict()
        assert found == {name: count for name, count in expected.items() if count}


class TestPlaces:
    def test_a_folder_is_named_rather_than_its_thousand_files(self) -> None:
        """What one folder explains is one line, what stands out in it another, and the rest is elsewhere."""
        many = [file(f"lib/tests/t{number}", 10) for number in range(100)]

        table = between([[file("etc/small", 1), *many, file("lib/big", 5000), file("lib/x/y", 600)]], [[]]).places

        assert list(table[["path", "is_rest", "bytes_before", "removed"]].itertuples(index=False, name=None)) == [
            ("/lib/big", False, 5000, 1),
            ("/lib/tests", False, 1000, 100),
            ("/lib/x/y", False, 600, 1),
            ("", True, 1, 1),
        ]


class TestDocument:
    def test_differences_are_from_the_first_image(self) -> None:
        """Of three images, the second and the third are compared with the first; paths come when asked for."""
        images = [read("a.tar", [[file("x", 1)]]), read("b.tar", [[file("x", 2)]]), read("c.tar", [[]])]

        printed = json.loads(json.dumps(document(None, images, differences=True)))

        assert [(one["from"], one["to"], one["bytes"]) for one in printed["differences"]] == [
            ("a.tar", "b.tar", 1),
            ("a.tar", "c.tar", -1),
        ]
        assert printed["differences"][0]["files"] == {"added": 0, "removed": 0, "changed": 1}
        assert "paths" not in printed["differences"][0]
        assert printed["images"] == document(None, images)["images"]
        with_paths = document(None, images, differences=True, paths=True)["differences"]
        assert [[path["change"] for path in one["paths"]] for one in with_paths] == [["changed"], ["removed"]]
