"""Predictions, held against images whose layers were really changed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from layerlab.image.store.file_reader import FileReader
from layerlab.xray.effects import Effect, Rebased, StoredBytes
from tests.unit.image_folders import layer, read_folders

NAMES = [f"/{folder}/{name}" for folder in "ab" for name in "wxyz"]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def layers(folder: Path, seed: int) -> list[dict[str, bytes]]:
    """Four layers of random files, by path."""
    chance = random.Random(seed)
    return [
        {name: bytes(chance.randrange(1, 500)) for name in chance.sample(NAMES, chance.randrange(1, len(NAMES)))}
        for _ in range(4)
    ]


def image(folder: Path, files: list[dict[str, bytes]]) -> FileReader:
    """An image of these layers."""
    shutil.rmtree(folder, ignore_errors=True)
    return read_folders([layer(folder / str(number), each) for number, each in enumerate(files)])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("span", [(0, 1), (1, 2), (1, 3), (0, 3)])
def test_merged_layers_store_what_is_left_of_them(tmp_path: Path, seed: int, span: tuple[int, int]) -> None:
    """What layers that become one save is what they store less once they are one."""
    before = layers(tmp_path, seed)
    first, last = span
    one: dict[str, bytes] = {}
    for each in before[first : last + 1]:
        one |= each
    after = image(tmp_path / "after", [*before[:first], one, *before[last + 1 :]])
    looked = image(tmp_path / "before", before)
    saved = StoredBytes(looked.stack).saved([Effect(merged=(frozenset(range(first, last + 1)),))])
    assert saved == looked.image.total_bytes - after.image.total_bytes


@pytest.mark.parametrize("seed", range(12))
def test_edits_together_count_no_byte_twice(tmp_path: Path, seed: int) -> None:
    """Merging, removing and a part of a file's bytes together save what an image changed in all three ways does."""
    before = layers(tmp_path, seed)
    looked = image(tmp_path / "before", before)
    model = StoredBytes(looked.stack)
    gone, cut = NAMES[0], NAMES[5]
    one = {path: content for each in before[1:3] for path, content in each.items()}
    changed = [before[0], one, before[3]]
    changed = [
        {path: content[1:] if path == cut else content for path, content in each.items() if path != gone}
        for each in changed
    ]
    after = image(tmp_path / "after", changed)
    effects = [
        Effect(merged=(frozenset({1, 2}),)),
        Effect(removed=model.at([gone])),
        Effect(reduced=dict.fromkeys(model.at([cut]), 1)),
    ]
    assert model.saved(effects) == looked.image.total_bytes - after.image.total_bytes


def test_another_base(tmp_path: Path) -> None:
    """What is kept is stored above the other base, and nothing else is."""
    before = [{"/base": bytes(1000)}, {"/venv/a": bytes(10), "/lists": bytes(70)}, {"/app": bytes(3)}]
    model = StoredBytes(image(tmp_path / "before", before).stack)
    effect = Effect(rebased=Rebased(100, model.at(["/venv/a", "/app"])))
    assert model.saved([effect]) == 1083 - 100 - 13


def test_nothing_saves_nothing(tmp_path: Path) -> None:
    """Without an edit an image is as large as it is."""
    assert StoredBytes(image(tmp_path / "before", layers(tmp_path, 1)).stack).saved([]) == 0
