"""Predictions, held against images whose layers were really changed; and which paths stand for files of a context."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.image.store.file_reader import FileReader
from layerlab.xray import waste
from layerlab.xray.advice import Advice, Edit, View, covering, together
from tests.unit.image_folders import layer, read_folders

NAMES = [f"/{folder}/{name}" for folder in "ab" for name in "wxyz"]
PATHS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, max_size=20)


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def layers(seed: int) -> list[dict[str, bytes]]:
    """Four layers of random files, by path."""
    chance = random.Random(seed)
    return [
        {name: bytes(chance.randrange(1, 500)) for name in chance.sample(NAMES, chance.randrange(1, len(NAMES)))}
        for _ in range(4)
    ]


def image(folder: Path, files: list[dict[str, bytes]]) -> FileReader:
    """An image of these layers."""
    return read_folders([layer(folder / str(number), each) for number, each in enumerate(files)])


def view(reader: FileReader) -> View:
    """An image whose layers were made by the lines 10, 11 ..."""
    looked = View(reader.image, waste.rows(reader.stack, reader))
    vars(looked)["lines"] = {number: 10 + number for number in range(len(reader.stack.layers))}
    return looked


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("span", [(0, 1), (1, 2), (1, 3), (0, 3)])
def test_merged_layers_store_what_is_left_of_them(tmp_path: Path, seed: int, span: tuple[int, int]) -> None:
    """What layers that become one save is what they store less once they are one."""
    before = layers(seed)
    first, last = span
    one: dict[str, bytes] = {}
    for each in before[first : last + 1]:
        one |= each
    after = image(tmp_path / "after", [*before[:first], one, *before[last + 1 :]])
    looked = view(image(tmp_path / "before", before))
    saved = looked.within(range(10 + first, 11 + last))
    assert sum(saved.values()) == looked.image.total_bytes - after.image.total_bytes


def test_edits_together_count_no_byte_twice() -> None:
    """Of a file that one edit leaves out and another makes smaller, all is saved, and no more."""
    edits = [
        Advice("", "", 1, 30, Edit((1,)), {7: 10, 8: 20}),
        Advice("", "", 2, 25, Edit((2,)), {8: 5, 9: 20}),
        Advice("", "", 3, 900, None, {1: 900}),
    ]
    assert together(edits) == 50


@given(PATHS, st.randoms(use_true_random=False))
def test_paths_stand_for_these_files_and_no_others(names: list[str], chosen: random.Random) -> None:
    """Every wanted file is one of them or lies below one, and no other file does."""
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    wanted = {name for name in sorted(files) if chosen.random() < 0.5}
    found = covering(wanted, files)

    covered = {name for name in files if any(name == path or name.startswith(f"{path}/") for path in found)}
    assert covered == wanted
    assert len(found) <= len(wanted)


@pytest.mark.long
def test_many_files_take_no_time() -> None:
    """A context of 100,000 files, the most that is sent."""
    there = {f"d{number % 300}/e{number % 7}/f{number}" for number in range(100_000)}
    wanted = {name for name in there if name.startswith(("d1/", "d2/"))}
    assert covering(wanted, there) == ["d1", "d2"]
