"""What making a root needs, what becomes of a minimal Debian, and what is said if it fails."""

import os
import platform
import subprocess
import tarfile
from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.bases import stand_ins
from layerlab.errors import StandInError

SOURCES = """\
deb http://mirror.example/debian trixie main
deb [signed-by=/some/key] http://security.example/debian-security trixie-security main
"""
MADE = {
    "etc/apt/sources.list": SOURCES,
    "etc/apt/sources.list.d/empty": "",
    "etc/apt/apt.conf.d/99mmdebstrap": 'Acquire::http::Proxy "http://user:secret@proxy.example";',
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap": "force-unsafe-io",
    "etc/hostname": "builder",
    "etc/resolv.conf": "nameserver 192.0.2.1",
    "etc/passwd": "root:x:0:0::/root:/bin/sh",
    "dev/null": "",
    "usr/bin/perl": "the interpreter",
    "usr/sbin/init": "",
    "usr/share/doc/base/copyright": "licence",
    "usr/share/doc/base/changelog.gz": "changes",
    "usr/share/doc/examples/one": "example",
    "usr/share/man/man1/perl.1.gz": "manual",
    "usr/share/locale/de/x.mo": "Deutsch",
    "usr/share/info/dir": "info",
    "var/log/dpkg.log": "2026-01-01 install",
    "var/cache/debconf/templates.dat-old": "old",
    "var/cache/debconf/templates.dat": "new",
}


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Path]:
    """The tars of both roots, of a folder with everything in it that matters."""
    return finish(tmp_path)


def finish(folder: Path) -> tuple[Path, Path]:
    """Make such a folder, and both tars of it."""
    root = folder / "root"
    for name, text in MADE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/perl5.40").hardlink_to(root / "usr/bin/perl")
    (root / "usr/share/doc/alias").symlink_to("base")
    (root / "usr/share/doc/dangling").symlink_to("elsewhere")
    (folder / "certificates").mkdir()
    (folder / "certificates/proxy.crt").write_text("PEM")
    full, slim = folder / "full.tar", folder / "slim.tar"
    variables = {"SOURCE_DATE_EPOCH": str(stand_ins.EPOCH), "OWN_CERTIFICATES": str(folder / "certificates")}
    command = ["sh", str(stand_ins.FINISH), str(root), str(full), str(slim)]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    return full, slim


def names(path: Path) -> set[str]:
    """What is in a tar."""
    with tarfile.open(path) as archive:
        return set(archive.getnames())


def text(path: Path, name: str) -> str:
    """What a file in a tar says."""
    with tarfile.open(path) as archive:
        file = archive.extractfile(f"./{name}")
        assert file is not None
        return file.read().decode()


class TestFinish:
    def test_nothing_of_the_machine_that_made_it(self, finished: tuple[Path, Path]) -> None:
        """Names, addresses, proxies, devices and logs of the machine stay out of the image; all else stays."""
        left_out = {"etc/hostname", "etc/resolv.conf", "etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list"}
        left_out |= {"etc/dpkg/dpkg.cfg.d/99mmdebstrap", "dev/null", "var/log/dpkg.log"}
        left_out |= {"var/cache/debconf/templates.dat-old"}

        assert {f"./{name}" for name in MADE} - names(finished[0]) == {f"./{name}" for name in left_out}
        assert {"./dev", "./bin", "./var/log", "./usr/bin/perl5.40"} <= names(finished[0])

    def test_slim_leaves_documentation_out(self, finished: tuple[Path, Path]) -> None:
        """The slim image has of all that only copyright files, and the links that lead to them."""
        full, slim = finished
        kept = {"", "/doc", "/doc/base", "/doc/base/copyright", "/doc/alias", "/man", "/locale", "/info"}

        assert {name for name in names(slim) if name.startswith("./usr/share")} == {
            f"./usr/share{name}" for name in kept
        }
        assert names(full) - names(slim) == {
            *("./usr/share/doc/base/changelog.gz", "./usr/share/doc/examples", "./usr/share/doc/examples/one"),
            *("./usr/share/doc/dangling", "./usr/share/man/man1", "./usr/share/man/man1/perl.1.gz"),
            *("./usr/share/locale/de", "./usr/share/locale/de/x.mo", "./usr/share/info/dir"),
        }

    def test_slim_tells_dpkg_as_well(self, finished: tuple[Path, Path]) -> None:
        """From then on dpkg leaves the same out, so that packages installed later do not bring it back."""
        filters = text(finished[1], "etc/dpkg/dpkg.cfg.d/docker").splitlines()

        assert "path-exclude /usr/share/man/*" in filters
        assert filters[-1] == "path-include /usr/share/doc/*/copyright"  # the last that matches decides
        assert "./etc/dpkg/dpkg.cfg.d/docker" not in names(finished[0])

    def test_configured_as_debians_images_are(self, finished: tuple[Path, Path]) -> None:
        """No service starts, apt keeps no archives and fetches no translations, and its sources are in deb822."""
        full, _ = finished
        paragraph = "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {}\n\n"
        keyring = "/usr/share/keyrings/debian-archive-keyring.pgp"

        with tarfile.open(full) as archive:
            assert archive.getmember("./usr/sbin/policy-rc.d").mode == 0o755
        assert text(full, "usr/sbin/policy-rc.d") == "#!/bin/sh\nexit 101\n"
        assert 'Acquire::Languages "none";' in text(full, "etc/apt/apt.conf.d/docker-no-languages")
        assert "/var/cache/apt/archives/*.deb" in text(full, "etc/apt/apt.conf.d/docker-clean")
        assert text(full, "etc/apt/sources.list.d/debian.sources") == (
            paragraph.format("http://mirror.example/debian", "trixie", keyring)
            + paragraph.format("http://security.example/debian-security", "trixie-security", keyring)
        )

    def test_certificates_of_the_machine(self, finished: tuple[Path, Path]) -> None:
        """What the machine trusts beyond Debian goes in, and uv is told to use it."""
        assert text(finished[1], "usr/local/share/ca-certificates/layerlab-proxy.crt") == "PEM"
        assert text(finished[1], "etc/uv/uv.toml") == "native-tls = true\n"

    def test_the_same_bytes_on_any_day(self, finished: tuple[Path, Path], tmp_path: Path) -> None:
        """No file is newer than the release."""
        (tmp_path / "again").mkdir()
        again = finish(tmp_path / "again")

        with tarfile.open(finished[1]) as archive:
            assert {member.mtime for member in archive} == {stand_ins.EPOCH}
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in finished]


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
        error = stand_ins.failure("the build failed", ["Get:1 http://d.example", line])

        assert fault in error.remedy
        assert line[:40] in str(error)

    def test_what_programs_print_is_cleaned(self) -> None:
        """Escape codes and long lines of a program do not reach the terminal."""
        error = stand_ins.failure("it failed", ["\x1b[31mE: no\x1b[0m " + "x" * 1000])

        assert "\x1b" not in str(error)
        assert len(str(error)) < 400


class TestCheck:
    def test_root_on_debian_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root on a Debian makes roots for an engine on the same kind of machine."""
        monkeypatch.setattr(stand_ins, "is_debian", lambda: True)
        monkeypatch.setattr(os, "geteuid", lambda: 0)

        stand_ins.check_machine(platform.machine())
        stand_ins.check_machine("")

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
        monkeypatch.setattr(stand_ins, "is_debian", lambda: debian)
        monkeypatch.setattr(os, "geteuid", lambda: user)

        with pytest.raises(StandInError, match=why) as caught:
            stand_ins.check_machine(machine)

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

        assert stand_ins.apt_settings().splitlines() == [
            'Acquire::http::Proxy "http://proxy.example:3128";',
            'Acquire::https::Proxy::d.example "DIRECT";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::Retries "3";',
        ]


class TestDockerfile:
    def test_has_a_stage_for_each_image(self) -> None:
        """Each image that is not a root has its stage, under the name that is built."""
        text = stand_ins._DOCKERFILE.read_text()
        parsed = dockerfile.parse(text, {"DEBIAN": "layerlab:0", "DEBIAN_SLIM": "layerlab:1"})

        stages = {stage.name for stage in parsed.stages}

        assert set(stand_ins.TAGS) - {"debian", "debian-slim"} <= stages

    def test_names_no_host(self) -> None:
        """Sources come from wherever apt and pip get them: no mirror, no registry and no address stands in it."""
        text = stand_ins._DOCKERFILE.read_text()

        assert "://" not in text
        assert "docker.io" not in text
