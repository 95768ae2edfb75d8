"""Two or more images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from layerlab.image import Image

if TYPE_CHECKING:
    import pandas as pd

WASTE = "waste"
"""The column of `parts` that holds what no container can see."""


def compare(images: Sequence[Image]) -> pd.DataFrame:
    """A row per image, in this order.

    Returns:
        `name` str, `id` str, `bytes` int64 (what its layers store), `live_bytes` int64, `wasted_bytes` int64, `files`
        int64 (names of regular files that a container sees), `layers` int64, `packages` int64 (of dpkg and Python),
        `ratio` float64 (its bytes as a share of the largest image's; 1 where that has none).

    >>> from layerlab import image
    >>> images = [image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")]
    >>> compare(images).set_index("name")["ratio"].idxmax()
    'multi-stage-demo:single'
    """
    import pandas as pd  # noqa: PLC0415  # takes longer than looking at an image, and `document` needs none

    table = pd.DataFrame(
        {
            "name": pd.array([image.name for image in images], dtype="str"),
            "id": pd.array([image.id for image in images], dtype="str"),
            "bytes": [image.total_bytes for image in images],
            "live_bytes": [image.live_bytes for image in images],
            "wasted_bytes": [image.wasted_bytes for image in images],
            "files": [image.content.file_count for image in images],
            "layers": [len(image.content.layers) for image in images],
            "packages": [len(image.content.ownership.packages) for image in images],
        }
    )
    table = table.astype(dict.fromkeys(table.columns[2:], "int64"))  # also where there are no rows
    table["ratio"] = (table["bytes"] / table["bytes"].max()).fillna(1.0)
    return table


def parts(images: Sequence[Image]) -> pd.DataFrame:
    """What the bytes of each image are there for.

    Returns:
        A row per image, its name in the index; a column per part of `Image.files`, and `WASTE`; all int64, in bytes.
        A row's sum is the image's total.

    >>> from layerlab import image
    >>> one = image.read(engine, "multi-stage-demo:optimized")
    >>> int(parts([one]).loc[one.name].sum()) == one.total_bytes
    True
    """
    import pandas as pd  # noqa: PLC0415

    rows = [
        {
            **image.files.groupby("part", observed=False)["bytes"].sum().to_dict(),
            WASTE: image.wasted_bytes,
        }
        for image in images
    ]
    return pd.DataFrame(rows, index=pd.Index([image.name for image in images], name="image"), dtype="int64")


def in_words(images: Sequence[Image]) -> str:
    """How the smallest image compares with the largest, in a sentence; nothing where they are the same size.

    >>> from layerlab import image
    >>> in_words([image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")])
    'multi-stage-demo:optimized is ... times smaller than multi-stage-demo:single.'
    """
    ordered = sorted(images, key=lambda image: image.total_bytes)
    if len(ordered) < 2 or not ordered[0].total_bytes or ordered[0].total_bytes == ordered[-1].total_bytes:
        return ""
    smallest, largest = ordered[0], ordered[-1]
    times = largest.total_bytes / smallest.total_bytes
    return f"{smallest.name} is {times:.1f} times smaller than {largest.name}."


def document(images: Sequence[Image]) -> dict[str, Any]:
    """What ``compare --json`` prints.

    >>> from layerlab import image
    >>> (one,) = document([image.read(engine, "multi-stage-demo:optimized")])["images"]
    >>> one["bytes"] == sum(layer["bytes"] for layer in one["layers"])
    True
    """
    return {"images": [_described(image) for image in images]}


def _described(image: Image) -> dict[str, Any]:
    content = image.content
    return {
        "name": image.name,
        "id": image.id,
        "bytes": image.total_bytes,
        "live_bytes": image.live_bytes,
        "wasted_bytes": image.wasted_bytes,
        "files": content.file_count,
        "layers": [
            {"index": index, "bytes": size, "instruction": instruction}
            for index, (size, instruction) in enumerate(zip(content.layer_bytes, content.instructions, strict=True))
        ],
    }
