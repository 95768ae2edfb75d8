"""Removes what the lab made, says what is here and what is missing, and runs the tests.

What is the lab's is known as `layerlab.engine.ownership` says. These modules are public, too: ``prerequisites``,
``chromium`` (the tests' browser) and ``test_run`` (what ``./lab test`` runs).

>>> clean(engine, run="that-made-nothing")
[]
"""

from __future__ import annotations

from typing import Final

from layerlab import bases, demo
from layerlab.engine import Engine, answering, ownership
from layerlab.engine.ownership import BASE_PURPOSE, IMAGE_LABEL, Owned
from layerlab.maintenance.prerequisites import Condition, examine

__all__ = ["Condition", "clean", "examine", "inventory", "remove"]

_TAGS: Final = frozenset({*(recipe.tag for recipe in demo.RECIPES.values()), *bases.TAGS})
"""Every readable tag that the lab gives."""


def inventory(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[Owned]:
    """What the lab made, in the order in which it can be removed.

    Args:
        engine: Where to look.
        run: Only containers of this run, and no images; None for everything.
        base_images: Base images, too.

    Raises:
        EngineGone: the engine stopped answering.
    """
    with answering(engine):
        found = [Owned("container", str(one.name), one) for one in ownership.own_containers(engine, run)]
    if run is None:
        images = [one for one in ownership.own_images(engine) if one.labels[IMAGE_LABEL] != BASE_PURPOSE]
        found += [Owned("image", ownership.name_of(one), one) for one in images]
    own = bases.own_bases(engine) if base_images else []
    return found + [Owned("base image", ownership.name_of(one), one) for one in own]


def clean(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[tuple[Owned, str]]:
    """Remove what `inventory` lists; says of each thing why it is still there, which is empty when it is gone.

    Raises:
        EngineGone: the engine stopped answering.
    """
    with answering(engine):
        found = inventory(engine, run=run, base_images=base_images)
        return [(owned, remove(engine, owned)) for owned in found]


def remove(engine: Engine, owned: Owned) -> str:
    """Remove one thing of the lab's; says why where the user's own containers or tags hold on to it."""
    return ownership.remove(engine, owned, _TAGS)
