"""Text that is drawn: made harmless, measured, and cut where its place is too small.

Labels come from images and Dockerfiles that anybody may have written. Nothing in them is a formula, a line
break or a direction mark to a picture, and none is longer than its place.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Final, Literal

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, get_font

from layerlab.ui.units import first_few

Face = Literal["plain", "bold", "mono"]

# The files that matplotlib ships, by name: whatever fonts a machine has, the pictures are the same.
FONT_FILES: Final[dict[Face, str]] = {"plain": "DejaVuSans", "bold": "DejaVuSans-Bold", "mono": "DejaVuSansMono"}
sentence_list: Final = partial(first_few, limit=8, width=None)
"""Items that are `clean`, as a list within a sentence."""

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS: Final = "…"
LONGEST: Final = 1000  # characters; a label that is longer is cut in its middle before it is measured


@cache
def font_file(face: Face) -> str:
    """The path of the font in which this face is drawn."""
    return str(Path(mpl.get_data_path()) / "fonts/ttf" / f"{FONT_FILES[face]}.ttf")


def font(face: Face, points: float) -> FontProperties:
    """The font of this face in this size."""
    return FontProperties(fname=font_file(face), size=points)


@cache
def _drawable(face: Face) -> frozenset[int]:
    return frozenset(get_font(font_file(face)).get_charmap())


def clean(text: object, face: Face = "plain") -> str:
    r"""The text on one line, with a mark in place of whatever cannot or must not be drawn.

    Control and direction characters, halves of surrogate pairs (bytes of a name that were not UTF-8) and
    characters that the font lacks become U+FFFD; accents that stack on a letter are dropped.

    >>> clean("apt-get update \\\n    && rm")
    'apt-get update \\ && rm'
    """
    one_line = " ".join(str(text).split())
    composed = unicodedata.normalize("NFC", _cut(one_line, LONGEST) if len(one_line) > LONGEST else one_line)
    signs = ((sign, unicodedata.category(sign)) for sign in composed)
    known = _drawable(face)
    letters = ((sign, ord(sign) in known and kind[0] != "C") for sign, kind in signs if kind not in {"Mn", "Me"})
    return "".join(sign if is_drawn else UNKNOWN for sign, is_drawn in letters)


@lru_cache(4096)
def text_width(text: str, points: float, face: Face = "plain") -> float:
    """How wide a cleaned text is, in inches."""
    if not text:
        return 0.0
    measure = get_font(font_file(face))
    measure.set_size(points, 72)
    measure.set_text(text, 0.0)
    return float(measure.get_width_height()[0]) / 64 / 72


def shorten(text: str, width: float, points: float, face: Face = "plain") -> str:
    """The cleaned text, cut in its middle where it is wider than so many inches.

    Both ends are kept, as the beginning says what it is and the end often what makes it differ.
    """
    if text_width(text, points, face) <= width:
        return text
    fits = bisect_right(range(len(text)), width, key=lambda keep: text_width(_cut(text, keep), points, face))
    return _cut(text, fits - 1)


def named(text: object, longest: int = 50) -> str:
    """A text for a sentence: cleaned, and cut in its middle where it is long."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= longest else _cut(cleaned, longest)


brief: Final = partial(named, longest=90)
"""An instruction for a sentence."""


def _cut(text: str, keep: int) -> str:
    """So many characters of the text, a third of them from its end."""
    return f"{text[: keep - keep // 3].rstrip()}{ELLIPSIS}{text[len(text) - keep // 3 :].lstrip()}"
