"""The merged filesystem and the waste, against a naive merge of the same layers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given

from layerlab.errors import ArchiveError
from layerlab.image import dataframes as frames
from layerlab.image import filesystem
from layerlab.image.formats.changeset import Budget, scan
from layerlab.image.layer import Layer
from layerlab.image.stack import stack_layers
from tests.unit.image_truth import (
    Entry,
    directory,
    file,
    link,
    merge,
    opaque,
    stacks,
    symlink,
    tar,
    whiteout,
)


def scanned(stack: Sequence[Sequence[Entry]]) -> list[Layer]:
    return [scan([tar(entries)], Budget())[0] for entries in stack]


def tables(stack: Sequence[Sequence[Entry]]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The layers, files and waste of an image with these layers."""
    image_stack = stack_layers(scanned(stack), {}, [""] * len(stack))
    return frames.layers(image_stack), frames.files(image_stack), frames.waste(image_stack)


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return list(table[list(columns)].itertuples(index=False, name=None))


def waste_of(*stack: Sequence[Entry]) -> list[tuple[object, ...]]:
    """Path, bytes, cause and causing layer of each wasted inode."""
    _, _, waste = tables(stack)
    return rows(waste, "path", "bytes", "cause", "by_layer")


@pytest.mark.slow
@given(stacks())
def test_against_a_naive_merge(stack: list[list[Entry]]) -> None:
    """What is visible, what is waste and why, and every sum are those of a merge path by path."""
    layers, files, waste = tables(stack)

    naive = merge(stack)
    assert [(f"/{path}", seen.kind, seen.mode, seen.layer) for path, seen in sorted(naive.tree.items())] == rows(
        files, "path", "kind", "mode", "layer"
    )
    assert sorted(
        (f"/{path}", naive.sizes[inode], inode[0], cause, number)
        for inode, (path, cause, number) in naive.wasted.items()
    ) == sorted(rows(waste, "path", "bytes", "layer", "cause", "by_layer"))
    assert naive.layer_bytes == layers["bytes"].tolist()
    assert naive.running == layers["running_bytes"].tolist() == layers["change_bytes"].cumsum().tolist()
    assert (layers["bytes"] == layers["live_bytes"] + layers["wasted_bytes"]).all()
    assert sum(naive.sizes[inode] for inode in naive.live) == layers["live_bytes"].sum() == files["bytes"].sum()
    assert layers["wasted_bytes"].sum() == waste["bytes"].sum()


class TestWaste:
    def test_a_deleted_directory(self) -> None:
        """What a later layer deletes with its directory is waste, and so is not counted as live."""
        assert waste_of([file("data/big", 5), file("keep", 1)], [whiteout("data")]) == [
            ("/data/big", 5, "deleted", 1)
        ]

    def test_a_directory_made_opaque(self) -> None:
        """What was in a directory that a later layer removed and made again is hidden."""
        stack = [[file("d/old", 4)], [directory("d"), opaque("d"), file("d/new", 2)]]

        assert waste_of(*stack) == [("/d/old", 4, "hidden", 1)]

    def test_a_changed_mode(self) -> None:
        """A chmod stores the file again: one copy is waste, the other is not."""
        assert waste_of([file("f", 5)], [file("f", 5, mode=0o755)]) == [("/f", 5, "overwritten", 1)]

    def test_a_file_that_grows(self) -> None:
        """Only the old content of a file that grew is waste."""
        assert waste_of([file("f", 1)], [file("f", 5000)]) == [("/f", 1, "overwritten", 1)]

    def test_a_file_in_the_place_of_a_directory(self) -> None:
        """What replaces a directory hides all that was in it."""
        assert waste_of([file("d/e/f", 3)], [file("d", 1)]) == [("/d/e/f", 3, "hidden", 1)]

    def test_a_directory_in_the_place_of_a_file(self) -> None:
        """A directory, even one that only a path implies, overwrites the file of its name."""
        assert waste_of([file("d", 3)], [file("d/f", 1)]) == [("/d", 3, "overwritten", 1)]

    def test_the_first_layer_that_took_it_away_is_to_blame(self) -> None:
        """A file that was overwritten and then deleted was wasted by what overwrote it."""
        assert waste_of([file("f", 3)], [file("f", 2)], [whiteout("f")]) == [
            ("/f", 3, "overwritten", 1),
            ("/f", 2, "deleted", 2),
        ]

    def test_an_inode_lives_while_a_name_is_visible(self) -> None:
        """Deleting the name that carried the data wastes nothing while a hard link is there."""
        assert waste_of([file("a", 9), link("b", "a")], [whiteout("a")]) == []

    def test_an_inode_is_wasted_with_its_last_name(self) -> None:
        """The name that was visible last says why."""
        stack = [[file("a", 9), link("d/b", "a")], [whiteout("a")], [whiteout("d")]]

        assert waste_of(*stack) == [("/d/b", 9, "deleted", 2)]

    def test_a_hard_link_to_a_layer_below_keeps_the_inode(self) -> None:
        """Some builders write a hard link to a file that an earlier layer stores."""
        stack = [[file("a", 9)], [link("b", "a"), whiteout("a")]]
        layers, files, waste = tables(stack)

        assert waste.empty
        assert rows(files, "path", "bytes", "layer") == [("/b", 9, 1)]
        assert layers["live_bytes"].tolist() == [9, 0]

    def test_a_hard_link_to_a_symbolic_link_below(self) -> None:
        """Its target is that of the link that it is another name of."""
        stack = stack_layers(scanned([[symlink("a", "to")], [link("b", "a")]]), {}, ["", ""])

        assert (stack.target(1, "/b"), stack.target(None, "/b"), stack.target(1, "/c")) == ("to", "to", None)

    def test_empty_files_are_inodes_too(self) -> None:
        """A deleted empty file is a row of waste with no bytes; links and directories are none."""
        stack = [[file("d/f", 0), symlink("d/s", "f"), directory("d/e")], [whiteout("d")]]

        assert waste_of(*stack) == [("/d/f", 0, "deleted", 1)]


class TestWhatTheSpecificationSays:
    def test_a_whiteout_beside_a_directory_of_its_name(self) -> None:
        """The directory's content of the layers below goes, its content of the same layer stays."""
        _, files, _ = tables([[file("d/old", 1)], [whiteout("d"), file("d/new", 1)]])

        assert files["path"].tolist() == ["/d", "/d/new"]

    def test_an_opaque_root(self) -> None:
        """An opaque mark at the root hides all layers below (the kernel's overlayfs would ignore it)."""
        _, files, _ = tables([[file("old", 1)], [opaque(""), file("new", 1)]])

        assert files["path"].tolist() == ["/new"]

    def test_the_upper_directory_counts(self) -> None:
        """Merged directories have the upper one's attributes."""
        _, files, _ = tables([[directory("d", mode=0o700)], [directory("d", mode=0o1777, uid=7)]])

        assert files[["mode", "uid", "layer"]].to_numpy().tolist() == [[0o1777, 7, 1]]

    def test_a_directory_without_an_entry(self) -> None:
        """A directory that only a path implies is there as unpacking makes it, in the place of the one below."""
        _, files, _ = tables([[directory("tmp", mode=0o1777)], [file("tmp/f", 1)]])

        assert files[["path", "mode", "layer"]].to_numpy().tolist() == [["/tmp", 0o755, 1], ["/tmp/f", 0o644, 1]]

    def test_names_that_begin_alike(self) -> None:
        """Deleting a directory leaves its neighbours alone, whose names begin with its name."""
        _, files, _ = tables([[file("a/x", 1), file("a-b", 1), file("a.b", 1), file("a0", 1)], [whiteout("a")]])

        assert files["path"].tolist() == ["/a-b", "/a.b", "/a0"]


def test_a_hard_link_to_nothing() -> None:
    """A hard link to a path that no layer has is an error."""
    layers = scanned([[file("a", 1)], [link("b", "nowhere")]])

    with pytest.raises(ArchiveError, match="nowhere"):
        filesystem.merge(layers)


def test_no_layers() -> None:
    """An image may have no layers at all."""
    layers, files, waste = tables([])

    assert (len(layers), len(files), len(waste)) == (0, 0, 0)
