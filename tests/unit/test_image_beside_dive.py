"""What the lab and dive (https://github.com/wagoodman/dive, the field's known tool) say of the same images.

dive's estimate of waste is simple: of every path that at least two layers have something at (a file, a whiteout), all
that they store there, the copy that containers see included. A whiteout of a directory is one of that directory's
path alone, and opaque marks are none. So it is too much for whatever is stored again, and nothing for whatever goes
with its directory. It knows neither inodes nor digests. Each difference is named here, with its reason.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from layerlab import image
from layerlab.errors import ArchiveError
from tests.unit.image_truth import (
    Entry,
    Layout,
    directory,
    file,
    image_config,
    link,
    merge,
    named,
    oci_parts,
    opaque,
    pack,
    saved,
    stacks,
    symlink,
    tar,
    whiteout,
)
from tests.unit.test_image_formats_tar import SPARSE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BESIDE_PYTHON = Path(sys.executable).parent

LIVE_COPY = "dive charges the copy that containers see, too"
ONLY_THE_DIRECTORY = "dive counts a directory's whiteout for the directory's own path, and for nothing in it"
NO_OPAQUE_MARKS = "dive takes an opaque mark for a file of that name"
NO_KINDS = "dive does not notice that what was a directory hides all that was in it"
NO_INODES = "dive does not know that another name keeps the bytes"
IMPLIED = "dive does not count a path that only has things below it"


@dataclass(frozen=True)
class Scenario:
    """What three layers do in a folder of their own.

    Attributes:
        name: The folder's.
        layers: Their entries there.
        waste: What no container sees, by inode.
        dive: What dive says is wasted.
        why: Where it differs.
    """

    name: str
    layers: tuple[list[Entry], list[Entry], list[Entry]]
    waste: int
    dive: int
    why: str = ""


SCENARIOS = [
    Scenario("nothing", ([file("a", 5)], [file("b", 3)], []), 0, 0),
    Scenario("overwritten", ([file("a", 5)], [file("a", 7)], []), 5, 12, LIVE_COPY),
    Scenario("three-times", ([file("a", 5)], [file("a", 7)], [file("a", 9)]), 12, 21, LIVE_COPY),
    Scenario("chmod", ([file("a", 5000)], [file("a", 5000, mode=0o755)], []), 5000, 10_000, LIVE_COPY),
    Scenario("grows", ([file("a", 1)], [file("a", 5000)], []), 1, 5001, LIVE_COPY),
    Scenario("deleted", ([file("a", 5)], [whiteout("a")], []), 5, 5),
    Scenario("deleted-and-back", ([file("a", 5)], [whiteout("a")], [file("a", 4)]), 5, 9, LIVE_COPY),
    Scenario("link-in-its-place", ([file("a", 5)], [symlink("a", "b")], []), 5, 5),
    Scenario("no-text", ([file("caf\udce9", 5)], [whiteout("caf\udce9")], []), 5, 5),
    Scenario("long", ([file("/".join(["n" * 99] * 8), 5)], [whiteout("/".join(["n" * 99] * 8))], []), 5, 5),
    Scenario("directory-deleted", ([file("d/a", 5)], [whiteout("d")], []), 5, 0, ONLY_THE_DIRECTORY),
    Scenario("deep", ([file("d/e/f/a", 5)], [], [whiteout("d/e")]), 5, 0, ONLY_THE_DIRECTORY),
    Scenario("opaque", ([file("d/a", 5)], [directory("d"), opaque("d"), file("d/b", 2)], []), 5, 0, NO_OPAQUE_MARKS),
    Scenario("opaque-twice", ([file("d/a", 5)], [opaque("d"), file("d/b", 2)], [opaque("d")]), 7, 0, NO_OPAQUE_MARKS),
    Scenario(
        "whiteout-beside",
        ([file("d/a", 5)], [whiteout("d"), directory("d"), file("d/b", 2)], []),
        5,
        0,
        ONLY_THE_DIRECTORY,
    ),
    Scenario("file-for-directory", ([file("d/a", 5)], [file("d", 3)], []), 5, 0, NO_KINDS),
    Scenario("directory-for-file", ([file("d", 5)], [file("d/a", 2)], []), 5, 0, IMPLIED),
    Scenario("linked", ([file("a", 5), link("b", "a")], [whiteout("a")], []), 0, 5, NO_INODES),
    Scenario("linked-both-deleted", ([file("a", 5), link("b", "a")], [whiteout("a"), whiteout("b")], []), 5, 5),
    Scenario("linked-later", ([file("a", 5)], [link("b", "in/linked-later/a")], [whiteout("a")]), 0, 5, NO_INODES),
]


def moved(entry: Entry, folder: str) -> Entry:
    """The entry, below this folder."""
    target = f"{folder}/{entry.target}" if entry.kind == "link" else entry.target
    return replace(entry, path=f"{folder}/{entry.path}", target=target.replace(f"{folder}/{folder}", folder))


ALL = [[moved(entry, f"in/{s.name}") for s in SCENARIOS for entry in s.layers[number]] for number in range(3)]

Dive = Callable[[bytes], dict[str, Any]]


class DiveFails(Exception):
    """dive ended without an answer."""


@pytest.fixture(scope="module")
def dive(tmp_path_factory: pytest.TempPathFactory) -> Dive:
    """Asks dive about an archive; gives what it writes as JSON."""
    folder = tmp_path_factory.mktemp("dive")
    program = shutil.which("dive", path=str(BESIDE_PYTHON)) or "dive"

    def ask(content: bytes) -> dict[str, Any]:
        archive, answer = folder / "image.tar", folder / "answer.json"
        archive.write_bytes(content)
        answer.unlink(missing_ok=True)
        done = subprocess.run(
            [program, "--source", "docker-archive", str(archive), "--json", str(answer)],
            env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DiveFails(f"{done.stdout}\n{done.stderr}")
        found: dict[str, Any] = json.loads(answer.read_text())
        return found

    return ask


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def look(content: bytes, folder: Path) -> image.Image:
    (folder / "image.tar").write_bytes(content)
    return image.read(None, str(folder / "image.tar"))


def layer_bytes(answer: dict[str, Any]) -> list[int]:
    return [layer["sizeBytes"] for layer in answer["layer"]]


def references(answer: dict[str, Any]) -> list[tuple[str, int]]:
    """The paths that dive charges, with what it charges for each."""
    return [(found["file"], found["sizeBytes"]) for found in answer["image"]["fileReference"] or []]


@pytest.fixture(scope="module")
def answer(dive: Dive) -> dict[str, Any]:
    """What dive says of all the scenarios in one image."""
    return dive(saved([tar(entries) for entries in ALL]))


class TestWaste:
    def test_layers(self, answer: dict[str, Any], tmp_path: Path) -> None:
        """Both see the same bytes in each layer."""
        looked = look(saved([tar(entries) for entries in ALL]), tmp_path)

        assert looked.layers["bytes"].tolist() == layer_bytes(answer)
        assert looked.total_bytes == answer["image"]["sizeBytes"]

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
    def test_of(self, scenario: Scenario, answer: dict[str, Any], tmp_path: Path) -> None:
        """Where the two differ, there is a reason for it; where there is none, they do not."""
        folder = f"/in/{scenario.name}/"
        waste = look(saved([tar(entries) for entries in ALL]), tmp_path).waste
        mine = int(waste[waste["path"].str.startswith(folder)]["bytes"].sum())
        theirs = sum(size for path, size in references(answer) if path.startswith(folder))

        assert (mine, theirs) == (scenario.waste, scenario.dive)
        assert (mine != theirs) == bool(scenario.why)

    @given(stack=stacks())
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_of_any_image(self, dive: Dive, stack: list[list[Entry]], tmp_path: Path) -> None:
        """Of any image, both see the same layers; what dive charges is stored at that path, or below it."""
        answer = dive(saved([tar(entries) for entries in stack]))
        looked = look(saved([tar(entries) for entries in stack]), tmp_path)

        distinct = list({tar(entries): None for entries in stack})
        if len(distinct) == len(stack):  # dive takes the second of two equal layers for an empty one
            assert looked.layers["bytes"].tolist() == layer_bytes(answer) == merge(stack).layer_bytes
        stored = [
            {f"/{entry.path}": len(entry.content) for entry in entries if entry.kind == "file"} for entries in stack
        ]
        for path, size in references(answer):
            assert size <= sum(
                stored_there
                for layer in stored
                for name, stored_there in layer.items()
                if name == path or name.startswith(f"{path}/")
            )


class TestLayers:
    def test_equal_ones(self, dive: Dive, tmp_path: Path) -> None:
        """A layer that is there twice is stored once in the archive: dive takes the other for empty."""
        content = saved([tar([file("a", 5)]), tar([file("b", 1)]), tar([file("a", 5)])])

        assert look(content, tmp_path).layers["bytes"].tolist() == [5, 1, 5]
        assert layer_bytes(dive(content)) == [5, 1, 0]

    def test_two_entries_of_one_path(self, dive: Dive, tmp_path: Path) -> None:
        """Of two entries with one path only the later is ever there; dive counts both."""
        content = saved([tar([file("a", 5), file("a", 7)])])

        assert (look(content, tmp_path).total_bytes, dive(content)["image"]["sizeBytes"]) == (7, 12)

    def test_the_root_made_opaque(self, dive: Dive, tmp_path: Path) -> None:
        """All below an opaque root is hidden; dive does not know."""
        content = saved([tar([file("a", 5)]), tar([opaque(""), file("b", 2)])])

        assert (look(content, tmp_path).wasted_bytes, dive(content)["image"]["inefficientBytes"]) == (5, 0)

    @pytest.mark.parametrize("count", [0, 1, 130])
    def test_many_or_none(self, dive: Dive, tmp_path: Path, count: int) -> None:
        """The number of layers makes no difference."""
        content = saved([tar([file(f"f{number}", number + 1)]) for number in range(count)])

        expected = [number + 1 for number in range(count)]
        assert look(content, tmp_path).layers["bytes"].tolist() == layer_bytes(dive(content)) == expected

    @pytest.mark.parametrize("format", sorted(SPARSE))
    def test_sparse_files(self, dive: Dive, tmp_path: Path, format: str) -> None:
        """Both count what a sparse file appears to have."""
        content = saved([gzip.decompress(base64.b85decode(SPARSE[format]))])

        assert look(content, tmp_path).layers["bytes"].tolist() == layer_bytes(dive(content)) == [5_000_010]


LAYERS = [tar([file("a", 5)]), tar([file("b", 2)])]


def platforms() -> bytes:
    layout = Layout()
    images = [layout.image([tar([file("a", size)])], f"linux/{name}") for name, size in (("amd64", 7), ("arm64", 5))]
    return pack(layout.close(layout.index([*images, layout.attestation()])).items())


def two_images() -> bytes:
    layout = Layout()
    images = [layout.image([tar([file("a", size)])], **named(name)) for name, size in (("a:1", 7), ("b:1", 5))]
    return pack(layout.close(*images).items())


class TestArchives:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd.compress], ids=["tar", "gzip", "zstd"])
    def test_oci_layouts(self, dive: Dive, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
        """Both read OCI layouts, compressed or not; without a manifest.json, dive's layers come in a random order."""
        content = pack(oci_parts(LAYERS, compress=compress).items())

        assert look(content, tmp_path).layers["bytes"].tolist() == [5, 2]
        assert sorted(layer_bytes(dive(content))) == [2, 5]

    def test_several_platforms(self, dive: Dive, tmp_path: Path) -> None:
        """The lab looks at one platform; dive puts the layers of all on top of each other."""
        (tmp_path / "image.tar").write_bytes(platforms())
        looked = [image.read(None, str(tmp_path / "image.tar"), platform=name) for name in ("amd64", "arm64")]

        assert [found.total_bytes for found in looked] == [7, 5]
        assert dive(platforms())["image"]["sizeBytes"] == 12

    def test_several_images(self, dive: Dive, tmp_path: Path) -> None:
        """The lab asks for one of two images; dive takes them for one."""
        with pytest.raises(ArchiveError, match="several images"):
            look(two_images(), tmp_path)

        assert dive(two_images())["image"]["sizeBytes"] == 12

    @pytest.mark.parametrize(
        "content",
        [gzip.compress(saved(LAYERS)), saved([gzip.compress(layer) for layer in LAYERS], image_config(LAYERS))],
        ids=["a compressed archive", "compressed layers beside a manifest.json"],
    )
    def test_what_only_the_lab_reads(self, dive: Dive, tmp_path: Path, content: bytes) -> None:
        """Archives that are compressed as a whole, and compressed layers outside of OCI layouts."""
        with pytest.raises(DiveFails):
            dive(content)

        assert look(content, tmp_path).layers["bytes"].tolist() == [5, 2]

    @pytest.mark.parametrize(
        ("layers", "config", "what"),
        [
            ([tar([file("evil", 9)]), LAYERS[1]], image_config(LAYERS), "not the one"),
            ([tar([file("../../etc/passwd", 9)])], None, "outside"),
            ([tar([link("a", "b"), link("b", "a")])], None, "circle"),
        ],
        ids=["another layer than the config names", "a name that leads outside", "links in a circle"],
    )
    def test_what_only_dive_reads(
        self, dive: Dive, tmp_path: Path, layers: Sequence[bytes], config: dict[str, Any] | None, what: str
    ) -> None:
        """The lab checks digests and names, as an engine does; dive believes what an archive says."""
        content = saved(layers, config)
        with pytest.raises(ArchiveError, match=what):
            look(content, tmp_path)

        assert len(dive(content)["layer"]) == len(layers)
