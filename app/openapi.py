"""The description of the service for programs: OpenAPI 3.1.

Parameters and their limits come from `app.queries`, which the service itself reads its queries by.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from app import data, info, queries
from app.parameters import Parameter

PICTURES: Final = {"png": "image/png", "svg": "image/svg+xml"}
CSV: Final = "text/csv; charset=utf-8"

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
TEXT: Final[Schema] = {"type": "string"}
CITY: Final[Schema] = {"type": "string", "enum": list(data.CITIES)}
PRODUCT: Final[Schema] = {"type": "string", "enum": list(data.PRODUCTS)}

STATUS: Final = _object(
    status={"const": "ok"},
    uptime_seconds={"type": "number", "minimum": 0},
    requests_served=COUNT,
    requests_counted_in={"enum": ["all workers", "this process"]},
)
INFO: Final = _object(
    python=TEXT,
    packages={
        "type": "object",
        "properties": dict.fromkeys(info.PACKAGES, TEXT),
        "additionalProperties": False,
    },
    process_id=INTEGER,
    user_id=INTEGER,
    group_id=INTEGER,
    container=TEXT,
)
# What is told only where psycopg2 is installed.
INFO["properties"] |= {
    "libpq": {
        "description": "The version of PostgreSQL's client library; null where psycopg2 cannot be loaded.",
        "type": ["string", "null"],
    },
    "libpq_error": {"description": "Why it cannot be loaded.", "type": "string"},
}
INFO["dependentRequired"] = {"libpq_error": ["libpq"]}
ORDER: Final = _object(
    day={"type": "string", "format": "date"}, city=CITY, product=PRODUCT, units=INTEGER, price=NUMBER
)
GROUP: Final = {
    **_object(orders=INTEGER, units=INTEGER, mean_price=NUMBER, revenue=NUMBER),
    "oneOf": [_object(city=CITY), _object(product=PRODUCT)],
}
ERROR: Final = _object(error=TEXT, status=INTEGER)
BAD_PARAMETER: Final = _object(error=TEXT, status={"const": 400}, parameter=TEXT, limits={"type": "object"})


def _table(row: Schema) -> dict[str, Schema]:
    """The two forms in which a table comes."""
    return {"application/json": _object(seed=COUNT, rows=COUNT, data=_array(row)), CSV: TEXT}


def _get(summary: str, content: dict[str, Schema], parameters: tuple[Parameter, ...] = ()) -> Schema:
    """One address, as OpenAPI has it."""
    success: Schema = {
        "description": "Done.",
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }
    responses = {"200": success}
    if parameters:
        success["headers"] = {
            "X-Seed": {"description": "With this seed, the same can be had again.", "schema": queries.SEED.schema()}
        }
        responses["400"] = {
            "description": "A parameter is unknown, given twice, or out of its limits.",
            "content": {"application/json": {"schema": BAD_PARAMETER}},
        }
    return {
        "get": {
            "summary": summary,
            "parameters": [_parameter(parameter) for parameter in parameters],
            "responses": responses,
        }
    }


def _parameter(parameter: Parameter) -> Schema:
    schema = parameter.schema()
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {"name": parameter.name, "in": "query", "description": parameter.description, "schema": schema}


@cache
def describe() -> Schema:
    """The whole description."""
    pictures: dict[str, Schema] = {kind: {} for kind in PICTURES.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Random plots and tables",
            "version": "1.0",
            "description": "The service that the multi-stage lab packages.",
        },
        "paths": {
            "/": _get("A page with a live plot and links", {"text/html; charset=utf-8": TEXT}),
            "/status": _get("Whether it works, since when, requests served", {"application/json": STATUS}),
            "/info": _get("Versions, process, user and container", {"application/json": INFO}),
            "/plot": _get("A random plot", pictures, queries.PLOT),
            "/data": _get("A random table of orders", _table(ORDER), queries.DATA),
            "/data/summary": _get("The same table, grouped and summed up", _table(GROUP), queries.SUMMARY),
            "/openapi.json": _get("This description", {"application/json": {"type": "object"}}),
        },
    }
