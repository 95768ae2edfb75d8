"""The DataFrames of causes; see `layerlab.xray.waste` for their columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from layerlab.image.stack import LayerStack
from layerlab.image.tables import texts
from layerlab.xray.waste.bytes_by_cause import CAUSES, Needless
from layerlab.xray.waste.summary import Cause


def causes(found: list[Cause]) -> pd.DataFrame:
    """A row per cause and place."""
    return pd.DataFrame(
        {
            "cause": pd.Categorical([cause.cause for cause in found], list(CAUSES)),
            "is_fact": pd.Series([cause.is_fact for cause in found], dtype="bool"),
            "bytes": pd.Series([cause.bytes for cause in found], dtype="int64"),
            "files": pd.Series([cause.files for cause in found], dtype="int64"),
            "layer": pd.Series([cause.layer for cause in found], dtype="int64"),
            "line": _integers(cause.line for cause in found),
            "by_layer": _integers(cause.by_layer for cause in found),
            "by_line": _integers(cause.by_line for cause in found),
            "details": pd.Series([cause.details for cause in found], dtype="object"),
            "examples": pd.Series([cause.examples for cause in found], dtype="object"),
        }
    )


def files(stack: LayerStack, found: list[Needless]) -> pd.DataFrame:
    """A row per file."""
    merged, lines = stack.merged, stack.lines
    return pd.DataFrame(
        {
            "path": texts([merged.paths[row.entry] for row in found]),
            "cause": pd.Categorical([row.cause for row in found], list(CAUSES)),
            "is_fact": pd.Series([row.is_fact for row in found], dtype="bool"),
            "detail": texts([row.detail for row in found]),
            "bytes": pd.Series([row.bytes for row in found], dtype="int64"),
            "layer": pd.Series([row.layer for row in found], dtype="int64"),
            "line": _integers(lines[row.layer] for row in found),
            "by_layer": _integers(row.by_layer for row in found),
            "by_line": _integers(None if row.by_layer is None else lines[row.by_layer] for row in found),
            "like": texts(["" if row.like is None else merged.paths[row.like] for row in found]),
        }
    )


def _integers(values: Iterable[int | None]) -> Any:
    return pd.array(list(values), dtype="Int64")
