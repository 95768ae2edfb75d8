"""System packages: which RUNs make a package manager's database grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.exercise.evidence import system_installs
from layerlab.exercise.evidence.model import SystemInstall
from layerlab.xray.provenance.layer_history import LayerHistory, LayerInstruction
from tests.unit.image_folders import layer, read_folders

INSTRUCTIONS = ("RUN one", "RUN two", "COPY a /", "RUN three", "RUN four")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def layer_history() -> LayerHistory:
    """A stage on a base of one layer, each of whose instructions makes a layer."""
    (stage,) = dockerfile.parse("\n".join(["FROM base", *INSTRUCTIONS])).stages
    steps = {
        number: LayerInstruction(stage, found.line, found, "/")
        for number, found in enumerate(stage.instructions)
        if number
    }
    return LayerHistory((stage,), 1, {}, (), steps)


def found(tmp_path: Path, path: str, *databases: str | None) -> tuple[SystemInstall, ...]:
    """What is found in layers that have this database."""
    files = [{"/other": b""} if text is None else {path: text.encode()} for text in databases]
    folders = [layer(tmp_path / str(number), file) for number, file in enumerate(files)]
    return system_installs.find(read_folders(folders), layer_history())


def dpkg(*names: str, status: str = "install ok installed") -> str:
    """The status file that dpkg keeps."""
    return "".join(f"Package: {name}\nStatus: {status}\nVersion: 1\n\n" for name in names)


def test_only_what_a_run_adds_is_installed(tmp_path: Path) -> None:
    """The base's packages, removals and what a COPY brings are no installation; what comes after a removal is."""
    databases = (dpkg("libc6"), dpkg("libc6", "gcc"), dpkg("libc6"), dpkg("libc6", "make"), None, dpkg("make", "gcc"))
    assert found(tmp_path, "/var/lib/dpkg/status", *databases) == (
        SystemInstall("0", 2, ("gcc",)),
        SystemInstall("0", 6, ("gcc",)),
    )


def test_packages_that_are_gone_but_for_their_settings_do_not_count(tmp_path: Path) -> None:
    """A package that is only known is not installed."""
    known = dpkg("libc6") + dpkg("gcc", status="deinstall ok config-files")
    assert found(tmp_path, "/var/lib/dpkg/status", dpkg("libc6"), known) == ()


def test_a_large_database_is_read_whole(tmp_path: Path) -> None:
    """The database of apk may be longer than what is read of other files."""
    padding = "P:musl\n\n" + "F:usr\n" * 300_000
    databases = ("P:musl\n", padding + "\nP:curl\nV:1\n")
    assert found(tmp_path, "/lib/apk/db/installed", *databases) == (SystemInstall("0", 2, ("curl",), "apk"),)


def test_single_files_add_up(tmp_path: Path) -> None:
    """Where each package has a status file of its own, as in distroless images, a new file is a new package."""
    base = layer(tmp_path / "0", {"/var/lib/dpkg/status.d/libc6": b"Package: libc6\nVersion: 1\n"})
    above = layer(tmp_path / "1", {"/var/lib/dpkg/status.d/gcc": b"Package: gcc\nVersion: 1\n"})
    assert system_installs.find(read_folders([base, above]), layer_history()) == (SystemInstall("0", 2, ("gcc",)),)
