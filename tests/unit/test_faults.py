"""What is said and done when something goes wrong outside of the lab: the parts that need no engine."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from layerlab import __main__ as program
from layerlab import bootstrap, paths
from layerlab.builder.failures import _from_outside
from layerlab.cli import main
from layerlab.engine import connection, locks
from layerlab.errors import StorageError
from layerlab.paths import ROOT
from layerlab.ui.progress import Step

INTERRUPTED = """
import os
import time
from layerlab.engine import interrupts
interrupts.hurry = lambda: os.write(1, b"hurry\\n")  # the signal may come while "ready" is being printed
interrupts.install()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ending", flush=True)
    for _ in range(600):
        time.sleep(0.1)
"""
HOLDER = """
import sys
from layerlab.engine.locks import exclusive
with exclusive("test"):
    print("held", flush=True)
    sys.stdin.read()
"""


class TestInterrupts:
    def test_once_in_order_thrice_at_once(self) -> None:
        """The first Ctrl-C ends in order, the second says how things are, the third ends at once."""
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert [process.stdout.readline() for _ in range(2)] == ["hurry\n", "ending\n"]
            process.send_signal(signal.SIGINT)
            process.stderr.readline()
            assert "once more" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130


class TestLocks:
    def test_the_holder_is_named_and_a_killed_one_holds_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who waits is told for which process; the kernel lets go of the lock of one that was killed."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        told: list[Step] = []
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"

            def report(step: Step) -> None:
                told.append(step)
                process.kill()

            for _ in range(2):  # whoever need not wait says nothing
                with locks.exclusive("test", doing="tests", report=report):
                    pass
        assert {step.title for step in told} == {f"wait for another ./lab that tests (process {process.pid})"}
        assert [step.state for step in told] == ["running", "done"]


class TestFolders:
    def test_a_folder_for_notes_that_cannot_be_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says which folder, why, and how to name another."""
        monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")

        with pytest.raises(StorageError, match="/dev/null/layerlab cannot be written") as caught:
            paths.state_directory()
        assert "XDG_STATE_HOME" in caught.value.remedy


class TestDamage:
    def test_of_a_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Missing and cut off packages of .venv are damage; mistakes of the lab's own are not."""
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        cut = SyntaxError("invalid syntax", (str(tmp_path / "cut.py"), 1, 1, "", 1, 1))

        assert program.is_damage(ModuleNotFoundError("No module named 'pandas'", name="pandas"))
        assert program.is_damage(cut)
        assert not program.is_damage(ModuleNotFoundError("No module named 'layerlab.x'", name="layerlab.x"))
        assert not program.is_damage(SyntaxError("invalid syntax", ("/elsewhere.py", 1, 1, "", 1, 1)))

    @pytest.mark.parametrize(("made_by", "remedy"), [("./lab", "repeat the command"), ("uv", "install it again")])
    def test_only_what_the_lab_made_is_made_anew(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        made_by: str,
        remedy: str,
    ) -> None:
        """Another environment is its owner's to mend, and nothing is written there."""

        def damaged() -> int:
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

        for name, value in {"ROOT": tmp_path, "VENV": tmp_path}.items():
            monkeypatch.setattr(bootstrap, name, value)
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        monkeypatch.setattr(main, "main", damaged)
        if made_by == "./lab":
            (tmp_path / "made-for").write_text(f"{tmp_path}\n")

        assert program.run() == 2
        assert f" is damaged (No module named 'pandas'): {remedy}" in capsys.readouterr().err
        assert (tmp_path / "damaged").exists() == (made_by == "./lab")

    @pytest.mark.slow
    def test_what_lacks_the_repository_says_so(self, tmp_path: Path) -> None:
        """As what a wheel installs."""
        shutil.copytree(ROOT / "layerlab", tmp_path / "layerlab", ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [sys.executable, "-m", "layerlab", "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"lab: layerlab was installed in {tmp_path}, without")
        assert done.stderr.count("\n") == 1


class TestWords:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                requests.exceptions.ChunkedEncodingError("IncompleteRead"),
                "the connection broke off",
            ),
            (requests.ReadTimeout("Read timed out."), "no answer in time"),
            (requests.ConnectionError("[Errno 111] Connection refused"), "nobody can be reached there"),
            (RuntimeError("else"), "RuntimeError"),
        ],
    )
    def test_of_a_connection_that_ended(self, error: Exception, expected: str) -> None:
        """Users read what happened, not the name of a class."""
        assert connection._in_words(error) == expected

    @pytest.mark.parametrize(
        ("log", "expected"),
        [
            ("dd: error writing '/big': No space left on device\n", "the disk is full"),
            ("E: Release file for x is not valid yet (invalid for another 3d 2h)\n", "the clock"),
            ("Temporary failure resolving 'deb.example'\n", "the network"),
            ("NewConnectionError: Failed to establish a new connection\n", "the network"),
            ("ModuleNotFoundError: No module named 'app'\n", ""),
        ],
    )
    def test_of_a_step_that_failed(self, log: str, expected: str) -> None:
        """What is not the Dockerfile's fault is not blamed on it."""
        said = _from_outside(log)
        assert (expected in said) if expected else said == ""
