"""The tables of ``python -m benchmarks --save``: all rows in docs/benchmarks.md, what a user asks first in README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.rows import Row
from layerlab.errors import LabError
from layerlab.paths import ROOT

README: Final = ROOT / "README.md"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- what `python -m benchmarks --save` printed -->"
END: Final = "<!-- end of what it printed -->"
HEADINGS: Final = ("measured", "lab", "unit", "instead", "otherwise", "so it is")
NUMBERS: Final = frozenset({"lab", "otherwise"})
IN_README: Final = (
    "the multi-stage image",
    "the multi-stage image, as pulled",
    "a rebuild after a change of the app",
    "first answer after the start: gunicorn, multi-stage",
    "GET /status: gunicorn, multi-stage",
    "the single-stage image: a process that prints the JSON document, first look",
)
"""What of all rows a user asks first."""


def caption(machine: Mapping[str, Any]) -> str:
    """On what the figures were seen."""
    on = "stand-in bases" if machine["stand_ins"] else "the official bases"
    return (
        f"Docker Engine {machine['engine']} ({machine['storage_driver']}), Python {machine['python']}, "
        f"{machine['processors']} processors (load {machine['load']} at the start), {on}"
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row under `HEADINGS`."""
    return row.what, number(row.value), row.unit, row.instead, number(row.instead_value), row.in_words


def number(value: float) -> str:
    """A figure with about three digits that count.

    >>> number(0.1234), number(12.345), number(1234.5), number(0.0), number(7)
    ('0.12', '12.3', '1,234', '0', '7')
    """
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def markdown(rows: Iterable[Row], machine: Mapping[str, Any]) -> str:
    """A table in Markdown."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "|".join("--:" if heading in NUMBERS else "---" for heading in HEADINGS) + "|",
        *("| " + " | ".join(map(_escaped, cells(row))) + " |" for row in rows),
    ]
    return "\n".join([*lines, "", f"({caption(machine)})"])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def write(
    measured: Mapping[str, Sequence[Row]], machine: Mapping[str, Any], readme: Path = README, page: Path = PAGE
) -> None:
    """Put the tables between the marks of both pages.

    Raises:
        LabError: the marks are not there; neither page is changed.
    """
    rows = [row for part in measured.values() for row in part]
    first = [row for row in rows if row.what in IN_README]
    changed = [(path, _with_table(path, markdown(shown, machine))) for path, shown in ((readme, first), (page, rows))]
    for path, text in changed:
        path.write_text(text, encoding="utf-8")


def _with_table(path: Path, table: str) -> str:
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LabError(f"{path.name} lacks the marks between which the table stands", remedy=f"add {BEGIN} and {END}")
    return f"{before}{begin}\n{table}\n{end}{after}"
