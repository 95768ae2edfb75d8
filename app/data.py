"""A random table of orders, and its summary."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import pandas as pd

CITIES: Final = ("Lagos", "Lima", "Oslo", "Pune", "Quito")
PRODUCTS: Final = ("apples", "bread", "cheese", "dates")
FIRST_DAY: Final = "2026-01-01"


def orders(seed: int, rows: int) -> pd.DataFrame:
    """Random orders, the same for the same seed.

    Returns:
        A row per order: ``day`` datetime64, ``city`` str, ``product`` str, ``units`` int64 (1 to 12),
        ``price`` float64 (of one unit, two decimals).
    """
    random = np.random.default_rng(seed)
    days = pd.date_range(FIRST_DAY, periods=365, freq="D")
    return pd.DataFrame(
        {
            "day": days[random.integers(0, len(days), rows)],
            "city": random.choice(CITIES, rows),
            "product": random.choice(PRODUCTS, rows),
            "units": random.integers(1, 13, rows),
            "price": random.integers(50, 2000, rows) / 100,
        }
    )


def summary(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """What was ordered, for each value of one column.

    Returns:
        A row per value, in alphabetical order: the column itself, ``orders`` int64, ``units`` int64,
        ``mean_price`` float64 (of an order's unit, two decimals), ``revenue`` float64 (two decimals).
    """
    groups = table.assign(revenue=table["units"] * table["price"]).groupby(by, sort=True)
    return (
        groups.agg(
            orders=("units", "size"),
            units=("units", "sum"),
            mean_price=("price", "mean"),
            revenue=("revenue", "sum"),
        )
        .round(2)
        .reset_index()
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON knows them: days are text, ``2026-01-31``."""
    days = table.select_dtypes("datetime").columns
    table = table.assign(**{day: table[day].dt.strftime("%Y-%m-%d") for day in days})
    return cast("list[dict[str, Any]]", table.to_dict("records"))
