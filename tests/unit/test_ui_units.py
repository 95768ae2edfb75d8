"""Sizes, durations and lists in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.ui import units

MB = 10**6


@given(st.integers(-(10**13), 10**13))
def test_megabytes_are_exact_enough(count: int) -> None:
    """What is written of a number of bytes is at most half of its last digit off."""
    text = units.megabytes(count)

    if 0 < abs(count) < 10_000:
        assert "0.01" in text
    else:
        number = float(text.replace("−", "-"))
        precision = 0.005 if abs(count) < 95_000 else 0.05 if abs(count) < 9_950_000 else 0.5
        assert number == pytest.approx(count / MB, abs=precision * 1.001)


@given(st.integers(0, 10**13), st.booleans())
def test_a_size_is_exact_enough(count: int, exactly: bool) -> None:
    """A size is off by half of its last digit at most."""
    number, unit = units.how_large(count, exactly=exactly).replace(",", "").split()

    scale = {"bytes": 1, "kB": 1000, "MB": MB}[unit]
    last_digit = scale / 10 if "." in number else scale
    assert float(number) * scale == pytest.approx(count, abs=last_digit * 0.5001)


def test_seconds_are_rounded() -> None:
    """Durations have one digit after the point below 10 s, and none above."""
    shown = [units.seconds(s) for s in (0, 0.049, 0.05, 9.94, 9.96, 61.5)]

    assert shown == ["0 s", "<0.1 s", "0.1 s", "9.9 s", "10 s", "62 s"]


@pytest.mark.parametrize(
    ("items", "all_of_them", "some"),
    [
        ([], "", ""),
        (["a"], "a", "a"),
        (["a", "b"], "a and b", "a, b"),
        (["a", "b", "c"], "a, b and c", "a, b and 1 more"),
        (["x" * 9], "x" * 9, "xxxx…"),
    ],
)
def test_lists(items: list[str], all_of_them: str, some: str) -> None:
    """One list has every item as it is; the other cuts the long ones, and says how many it leaves out."""
    assert (units.listed(items), units.first_few(items, 2, width=5)) == (all_of_them, some)
