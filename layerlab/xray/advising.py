"""All advice about an image, the most bytes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from layerlab.engine import Engine
from layerlab.xray import cleaning, hints, joining, narrowing, rebasing
from layerlab.xray.advice import Advice, View

_FINDERS: Final[tuple[Callable[[View], list[Advice]], ...]] = (
    joining.merge_runs,
    joining.copy_with_owner,
    narrowing.ignored_context,
    cleaning.apt_lists,
    cleaning.apt_archives,
    cleaning.installers_caches,
    cleaning.test_suites,
    cleaning.debug_symbols,
    cleaning.recommended_packages,
    hints.copied_twice,
    hints.tools_that_ship,
    hints.unused_bytecode,
    hints.unused_stages,
    hints.left_in_layers,
)


def advise(view: View, engine: Engine | None) -> list[Advice]:
    """What to change, the most bytes first.

    Several edits may save the same bytes: what some of them save together is `together`, not their sum.
    """
    found = [advice for find in _FINDERS for advice in find(view)]
    found += rebasing.smaller_base(view, engine)
    return sorted(found, key=lambda advice: (-advice.bytes, advice.line or 0, advice.title))


def together(view: View, advice: list[Advice]) -> int:
    """What those edits that a program can make would save if all were made at once; a prediction."""
    return view.model.saved([each.effect for each in advice if each.is_mechanical])
