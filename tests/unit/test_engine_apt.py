"""Installing the distribution's packages: where that is possible, and what is said when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab.engine import apt
from layerlab.errors import EngineError
from layerlab.ui.progress import Step


class TestIsDebian:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("ID=debian\n", True),
            ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', True),
            ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
            ("ID=fedora\n", False),
            ('ID="rhel"\nID_LIKE="fedora"\n', False),
            ("", False),
        ],
    )
    def test_by_os_release(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
        """Debian and its children are known by os-release, provided that they have apt-get."""
        monkeypatch.setattr(apt.shutil, "which", lambda name: f"/usr/bin/{name}")
        (tmp_path / "os-release").write_text(text)

        assert apt.is_debian(tmp_path / "os-release") is expected

    def test_a_system_without_os_release_is_none(self, tmp_path: Path) -> None:
        """That is so on macOS."""
        assert not apt.is_debian(tmp_path / "missing")


class TestAptGet:
    @pytest.fixture(autouse=True)
    def _apt(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """An apt-get that says what it was asked, and fails for packages called `missing`."""
        program = tmp_path / "apt-get"
        program.write_text(
            "#!/bin/sh\n"
            'echo "asked: $*"\n'
            'case "$*" in *missing*) echo "E: Unable to locate package missing" >&2; exit 100 ;; esac\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def test_its_lines_are_progress(self) -> None:
        """What it prints is reported while it goes on, and its end at the end."""
        steps: list[Step] = []
        apt.apt_get(["install", "chromium"], "install Chromium", steps.append, wanted="Chromium")

        assert any(step.detail.endswith("install chromium") for step in steps if step.state == "running")
        assert (steps[-1].title, steps[-1].state) == ("install Chromium", "done")

    def test_a_failure_says_what_was_wanted_and_why_it_failed(self) -> None:
        """The reason is apt's own line, and the caller says which kind of error it is."""
        with pytest.raises(EngineError, match=r"^Docker could not be .* E: Unable to locate package missing$"):
            apt.apt_get(["install", "missing"], "x", lambda _: None, wanted="Docker", error=EngineError)
