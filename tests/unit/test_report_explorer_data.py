"""What the explorer is sent, unpacked by other means and held against a naive merge."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from layerlab import dockerfile
from layerlab.report.explorer.data import document, packed
from tests.unit.image_truth import Entry, Naive, file, link, stacks, whiteout
from tests.unit.stacked import read

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "'\"`&<!--",
    "line\nend",
    "\x1b[31mred",
    "\u202egnp.exe",
    b"latin-\xe9".decode("utf-8", "surrogateescape"),
    " ",
    "ünï",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of one test is known in another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def rows(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries, each with its path."""
    nodes, entries = sent["nodes"], sent["entries"]
    found, parts, entry = [], [], 0
    for name, depth, count in zip(nodes["names"], nodes["depths"], nodes["counts"], strict=True):
        parts[max(depth - 1, 0) :] = [name]
        for place in range(entry, entry + count):
            row = {column: values[place] for column, values in entries.items()}
            found.append({"path": "/".join(parts), "place": place, **row})
        entry += count
    assert entry == len(entries["sizes"])
    return found


def shown_at(sent: dict[str, Any], layer: int) -> tuple[set[str], int]:
    """The paths that a container sees if the image ends with this layer, and their bytes."""
    visible = [row for row in rows(sent) if row["layers"] <= layer and (row["gone"] == -1 or row["gone"] > layer)]
    group_of = {place: number for number, group in enumerate(sent["links"]) for place in group}
    sizes = {group_of.get(row["place"], -row["place"] - 1): row["sizes"] for row in visible}
    return {row["path"] for row in visible}, sum(sizes.values())


class TestEntries:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(stacks())
    @pytest.mark.slow
    def test_are_the_filesystem_at_each_layer(self, stack: list[list[Entry]]) -> None:
        """What is there at each layer, and its bytes, are what a naive merge of the layers up to it says."""
        sent = document(read("image.tar", stack))
        naive = Naive()

        for number, entries in enumerate(stack):
            naive.apply(entries)
            paths, size = shown_at(sent, number)
            assert paths == set(naive.tree)
            assert size == naive.running[number]

    def test_stand_below_their_folders(self) -> None:
        """What is in a folder follows it, also where a neighbour's name sorts between the two."""
        sent = document(read("image.tar", [[file("a/x", 1), file("a-b/y", 1), file("a0", 1)]]))

        assert list(zip(sent["nodes"]["names"], sent["nodes"]["depths"], strict=True)) == [
            ("", 0), ("a", 1), ("x", 2), ("a-b", 1), ("y", 2), ("a0", 1),
        ]  # fmt: skip

    def test_names_are_made_fit_to_be_shown(self) -> None:
        """Nothing that is not printable is sent, and what is sent is ASCII, so that it can stand in a page."""
        looked = read("image.tar", [[file(f"d/{name}", 1) for name in HOSTILE]])

        text = zlib.decompress(packed(looked)).decode("ascii")
        names = json.loads(text)["nodes"]["names"][2:]

        assert all(name.isprintable() for name in names)
        assert set(names) == {
            "<", "script><img src=x onerror=alert(1)>", "'\"`&<!--", "line\\nend", "\\x1b[31mred", "\\u202egnp.exe",
            "latin-\\xe9", " ", "ünï",
        }  # fmt: skip


class TestColumns:
    DOCKERFILE = dockerfile.parse(
        "# comment\nFROM base AS build\nRUN make\nFROM base\nCOPY --from=build /out /out\nRUN rm \\\n  -f /x\n"
    )
    STEPS = ("ADD rootfs", "COPY /out /out # buildkit", "RUN /bin/sh -c rm   -f /x # buildkit")
    STACK = ([file("etc/base", 5), file("x", 7)], [file("out/a", 11), file("etc/base", 6)], [whiteout("x")])

    def test_lines_and_stages_by_layer(self) -> None:
        """The base's layers belong to the FROM, a COPY --from to its stage, each to the line that it begins on."""
        sent = document(read("i.tar", self.STACK, self.STEPS, self.DOCKERFILE), self.DOCKERFILE, name="Dockerfile.x")

        told = {
            (row["path"], row["layers"]): (sent["stages"][row["stages"]], row["rows"] + 1)
            for row in rows(sent)
            if row["kinds"] == 0
        }
        assert told == {
            ("etc/base", 0): ("base image base", 4),
            ("etc/base", 1): ("stage build", 5),
            ("out/a", 1): ("stage build", 5),
            ("x", 0): ("base image base", 4),
        }
        assert [layer["row"] + 1 for layer in sent["layers"]] == [4, 5, 6]
        assert sent["source"]["name"] == "Dockerfile.x"
        assert sent["source"]["rows"][6] == {"number": 7, "text": "  -f /x", "first": 5}

    def test_a_dockerfile_of_something_else(self) -> None:
        """Where no layer fits the Dockerfile, the image's history stands beside it."""
        other = dockerfile.parse("FROM other\nRUN something else\n")

        sent = document(read("i.tar", self.STACK, self.STEPS, other), other)

        assert sent["source"] == {
            "name": "",
            "rows": [
                {"number": number, "text": text, "first": number}
                for number, text in enumerate(["ADD rootfs", "COPY /out /out", "RUN rm   -f /x"])
            ],
        }
        assert sent["stages"] == []

    def test_waste_has_its_cause_and_the_owner_of_its_path(self) -> None:
        """What was overwritten belongs to whom the path belongs to now; what was deleted says so."""
        sent = document(read("i.tar", self.STACK))

        gone = {row["path"]: row for row in rows(sent) if row["gone"] >= 0 and row["kinds"] == 0}
        assert {path: sent["causes"][row["causes"]] for path, row in gone.items()} == {
            "etc/base": "overwritten",
            "x": "deleted",
        }
        assert sent["parts"][gone["etc/base"]["parts"]] == "system"
        assert gone["x"]["parts"] == -1

    def test_columns_that_others_add(self) -> None:
        """Stage, line and cause of a file count where the table of files has them."""
        looked = read("i.tar", self.STACK, self.STEPS, self.DOCKERFILE)
        there = looked.files["path"] == "/out/a"
        looked.files["stage"] = ["stage build" if yes else None for yes in there]
        looked.files["line"] = [3 if yes else None for yes in there]
        looked.files["cause"] = ["headers" if yes else "" for yes in there]

        sent = document(looked, self.DOCKERFILE)

        (row,) = (row for row in rows(sent) if row["path"] == "out/a")
        assert (sent["stages"][row["stages"]], row["rows"] + 1, sent["judgements"]) == ("stage build", 3, ["headers"])
        assert [other["judged"] for other in rows(sent)].count(-1) == len(rows(sent)) - 1


class TestThinning:
    STACK = (
        [file(f"many/{number}", number) for number in range(300)] + [file("large", 10_000), link("many/l", "large")],
        [file("many/7", 100), whiteout("many/8")],
    )

    def sums(self, sent: dict[str, Any]) -> dict[tuple[int, int], tuple[int, int]]:
        """Bytes and files by layer and by what took them away."""
        sums: dict[tuple[int, int], tuple[int, int]] = {}
        for row in rows(sent):
            if row["kinds"] == 0:
                size, files = sums.get((row["layers"], row["gone"]), (0, 0))
                sums[row["layers"], row["gone"]] = size + row["sizes"], files + row["files"]
        return sums

    def test_keeps_all_sums(self) -> None:
        """Fewer rows are sent; bytes and files of each layer, seen and wasted, stay the same."""
        looked = read("i.tar", self.STACK)

        whole, fewer = document(looked), document(looked, most=100)

        assert len(whole["entries"]["sizes"]) > 300
        assert len(fewer["entries"]["sizes"]) < 110
        assert self.sums(fewer) == self.sums(whole)

    def test_large_files_stay(self) -> None:
        """The largest files keep rows of their own; the small ones of a folder have one that says how many."""
        fewer = document(read("i.tar", self.STACK), most=100)

        names = fewer["nodes"]["names"]
        assert {"large", "299", "298"} <= set(names)
        (stand_in,) = (row for row in rows(fewer) if row["files"] > 1)
        assert stand_in["path"] == f"many/{stand_in['files']} small files"

    def test_few_entries_are_all_sent(self) -> None:
        """Nothing is put together where there is no need."""
        assert document(read("i.tar", self.STACK), most=1000) == document(read("i.tar", self.STACK))
