"""The query parameters of each address that takes some. Limits keep the cost of a request bounded."""

from __future__ import annotations

import secrets
from typing import Any, Final

from flask import request

from app import plots
from app.parameters import Choice, Integer, Parameter, parse

MAX_SEED: Final = 2**32 - 1

SEED: Final = Integer(
    "seed", "The same seed gives the same bytes. Without one, one is picked, and told.", None, 0, MAX_SEED
)
ROWS: Final = Integer("rows", "How many orders.", 100, 1, 10_000)
TABLE_FORMAT: Final = Choice("format", "How the table is written.", "json", ("json", "csv"))

PLOT: Final[tuple[Parameter, ...]] = (
    Choice("kind", "What is drawn.", "walk", tuple(plots.KINDS)),
    SEED,
    Integer("size", "The width in pixels; the height is five eighths of it.", 640, 240, 1600),
    Choice("format", "The kind of file.", "png", plots.FORMATS),
)
DATA: Final[tuple[Parameter, ...]] = (ROWS, SEED, TABLE_FORMAT)
SUMMARY: Final[tuple[Parameter, ...]] = (
    Choice("by", "The column whose values are the groups.", "city", ("city", "product")),
    *DATA,
)


def read(parameters: tuple[Parameter, ...]) -> tuple[dict[str, Any], bool]:
    """What the current request asks for, and whether it asks for the same bytes each time.

    Raises:
        ParameterError: see `parse`.
    """
    values = parse(request.query_string, parameters)
    repeatable = values["seed"] is not None
    if not repeatable:
        # Not `random`: workers forked from one process would all go on from the same state.
        values["seed"] = secrets.randbelow(MAX_SEED + 1)
    return values, repeatable
