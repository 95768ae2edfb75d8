"""Running programs and installing the distribution's packages: what is reported, and what is said of a failure."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layerlab.engine import machine
from layerlab.errors import EngineError, LabError
from layerlab.ui.progress import Step, silent


def run_shell(script: str, steps: list[Step] | None = None) -> None:
    """Run a script."""

    def failed(lines: list[str]) -> LabError:
        return LabError(f"it failed: {lines}", remedy="")

    report = silent if steps is None else steps.append
    machine.run(["sh", "-c", script], "a script", report, failed=failed, environment={"GREETING": "hello"})


def lives(process: int) -> bool:
    """Whether a process of this id runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_file(path: Path) -> str:
    """What a file says, once it says something."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            if content := path.read_text().strip():
                return content
        time.sleep(0.05)
    raise AssertionError(f"{path} stayed empty")


class TestRun:
    def test_lines_are_reported(self) -> None:
        """Each line is reported as it comes, on standard output and standard error alike."""
        steps: list[Step] = []

        run_shell("echo one; echo two >&2", steps)

        assert [(step.state, step.detail) for step in steps] == [
            ("running", ""),
            ("running", "one"),
            ("running", "two"),
            ("done", "two"),
        ]

    def test_environment_is_added_to(self) -> None:
        """A program gets this process's environment, what is given besides, a fixed language, and sbin."""
        steps: list[Step] = []

        run_shell('echo "$GREETING $LC_ALL $HOME"; command -v chroot', steps)

        assert steps[1].detail == f"hello C.UTF-8 {os.environ['HOME']}"
        assert steps[2].detail.endswith("/chroot")

    def test_a_failure_quotes_the_reason(self) -> None:
        """A program that fails raises the error that is made of its lines."""
        steps: list[Step] = []

        with pytest.raises(LabError, match=r"it failed: \['working', 'E: Unable to locate package x'"):
            run_shell("echo working; echo 'E: Unable to locate package x'; exit 100", steps)

        assert steps[-1].state == "failed"

    @pytest.mark.long
    def test_ctrl_c_ends_the_program_and_its_children(self, tmp_path: Path) -> None:
        """On Ctrl-C the program can tidy up, and nothing that it started outlives it."""
        script = (
            f"trap 'echo tidied > {tmp_path}/tidied; exit 1' TERM\n"
            f"sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/child; while :; do sleep 0.1; done' &\n"
            "wait"
        )
        code = (
            "import signal, sys\nfrom layerlab.engine import machine\nfrom layerlab.ui.progress import silent\n"
            # whoever runs the tests in the background has it ignored
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try:\n    machine.run(['sh', '-c', sys.argv[1]], 'a script', silent, failed=print)\n"
            "except KeyboardInterrupt:\n    sys.exit(42)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, script], start_new_session=True) as process:
            try:
                child = int(await_file(tmp_path / "child"))
                was_alive = lives(child)
                process.send_signal(signal.SIGINT)
                status = process.wait(60)
            finally:
                process.kill()

        assert was_alive
        assert status == 42
        assert (tmp_path / "tidied").read_text() == "tidied\n"
        assert not lives(child)


class TestIsDebian:
    @pytest.mark.parametrize(
        ("release", "expected"),
        [
            ({"ID": "debian"}, True),
            ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, True),
            ({"ID": "rhel", "ID_LIKE": "fedora"}, False),
        ],
    )
    def test_by_os_release(self, monkeypatch: pytest.MonkeyPatch, release: dict[str, str], expected: bool) -> None:
        """Debian and its children are known by os-release, provided that they have apt-get."""
        monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(machine.platform, "freedesktop_os_release", lambda: release)

        assert machine.is_debian() is expected

    def test_a_system_without_os_release_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is so on macOS."""

        def missing() -> dict[str, str]:
            raise OSError

        monkeypatch.setattr(machine.platform, "freedesktop_os_release", missing)
        assert not machine.is_debian()


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
        machine.install("Chromium", ["chromium"], steps.append)

        assert any(step.detail.endswith("update") for step in steps if step.title == "look for Chromium")
        assert any(re.search("install .* chromium$", step.detail) for step in steps if step.state == "running")
        assert (steps[-1].title, steps[-1].state) == ("install Chromium", "done")

    def test_what_only_newer_releases_have(self, tmp_path: Path) -> None:
        """A package that apt does not know is left out, where the caller says that it may be."""
        program = tmp_path / "apt-cache"
        program.write_text('#!/bin/sh\ncase "$*" in *new) echo "Package: new" ;; *) exit 100 ;; esac\n')
        program.chmod(0o755)
        steps: list[Step] = []
        machine.install("Docker", ["one"], steps.append, if_known=["new", "missing"])

        assert steps[-1].detail.endswith("install --yes --no-install-recommends one new")

    def test_a_failure_says_what_was_wanted_and_why_it_failed(self) -> None:
        """The reason is apt's own line, and the caller says which kind of error it is."""
        with pytest.raises(EngineError, match=r"^Docker could not be .* E: Unable to locate package missing$"):
            machine.install("Docker", ["missing"], lambda _: None, error=EngineError)
