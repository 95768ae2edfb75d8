"""Tables in a terminal: plain, aligned, and readable when piped into a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerlab.ui.text import printable


def show(
    console: Console,
    frame: pd.DataFrame,
    *,
    title: str,
    headings: Mapping[str, str],
    signed: Collection[str] = (),
    first: bool = False,
) -> None:
    """Print these columns of a DataFrame under these headings; numbers to the right, missing values as a dash.

    Numbers in the `signed` columns are differences: they have a plus or a minus. An empty line parts the table from
    what is above it, unless it is the `first`.
    """
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for column, heading in headings.items():
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold")
    plus = [column in signed for column in headings]
    for row in frame[list(headings)].itertuples(index=False):
        table.add_row(*cells(row, plus))
    if not first:
        console.print()
    console.print(table)


def cells(values: Sequence[object], signed: Sequence[bool] = ()) -> list[Text]:
    """These values as text: file names and instructions are never taken for markup or escape codes."""
    signs = [*signed, *([False] * (len(values) - len(signed)))]
    return [
        Text(printable("–" if pd.isna(value) else _number(value, sign)))  # type: ignore[call-overload]
        for value, sign in zip(values, signs, strict=True)
    ]


def _number(value: object, signed: bool) -> str:
    sign = "+" if signed else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:{sign},.1f}" if abs(value) >= 0.05 else "0.0"
    if isinstance(value, int):
        return f"{value:{sign},}"
    return str(value)


def megabytes(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy in which these columns are MB (10^6 bytes) instead of bytes."""
    return frame.assign(**{column: frame[column] / 1e6 for column in columns})
