"""Waiting for a change of a workspace, with changes as editors make them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from layerlab.exercise import watching


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.02)
    monkeypatch.setattr(watching, "SETTLED", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-image"
    (made / "app").mkdir(parents=True)
    (made / "Dockerfile").write_text("FROM a\n")
    (made / "app" / "wsgi.py").write_text("app = 1\n")
    return made


def in_place(path: Path) -> None:
    path.write_text(path.read_text() + "RUN b\n")


def replaced(path: Path) -> None:
    """As vim, Emacs and JupyterLab save: a new file takes the old one's place, here of the same size and date."""
    before = path.stat()
    fresh = path.with_name("fresh")
    fresh.write_text(path.read_text().upper())
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)


def made_executable(path: Path) -> None:
    path.chmod(0o755)


class TestLook:
    @pytest.mark.parametrize("change", [in_place, replaced, made_executable, Path.unlink])
    @pytest.mark.parametrize("name", ["Dockerfile", "app/wsgi.py"])
    def test_a_change_is_seen_however_it_is_made(
        self, folder: Path, name: str, change: Callable[[Path], object]
    ) -> None:
        """Contents, a file in its place, modes (which become part of an image) and a deletion make a difference."""
        before = watching.look(folder)
        change(folder / name)

        assert watching.look(folder) != before

    @pytest.mark.parametrize("name", [".dockerignore", "requirements.txt", "app/new.py", "start.sh"])
    def test_a_new_file_is_seen(self, folder: Path, name: str) -> None:
        """A .dockerignore is part of a good answer, and is not there at first."""
        before = watching.look(folder)
        (folder / name).write_text("*\n")

        assert watching.look(folder) != before

    @pytest.mark.parametrize(
        "name",
        [
            ".Dockerfile.swp",
            "Dockerfile~",
            "4913",
            ".#Dockerfile",
            "#Dockerfile#",
            "Dockerfile.tmp",
            "app/__pycache__/wsgi.pyc",
            ".git/index",
            ".ipynb_checkpoints/Dockerfile",
        ],
    )
    def test_what_editors_and_tools_leave_is_not_seen(self, folder: Path, name: str) -> None:
        """Opening a file, importing the app and a commit are no reason to check again."""
        before = watching.look(folder)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")

        assert watching.look(folder) == before

    def test_large_files_are_not_watched(self, folder: Path) -> None:
        """A log or a database that grows beside the Dockerfile does not start a check each time."""
        with (folder / "data.bin").open("wb") as file:
            file.truncate(watching.LARGEST + 1)

        assert set(watching.look(folder)) == {"Dockerfile", "app/wsgi.py"}

    def test_links_are_looked_at_and_not_followed(self, folder: Path, tmp_path: Path) -> None:
        """Neither a file outside nor a circle is entered; a link that is turned elsewhere is a change."""
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("x")
        (folder / "out").symlink_to(tmp_path / "outside")
        (folder / "circle").symlink_to(folder)
        before = watching.look(folder)
        (tmp_path / "outside" / "file").write_text("longer")
        same = watching.look(folder)
        (folder / "out").unlink()
        (folder / "out").symlink_to(tmp_path)

        assert set(before) == {"Dockerfile", "app/wsgi.py", "out", "circle"}
        assert same == before != watching.look(folder)

    def test_it_is_bounded_and_sees_the_top_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a folder with more files than it looks at, the Dockerfile is among those that it sees."""
        monkeypatch.setattr(watching, "MOST_FILES", 10)
        (folder / "many").mkdir()
        for number in range(30):
            (folder / "many" / str(number)).touch()
        seen = watching.look(folder)

        assert len(seen) == 10
        assert "Dockerfile" in seen

    @pytest.mark.parametrize("name", ["{}~", "{}/"])
    def test_what_is_not_watched_counts_as_well(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Editors' files and empty folders without end do not make a look endless."""
        monkeypatch.setattr(watching, "MOST_LOOKS", 50)
        (folder / "many").mkdir()
        for number in range(100):
            path = folder / "many" / name.format(number)
            _ = path.mkdir() if name.endswith("/") else path.touch()
        asked = []
        scratch = SimpleNamespace(fullmatch=lambda name: asked.append(name) or name.endswith("~"))
        monkeypatch.setattr(watching, "_SCRATCH", scratch)
        scanned = []
        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scandir(path))

        # Whether app/ is looked at before the looks are used up, the file system's order decides.
        assert {"Dockerfile"} <= set(watching.look(folder)) <= {"Dockerfile", "app/wsgi.py"}
        assert len(asked) + len(scanned) <= 60

    def test_a_folder_that_is_not_there_has_nothing(self, tmp_path: Path) -> None:
        """It may have been moved away for a moment."""
        assert watching.look(tmp_path / "nowhere") == {}


class TestWait:
    def waiting(self, folder: Path) -> tuple[threading.Thread, list[bool], threading.Event]:
        """Somebody who waits for a change since now."""
        ended: list[bool] = []
        stop = threading.Event()
        seen = watching.look(folder)
        thread = threading.Thread(target=lambda: ended.append(watching.wait_for_change(folder, seen, stop=stop)))
        thread.start()
        return thread, ended, stop

    @pytest.mark.parametrize("change", [in_place, replaced])
    def test_it_ends_after_a_change(self, folder: Path, change: Callable[[Path], object]) -> None:
        """A save of either kind ends the waiting."""
        thread, ended, _ = self.waiting(folder)
        change(folder / "Dockerfile")
        thread.join(20)

        assert ended == [True]

    def test_a_change_from_before_it_began_counts(self, folder: Path) -> None:
        """What is saved while a check goes on is not missed: the snapshot is from before the check."""
        seen = watching.look(folder)
        in_place(folder / "Dockerfile")

        assert watching.wait_for_change(folder, seen)

    def test_without_a_change_it_waits_until_it_is_told_to_stop(self, folder: Path) -> None:
        """It looks again and again, and says that there was no change."""
        thread, ended, stop = self.waiting(folder)
        thread.join(0.2)
        still_waits = thread.is_alive()
        stop.set()
        thread.join(20)

        assert still_waits
        assert ended == [False]

    def test_it_lets_an_editor_finish(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While files go on changing it does not return; when they rest, it does, and has seen the last state."""
        looks: list[watching.Files] = [{"a": (n,)} for n in (1, 1, 2, 3, 4, 4)]
        taken: list[watching.Files] = []

        def look(_: Path) -> watching.Files:
            taken.append(looks[len(taken)])
            return taken[-1]

        monkeypatch.setattr(watching, "look", look)

        assert watching.wait_for_change(folder, looks[0])
        assert taken == looks

    def test_unrest_without_end_does_not_keep_it(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program that writes into the workspace all the time only delays a check."""
        numbers = iter(range(1_000_000))
        monkeypatch.setattr(watching, "look", lambda _: {"a": (next(numbers),)})
        monkeypatch.setattr(watching, "UNREST", 0.2)

        assert watching.wait_for_change(folder, {})

    def test_the_folder_may_go_and_come_back(self, folder: Path) -> None:
        """Its going is a change, and so is its coming back."""
        seen = watching.look(folder)
        shutil.move(folder, folder.with_name("away"))
        gone = watching.wait_for_change(folder, seen)
        seen = watching.look(folder)
        shutil.move(folder.with_name("away"), folder)

        assert gone
        assert watching.wait_for_change(folder, seen)
