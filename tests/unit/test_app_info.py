"""What the service says about itself."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError

import flask.json
import pandas as pd
import pytest

from app import create_app, info


def test_info_is_true() -> None:
    """Versions, process, user and host are those of the process that answers."""
    body = create_app().test_client().get("/info").get_json()

    assert body["python"] == platform.python_version()
    assert body["packages"]["pandas"] == pd.__version__
    assert (body["process_id"], body["user_id"], body["group_id"]) == (os.getpid(), os.getuid(), os.getgid())
    assert body["container"] == socket.gethostname()


def test_info_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment is shown."""
    monkeypatch.setenv("API_TOKEN", "hunter2")

    assert "hunter2" not in flask.json.dumps(info.describe(), default=str)


def test_a_package_that_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server than gunicorn is no error."""

    def version(name: str) -> str:
        if name == "gunicorn":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(info, "version", version)
    info.package_versions.cache_clear()

    versions = info.package_versions()

    info.package_versions.cache_clear()
    assert "gunicorn" not in versions
    assert versions["flask"] == "1.0"
