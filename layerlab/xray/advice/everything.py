"""All advice about an image, the most bytes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from layerlab.engine import Engine
from layerlab.xray.advice import clean_up, hints, joining, narrowing, smaller_base
from layerlab.xray.advice.model import Advice, View

_FINDERS: Final[tuple[Callable[[View], list[Advice]], ...]] = (
    joining.merge_runs,
    joining.copy_with_owner,
    narrowing.ignored_context,
    clean_up.apt_lists,
    clean_up.apt_archives,
    clean_up.installers_caches,
    clean_up.test_suites,
    clean_up.debug_symbols,
    clean_up.recommended_packages,
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
    found += smaller_base.smaller_base(view, engine)
    return sorted(found, key=lambda advice: (-advice.bytes, advice.line or 0, advice.title))


def together(view: View, advice: list[Advice]) -> int:
    """What those edits that a program can make would save if all were made at once; a prediction."""
    return view.model.saved([each.effect for each in advice if each.is_mechanical])
