"""What to change about an image: edits that a program can make and prove, and hints for who knows what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from layerlab.engine import Engine
from layerlab.xray.advice import clean_up, hints, joining, narrowing, smaller_base
from layerlab.xray.advice.model import Advice, View

__all__ = ["Advice", "View", "advise", "together"]

_Finders = tuple[Callable[[View], list[Advice]], ...]
_ALWAYS: Final[_Finders] = (hints.copied_twice, hints.tools_that_ship, hints.unused_bytecode)
_WITH_DOCKERFILE: Final[_Finders] = (
    joining.merge_runs,
    joining.copy_with_owner,
    narrowing.ignored_context,
    clean_up.apt_lists,
    clean_up.apt_archives,
    clean_up.installers_caches,
    clean_up.test_suites,
    clean_up.debug_symbols,
    clean_up.recommended_packages,
    *_ALWAYS,
    hints.unused_stages,
)
_WITHOUT: Final[_Finders] = (*_ALWAYS, hints.left_in_layers)


def advise(view: View, engine: Engine | None) -> list[Advice]:
    """What to change, the most bytes first.

    Several edits may save the same bytes: what some of them save together is `together`, not their sum.
    """
    found = [advice for find in (_WITH_DOCKERFILE if view.trace else _WITHOUT) for advice in find(view)]
    if view.trace is not None and engine is not None:
        found += smaller_base.ship_from_slim(view, engine)
    return sorted(found, key=lambda advice: (-advice.bytes, advice.line or 0, advice.title))


def together(view: View, advice: list[Advice]) -> int:
    """What those edits that a program can make would save if all were made at once; a prediction."""
    return view.stored.saved([each.effect for each in advice if each.is_mechanical])
