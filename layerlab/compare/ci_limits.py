"""Limits that an image has to keep, for a CI job that stops when it does not: size, waste, no root.

A *limit* is what was asked for, a *check* what came of it. Sizes are bytes of regular files without compression, the
same that every other command shows; MB are 10^6 bytes, MiB 2^20.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from layerlab.compare.image_settings import of_config, runs_as_root
from layerlab.errors import UsageError
from layerlab.image import Image
from layerlab.ui.units import how_large

_UNITS: Final = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*|%)")
SIZES: Final = "300MB, 1.2GB, 250MiB, or a number of bytes"


@dataclass(frozen=True)
class Amount:
    """So many bytes, or such a share of an image in percent; and as it was written."""

    value: float
    is_share: bool
    text: str


@dataclass(frozen=True)
class Check:
    """Whether an image keeps a limit."""

    name: str  # the option of the command line, without its dashes
    limit: float | None  # bytes or percent at most; None for what is no number
    measured: float | str  # bytes or percent; for `no-root` the user
    unit: str  # ``bytes``, ``%`` or ``user``
    ok: bool  # whether it is kept; what is just as large as the limit keeps it
    message: str  # what was asked and what is there, in a sentence


def size(text: str, *, or_share: bool = False) -> Amount:
    """So many bytes; or a share in percent, if that may be.

    Raises:
        UsageError: the text says something else, or more than 100 %.

    >>> size("1.2GB").value, size("250MiB").value, size("1000").value
    (1200000000, 262144000, 1000)
    >>> size("5%", or_share=True)
    Amount(value=5.0, is_share=True, text='5%')
    """
    found = _AMOUNT.fullmatch(text.strip())
    number, unit = found.groups() if found else ("", "?")
    if unit.upper() in _UNITS:
        return Amount(round(Decimal(number) * _UNITS[unit.upper()]), False, text.strip())
    if not (or_share and unit == "%"):
        what, example = ("no size and no share", "5%, ") if or_share else ("no size", "")
        raise UsageError(f"{text!r} is {what}", remedy=f"write {example}{SIZES}")
    if float(number) > 100:
        raise UsageError(f"{text!r} is more than all of it", remedy="write at most 100%")
    return Amount(float(number), True, text.strip())


def check(
    image: Image, *, max_size: Amount | None = None, max_waste: Amount | None = None, no_root: bool = False
) -> list[Check]:
    """Hold an image against limits; an empty list if there are none.

    `max_size` limits what its layers store, `max_waste` what of that no container may see (a share is one of all that
    is stored); with `no_root` its user has to be another than root.
    """
    total, wasted, name = image.total_bytes, image.wasted_bytes, image.name
    found = []
    if max_size is not None:
        message = f"{name} stores {how_large(total, exactly=True)}, and at most {max_size.text} are allowed"
        found.append(Check("max-size", max_size.value, total, "bytes", total <= max_size.value, message))
    if max_waste is not None:
        share = 100 * wasted / total if total else 0.0
        measured, unit = (share, "%") if max_waste.is_share else (wasted, "bytes")
        there = f"{how_large(wasted, exactly=True)} ({share:.1f} %) of {name} can be seen by no container"
        message = f"{there}, and at most {max_waste.text} are allowed"
        found.append(Check("max-waste", max_waste.value, measured, unit, measured <= max_waste.value, message))
    if no_root:
        user = of_config(image.config).get("user", "")
        is_root = runs_as_root(image.config)
        why = f"root, since {f'its user is {user}' if user else 'it names no user'}" if is_root else user
        found.append(Check("no-root", None, user or "root", "user", not is_root, f"{name} runs as {why}"))
    return found


def broken(checks: Sequence[Check]) -> list[str]:
    """What to say of the limits that are not kept, a line for each."""
    return [f"--{check.name} is broken: {check.message}" for check in checks if not check.ok]
