"""System packages: which RUNs make a package manager's database grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.exercise.evidence import installs
from layerlab.exercise.evidence.facts import SystemInstall
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
    return tuple(installs.system(read_folders(folders), layer_history()))


def dpkg(*names: str, status: str = "install ok installed") -> str:
    """The status file that dpkg keeps."""
    return "".join(f"Package: {name}\nStatus: {status}\nVersion: 1\n\n" for name in names)


def test_only_what_a_run_adds_is_installed(tmp_path: Path) -> None:
    """The base's packages, removals and what a COPY brings are no installation; what comes after a removal is."""
    databases = (dpkg("libc6"), dpkg("libc6", "gcc"), dpkg("libc6"), dpkg("libc6", "make"), None, dpkg("make", "gcc"))
    assert found(tmp_path, "/var/lib/dpkg/status", *databases) == (
        SystemInstall("0", 2, ("gcc",), layer=1),
        SystemInstall("0", 6, ("gcc",), layer=5),
    )


def test_packages_that_are_gone_but_for_their_settings_do_not_count(tmp_path: Path) -> None:
    """A package that is only known is not installed."""
    known = dpkg("libc6") + dpkg("gcc", status="deinstall ok config-files")
    assert found(tmp_path, "/var/lib/dpkg/status", dpkg("libc6"), known) == ()


def test_a_large_database_is_read_whole(tmp_path: Path) -> None:
    """The database of apk may be longer than what is read of other files."""
    padding = "P:musl\n\n" + "F:usr\n" * 300_000
    databases = ("P:musl\n", padding + "\nP:curl\nV:1\n")
    assert found(tmp_path, "/lib/apk/db/installed", *databases) == (SystemInstall("0", 2, ("curl",), "apk", layer=1),)


DPKG, STATES = "var/lib/dpkg/status", "var/lib/apt/extended_states"
INDEX = "/var/lib/apt/lists/deb.example.org_debian_dists_trixie_main_binary-amd64_Packages.lz4"


def stack(tmp_path: Path, *layers: dict[str, str]) -> tuple[SystemInstall, ...]:
    """What is found in layers of these files."""
    encoded = [{path: text.encode() for path, text in files.items()} for files in layers]
    folders = [layer(tmp_path / str(number), files) for number, files in enumerate(encoded)]
    return tuple(installs.system(read_folders(folders), layer_history()))


def test_what_is_only_recommended_is_told_by_apts_marks_and_by_what_depends_on_it(tmp_path: Path) -> None:
    """Asked for: what is not marked. Needed: what these depend on, by a virtual name as well."""
    packages = {
        "libc6": "",
        "gcc": "Depends: cpp (>= 4), libc-dev | libc6-dev\n",
        "cpp": "Pre-Depends: libc6\n",
        "musl-dev": "Provides: libc-dev (= 1)\n",
        "manpages": "",
        "man-db": "Depends: manpages\n",
    }
    status = "".join(f"Package: {name}\nStatus: install ok installed\n{more}\n" for name, more in packages.items())
    marks = "".join(
        f"Package: {name}\nArchitecture: amd64\nAuto-Installed: {int(name != 'gcc')}\n\n"
        for name in packages
        if name != "libc6"
    )
    base, above = {f"/{DPKG}": dpkg("libc6")}, {f"/{DPKG}": status, f"/{STATES}": marks}
    (install,) = stack(tmp_path, base, above)
    assert install.packages == ("cpp", "gcc", "man-db", "manpages", "musl-dev")
    assert install.recommended == ("man-db", "manpages")
    (unmarked,) = stack(tmp_path / "unmarked", base, {f"/{DPKG}": status})
    assert unmarked.recommended == ()


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({}, ("/var/lib/apt/lists", 2)),
        ({"/var/lib/apt/lists/deb.example.org_debian_dists_trixie-updates_main_Packages": "new"}, ("", None)),
        ({"/var/lib/apt/lists/deb.example.org_debian_dists_trixie_InRelease": "new"}, ("/var/lib/apt/lists", 2)),
    ],
)
def test_an_index_below_that_is_not_written_anew_is_told_with_its_line(
    tmp_path: Path, second: dict[str, str], expected: tuple[str, int | None]
) -> None:
    """Some index of the layer's own is one written anew; a signed list of what there is, is not."""
    installed = {f"/{DPKG}": dpkg("libc6", "gcc"), **second}
    base = {f"/{DPKG}": dpkg("libc6")}
    (install,) = stack(tmp_path, base, {INDEX: "old"}, installed)
    assert (install.line, install.index, install.index_line) == (3, *expected)
    (first,) = stack(
        tmp_path / "first", {f"/{DPKG}": dpkg("libc6")}, {f"/{DPKG}": dpkg("libc6", "gcc"), INDEX: "new"}
    )
    assert (first.index, first.index_line) == ("", None)
