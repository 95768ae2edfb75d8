"""Removes what the lab made, says what is here and what is missing, and runs the tests.

What is the lab's is known as `layerlab.engine.ownership` says. These modules are public, too: ``prerequisites``,
``chromium`` (the tests' browser), ``test_run`` (what ``./lab test`` runs) and ``draw_rooms`` (the picture in
docs/architecture.md).

>>> clean(engine, run="that-made-nothing")
[]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from layerlab import bases, demo
from layerlab.engine import Engine, answering, ownership
from layerlab.engine.ownership import Owned
from layerlab.maintenance.prerequisites import Condition, examine

__all__ = ["Condition", "Removal", "clean", "examine", "inventory", "remove"]

_TAGS: Final = frozenset({*(recipe.tag for recipe in demo.RECIPES.values()), *bases.TAGS})
"""Every readable tag that the lab gives."""


@dataclass(frozen=True)
class Removal:
    """What became of one thing.

    Attributes:
        kind: See `Owned`.
        name: See `Owned`.
        why_not: Why it is still there; empty when it is gone.
    """

    kind: str
    name: str
    why_not: str = ""


def inventory(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[Owned]:
    """What the lab made, in the order in which it can be removed.

    Args:
        engine: Where to look.
        run: Only containers, volumes and networks of this run, and no images; None for everything.
        base_images: Base images, too.

    Raises:
        EngineGone: the engine stopped answering.
    """
    own = bases.own_bases(engine) if base_images else []
    return ownership.inventory(engine, run) + [Owned("base image", ownership.name_of(one), one) for one in own]


def clean(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[Removal]:
    """Remove what `inventory` lists. What the user's own containers or tags hold on to stays, and says so.

    Raises:
        EngineGone: the engine stopped answering.
    """
    with answering(engine):
        return [remove(engine, owned) for owned in inventory(engine, run=run, base_images=base_images)]


def remove(engine: Engine, owned: Owned) -> Removal:
    """Remove one thing of the lab's; what the user's own containers or tags hold on to stays."""
    return Removal(owned.kind, owned.name, ownership.remove(engine, owned, _TAGS))
