"""How ``.venv`` is made, as far as that can be seen without a network: in a folder that has just what it needs."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlab import bootstrap
from layerlab.paths import ROOT

NOBODY = "http://127.0.0.1:9/"  # the port "discard", where nobody listens


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Its ``.venv`` is not there yet."""
    (tmp_path / "layerlab").mkdir()
    shutil.copy(ROOT / "layerlab" / "bootstrap.py", tmp_path / "layerlab")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


@pytest.fixture
def silent_index() -> Iterator[str]:
    """The address of an index of packages that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def started(repository: Path, index: str = NOBODY) -> subprocess.Popen[str]:
    """Make ``.venv`` with what this index has."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        **{"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"},
    }
    return subprocess.Popen(
        [str(Path(sys.base_prefix) / "bin" / "python3"), repository / "layerlab" / "bootstrap.py", "lab"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """The line of what it says in which this stands."""
    assert process.stderr is not None
    return next(line for line in process.stderr if text in line)


class TestMain:
    @pytest.mark.slow
    def test_without_a_network_it_says_so_and_goes_on_from_there(self, repository: Path) -> None:
        """What pip says, and then one line; the environment is there, and does not claim to hold anything."""
        with started(repository) as process:
            _, said = process.communicate()

        assert process.returncode == 2
        assert said.splitlines()[-1].startswith(
            "lab: the packages could not be installed (see above): check the network"
        )
        assert (repository / ".venv" / "pyvenv.cfg").exists()
        assert not list((repository / ".venv").glob("holds-*"))

    @pytest.mark.long
    def test_it_gives_a_sign_of_life_and_can_be_interrupted(self, repository: Path, silent_index: str) -> None:
        """A network that says nothing is waited for, and Ctrl-C, which a terminal sends to all of it, ends that."""
        with started(repository, silent_index) as process:
            assert wait_for(process, "still at it") == "lab:   still at it after 3 s\n"
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate()

        assert process.returncode == 2
        assert said.endswith("lab: interrupted; the next run goes on from here\n")

    def test_a_second_one_waits_and_says_for_whom(self, repository: Path) -> None:
        """Nothing is written while somebody else does so."""
        with (repository / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("1234")
            lock.flush()
            with started(repository) as process:
                waits = wait_for(process, "lab: ")
                process.kill()

        assert waits == "lab: waiting for another ./lab that is making .venv (process 1234)\n"
        assert not (repository / ".venv").exists()

    @pytest.mark.parametrize("kind", ["a folder", "a link"])
    def test_what_is_somebody_elses_stays(
        self, repository: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
    ) -> None:
        """A folder of this name that is no virtual environment, or lies elsewhere, is not emptied."""
        place = repository / ".venv" if kind == "a folder" else tmp_path_factory.mktemp("elsewhere")
        place.mkdir(exist_ok=True)
        (place / "mine").write_text("kept")
        if kind == "a link":
            (repository / ".venv").symlink_to(place)

        with started(repository) as process:
            _, said = process.communicate()

        assert process.returncode == 2
        assert said.endswith(
            f"{repository / '.venv'} is not a virtual environment of the lab's: move it away and repeat\n"
        )
        assert (place / "mine").read_text() == "kept"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty virtual environment of the lab's, in a folder of its own."""
    made = tmp_path / ".venv"
    venv.create(made, symlinks=True)
    for name, value in {"ROOT": tmp_path, "VENV": made, "PYTHON": made / "bin" / "python"}.items():
        monkeypatch.setattr(bootstrap, name, value)
    (made / "made-for").write_text(f"{tmp_path}\n")
    return made


class TestIsSound:
    def test_a_new_one(self, environment: Path) -> None:
        """One that was just made is; so is one that somebody else has made there, and `create` makes them."""
        assert bootstrap.is_sound()

        (environment / "made-for").unlink()
        assert bootstrap.is_sound()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda made: (made / "pyvenv.cfg").unlink(),
            lambda made: (made / "bin" / "python").unlink(),
            lambda made: (made / "made-for").write_text("/somewhere/else\n"),
            lambda made: bootstrap.condemn(),
            shutil.rmtree,
        ],
        ids=["no pyvenv.cfg", "no python", "moved", "condemned", "nothing"],
    )
    def test_a_damaged_one_is_not_until_it_is_made_anew(self, environment: Path, damage: object) -> None:
        """Without its pyvenv.cfg, for one, it would be the system's Python, into which nothing may be installed."""
        damage(environment)  # type: ignore[operator]
        assert not bootstrap.is_sound()

        bootstrap.create()
        assert bootstrap.is_sound()


class TestPip:
    @pytest.mark.long
    def test_it_works_for_an_environment_without(self, environment: Path) -> None:
        """What it knows are that environment's packages: none."""
        listed = bootstrap.said(bootstrap.PYTHON, bootstrap.pip(), "list", "--format=json")

        assert listed.strip() == "[]"

    def test_where_there_is_none_it_says_what_to_install(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Only root has it installed."""
        monkeypatch.setattr(bootstrap, "PIP_WHEELS", (environment,))
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

        with pytest.raises(SystemExit) as ended:
            bootstrap.pip()
        assert ended.value.code == 2
        assert "apt install python3-pip-whl" in capsys.readouterr().err
