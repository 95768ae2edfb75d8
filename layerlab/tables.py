"""Tables in a terminal: plain, aligned, and readable when piped into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from layerlab.terminal import printable


def show(console: Console, frame: pd.DataFrame, *, title: str, headings: Mapping[str, str]) -> None:
    """Print these columns of a DataFrame under these headings; numbers to the right, missing values as a dash."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, heading in headings.items():
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(escape(heading), justify="right" if numeric else "left", overflow="fold")
    for row in frame[list(headings)].itertuples(index=False):
        table.add_row(*cells(row))
    console.print(table)


def cells(values: Sequence[object]) -> list[Text]:
    """These values as text: file names and instructions are never taken for markup or escape codes."""
    return [Text(printable("–" if pd.isna(value) else _number(value))) for value in values]  # type: ignore[call-overload]


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def megabytes(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy in which these columns are MB (10^6 bytes) instead of bytes."""
    return frame.assign(**{column: frame[column] / 1e6 for column in columns})
