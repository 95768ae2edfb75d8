"""Two or more images side by side.

`compare`, `parts` and `settings` take any number of images; a `Difference` is between two of them: by layer, by
owner, by folder, by path. `document` is what the command line prints as JSON, and needs no pandas, whose import takes
longer than looking at an image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from layerlab.compare.attack_surface import KINDS, attack_surface
from layerlab.compare.difference import WASTE, Difference
from layerlab.compare.image_settings import differing
from layerlab.engine import Engine
from layerlab.image import Image
from layerlab.image.store import file_reader
from layerlab.ui.units import how_large, listed

if TYPE_CHECKING:
    import pandas as pd

_OWNERS: Final = 4  # of what a better example stores less of, that are named
_ALIKE: Final = 1.02  # times as large: nothing to speak of

__all__ = ["Difference", "compare", "document", "in_words", "parts", "settings", "standing", "surfaces"]


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

    numbers = ["bytes", "live_bytes", "wasted_bytes", "files", "layers", "packages"]
    kinds = {"name": "str", "id": "str", **dict.fromkeys(numbers, "int64")}
    rows = [
        {**_figures(image), "layers": len(image.stack.layers), "packages": len(image.stack.ownership.packages)}
        for image in images
    ]
    table = pd.DataFrame(rows, columns=list(kinds)).astype(kinds)  # also where there are no rows
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
        {**image.files.groupby("part", observed=False)["bytes"].sum().to_dict(), WASTE: image.wasted_bytes}
        for image in images
    ]
    return pd.DataFrame(rows, index=pd.Index([image.name for image in images], name="image"), dtype="int64")


def settings(images: Sequence[Image]) -> pd.DataFrame:
    """User, command, environment and whatever else a config says, where the images do not agree.

    Returns:
        `setting` str, such as ``user`` or ``environment PATH``, and a column for each image under its name (a second
        one of the same name is ``name (2)``), str, missing where it does not have the setting.

    >>> from layerlab import image
    >>> table = settings([image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")])
    >>> table.set_index("setting").loc["user", "multi-stage-demo:optimized"]
    '10001:10001'
    """
    import pandas as pd  # noqa: PLC0415

    rows = [(name, *values) for name, values in differing(images).items()]
    return pd.DataFrame(rows, columns=["setting", *column_names(images)], dtype="str")


def surfaces(engine: Engine | None, images: Sequence[Image]) -> pd.DataFrame:
    """What an attacker finds in each image; see `layerlab.compare.attack_surface`.

    Returns:
        A row per image, its name in the index; a column per kind, such as ``shells``; all int64.

    >>> from layerlab import image
    >>> images = [image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")]
    >>> surfaces(engine, images)["network tools"].idxmax()
    'multi-stage-demo:single'
    """
    import pandas as pd  # noqa: PLC0415

    rows = [attack_surface(image, file_reader.for_image(engine, image)) for image in images]
    index = pd.Index([image.name for image in images], name="image")
    return pd.DataFrame(rows, index=index, columns=list(KINDS), dtype="int64")


def column_names(images: Sequence[Image]) -> list[str]:
    """The images' names, each once: a second one of the same name, or of another column's, is ``name (2)``.

    >>> from layerlab import image
    >>> column_names([image.read(engine, "multi-stage-demo:optimized")] * 2)
    ['multi-stage-demo:optimized', 'multi-stage-demo:optimized (2)']
    """
    seen: Counter[str] = Counter(("part", "setting", "difference"))
    names = []
    for image in images:
        seen[image.name] += 1
        names.append(image.name if seen[image.name] == 1 else f"{image.name} ({seen[image.name]})")
    return names


def in_words(images: Sequence[Image]) -> str:
    """How the smallest image compares with the largest, in a sentence; nothing where they are the same size.

    >>> from layerlab import image
    >>> in_words([image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")])
    'multi-stage-demo:optimized is ... times smaller than multi-stage-demo:single.'
    """
    ordered = sorted(images, key=lambda image: image.total_bytes)
    if not ordered or not ordered[0].total_bytes or ordered[0].total_bytes == ordered[-1].total_bytes:
        return ""
    times = ordered[-1].total_bytes / ordered[0].total_bytes
    return f"{ordered[0].name} is {times:.1f} times smaller than {ordered[-1].name}."


def standing(mine: Image, largest: int, example: Image | None = None) -> str:
    """Sentences about an image.

    `largest` are the bytes of the single-stage image of the same service, `example` a good image of it, if any.

    >>> from layerlab import image
    >>> single, optimized = [image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")]
    >>> standing(optimized, single.total_bytes, optimized)
    'It stores ... MB, ... times less than the single-stage image, and no more than the worked example.'
    """
    own = mine.total_bytes
    said = f"It stores {how_large(own)}, {largest / max(own, 1):.1f} times less than the single-stage image"
    if example is None:
        return f"{said}."
    if own <= example.total_bytes * _ALIKE:
        return f"{said}, and no more than the worked example."
    owners = Difference(mine, example).owners.sort_values("difference")[:_OWNERS]
    places = [
        f"{how_large(-difference)} in {owner.strip('()')}"
        for owner, difference in zip(owners["owner"], owners["difference"], strict=True)
        if difference < 0
    ]
    more = how_large(own - example.total_bytes)
    return f"{said}. Another {more} can go, as the worked example shows: {listed(places)}."


def document(
    engine: Engine | None, images: Sequence[Image], *, differences: bool = False, paths: bool = False
) -> dict[str, Any]:
    """What ``compare --json`` and ``xray --json`` print of images that the engine has, or that are files.

    With `differences` also how the second image and each after it differ from the first, with `paths` by every path.

    >>> from layerlab import image
    >>> (one,) = document(engine, [image.read(engine, "multi-stage-demo:optimized")])["images"]
    >>> one["bytes"] == sum(layer["bytes"] for layer in one["layers"])
    True
    """
    printed: dict[str, Any] = {"images": [_described(engine, image) for image in images]}
    if differences:
        printed["differences"] = [Difference(images[0], image).document(paths=paths) for image in images[1:]]
    return printed


def _figures(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "id": image.id,
        "bytes": image.total_bytes,
        "live_bytes": image.live_bytes,
        "wasted_bytes": image.wasted_bytes,
        "files": image.stack.file_count,
    }


def _described(engine: Engine | None, image: Image) -> dict[str, Any]:
    stack = image.stack
    return {
        **_figures(image),
        "attack_surface": attack_surface(image, file_reader.for_image(engine, image)),
        "layers": [
            {"index": index, "bytes": size, "instruction": instruction}
            for index, (size, instruction) in enumerate(zip(stack.layer_bytes, stack.instructions, strict=True))
        ],
    }
