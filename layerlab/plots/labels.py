"""Text that is drawn: made harmless, measured, and cut where its place is too small.

Labels come from images and Dockerfiles that anybody may have written. Nothing in them is a formula, a line
break or a direction mark to a picture, and none is longer than its place.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Final, Literal

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, get_font

from layerlab.ui.units import first_few

Face = Literal["plain", "bold", "mono"]

# The files that matplotlib ships, by name: whatever fonts a machine has, the pictures are the same.
FONT_FILES: Final[dict[Face, str]] = {
    "plain": "DejaVuSans.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "mono": "DejaVuSansMono.ttf",
}
sentence_list: Final = partial(first_few, limit=8, width=None)
"""Items that are `clean`, as a list within a sentence."""

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS: Final = "…"
LONGEST: Final = 1000  # characters; a label that is longer is cut in its middle before it is measured


@cache
def font_file(face: Face) -> str:
    """The path of the font in which this face is drawn."""
    return str(Path(mpl.get_data_path()) / "fonts/ttf" / FONT_FILES[face])


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
    if len(one_line) > LONGEST:
        one_line = _cut(one_line, LONGEST)
    composed = unicodedata.normalize("NFC", one_line)
    drawable = _drawable(face)
    letters = []
    for character in composed:
        category = unicodedata.category(character)
        if category in {"Mn", "Me"}:
            continue
        letters.append(character if ord(character) in drawable and category[0] != "C" else UNKNOWN)
    return "".join(letters)


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

    Both ends are kept, as the beginning says what it is and the end often what makes it differ; a cut falls
    between words where a word ends nearby.
    """
    if text_width(text, points, face) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the largest number of characters that fit
        middle = (low + high + 1) // 2
        if text_width(_cut(text, middle), points, face) <= width:
            low = middle
        else:
            high = middle - 1
    return _cut(text, low)


def named(name: object) -> str:
    """A name for a sentence: cleaned, and cut in its middle where it is long."""
    cleaned = clean(name)
    return cleaned if len(cleaned) <= 50 else _cut(cleaned, 50)


def brief(text: object) -> str:
    """An instruction for a sentence: cleaned, and cut in its middle where it is long."""
    cleaned = instruction(text)
    return cleaned if len(cleaned) <= 90 else _cut(cleaned, 90)


def _cut(text: str, keep: int) -> str:
    """So many characters of the text at most, a third of them from its end."""
    head, tail = text[: keep - keep // 3], text[len(text) - keep // 3 :]
    for reach in range(1, min(7, len(head))):
        if head[-reach].isspace():
            head = head[:-reach]
            break
    for reach in range(min(9, len(tail) - 1)):
        if tail[reach].isspace() or tail[reach] == "/":
            tail = tail[reach:]
            break
    return f"{head.rstrip()}{ELLIPSIS}{tail.lstrip()}"


def wrap(text: str, width: float, points: float) -> list[str]:
    """The cleaned text on as many lines as it needs, each at most so many inches wide."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, points) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, width, points))
    return lines


def instruction(text: object) -> str:
    """An instruction as an image's history has it, in the words of the Dockerfile.

    >>> instruction("RUN |1 V=3 /bin/sh -c pip install flask # buildkit")
    'RUN pip install flask'
    >>> instruction("/bin/sh -c #(nop) COPY dir:0123456789abcdef0123456789abcdef in /app ")
    'COPY dir:… in /app'
    """
    line = " ".join(str(text).replace("\\\n", " ").split())
    line = line.removesuffix("# buildkit").rstrip()
    line = re.sub(r"^/bin/sh -c #\(nop\) +", "", line)
    line = re.sub(r"^(RUN )?(\|\d+ .*?)?/bin/sh -c ", "RUN ", line)
    line = re.sub(r"\b(file|dir|multi):[0-9a-f]{16,}", rf"\1:{ELLIPSIS}", line)
    return clean(line, "mono") or "(no instruction)"


# What nearly every RUN has in common, and what therefore tells least about this one.
BOILERPLATE: Final = (
    (r"^RUN (?:[A-Za-z_]\w*=\S* )+", f"RUN {ELLIPSIS}"),
    (r"\bset -[a-z]+(?: -?o pipefail)? ?(?:;|&&) ?", ""),
    (r"\bapt-get (?:-\S+ )*update ?(?:;|&&) ?", ELLIPSIS),
    (r"(?<=\bapt-get install)(?: --?[A-Za-z][\w-]*)+ (?=[^-])", ELLIPSIS),
    (r" ?(?:;|&&) ?(?:apt-get (?:dist-)?(?:clean|autoremove)[^;&]*|rm -rf /var/lib/apt/lists/\S*)", ELLIPSIS),
)


def gist(text: object, width: float, points: float) -> str:
    """An instruction in a fixed-width font, in so many inches: what it shares with others is left out first.

    >>> gist("RUN set -eux; apt-get update; apt-get install -y git; apt-get dist-clean", 2.5, 8.2)
    'RUN …apt-get install…git…'
    """
    short = instruction(text)
    for pattern, instead in BOILERPLATE:
        if text_width(short, points, "mono") > width:
            short = re.sub(f"{ELLIPSIS}(?: ?{ELLIPSIS})+", ELLIPSIS, re.sub(pattern, instead, short))
    words = short.split(" ")
    while short.endswith(ELLIPSIS) and len(words) > 2 and text_width(" ".join(words), points, "mono") > width:
        words = [*words[:-2], words[-2] + ELLIPSIS]
    return shorten(" ".join(words), width, points, "mono")
