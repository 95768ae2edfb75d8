"""Two or more images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from layerlab.image import Image

WASTE = "waste"
"""The column of `parts` that holds what no container can see."""


def compare(images: Sequence[Image]) -> pd.DataFrame:
    """A row per image, in this order.

    Returns:
        `name` str, `id` str, `bytes` int64 (what its layers store), `live_bytes` int64, `wasted_bytes` int64, `files`
        int64 (names of regular files that a container sees), `layers` int64, `packages` int64 (of dpkg and Python),
        `ratio` float64 (its bytes as a share of the largest image's; 1 where that has none).
    """
    table = pd.DataFrame(
        {
            "name": pd.array([image.name for image in images], dtype="str"),
            "id": pd.array([image.id for image in images], dtype="str"),
            "bytes": _whole_numbers([image.total_bytes for image in images]),
            "live_bytes": _whole_numbers([image.live_bytes for image in images]),
            "wasted_bytes": _whole_numbers([image.wasted_bytes for image in images]),
            "files": _whole_numbers([_file_count(image) for image in images]),
            "layers": _whole_numbers([len(image.layers) for image in images]),
            "packages": _whole_numbers([len(image.packages) for image in images]),
        }
    )
    table["ratio"] = (table["bytes"] / table["bytes"].max()).fillna(1.0)
    return table


def parts(images: Sequence[Image]) -> pd.DataFrame:
    """What the bytes of each image are there for.

    Returns:
        A row per image, its name in the index; a column per part of `Image.files`, and `WASTE`; all int64, in bytes.
        A row's sum is the image's total.
    """
    rows = [
        {
            **image.files.groupby("part", observed=False)["bytes"].sum().to_dict(),
            WASTE: image.wasted_bytes,
        }
        for image in images
    ]
    return pd.DataFrame(rows, index=pd.Index([image.name for image in images], name="image"), dtype="int64")


def in_words(images: Sequence[Image]) -> str:
    """How the smallest image compares with the largest, in a sentence; nothing where they are the same size."""
    ordered = sorted(images, key=lambda image: image.total_bytes)
    if len(ordered) < 2 or not ordered[0].total_bytes or ordered[0].total_bytes == ordered[-1].total_bytes:
        return ""
    smallest, largest = ordered[0], ordered[-1]
    times = largest.total_bytes / smallest.total_bytes
    return f"{smallest.name} is {times:.1f} times smaller than {largest.name}."


def document(images: Sequence[Image]) -> dict[str, Any]:
    """What ``compare --json`` prints."""
    return {"images": [_described(image) for image in images]}


def _described(image: Image) -> dict[str, Any]:
    columns = image.layers[["index", "bytes", "instruction"]].itertuples(index=False, name=None)
    return {
        "name": image.name,
        "id": image.id,
        "bytes": image.total_bytes,
        "live_bytes": image.live_bytes,
        "wasted_bytes": image.wasted_bytes,
        "files": _file_count(image),
        "layers": [
            {"index": int(index), "bytes": int(size), "instruction": str(instruction)}
            for index, size, instruction in columns
        ],
    }


def _file_count(image: Image) -> int:
    return int((image.files["kind"] == "file").sum())


def _whole_numbers(values: Sequence[int]) -> pd.Series[int]:
    return pd.Series(values, dtype="int64")
