"""What axe-core says about a page, in lines that one can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE = Axe()
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


def problems(
    page: Page, include: Sequence[str], *, leave_out: Sequence[str] = (), only: str | None = None
) -> list[str]:
    """What is wrong in these parts of a page by the WCAG 2.2's levels A and AA, contrast included.

    Args:
        page: The page, with its pictures and fonts loaded.
        include: CSS selectors of the parts that are ours.
        leave_out: CSS selectors of what is not, within them.
        only: The one rule to look at, such as ``color-contrast``; None for all.

    Returns:
        A line per element: the rule, the element, and what axe says about it; empty if all is well.

    Raises:
        AssertionError: one of the parts is not in the page: a check of nothing would always pass.
    """
    missing = [selector for selector in include if page.locator(selector).count() == 0]
    assert not missing, f"nothing of this is in the page: {missing}"
    rules = {"type": "rule", "values": [only]} if only else {"type": "tag", "values": list(STANDARDS)}
    found = AXE.run(
        page,
        {"include": [[selector] for selector in include], "exclude": [[selector] for selector in leave_out]},
        {"resultTypes": ["violations"], "runOnly": rules},
    )
    return [line for violation in found.response["violations"] for line in _lines(violation)]


def _lines(violation: dict[str, Any]) -> list[str]:
    def on_one_line(text: str) -> str:
        return " ".join(text.split())[:300]

    return [
        f"{violation['id']}: {on_one_line(node['html'])} | {on_one_line(node['failureSummary'])}"
        for node in violation["nodes"]
    ]
