"""A small Flask service: random plots, random tables, and what it knows about itself.

It is what the Dockerfiles of this repository package, and knows nothing of them.

======================  =====================================================
``/``                   a page with a live plot and links
``/status``             whether it works, since when, requests served
``/info``               versions, process, user, container
``/plot``               a random picture: kind, seed, size, PNG or SVG
``/data``               a random table: rows, seed, JSON or CSV
``/data/summary``       the same table, grouped and summed up
``/openapi.json``       all of this, described for programs
======================  =====================================================
"""

from __future__ import annotations

from flask import Flask

from app import errors, headers, routes


def create_app() -> Flask:
    """A new WSGI application, independent of any other."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # keys come in the order in which they are explained
    app.url_map.merge_slashes = False  # `//plot` is not found, rather than redirected
    app.register_blueprint(routes.blueprint)
    errors.register(app)
    headers.register(app)
    return app
