"""Prints images side by side: their sizes, where the difference is, and what their configurations say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from layerlab import compare, demo
from layerlab.cli.options import out
from layerlab.compare import Difference, column_names
from layerlab.engine import Engine
from layerlab.engine.ownership import STAND_IN_LABEL
from layerlab.image import Image
from layerlab.ui import tables
from layerlab.ui.text import printable, shorten

OWNERS: Final = 12
PATHS: Final = 30
SETTING: Final = 60
"""Characters of a setting's value; --json has them all."""
_MB: Final = ["bytes_before", "bytes_after", "difference"]


def print_comparison(images: Sequence[Image], names: Sequence[str]) -> None:
    """Print a table of these images, which were asked for under these names."""
    frame = compare.compare(images)
    seconds = [demo.cold_build_seconds(name) for name in names]
    frame["build_seconds"] = pd.Series(seconds, dtype="Float64").to_numpy()
    frame["share"] = [f"{ratio:.1%}" for ratio in frame["ratio"]]
    headings = {
        "name": "image", "bytes": "MB", "share": "share", "wasted_bytes": "wasted", "layers": "layers",
        "files": "files", "build_seconds": "build s",
    }  # fmt: skip
    sizes = tables.megabytes(frame, ["bytes", "wasted_bytes"])
    tables.show(
        out,
        sizes,
        title="Comparison: MB (10^6 bytes) uncompressed, seconds of the build without a cache",
        headings=headings,
    )
    if line := compare.in_words(images):
        out.print(printable(line))
    if any(STAND_IN_LABEL in ((image.config.get("config") or {}).get("Labels") or {}) for image in images):
        out.print("Built on stand-ins for the official base images, made from Debian packages: no registry answered.")


def print_differences(images: Sequence[Image], *, layers: bool = False, paths: bool = False) -> None:
    """Print where the second image and each after it differ from the first; nothing for a single image.

    Args:
        images: The images.
        layers: Show their layers, too.
        paths: Show the paths with the largest differences, too.
    """
    if len(images) < 2:
        return
    _print_parts(images)
    differences = [Difference(images[0], image) for image in images[1:]]
    for difference in differences:
        _print_places(difference)
        _print_owners(difference)
        if layers:
            _print_layers(difference)
        if paths:
            _print_paths(difference)
    _print_settings(images)
    if not (layers and paths):
        more = " and ".join(name for name, asked in (("--layers", layers), ("--paths", paths)) if not asked)
        out.print(f"\n{more} show more; --json has everything.")


def _print_parts(images: Sequence[Image]) -> None:
    frame = compare.parts(images).T
    frame.columns = pd.Index(column_names(images))
    frame = frame[(frame != 0).any(axis=1)]
    if frame.empty:
        return
    shown = tables.megabytes(frame, list(frame.columns)).rename_axis("part").reset_index()
    headings = {"part": "part", **{name: printable(name) for name in frame.columns}}
    if len(images) == 2:
        shown["difference"] = shown.iloc[:, 2] - shown.iloc[:, 1]
        headings["difference"] = "difference"
    _show(shown, "What the MB are for", headings)


def print_surfaces(engine: Engine | None, images: Sequence[Image]) -> None:
    """Print what an attacker finds in each image."""
    frame = compare.surfaces(engine, images).T
    names = column_names(images)
    frame.columns = pd.Index(names)
    headings = {"found": "", **{name: printable(name) for name in names}}
    _show(frame.rename_axis("found").reset_index(), "What an attacker finds", headings)


def _print_places(difference: Difference) -> None:
    if not difference.changes:
        out.print(f"\n{_pair(difference)}: the same files, as far as size, mode and owner tell.")
        return
    frame = tables.megabytes(difference.places, _MB)
    frame["path"] = [_place(path, rest) for path, rest in zip(frame["path"], frame["is_rest"], strict=True)]
    counts = ", ".join(f"{count:,} {change}" for change, count in difference.counts.items())
    headings = {
        "path": "where", "bytes_before": "MB before", "bytes_after": "MB after", "difference": "difference",
        "added": "added", "removed": "removed", "changed": "changed",
    }  # fmt: skip
    _show(frame, f"Where the difference is, {_pair(difference)} (files: {counts})", headings)


def _place(path: str, is_rest: bool) -> str:
    if not path:
        return "elsewhere"
    return f"{path} (the rest of it)" if is_rest else path


def _print_owners(difference: Difference) -> None:
    frame = tables.megabytes(difference.owners, _MB)
    frame = frame[frame["change"] != "same"]
    if frame.empty:
        return
    frame["version"] = [_versions(*row) for row in zip(frame["version_before"], frame["version_after"], strict=True)]
    shown, others = frame.head(OWNERS), frame.iloc[OWNERS:]
    if len(others):
        sums = {name: others[name].sum() for name in _MB}
        rest = pd.DataFrame([{"owner": f"{len(others):,} others", "version": "", "change": "", **sums}])
        shown = pd.concat([shown, rest])
    headings = {
        "owner": "whose", "change": "change", "version": "version", "bytes_before": "MB before",
        "bytes_after": "MB after", "difference": "difference",
    }  # fmt: skip
    _show(shown, f"Whose the difference is, {_pair(difference)}", headings)


def _versions(before: str, after: str) -> str:
    if before and after and before != after:
        return f"{before} → {after}"
    return after or before


def _print_layers(difference: Difference) -> None:
    frame = tables.megabytes(difference.layers, _MB)
    frame["instruction"] = frame["instruction"].map(lambda text: shorten(text, 70))
    headings = {
        "change": "change", "index_before": "layer before", "index_after": "after", "bytes_before": "MB before",
        "bytes_after": "MB after", "difference": "difference", "instruction": "instruction",
    }  # fmt: skip
    _show(frame, f"How the layers differ, {_pair(difference)}", headings)


def _print_paths(difference: Difference) -> None:
    frame = difference.paths
    if frame.empty:
        return
    largest = frame.reindex(frame["difference"].abs().sort_values(ascending=False, kind="stable").index).head(PATHS)
    headings = {
        "change": "change", "what": "what", "bytes_before": "bytes before", "bytes_after": "after",
        "difference": "difference", "owner": "whose", "path": "path",
    }  # fmt: skip
    _show(largest, f"The largest paths that differ, {_pair(difference)}", headings)
    if len(frame) > len(largest):
        out.print(f"and {len(frame) - len(largest):,} more: --json --paths has them all")


def _print_settings(images: Sequence[Image]) -> None:
    frame = compare.settings(images)
    if frame.empty:
        out.print("\nTheir configurations say the same.")
        return
    for column in frame.columns[1:]:
        frame[column] = [text if pd.isna(text) else shorten(text, SETTING) for text in frame[column]]
    headings = {column: printable(column) for column in frame.columns}
    _show(frame, "What their configurations say differently", headings)


def _show(frame: pd.DataFrame, title: str, headings: dict[str, str]) -> None:
    tables.show(out, frame, title=title, headings=headings, signed=["difference"])


def _pair(difference: Difference) -> str:
    return f"from {printable(difference.before.name)} to {printable(difference.after.name)}"
