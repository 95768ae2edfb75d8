"""Finding a Chromium: which one is taken, and what is said where none can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab.errors import LabError
from layerlab.maintenance import chromium


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.delenv(chromium.CHOICE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "MAC_PATHS", ())
    return tmp_path


def add(folder: Path, name: str, script: str = "") -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


class TestFind:
    def test_chromium_before_chrome(self, programs: Path) -> None:
        """Of several, it is the one whose versions the distribution keeps up."""
        add(programs, "google-chrome")
        wanted = add(programs, "chromium")

        assert chromium.find() == wanted

    def test_the_one_that_was_chosen(self, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A choice counts before everything else, and a wrong one is an error, not a reason to take another."""
        add(programs, "chromium")
        mine = add(programs, "my-browser")
        monkeypatch.setenv(chromium.CHOICE, "my-browser")
        assert chromium.find() == mine

        monkeypatch.setenv(chromium.CHOICE, "/nowhere/chrome")
        with pytest.raises(LabError, match="/nowhere/chrome, which is no program"):
            chromium.find()

    def test_none(self, programs: Path) -> None:
        """Where there is none, that is no error yet."""
        assert chromium.find() is None


class TestEnsure:
    def test_elsewhere_than_on_debian_it_says_what_to_do(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is installed, and the line names the way to go on without."""
        monkeypatch.setattr(chromium, "is_debian", lambda: False)

        with pytest.raises(LabError, match="only as root on Debian") as caught:
            chromium.ensure()
        assert "--no-browser" in caught.value.remedy

    def test_without_root_nothing_is_installed(self, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On Debian it is a matter of rights."""
        monkeypatch.setattr(chromium, "is_debian", lambda: True)
        monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)

        with pytest.raises(LabError, match="only as root"):
            chromium.ensure()

    def test_debians_is_installed(self, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As root on Debian its package is installed, with fonts, and what came of it is found."""
        monkeypatch.setattr(chromium, "is_debian", lambda: True)
        monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
        log = programs / "log"
        installs = f"""echo "$*" >> {log}
case "$*" in *chromium*) echo '#!/bin/sh' > {programs}/chromium; /bin/chmod +x {programs}/chromium ;; esac"""
        add(programs, "apt-get", installs)

        assert chromium.ensure() == programs / "chromium"
        assert [
            next(word for word in line.split() if not word.startswith("-")) for line in log.read_text().splitlines()
        ] == ["update", "install"]
        assert "fonts-dejavu-core" in log.read_text()
