"""The table as it stands in README.md, between two marks, where ``python -m benchmarks --readme`` puts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.rows import Row
from layerlab.errors import LabError
from layerlab.paths import ROOT

README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- what `python -m benchmarks --readme` printed -->"
END: Final = "<!-- end of what it printed -->"
HEADINGS: Final = ("measured", "lab", "unit", "instead", "otherwise", "so it is")
NUMBERS: Final = frozenset({"lab", "otherwise"})


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


def markdown(measured: Mapping[str, Sequence[Row]], machine: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "|".join("--:" if heading in NUMBERS else "---" for heading in HEADINGS) + "|",
        *("| " + " | ".join(map(_escaped, cells(row))) + " |" for rows in measured.values() for row in rows),
    ]
    return "\n".join([*lines, "", f"({caption(machine)})"])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def write(measured: Mapping[str, Sequence[Row]], machine: Mapping[str, Any], readme: Path = README) -> None:
    """Put the table between the marks.

    Raises:
        LabError: the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LabError(
            f"{readme.name} lacks the marks between which the table stands", remedy=f"add {BEGIN} and {END}"
        )
    readme.write_text(f"{before}{begin}\n{markdown(measured, machine)}\n{end}{after}", encoding="utf-8")
