"""Consoles and tables in a terminal: plain, aligned, and readable when piped into a file.

What rich and pandas do is loaded when something is printed: most commands with ``--json`` print nothing by them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO, cast

from layerlab.ui.text import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def console(stream: TextIO) -> Console:
    """A console for this stream: as wide as the terminal; a file or a pipe gets every line whole.

    What is printed is shown as it is: a text in brackets is no markup.
    """
    return cast("Console", _Later(stream))


class _Later:
    """A console that is made when something is asked of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415

        width = None if self._stream.isatty() else 240
        return Console(file=self._stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console, name)


def show(
    console: Console, frame: pd.DataFrame, title: str, sizes: Collection[str] = (),
    named: Mapping[str, str] | None = None, /, *, first: bool = False, **headings: str,
) -> None:  # fmt: skip
    """Print the columns of a DataFrame that have a heading; numbers to the right, missing values as a dash.

    The bytes of `sizes` are shown in MB (10^6 bytes), the column `difference` with a plus or a minus. `named` are
    headings of columns that are called what somebody else likes. No empty line is above a `first` table.
    """
    import pandas as pd  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    columns = []
    for column, heading in {**(named or {}), **headings}.items():
        values = frame[column] / 1e6 if column in sizes else frame[column]
        numeric = pd.api.types.is_numeric_dtype(values)
        table.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold")
        columns.append(["–" if pd.isna(value) else _cell(value, column == "difference") for value in values])
    for row in zip(*columns, strict=True):
        table.add_row(*map(Text, row))
    if not first:
        console.print()
    console.print(table)


def _cell(value: object, signed: bool) -> str:
    """A value as text; file names and instructions are never taken for escape codes."""
    sign = "+" if signed else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:{sign},.1f}" if abs(value) >= 0.05 else "0.0"
    if isinstance(value, int):
        return f"{value:{sign},}"
    return printable(str(value))
