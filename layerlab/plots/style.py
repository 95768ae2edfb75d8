"""How the pictures look: one meaning, one colour and hatching, wherever it is drawn.

The colours keep apart for every common kind of colour vision (``tests/unit/test_plots_colours.py`` simulates three),
and hatching repeats what they say. What is drawn in a colour of `DARK` follows the page's theme; the card on which
everything is drawn is opaque, so a picture can be read wherever the theme is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

CARD: Final = "#F7F5F0"
INK: Final = "#24262B"
MUTED: Final = "#5A5E66"
RULE: Final = "#D8D4CA"
BAND: Final = "#E4E0D4"

WIDTH: Final = 9.0  # inches
DPI: Final = 100  # as a page shows it: 900 pixels wide

TITLE: Final = 13.0  # points, as all that follow
TEXT: Final = 9.5
SMALL: Final = 8.5
CODE: Final = 8.2


@dataclass(frozen=True)
class Look:
    """How something is filled."""

    fill: str  # its colour
    hatch: str = ""  # matplotlib's pattern, empty for none
    hatch_colour: str = INK  # the pattern's colour
    edge: str = INK  # the outline's colour


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
REMOVED: Final = Look(CARD, "xx", "#D98662", "#D0490F")
CAUSES: Final[dict[str, Look]] = {
    "deleted": PARTS["waste"],
    "overwritten": Look("#BD3E0E", "//", "#F2B296"),
    "hidden": Look("#BD3E0E", "..", "#F8CFBE"),
}
"""Why a byte is waste."""

RAN: Final = LIVE
CACHED: Final = Look(CARD)

DARK: Final = {
    CARD: "#15181D",
    INK: "#E8EAED",
    MUTED: "#A5ADB8",
    RULE: "#3D444D",
    BAND: "#2B323B",
    LIVE.fill: "#9AA8BD",
    STORED.fill: "#5A677C",
}
"""What the colours on the left are on a dark page, the same as in the explorer; all others are the same on both."""


def themed(svg: str) -> str:
    """An SVG file that is dark where its page is: the browser tells it so, even where it stands in an ``<img>``.

    Without the style sheet, as a strict sanitiser leaves it, it is light.

    >>> themed('<svg><path style="fill: #24262b"/></svg>')
    '<svg><style>@media (prefers-color-scheme: dark) {...}</style><path style="fill: var(--24262b, #24262b)"/></svg>'
    """
    dark = " ".join(f"--{light[1:].lower()}: {colour};" for light, colour in DARK.items())
    ours = "|".join(light[1:].lower() for light in DARK)
    svg = re.sub(r'fill="(#\w+)"', r'style="fill: \1"', svg)  # below a hatching
    svg = re.sub(rf"(?<=: )#({ours})", r"var(--\1, #\1)", svg)
    return re.sub(
        "(<svg[^>]*>)", rf"\1<style>@media (prefers-color-scheme: dark) {{svg {{{dark}}}}}</style>", svg, count=1
    )


def known_part(part: object) -> str:
    """The part under which bytes are drawn: ``other`` for one that has no look of its own."""
    return str(part) if str(part) in PARTS else "other"
