"""What the service says about itself."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import flask.json
import pandas as pd
import pytest
import schemathesis

from app import create_app, info, openapi


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


LIBPQ_IS_MISSING = "libpq.so.5: cannot open shared object file: No such file or directory"
Psycopg2 = Callable[[str], None]


@pytest.fixture
def psycopg2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Psycopg2]:
    """Installs a psycopg2 whose module ``extensions`` has this code, for as long as the test runs."""

    def install(extensions: str) -> None:
        package = tmp_path / "psycopg2"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "extensions.py").write_text(extensions)
        monkeypatch.syspath_prepend(str(tmp_path))
        info.libpq.cache_clear()

    yield install
    for name in ("psycopg2", "psycopg2.extensions"):
        sys.modules.pop(name, None)
    info.libpq.cache_clear()


class TestLibpq:
    def test_without_psycopg2_nothing_is_said_of_it(self) -> None:
        """At level 1, `/info` has the keys that the description requires, and no others."""
        body = create_app().test_client().get("/info").get_json()

        assert list(body) == openapi.INFO["required"]

    @pytest.mark.parametrize(("number", "version"), [(170006, "17.6"), (180000, "18.0"), (160013, "16.13")], ids=str)
    def test_its_version_is_told(self, psycopg2: Psycopg2, number: int, version: str) -> None:
        """PostgreSQL's number becomes the version as people write it (PQlibVersion in PostgreSQL's manual)."""
        psycopg2(f"def libpq_version(): return {number}")

        assert validated_info()["libpq"] == version

    def test_a_library_that_is_missing_is_told(self, psycopg2: Psycopg2) -> None:
        """The service answers all the same, and says what the loader said."""
        psycopg2(f"raise ImportError({LIBPQ_IS_MISSING!r})")

        body = validated_info()

        assert (body["libpq"], body["libpq_error"]) == (None, LIBPQ_IS_MISSING)


def validated_info() -> dict[str, object]:
    """What `/info` answers; the description has to allow it, and name each key."""
    app = create_app()
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    schema["/info"]["GET"].Case().call_and_validate()
    body: dict[str, object] = app.test_client().get("/info").get_json()
    assert set(body) <= set(openapi.INFO["properties"])
    return body
