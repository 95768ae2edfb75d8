"""How far an image has come: beside a large one, which was to be beaten, and one that shows what can still go."""

from __future__ import annotations

from typing import Final

from layerlab.compare.difference import Difference
from layerlab.image import Image
from layerlab.ui.units import how_large, listed

_OWNERS: Final = 4  # of what the small one stores less of, that are named
_ALIKE: Final = 1.02  # times as large: nothing to speak of


def standing(mine: Image, largest: int, example: Image | None = None) -> str:
    """Sentences about an image.

    Args:
        mine: The image.
        largest: Bytes of the single-stage image of the same service.
        example: A good image of it; None where there is none.

    >>> from layerlab import image
    >>> single, optimized = [image.read(engine, f"multi-stage-demo:{name}") for name in ("single", "optimized")]
    >>> standing(optimized, single.total_bytes, optimized)
    'It stores ... MB, ... times less than the single-stage image, and no more than the worked example.'
    """
    own = mine.total_bytes
    said = f"It stores {how_large(own)}, {largest / max(own, 1):.1f} times less than the single-stage image"
    if example is None:
        return f"{said}."
    more = own - example.total_bytes
    if own <= example.total_bytes * _ALIKE:
        return f"{said}, and no more than the worked example."
    owners = Difference(mine, example).owners.sort_values("difference")[:_OWNERS]
    places = [
        f"{how_large(-difference)} in {owner.strip('()')}"
        for owner, difference in zip(owners["owner"], owners["difference"], strict=True)
        if difference < 0
    ]
    return f"{said}. Another {how_large(more)} can go, as the worked example shows: {listed(places)}."
