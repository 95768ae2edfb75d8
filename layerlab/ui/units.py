"""Sizes, durations, counts and lists in words: the same wherever the lab says them.

Sizes are in MB, 10^6 bytes. `how_large` is for a sentence, `megabytes` for a picture or wherever the unit is written
elsewhere, and `tenths` for the columns of a table, whose numbers are compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable

from layerlab.ui.text import shorten


def how_large(count: float, *, exactly: bool = False) -> str:
    """A number of bytes with its unit; `exactly` keeps a decimal of large ones, to be held against a limit.

    >>> [how_large(n) for n in (310, 42_000, 5_240_000, 1_850_900_000)]
    ['310 bytes', '42 kB', '5.2 MB', '1851 MB']
    >>> [how_large(n, exactly=True) for n in (42_000, 1_850_900_000)]
    ['42,000 bytes', '1,850.9 MB']
    """
    if count < (50_000 if exactly else 500):
        return f"{count:,.0f} bytes"
    if count < 50_000:
        return f"{count / 1e3:.0f} kB"
    return f"{tenths(count)} MB" if exactly or count < 9.95e6 else f"{count / 1e6:.0f} MB"


def megabytes(count: float) -> str:
    """A number of bytes in MB, to the precision that an eye needs, without the unit.

    >>> [megabytes(n) for n in (0, 310, 42_000, 5_240_000, 1_850_900_000, -120_000_000)]
    ['0', '<0.01', '0.04', '5.2', '1851', '−120']
    """
    amount = abs(count) / 1e6
    if count == 0:
        return "0"
    if amount < 0.01:
        return "<0.01" if count > 0 else "> −0.01"
    number = f"{amount:.{2 if amount < 0.095 else 1 if amount < 9.95 else 0}f}"
    return number if count > 0 else f"−{number}"


def so_far(done: float, total: float) -> str:
    """How much of something has come.

    >>> so_far(2_000_000, 10_480_000)
    '2.0 of 10.5 MB'
    """
    return f"{tenths(done)} of {tenths(total)} MB"


def tenths(count: float) -> str:
    """A number of bytes in MB with one decimal, as a table's column has it, without the unit.

    >>> tenths(1_850_900_000)
    '1,850.9'
    """
    return f"{count / 1e6:,.1f}"


def seconds(duration: float) -> str:
    """A duration with its unit.

    >>> [seconds(s) for s in (0, 0.02, 0.4, 9.81, 72)]
    ['0 s', '<0.1 s', '0.4 s', '9.8 s', '72 s']
    """
    if 0 < duration < 0.05:
        return "<0.1 s"
    return f"{duration:.{1 if 0 < duration < 9.95 else 0}f} s"


def times(larger: float, smaller: float) -> str:
    """How many times the smaller goes into the larger.

    >>> times(1851, 262), times(1000, 10)
    ('7.1 times', '100 times')
    """
    ratio = larger / smaller
    return f"{ratio:.{1 if ratio < 9.95 else 0}f} times"


def counted(number: int, thing: str) -> str:
    """So many things.

    >>> counted(1, "layer"), counted(12, "layer")
    ('1 layer', '12 layers')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def listed(items: Iterable[object]) -> str:
    """All the items as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed([5000])
    ('a, b and c', '5000')
    """
    *most, last = [*map(str, items)] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def first_few(items: Iterable[str], limit: int = 3, *, width: int | None = 80) -> str:
    """The first few items, each cut where it is longer than `width` characters, and how many there are besides.

    >>> first_few("abcde"), first_few("ab")
    ('a, b, c and 2 more', 'a, b')
    """
    every = list(items)
    shown = ", ".join(item if width is None else shorten(item, width) for item in every[:limit])
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown
