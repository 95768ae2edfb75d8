"""What making a root needs of the machine, and what is said where a program fails."""

import os
import platform
from pathlib import Path

import pytest

from layerlab.bases import host
from layerlab.errors import StandInError


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
