"""`./lab slim`: applications of several kinds, FROM scratch by the rules, answer as before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from layerlab.engine import Engine
from layerlab.minimal import make
from layerlab.paths import ROOT

APPLICATIONS = ROOT / "tests/applications"
SERVER = """
import http.server, os, sqlite3

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/status" else int(os.environ.get("OTHERS", "404")))
        self.end_headers()

http.server.HTTPServer(("", 5000), Handler).serve_forever()
"""


@pytest.mark.long
def test_what_is_there_stays_and_is_asked(engine: Engine, tmp_path: Path) -> None:
    """A small server answers as before, with what it imports; its Dockerfile.minimal is kept when it is edited."""
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim-trixie\nCOPY server.py /\nCMD python /server.py\n")
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / ".dockerignore").write_text("*\n!server.py\n")

    first = make(engine, tmp_path)
    mine = (tmp_path / "Dockerfile.minimal").read_text() + "ENV OTHERS=500\n"
    (tmp_path / "Dockerfile.minimal").write_text(mine)
    second = make(engine, tmp_path)

    assert first.same
    assert first.written == ("Dockerfile.minimal", "slim", "Dockerfile.minimal.dockerignore")
    assert first.kept == {"Python: small databases": "sqlite3"}
    assert first.bytes_after < first.bytes_before / 3
    assert sum(row.bytes for row in first.left_out) > 10_000_000
    assert (second.same, second.written) == (False, ())
    assert [each.path for each in second.requests if each.before != each.after] == ["/openapi.json"]
    assert (tmp_path / "Dockerfile.minimal").read_text() == mine


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "most", "paths"),
    [
        ("psycopg2", 36_000_000, {"/status", "/quoted", "/refused"}),
        ("lxml-and-cryptography", 60_000_000, {"/status", "/signed"}),
        ("scikit-learn", 230_000_000, {"/status", "/learned"}),
    ],
)
def test_applications_answer_as_before(engine: Engine, tmp_path: Path, name: str, most: int, paths: set[str]) -> None:
    """Compiled packages, in a virtual environment, beside Python's own or elsewhere; several servers."""
    folder = tmp_path / "application"
    shutil.copytree(APPLICATIONS / name, folder)

    made = make(engine, folder)

    assert {each.path: each.after for each in made.requests if each.before != each.after} == {}
    assert made.same
    assert paths <= {each.path for each in made.requests}
    assert made.bytes_after <= most
