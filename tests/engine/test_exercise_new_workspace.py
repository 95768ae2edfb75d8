"""The exercise's workspaces: the starters build and run, and level 2 needs what its text says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlab import bases
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from layerlab.service import Service, run

SOLUTIONS = ROOT / "tests/solutions"
Build = Callable[[Path], str]


@pytest.fixture
def image_of(engine: Engine, new_tag: Callable[[], str]) -> Build:
    """Builds a workspace and gives the image's tag, which is removed afterwards."""
    bases.ensure(engine)

    def make(folder: Path) -> str:
        tag = new_tag()
        build(engine, folder, tag=tag)
        return tag

    return make


class TestStarters:
    @pytest.mark.long  # notebook 08 checks the first
    @pytest.mark.parametrize("level", [1, 2])
    def test_they_run_and_run_badly(self, engine: Engine, image_of: Build, tmp_path: Path, level: int) -> None:
        """The service answers: root's, from the development server, with the packages that were typed by hand."""
        tag = image_of(new_workspace.make(tmp_path / "mine", level=level))

        with run(engine, tag, hardened=False) as service:
            info = service.get("/info").json()
            assert service.get("/plot").status_code == service.get("/data/summary").status_code == 200
            assert service.get("/status").headers["Server"].startswith("Werkzeug/")
            assert "Debugger is active!" in service.logs()
        assert info["user_id"] == 0
        assert "gunicorn" not in info["packages"]
        assert ("libpq" in info) == (level == 2)


@pytest.mark.long
class TestLevel2:
    def test_the_library_ships_and_the_compiler_does_not(
        self, engine: Engine, image_of: Build, tmp_path: Path
    ) -> None:
        """A right solution tells the version of Debian's own package, and holds no compiler and no header."""
        tag = image_of(solution(tmp_path / "mine", "right-level-2-compiled"))

        with run(engine, tag) as service:
            info = service.get("/info").json()

            assert "psycopg2" in info["packages"]
            assert debian_version(service, "libpq5").startswith(info["libpq"] + "-")
            for path in ("/usr/include/postgresql", "/usr/include/stdio.h", "/usr/bin/gcc", "/usr/bin/pg_config"):
                assert service.exec(["test", "-e", path]).exit_code == 1, path

    def test_without_the_library_the_service_says_so(self, engine: Engine, image_of: Build, tmp_path: Path) -> None:
        """Where only the Python package was copied, the service answers, and names the library that is missing."""
        tag = image_of(solution(tmp_path / "mine", "wrong-level-2-library-missing"))

        with run(engine, tag) as service:
            info = service.get("/info").json()

            assert info["libpq"] is None
            assert "libpq.so.5" in info["libpq_error"]
            assert service.get("/status").json()["status"] == "ok"


def solution(folder: Path, name: str) -> Path:
    """A workspace of level 2 with one of the labelled solutions in it."""
    made = new_workspace.make(folder, level=2)
    shutil.copy(SOLUTIONS / name / "Dockerfile", folder)
    return made


def debian_version(service: Service, package: str) -> str:
    return service.exec(["dpkg-query", "--show", "--showformat=${Version}", package]).output
