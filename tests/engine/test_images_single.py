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
    with built(engine, "Dockerfile.single") as image:
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

    def test_compilers_come_along(self, beginner: Service) -> None:
        """Habits 1 and 4: compilers that nothing uses."""
        assert beginner.exec(["gcc", "--version"]).exit_code == 0
        assert beginner.exec(["gfortran", "--version"]).exit_code == 0

    def test_a_change_of_the_code_repeats_everything(self) -> None:
        """Habit 2: the code is copied before anything is installed, so every RUN comes after it."""
        instructions = dockerfile.parse((ROOT / "Dockerfile.single").read_text()).instructions
        (copied,) = [i for i, instruction in enumerate(instructions) if instruction.keyword == "COPY"]

        assert all(i > copied for i, instruction in enumerate(instructions) if instruction.keyword == "RUN")

    def test_what_is_removed_later_is_still_stored(self, single: Built, beginner: Service) -> None:
        """Habits 3 and 6: a layer holds the package index, though the container does not see it any more."""
        assert single.stored_by("apt-get update") > 5_000_000
        assert single.stored_by("rm -rf /var/lib/apt/lists") == 0
        assert beginner.exec(["ls", "-A", "/var/lib/apt/lists"]).output == ""

    def test_tools_come_along(self, beginner: Service) -> None:
        """Habit 5: an intruder finds an editor and something to download with."""
        assert beginner.exec(["curl", "--version"]).exit_code == 0
        assert beginner.exec(["vim", "--version"]).exit_code == 0

    def test_pip_keeps_its_cache(self, beginner: Service) -> None:
        """Habit 7: pip has its cache on, so the folder is there (what it holds depends on the index's headers)."""
        assert beginner.exec(["test", "-d", "/root/.cache/pip"]).exit_code == 0

    def test_changing_modes_stores_everything_again(self, single: Built, beginner: Service) -> None:
        """Habit 8: the layer of the chmod holds as much as that of the packages, and anyone may change the code."""
        assert single.stored_by("chmod -R 777") > single.stored_by("pip install") > 200_000_000
        assert beginner.exec(["touch", "/app/app/note.txt"], user=12345).exit_code == 0

    def test_it_runs_as_root(self, beginner: Service) -> None:
        """Habit 9: every process is root."""
        assert set(beginner.processes()["uid"]) == {0}
        assert beginner.get("/info").json()["user_id"] == 0

    def test_it_is_served_by_the_development_server(self, beginner: Service) -> None:
        """Habit 10: Werkzeug answers, and its debugger is on."""
        assert beginner.get("/status").headers["Server"].startswith("Werkzeug/")
        assert "Debugger is active!" in beginner.logs()

    @pytest.mark.long
    def test_docker_stop_has_to_kill(self, engine: Engine, single: Built) -> None:
        """Habit 11: the shell that is process 1 passes no signal on."""
        with run(engine, single.id, hardened=False) as service:
            assert "/bin/sh -c venv/bin/python -m app" in set(service.processes()["command"])
            stopped = service.stop(timeout=2)

        assert (stopped.by_signal, stopped.exit_code) == (False, 137)
