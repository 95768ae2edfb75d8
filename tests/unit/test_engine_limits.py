"""The builder's limits, on a copy of the kernel's files: set, shared, put back, taken over from a killed check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layerlab.engine import limits
from layerlab.engine.limits import _take, _wanted, put_back
from layerlab.paths import ROOT

BEFORE_V1 = {
    "memory/docker/buildkit/memory.limit_in_bytes": "9223372036854771712",
    "memory/docker/buildkit/memory.memsw.limit_in_bytes": "9223372036854771712",
    "pids/docker/buildkit/pids.max": "max",
    "cpu/docker/buildkit/cpu.cfs_quota_us": "-1",
}
BEFORE_V2 = {
    "docker/buildkit/memory.swap.max": "max",
    "docker/buildkit/memory.max": "max",
    "docker/buildkit/pids.max": "max",
    "docker/buildkit/cpu.max": "max 100000",
}


@pytest.fixture(params=["v1", "v2"])
def cgroups(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The files of a machine with cgroups of this version, and what is in those that matter."""
    before = BEFORE_V1 if request.param == "v1" else BEFORE_V2
    root = tmp_path / "cgroup"
    for name, value in before.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(value)
    if request.param == "v1":
        for controller in ("memory", "pids", "cpu"):
            (root / controller / "cgroup.procs").touch()
        (root / "memory/memory.memsw.limit_in_bytes").touch()
    else:
        (root / "cgroup.controllers").write_text("cpu memory pids")
    return root, before


def values(root: Path, before: dict[str, str]) -> dict[str, str]:
    """What is in the files now."""
    return {name: (root / name).read_text() for name in before}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for notes and locks of these tests alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def notes(state: Path) -> list[Path]:
    """What is noted of limits, and the locks of those who have set some."""
    return [path for path in state.rglob("builder-limits?*") if path.name != "builder-limits.lock"]


class TestLimits:
    def test_set_and_put_back(self, cgroups: tuple[Path, dict[str, str]], state: Path) -> None:
        """Memory with swap, processes and CPU are limited; afterwards all is as before, and nothing is noted."""
        root, before = cgroups

        share = _take(_wanted(root, 2_000_000_000, 1024))
        limited = values(root, before)
        share.close()
        put_back()

        assert not set(limited.values()) & set(before.values())
        assert {"2000000000", "1024"} <= set(limited.values())
        assert values(root, before) == before
        assert notes(state) == []

    def test_two_checks(self, cgroups: tuple[Path, dict[str, str]]) -> None:
        """Two checks have the room of two, and there are limits until the last one ends, whichever that is."""
        root, before = cgroups

        first, second = (_take(_wanted(root, 10, 20)) for _ in range(2))
        limited = values(root, before)
        first.close()
        put_back()
        still = values(root, before)
        second.close()
        put_back()

        assert still == limited != before
        assert {"20", "40"} <= set(limited.values())
        assert values(root, before) == before

    def test_after_a_kill(self, cgroups: tuple[Path, dict[str, str]]) -> None:
        """A check that was killed left its limits; the next one puts back what was there before that one."""
        root, before = cgroups
        script = "import sys, json; from layerlab.engine.limits import _take\n"
        script += "share = _take(json.loads(sys.argv[1])); print(flush=True); input()"
        command = [sys.executable, "-c", script, json.dumps(_wanted(root, 10, 20))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            left = values(root, before)
            process.kill()

        share = _take(_wanted(root, 11, 21))
        limited = values(root, before)
        share.close()
        put_back()

        assert {"10", "20"} <= set(left.values())
        assert {"11", "21"} <= set(limited.values())
        assert values(root, before) == before

    def test_before_the_first_build(self, tmp_path: Path) -> None:
        """Where the engine has built nothing yet, its cgroup is made, below the one that it makes itself."""
        root = tmp_path / "cgroup"
        for controller in ("memory", "pids", "cpu"):
            (root / controller).mkdir(parents=True)
            (root / controller / "cgroup.procs").touch()

        _take(_wanted(root, 10, 20)).close()

        assert all((root / controller / "docker/buildkit").is_dir() for controller in ("memory", "pids", "cpu"))

    def test_elsewhere(self, tmp_path: Path) -> None:
        """Where there are no such files, nothing is limited."""
        assert _wanted(tmp_path, limits.MEMORY, limits.PROCESSES) == {}


@pytest.mark.parametrize(
    ("command", "info", "why"),
    [
        (b"dockerd\0", {}, ""),
        (b"dockerd\0--cgroup-parent=x\0", {}, "a cgroup of its own for containers"),
        (b"dockerd\0", {"CgroupParent": "x"}, "a cgroup of its own for containers"),
        (b"dockerd\0", {"CgroupDriver": "systemd"}, "leaves its cgroups to systemd"),
        (None, {}, "runs elsewhere"),
    ],
)
def test_why_unlimited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: bytes | None, info: dict[str, str], why: str
) -> None:
    """The builder's cgroup is where the lab limits it only if the engine was told nothing else."""
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr(limits, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(limits, "_dockerd_here", lambda _: command)
    client = SimpleNamespace(info=lambda: {"CgroupDriver": "cgroupfs", **info})
    engine: Any = SimpleNamespace(endpoint="unix:///var/run/docker.sock", client=client)

    said = limits.why_unlimited(engine)
    assert why in said
    assert bool(said) == bool(why)
