"""Installing and starting an engine: what can be said without one. Bare machines are tried by hand and in CI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlab.engine import daemon
from layerlab.errors import EngineNotFound


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Some process that plays the engine's part."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        yield child
        child.kill()


class TestStarted:
    def test_a_running_engine_is_remembered(self, process: subprocess.Popen[bytes]) -> None:
        """What was started is known again, by process id and start time."""
        daemon._remember(process.pid)

        assert daemon.started() == process.pid

    def test_another_process_with_the_same_id_is_not_taken_for_it(
        self, process: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        """Process ids are used again; the start time tells."""
        daemon._remember(process.pid)
        note = tmp_path / "layerlab/engine.json"
        content = json.loads(note.read_text())
        note.write_text(json.dumps({**content, "process_start": content["process_start"] - 1}))

        assert daemon.started() is None

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"process": "x"}', "not json"])
    def test_a_damaged_note_is_no_engine(self, tmp_path: Path, content: str) -> None:
        """A note that cannot be read means that the lab started nothing."""
        (tmp_path / "layerlab").mkdir()
        (tmp_path / "layerlab/engine.json").write_text(content)

        assert daemon.started() is None


class TestStop:
    def test_only_what_the_lab_started_is_stopped(self) -> None:
        """Without a note there is nothing to stop, and nothing is."""
        assert daemon.stop(kill=lambda *_: pytest.fail("something was killed")) is False

    def test_the_engine_is_told_to_end_and_waited_for(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM lets an engine end its containers; the note goes with it."""
        daemon._remember(process.pid)

        assert daemon.stop() is True
        assert process.wait() == -signal.SIGTERM
        assert daemon.started() is None


class TestRemoveStale:
    def test_an_id_that_another_program_has_is_removed(
        self, process: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        """An engine that was killed left its id, and something else runs under it now."""
        note = tmp_path / "docker.pid"
        note.write_text(f"{process.pid}\n")

        daemon.remove_stale({"dockerd": note})
        assert not note.exists()

    def test_the_id_of_a_program_that_runs_stays(self, process: subprocess.Popen[bytes], tmp_path: Path) -> None:
        """A living engine's note is its own business, and so is a note that nobody can read."""
        note, empty = tmp_path / "docker.pid", tmp_path / "empty.pid"
        note.write_text(str(process.pid))
        empty.write_text("")
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()

        daemon.remove_stale({name: note, "containerd": empty, "other": tmp_path / "missing.pid"})
        assert (note.exists(), empty.exists()) == (True, True)


class TestBoundedCache:
    """The build cache of an engine that the lab starts is bounded, and nobody's configuration is changed."""

    @pytest.fixture
    def users(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Where the user's configuration would be."""
        path = tmp_path / "docker" / "daemon.json"
        monkeypatch.setattr(daemon, "CONFIGURATION", path)
        return path

    def test_an_engine_is_configured_once(self, users: Path) -> None:
        """The bound is where the engine looks for it, however it is started; what is there stays."""
        daemon._configure()
        assert json.loads(users.read_text()) == daemon.BOUNDED_CACHE

        users.write_text("{}")
        daemon._configure()
        assert users.read_text() == "{}"


class TestEnsure:
    def test_without_root_nothing_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An ordinary user without an engine gets the error of the search, which says what to do."""
        missing = EngineNotFound("none", remedy="start Docker")

        def connect() -> None:
            raise missing

        monkeypatch.setattr(daemon, "connect", connect)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(daemon, "install", lambda _: pytest.fail("installed something"))
        with pytest.raises(EngineNotFound) as caught:
            daemon.ensure()
        assert caught.value is missing
