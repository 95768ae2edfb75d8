"""Workspaces for the exercise: all that is needed, nothing overwritten, all or nothing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlab import dockerfile
from layerlab.errors import UsageError
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT

LEVELS = pytest.mark.parametrize("level", new_workspace.LEVELS)
STARTERS = {1: ROOT / "exercise/Dockerfile", 2: ROOT / "exercise/level-2/Dockerfile"}
PLAIN_COMMANDS = [
    "docker build -t multi-stage-demo:optimized .",
    "docker run -d -p 5000:5000 --name multi-stage-container multi-stage-demo:optimized",
    "curl http://localhost:5000/status",
    "curl http://localhost:5000/info",
    "docker images | grep demo",
    "docker stop multi-stage-container",
    "docker rm multi-stage-container",
    "docker rmi multi-stage-demo:optimized",
]


def everything_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def pins(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("==") for line in lines)


class TestContents:
    @LEVELS
    def test_all_that_is_needed_and_no_more(self, tmp_path: Path, level: int) -> None:
        """The five entries that are promised, the app's files among them; no .dockerignore, no bytecode."""
        made = new_workspace.make(tmp_path / "mine", level=level)

        app = {path.relative_to(ROOT).as_posix() for path in (ROOT / "app").rglob("*") if path.suffix != ".pyc"}
        app = {name for name in app if "__pycache__" not in name}
        top = {"Dockerfile", "Dockerfile.single", "README.md", "requirements.txt", "app"}
        assert everything_in(made) == top | app == set(new_workspace.CONTENTS) | app
        assert made == tmp_path / "mine"

    def test_level_1_has_the_repositorys_own_files(self, tmp_path: Path) -> None:
        """What is compared with, and what is installed, is what the lab itself uses."""
        made = new_workspace.make(tmp_path / "mine")

        for name in ("Dockerfile.single", "requirements.txt", "app/info.py"):
            assert (made / name).read_bytes() == (ROOT / name).read_bytes()
        assert (made / "Dockerfile").read_bytes() == STARTERS[1].read_bytes()

    def test_level_2_installs_psycopg2_as_well(self, tmp_path: Path) -> None:
        """Level 2's pins are level 1's and psycopg2's, so that no other difference gets in the way."""
        made = new_workspace.make(tmp_path / "mine", level=2)

        second = pins(made / "requirements.txt")
        assert second.pop("psycopg2")
        assert second == pins(ROOT / "requirements.txt")
        assert (made / "Dockerfile").read_bytes() == STARTERS[2].read_bytes()
        assert "libpq-dev" in (made / "Dockerfile.single").read_text()

    @LEVELS
    def test_the_text_has_the_plain_commands(self, tmp_path: Path, level: int) -> None:
        """Each command of the exercise stands on a line of its own, ready to be copied."""
        text = (new_workspace.make(tmp_path / "mine", level=level) / "README.md").read_text()

        assert set(PLAIN_COMMANDS) <= set(text.splitlines())
        assert ("libpq_error" in text) == (level == 2)

    def test_what_lies_beside_the_service_is_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytecode and what editors leave in the repository do not come along; its read-only modes do not either."""
        repository = tmp_path / "repository"
        for name in ("app", "exercise"):
            shutil.copytree(ROOT / name, repository / name)
        for name in ("Dockerfile.single", "requirements.txt"):
            shutil.copy(ROOT / name, repository / name)
        for name in ("__pycache__/info.cpython-313.pyc", ".ipynb_checkpoints/info.py", ".info.py.swp"):
            (repository / "app" / name).parent.mkdir(exist_ok=True)
            (repository / "app" / name).touch()
        for path in [*repository.rglob("*"), repository]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        monkeypatch.setattr(new_workspace, "ROOT", repository)
        umask = os.umask(0o077)
        try:
            made = new_workspace.make(tmp_path / "mine")
        finally:
            os.umask(umask)
            for path in [repository, *repository.rglob("*")]:
                path.chmod(0o755)

        names = everything_in(made)
        assert "app/info.py" in names
        assert not [name for name in names if "pycache" in name or "/." in name]
        assert {stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()} == {0o644}
        assert {stat.S_IMODE(path.stat().st_mode) for path in [made, *made.rglob("*")] if path.is_dir()} == {0o755}


class TestStarter:
    @LEVELS
    def test_the_todos_are_there_in_order(self, level: int) -> None:
        """TODO 1 to 7, once each."""
        todos = re.findall(r"^# TODO (\d):", STARTERS[level].read_text(), flags=re.MULTILINE)

        assert todos == list("1234567")

    @LEVELS
    def test_it_has_none_of_the_answers(self, level: int) -> None:
        """One unnamed stage on the full base, nothing from requirements.txt, no user, no production server."""
        text = STARTERS[level].read_text()
        parsed = dockerfile.parse(text)
        instructions = "\n".join(one.text for one in parsed.instructions)

        assert [(stage.name, stage.base) for stage in parsed.stages] == [("", "python:3.13-trixie")]
        assert sum("apt-get install" in one.text for one in parsed.instructions) >= 2
        assert not re.search(r"requirements\.txt|venv|rm -rf|USER|HEALTHCHECK", instructions)
        assert not re.search(r"gunicorn|waitress|no-install-recommends|no-cache-dir|slim|--from|useradd", text)

    @LEVELS
    def test_any_builder_reads_it(self, level: int) -> None:
        """No syntax line that would be pulled, no flag and no heredoc that the classic builder lacks."""
        parsed = dockerfile.parse(STARTERS[level].read_text())

        assert "syntax=" not in STARTERS[level].read_text()
        assert not [one for one in parsed.instructions if one.flags or one.heredocs]


class TestPlace:
    def test_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        """It stays the same folder, since a shell may be in it."""
        folder = tmp_path / "mine"
        folder.mkdir(mode=0o700)
        before = folder.stat()

        new_workspace.make(folder)

        assert (folder.stat().st_ino, folder.stat().st_mode) == (before.st_ino, before.st_mode)
        assert set(new_workspace.CONTENTS) == {path.name for path in folder.iterdir()}

    def test_an_empty_folder_of_somebody_else_is_filled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever may write into a folder need not own it."""
        original = Path.chmod

        def chmod(path: Path, mode: int) -> None:
            if path == tmp_path:
                raise PermissionError(1, "Operation not permitted")
            original(path, mode)

        monkeypatch.setattr(Path, "chmod", chmod)
        new_workspace.make(tmp_path)

        assert set(new_workspace.CONTENTS) == {path.name for path in tmp_path.iterdir()}

    def test_a_folder_that_holds_something_is_refused(self, tmp_path: Path) -> None:
        """What is there is named, escape codes taken out, and left alone; so is a hidden file."""
        for name in ("a", "b\x1b[31m", "c", "d", "e", ".git"):
            (tmp_path / name).write_text("mine")

        with pytest.raises(UsageError, match=r"not empty \(it holds \.git, a, b, c and 2 more\)"):
            new_workspace.make(tmp_path)

        assert everything_in(tmp_path) == {"a", "b\x1b[31m", "c", "d", "e", ".git"}

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (Path.touch, "is a file"),
            (lambda path: path.symlink_to(path.parent / "elsewhere"), "is a symbolic link to .*elsewhere"),
            (lambda path: path.symlink_to(path.parent), "is a symbolic link"),
        ],
        ids=["file", "dangling link", "link to a folder"],
    )
    def test_anything_else_is_refused(self, tmp_path: Path, make: Callable[[Path], Any], says: str) -> None:
        """A file or a link in the place of the workspace stays what it is."""
        make(tmp_path / "mine")

        with pytest.raises(UsageError, match=says):
            new_workspace.make(tmp_path / "mine")

        assert [path.name for path in tmp_path.iterdir()] == ["mine"]

    def test_a_parent_that_is_missing_is_not_made(self, tmp_path: Path) -> None:
        """A slip in a long path makes no folders."""
        with pytest.raises(UsageError, match=r"typo/mine cannot be made"):
            new_workspace.make(tmp_path / "typo" / "mine")

        assert everything_in(tmp_path) == set()

    @pytest.mark.parametrize("place", ["/proc/mine", "x" * 300], ids=["not writable", "name too long"])
    def test_where_nothing_can_be_written(self, place: str) -> None:
        """What the system says becomes a clear line."""
        with pytest.raises(UsageError, match="cannot be made") as raised:
            new_workspace.make(Path(place))

        assert "where you may write" in raised.value.remedy

    def test_a_level_that_does_not_exist(self, tmp_path: Path) -> None:
        """The levels that there are, are named."""
        with pytest.raises(UsageError, match="no level 3") as raised:
            new_workspace.make(tmp_path / "mine", level=3)

        assert raised.value.remedy == "choose from 1, 2"


class TestAllOrNothing:
    @pytest.mark.parametrize("is_there", [False, True], ids=["new folder", "empty folder"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
    def test_nothing_half_made_stays(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        is_there: bool,
        error: type[BaseException] | OSError,
    ) -> None:
        """Ctrl-C or a full disk in the middle of it leaves what was there before: nothing."""
        folder = tmp_path / "mine"
        if is_there:
            folder.mkdir()
        calls = 7
        original = Path.write_bytes

        def failing(path: Path, *arguments: Any) -> Any:
            nonlocal calls
            calls -= 1
            if not calls:
                raise error
            return original(path, *arguments)

        monkeypatch.setattr(Path, "write_bytes", failing)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else UsageError):
            new_workspace.make(folder)

        assert calls == 0
        assert everything_in(tmp_path) == ({"mine"} if is_there else set())


class TestCommand:
    @pytest.mark.slow
    def test_it_says_what_was_made_and_what_comes_next(self, tmp_path: Path) -> None:
        """Relative to where the user is; commands can be pasted, even with a space in the name."""
        done = lab("new", "my image", "--level", "2", cwd=tmp_path)

        assert (done.returncode, done.stderr) == (0, "")
        assert "'my image' is ready: the exercise, level 2" in done.stdout
        assert all(name in done.stdout for name in new_workspace.CONTENTS)
        assert f"{shlex.quote(str(ROOT / 'lab'))} check 'my image'" in done.stdout
        assert (tmp_path / "my image" / "Dockerfile").is_file()

    @pytest.mark.slow
    def test_a_refusal_is_one_line(self, tmp_path: Path) -> None:
        """Exit status 2, one line on stderr, nothing on stdout."""
        (tmp_path / "mine").touch()

        done = lab("new", "mine", cwd=tmp_path)

        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "nothing is overwritten" in done.stderr

    @pytest.mark.slow
    def test_a_level_must_exist(self, tmp_path: Path) -> None:
        """Level 3 is a usage error, and makes nothing."""
        done = lab("new", "mine", "--level", "3", cwd=tmp_path)

        assert (done.returncode, done.stdout) == (2, "")
        assert "--level" in done.stderr
        assert everything_in(tmp_path) == set()


def lab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What ``./lab`` runs, from another folder."""
    return subprocess.run(
        [sys.executable, "-m", "layerlab", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
