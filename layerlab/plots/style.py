"""How the pictures look: one meaning, one colour and hatching, wherever it is drawn.

The colours keep apart for every common kind of colour vision (``tests/unit/test_plots_colours.py`` simulates three),
hatching repeats what they say, and the card on which everything is drawn is opaque, so that a picture reads
the same in JupyterLab's dark and light themes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CARD: Final = "#F7F5F0"
INK: Final = "#24262B"
MUTED: Final = "#5A5E66"
RULE: Final = "#D8D4CA"

WIDTH: Final = 9.0  # inches
DPI: Final = 100  # as a page shows it: 900 pixels wide
SHARPNESS: Final = 2  # pixels of the file for each of the page, for screens with fine pixels

TITLE: Final = 13.0  # points, as all that follow
TEXT: Final = 9.5
SMALL: Final = 8.5
CODE: Final = 8.2


@dataclass(frozen=True)
class Look:
    """How something is filled.

    Attributes:
        fill: Its colour.
        hatch: matplotlib's pattern, empty for none.
        hatch_colour: The pattern's colour.
        edge: The outline's colour.
    """

    fill: str
    hatch: str = ""
    hatch_colour: str = INK
    edge: str = INK


PARTS: Final[dict[str, Look]] = {
    "app": Look("#B98BDA"),
    "python packages": Look("#0F7E6A", "//", "#57AD9C"),
    "interpreter": Look("#1B3F94", "\\\\", "#6C86C4"),
    "system": Look("#9CCFE0"),
    "base": Look("#9CCFE0", "--", "#5E9DB3"),
    "compilers": Look("#E8B000", "..", "#7A5C00"),
    "other": Look("#E6E0CC", "oo", "#B5AF9C"),
    "waste": Look("#BD3E0E", "xx", "#F2B296"),
}
"""What bytes are for, in the order in which they are stacked: what the app needs first, waste last."""

LIVE: Final = Look("#4A5568")
STORED: Final = Look("#A3AFC0")
REMOVED: Final = Look(CARD, "xx", "#D98662", "#BD3E0E")
CAUSES: Final[dict[str, Look]] = {
    "deleted": PARTS["waste"],
    "overwritten": Look("#BD3E0E", "//", "#F2B296"),
    "hidden": Look("#BD3E0E", "..", "#F8CFBE"),
}
"""Why a byte is waste."""

RAN: Final = LIVE
CACHED: Final = Look(CARD)


def known_part(part: object) -> str:
    """The part under which bytes are drawn: ``other`` for one that has no look of its own."""
    return str(part) if str(part) in PARTS else "other"


def part_order(part: str) -> int:
    """The place of a part in a stack."""
    return list(PARTS).index(part)
