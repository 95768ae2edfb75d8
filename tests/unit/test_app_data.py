"""The random table and its summary."""

from __future__ import annotations

import math
from collections import defaultdict

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import data

SEEDS = st.integers(0, 2**32 - 1)
ROWS = st.integers(1, 300)


@given(SEEDS, ROWS)
def test_the_table_is_as_described(seed: int, rows: int) -> None:
    """Every column has its documented type and range, whatever the seed."""
    table = data.orders(seed, rows)

    assert len(table) == rows
    assert list(table) == ["day", "city", "product", "units", "price"]
    assert table["day"].between("2026-01-01", "2026-12-31").all()
    assert table["city"].isin(data.CITIES).all()
    assert table["product"].isin(data.PRODUCTS).all()
    assert table["units"].between(1, 12).all()
    assert table["price"].between(0.5, 20).all()
    assert table["units"].dtype == "int64"
    assert table["price"].dtype == "float64"


@given(SEEDS, ROWS)
def test_the_same_seed_gives_the_same_table(seed: int, rows: int) -> None:
    """Two tables of one seed are equal, and a table of another seed is another."""
    table = data.orders(seed, rows)

    pd.testing.assert_frame_equal(data.orders(seed, rows), table)


def test_another_seed_gives_another_table() -> None:
    """The seed matters."""
    assert not data.orders(1, 100).equals(data.orders(2, 100))


@pytest.mark.parametrize("by", ["city", "product"])
@given(seed=SEEDS, rows=ROWS)
def test_the_summary_is_what_adding_up_by_hand_gives(by: str, seed: int, rows: int) -> None:
    """Counts, sums and means agree with a loop that knows no pandas; cents are exact."""
    table = data.orders(seed, rows)
    orders: dict[str, int] = defaultdict(int)
    units: dict[str, int] = defaultdict(int)
    cents: dict[str, int] = defaultdict(int)
    prices: dict[str, int] = defaultdict(int)
    for group, count, price in zip(table[by], table["units"], table["price"], strict=True):
        orders[group] += 1
        units[group] += count
        prices[group] += round(price * 100)
        cents[group] += round(price * 100) * count

    result = data.summary(table, by).set_index(by)

    assert list(result.index) == sorted(orders)
    assert result["orders"].to_dict() == orders
    assert result["units"].to_dict() == units
    assert result["revenue"].to_dict() == {group: total / 100 for group, total in cents.items()}
    for group, mean in result["mean_price"].items():
        assert math.isclose(mean, prices[group] / orders[group] / 100, abs_tol=0.005 + 1e-9)


def test_records_hold_nothing_but_what_json_knows() -> None:
    """Days become text, numbers become Python's own."""
    (record,) = data.records(data.orders(1, 1))

    assert {name: type(value) for name, value in record.items()} == {
        "day": str,
        "city": str,
        "product": str,
        "units": int,
        "price": float,
    }
