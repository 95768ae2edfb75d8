"""Whether a table can be drawn: the columns and the numbers that a picture needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from layerlab.errors import UsageError


def checked(table: pd.DataFrame, what: str, columns: dict[str, str], *, signed: tuple[str, ...] = ()) -> pd.DataFrame:
    """The columns that a picture needs, with a fresh index.

    Args:
        table: What the caller gave.
        what: What it is, for the message.
        columns: The columns' names and what each holds: ``number`` (finite, not negative), ``text``, ``flag``
            or ``line`` (a number or nothing; a missing column is a column of nothing).
        signed: The number columns that may be negative.

    Raises:
        UsageError: a column is missing or holds what cannot be drawn, or there are no rows.
    """
    missing = [name for name, kind in columns.items() if name not in table.columns and kind != "line"]
    if missing:
        raise UsageError(
            f"{what} has no column {', '.join(map(repr, missing))}",
            remedy=f"pass a DataFrame with the columns {', '.join(columns)}",
        )
    if table.empty:
        raise UsageError(f"{what} has no rows, so there is nothing to draw", remedy="pass a table with rows")
    drawn = pd.DataFrame(index=pd.RangeIndex(len(table)))
    for name, kind in columns.items():
        if kind == "line":
            lines = table[name] if name in table.columns else pd.Series(pd.NA, index=table.index)
            drawn[name] = pd.to_numeric(lines, errors="coerce").astype("Int64").array
        elif kind == "number":
            drawn[name] = numbers(table[name], f"{what}, column {name!r}", signed=name in signed)
        elif kind == "flag":
            drawn[name] = table[name].fillna(False).astype(bool).to_numpy()
        else:
            drawn[name] = table[name].astype("object").map(str).to_numpy()
    return drawn


def numbers(values: pd.Series, what: str, *, signed: bool = False) -> np.ndarray:
    """The values as numbers that can be drawn.

    Raises:
        UsageError: one is not a finite number, or negative where that means nothing.
    """
    converted = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not np.isfinite(converted).all() or (not signed and (converted < 0).any()):
        raise UsageError(
            f"{what} holds something other than {'finite' if signed else 'finite, non-negative'} numbers",
            remedy="leave out the rows that were not measured",
        )
    return converted
