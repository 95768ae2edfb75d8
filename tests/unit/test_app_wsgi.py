"""The three ways to start the service: a WSGI server, Flask's command, the module itself."""

from __future__ import annotations

import runpy
from typing import Any

import flask
import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

import app
from app import wsgi


def test_a_wsgi_server_finds_the_application() -> None:
    """``app.wsgi:app`` is a Flask application, and each call of create_app makes another."""
    assert isinstance(wsgi.app, flask.Flask)
    assert app.create_app() is not app.create_app()


def test_flasks_command_finds_the_application() -> None:
    """``flask --app app.wsgi`` knows the routes."""
    result = CliRunner().invoke(FlaskGroup(), ["--app", "app.wsgi", "routes"])

    assert result.exit_code == 0
    assert "/data/summary" in result.output


def test_the_module_starts_the_development_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m app`` runs Flask's own server with its debugger, on port 5000 of all interfaces."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(flask.Flask, "run", lambda self, **options: calls.append(options))

    runpy.run_module("app", run_name="__main__")

    assert calls == [{"host": "0.0.0.0", "port": 5000, "debug": True}]  # noqa: S104  # as a container needs it
