"""What each address answers."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Final

import pandas as pd
from flask import Blueprint, Response, jsonify, render_template, request

from app import data, info, openapi, plots, queries
from app.counter import RequestCounter

blueprint = Blueprint("service", __name__)
# Made when the module is loaded, so before a server that preloads the application forks its workers.
STARTED: Final = time.monotonic()
REQUESTS: Final = RequestCounter()


@blueprint.after_request
def _count(response: Response) -> Response:
    REQUESTS.add()
    return response


@blueprint.get("/")
def home() -> Response:
    seed = secrets.randbelow(queries.MAX_SEED + 1)
    style = render_template("style.css")
    page = render_template("home.html", style=style, seed=seed, kinds=list(plots.KINDS), width=640, height=400)
    response = Response(page, content_type="text/html; charset=utf-8")
    # Pictures from here, the empty icon, and the one style sheet that the page holds; no script, no other place.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'"
    )
    return response


@blueprint.get("/status")
def status() -> Response:
    return jsonify(
        status="ok",
        uptime_seconds=round(time.monotonic() - STARTED, 3),
        requests_served=REQUESTS.total,
        requests_counted_in=REQUESTS.covers,
    )


@blueprint.get("/info")
def info_() -> Response:
    return jsonify(info.describe())


@blueprint.get("/plot")
def plot() -> Response:
    query, repeatable = queries.read(queries.PLOT)
    picture = plots.draw(query["kind"], query["seed"], query["size"], query["format"])
    response = Response(picture, content_type=openapi.PICTURES[query["format"]])
    # An SVG that is opened by itself needs its own styles; scripts in it stay forbidden.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return _finish(response, query["seed"], repeatable)


@blueprint.get("/data")
def data_() -> Response:
    query, repeatable = queries.read(queries.DATA)
    table = data.orders(query["seed"], query["rows"])
    return _table(table, query["format"], query["seed"], repeatable)


@blueprint.get("/data/summary")
def summary() -> Response:
    query, repeatable = queries.read(queries.SUMMARY)
    table = data.summary(data.orders(query["seed"], query["rows"]), query["by"])
    return _table(table, query["format"], query["seed"], repeatable)


@blueprint.get("/openapi.json")
def openapi_() -> Response:
    return jsonify(openapi.describe())


def _table(table: pd.DataFrame, file_format: str, seed: int, repeatable: bool) -> Response:
    if file_format == "csv":
        response = Response(table.to_csv(index=False, lineterminator="\n"), content_type=openapi.CSV)
    else:
        response = jsonify(seed=seed, rows=len(table), data=data.records(table))
    return _finish(response, seed, repeatable)


def _finish(response: Response, seed: int, repeatable: bool) -> Response:
    response.headers["X-Seed"] = str(seed)  # with it, the same can be had again
    if repeatable:
        response.headers["Cache-Control"] = "public, max-age=3600"
        response.add_etag()
        response.make_conditional(request)
    return response
