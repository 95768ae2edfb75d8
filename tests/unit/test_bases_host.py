"""How `layerlab.bases.host` runs programs, and what it needs of the machine."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layerlab.bases import host
from layerlab.errors import StandInError
from layerlab.ui.progress import Step, silent


def run_shell(script: str, steps: list[Step] | None = None) -> None:
    """Run a script as `host.run` runs programs."""
    host.run(["sh", "-c", script], "a script", silent if steps is None else steps.append, {"GREETING": "hello"})


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
        """A program that fails raises the lab's error with the line that says why."""
        steps: list[Step] = []

        with pytest.raises(StandInError, match="sh failed: E: Unable to locate package x"):
            run_shell("echo working; echo 'E: Unable to locate package x'; exit 100", steps)

        assert steps[-1].state == "failed"

    def test_a_silent_failure(self) -> None:
        """A program that fails without a word is reported all the same."""
        with pytest.raises(StandInError, match="sh failed: it said nothing"):
            run_shell("exit 1")

    @pytest.mark.slow
    def test_ctrl_c_ends_the_program_and_its_children(self, tmp_path: Path) -> None:
        """On Ctrl-C the program can tidy up, and nothing that it started outlives it."""
        script = (
            f"trap 'echo tidied > {tmp_path}/tidied; exit 1' TERM\n"
            f"sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/child; while :; do sleep 0.1; done' &\n"
            "wait"
        )
        code = (
            "import signal, sys\nfrom layerlab.bases import host\nfrom layerlab.ui.progress import silent\n"
            # whoever runs the tests in the background has it ignored
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try:\n    host.run(['sh', '-c', sys.argv[1]], 'a script', silent, {})\n"
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


class TestFailure:
    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("E: You don't have enough free space in /var/cache/apt/archives/.", "disk is full"),
            ("cp: error writing '/usr/local/lib/x': No space left on device", "disk is full"),
            ("E: Release file for http://d.example/InRelease is expired (invalid since 3d).", "clock"),
            ("E: Release file for http://d.example/InRelease is not valid yet (invalid for another 3d).", "clock"),
            ("W: Failed to fetch http://d.example/InRelease  Temporary failure resolving 'd.example'", "network"),
            ("E: Could not connect to d.example:80 (192.0.2.1), connection timed out", "network"),
            ("ERROR: No matching distribution found for uv", "network"),
            ("Python/ceval.c:1:10: error: no such thing", "read what it says"),
        ],
    )
    def test_whose_fault_it_is(self, line: str, fault: str) -> None:
        """The remedy says whether the disk, the clock, the network or something else is to blame."""
        error = host.failure("the build failed", ["Get:1 http://d.example", line])

        assert fault in error.remedy
        assert line[:40] in str(error)

    def test_what_programs_print_is_cleaned(self) -> None:
        """Escape codes and long lines of a program do not reach the terminal."""
        error = host.failure("it failed", ["\x1b[31mE: no\x1b[0m " + "x" * 1000])

        assert "\x1b" not in str(error)
        assert len(str(error)) < 400


class TestCheck:
    def test_root_on_debian_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root on a Debian makes roots for an engine on the same kind of machine."""
        monkeypatch.setattr(host, "is_debian", lambda: True)
        monkeypatch.setattr(os, "geteuid", lambda: 0)

        host.check(platform.machine())
        host.check("")

    @pytest.mark.parametrize(
        ("debian", "user", "machine", "why"),
        [
            (False, 0, "", "on Debian and Ubuntu only"),
            (True, 1000, "", "needs root"),
            (True, 0, "pdp11", "an engine on pdp11"),
        ],
    )
    def test_who_may_not(
        self, debian: bool, user: int, machine: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Elsewhere the error says why not, and which other ways to the images there are."""
        monkeypatch.setattr(host, "is_debian", lambda: debian)
        monkeypatch.setattr(os, "geteuid", lambda: user)

        with pytest.raises(StandInError, match=why) as caught:
            host.check(machine)

        assert "docker load" in caught.value.remedy


class TestAptSettings:
    def test_those_that_matter_on_the_way_to_a_mirror(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Proxies, retries and the checks of dates are passed on, and no hooks, indexes or keys."""
        dump = tmp_path / "apt-config"
        dump.write_text(
            """#!/bin/sh
            echo 'APT::Get::AllowUnauthenticated "true";'
            echo 'Acquire "";'
            echo 'Acquire::Languages "none";'
            echo 'Acquire::http "";'
            echo 'Acquire::http::Proxy "http://proxy.example:3128";'
            echo 'Acquire::https::Proxy::d.example "DIRECT";'
            echo 'Acquire::Check-Valid-Until "false";'
            echo 'Acquire::Retries "3";'
            echo 'DPkg::Post-Invoke:: "true";'
            """
        )
        dump.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

        assert host.apt_settings().splitlines() == [
            'Acquire::http::Proxy "http://proxy.example:3128";',
            'Acquire::https::Proxy::d.example "DIRECT";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::Retries "3";',
        ]
