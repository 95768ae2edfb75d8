"""The single-stage image: it works, and each habit that its Dockerfile numbers has the consequence that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from layerlab import dockerfile
from layerlab.engine import Engine
from layerlab.paths import ROOT
from layerlab.service import Service, run
from tests.engine.images import ENDPOINTS, Built, built


@pytest.fixture(scope="module")
def single(engine: Engine) -> Iterator[Built]:
    with built(engine, "Dockerfile.single", "python:3.13-trixie") as image:
        yield image


@pytest.fixture(scope="module")
def beginner(engine: Engine, single: Built) -> Iterator[Service]:
    with run(engine, single.id, hardened=False) as running:
        yield running


class TestSingle:
    @pytest.mark.parametrize(("path", "content_type"), ENDPOINTS.items())
    def test_it_answers(self, beginner: Service, path: str, content_type: str) -> None:
        """Each address answers with what it promises: what is wrong with it cannot be seen from outside."""
        response = beginner.get(path)

        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)

    def test_habits_are_numbered(self) -> None:
        """Each bad habit has its number, in the order of the file."""
        numbers = re.findall(r"^# \((\d+)\) ", (ROOT / "Dockerfile.single").read_text(), re.MULTILINE)

        assert numbers == [str(n) for n in range(1, 12)]

    def test_compilers_come_along(self, single: Built) -> None:
        """Habits 1 and 4: compilers that nothing uses."""
        assert single.paths("/bin/gcc$")
        assert single.paths("/bin/gfortran$")

    def test_a_change_of_the_code_repeats_everything(self, single: Built) -> None:
        """Habit 2: the code is copied before anything is installed, so every RUN comes after it."""
        instructions = dockerfile.parse((ROOT / "Dockerfile.single").read_text()).instructions
        (copied,) = [i for i, instruction in enumerate(instructions) if instruction.keyword == "COPY"]

        assert all(i > copied for i, instruction in enumerate(instructions) if instruction.keyword == "RUN")

    def test_what_is_removed_later_is_still_stored(self, single: Built) -> None:
        """Habits 3 and 6: the package index is in a layer, though the container does not see it."""
        lists = [
            sum(e.size for e in layer if e.is_file and e.path.startswith("/var/lib/apt/lists/"))
            for layer in single.own
        ]

        assert max(lists) > 5_000_000
        assert any(
            re.search(r"/apt/lists/\.wh\.|/lib/apt/\.wh\.lists", e.path) for layer in single.own for e in layer
        )

    def test_changing_modes_stores_everything_again(self, single: Built) -> None:
        """Habit 8: the layer of the chmod holds as much as those of the packages, and anyone may write to it."""
        installed, changed = single.own[-2], single.own[-1]

        assert sum(entry.size for entry in changed) > sum(entry.size for entry in installed) > 200_000_000
        assert all(entry.mode & 0o777 == 0o777 for entry in changed if entry.is_file and "/venv/" in entry.path)

    def test_it_runs_as_root(self, beginner: Service) -> None:
        """Habit 9: every process is root."""
        assert set(beginner.processes()["uid"]) == {0}
        assert beginner.get("/info").json()["user_id"] == 0

    def test_it_is_served_by_the_development_server(self, beginner: Service) -> None:
        """Habit 10: Werkzeug answers, and its debugger is on."""
        assert beginner.get("/status").headers["Server"].startswith("Werkzeug/")
        assert "Debugger is active!" in beginner.logs()

    def test_docker_stop_has_to_kill(self, engine: Engine, single: Built) -> None:
        """Habit 11: the shell that is process 1 passes no signal on."""
        with run(engine, single.id, hardened=False) as service:
            assert service.processes()["command"].iloc[0] == "/bin/sh -c venv/bin/python -m app"
            stopped = service.stop(timeout=2)

        assert (stopped.by_signal, stopped.exit_code) == (False, 137)
