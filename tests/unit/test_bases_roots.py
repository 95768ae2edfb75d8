"""What making a root needs, what `layerlab.bases.roots` makes of a minimal Debian, and what is said if it fails."""

import io
import os
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerlab.bases import roots
from layerlab.errors import StandInError

SOURCES = """\
deb http://mirror.example/debian trixie main
deb http://mirror.example/debian trixie-updates main
deb [signed-by=/some/key] http://security.example/debian-security trixie-security main
"""


def write(path: Path, members: Mapping[str, bytes | tuple[bytes, str]], mtime: int = roots.EPOCH - 10) -> Path:
    """A tar as mmdebstrap writes it: names begin with ./; a pair is a kind of member and what it links to."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"./{name}")
            member.mtime, member.mode = mtime, 0o755
            data = content if isinstance(content, bytes) else b""
            if not isinstance(content, bytes):
                member.type, member.linkname = content
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


DIRECTORY = (tarfile.DIRTYPE, "")
MADE: dict[str, bytes | tuple[bytes, str]] = {
    "etc/": DIRECTORY,
    "etc/apt/": DIRECTORY,
    "etc/apt/sources.list": SOURCES.encode(),
    "etc/apt/sources.list.d/": DIRECTORY,
    "etc/apt/apt.conf.d/": DIRECTORY,
    "etc/apt/apt.conf.d/99mmdebstrap": b'Acquire::http::Proxy "http://user:secret@proxy.example";',
    "etc/hostname": b"builder",
    "etc/resolv.conf": b"nameserver 192.0.2.1",
    "etc/passwd": b"root:x:0:0::/root:/bin/sh",
    "dev/": DIRECTORY,
    "dev/null": (tarfile.CHRTYPE, ""),
    "bin": (tarfile.SYMTYPE, "usr/bin"),
    "usr/bin/": DIRECTORY,
    "usr/bin/perl": b"the interpreter",
    "usr/bin/perl5.40": (tarfile.LNKTYPE, "./usr/bin/perl"),
    "usr/share/doc/": DIRECTORY,
    "usr/share/doc/base/": DIRECTORY,
    "usr/share/doc/base/copyright": b"licence",
    "usr/share/doc/base/changelog.gz": b"changes",
    "usr/share/doc/alias": (tarfile.SYMTYPE, "base"),
    "usr/share/doc/dangling": (tarfile.SYMTYPE, "elsewhere"),
    "usr/share/doc/examples/": DIRECTORY,
    "usr/share/doc/examples/one": b"example",
    "usr/share/lib-of-example": (tarfile.LNKTYPE, "./usr/share/doc/examples/one"),
    "usr/share/man/": DIRECTORY,
    "usr/share/man/man1/": DIRECTORY,
    "usr/share/man/man1/perl.1.gz": b"manual",
    "usr/share/locale/": DIRECTORY,
    "usr/share/locale/de/": DIRECTORY,
    "usr/share/locale/de/x.mo": b"Deutsch",
    "usr/share/info/": DIRECTORY,
    "usr/share/info/dir": b"info",
    "var/log/": DIRECTORY,
    "var/log/dpkg.log": b"2026-01-01 install",
    "var/cache/debconf/": DIRECTORY,
    "var/cache/debconf/templates.dat-old": b"old",
    "var/cache/debconf/templates.dat": b"new",
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A small tar with everything in it that matters."""
    return write(tmp_path / "made.tar", MADE)


def finish(made: Path, *, slim: bool, extra: Mapping[str, str] | None = None) -> tarfile.TarFile:
    """The finished root."""
    finished = made.with_name(f"finished-{slim}.tar")
    roots.finish(made, finished, slim=slim, extra=extra or {})
    return tarfile.open(finished)


def text(archive: tarfile.TarFile, path: str) -> str:
    """What a file in it says."""
    file = archive.extractfile(f"./{path}")
    assert file is not None
    return file.read().decode()


class TestFinish:
    @pytest.mark.parametrize("slim", [False, True])
    @pytest.mark.parametrize(
        "path", ["etc/hostname", "etc/resolv.conf", "etc/apt/apt.conf.d/99mmdebstrap", "dev/null", "var/log/dpkg.log"]
    )
    def test_nothing_of_the_machine_that_made_it(self, made: Path, path: str, slim: bool) -> None:
        """Names, addresses, proxies, devices and logs of the machine stay out of the image."""
        with finish(made, slim=slim) as archive:
            assert f"./{path}" not in archive.getnames()

    @pytest.mark.parametrize("slim", [False, True])
    @pytest.mark.parametrize("path", ["etc/passwd", "usr/bin/perl", "dev", "bin", "var/log", "usr/share/man"])
    def test_the_rest_stays(self, made: Path, path: str, slim: bool) -> None:
        """Everything else is as mmdebstrap made it, the directories of what slim leaves out included."""
        with finish(made, slim=slim) as archive, tarfile.open(made) as before:
            one, other = archive.getmember(f"./{path}"), before.getmember(f"./{path}")
            assert (one.type, one.mode, one.size, one.linkname) == (
                other.type,
                other.mode,
                other.size,
                other.linkname,
            )

    def test_full_keeps_documentation(self, made: Path) -> None:
        """The full image has manuals, translations and change logs."""
        with finish(made, slim=False) as archive:
            assert {"./usr/share/man/man1/perl.1.gz", "./usr/share/locale/de/x.mo"} <= set(archive.getnames())

    def test_slim_leaves_documentation_out(self, made: Path) -> None:
        """The slim image has of all that only copyright files, and the links that lead to them."""
        with finish(made, slim=True) as archive:
            names = {name for name in archive.getnames() if name.startswith("./usr/share/")}

        assert names == {
            "./usr/share/doc",
            "./usr/share/doc/base",
            "./usr/share/doc/base/copyright",
            "./usr/share/doc/alias",
            "./usr/share/lib-of-example",
            "./usr/share/man",
            "./usr/share/locale",
            "./usr/share/info",
        }

    def test_slim_tells_dpkg_as_well(self, made: Path) -> None:
        """From then on dpkg leaves the same out, so that packages installed later do not bring it back."""
        with finish(made, slim=True) as slim, finish(made, slim=False) as full:
            filters = text(slim, "etc/dpkg/dpkg.cfg.d/docker").splitlines()
            assert "./etc/dpkg/dpkg.cfg.d/docker" not in full.getnames()

        assert "path-exclude /usr/share/man/*" in filters
        assert filters[-1] == "path-include /usr/share/doc/*/copyright"  # the last that matches decides

    def test_a_hard_link_to_what_is_left_out_becomes_a_file(self, made: Path) -> None:
        """A file that lost the name under which its data was stored still has the data."""
        with finish(made, slim=True) as archive:
            assert archive.getmember("./usr/share/lib-of-example").isreg()
            assert text(archive, "usr/share/lib-of-example") == "example"

    def test_other_hard_links_stay_links(self, made: Path) -> None:
        """Data with two names is stored once."""
        with finish(made, slim=True) as archive:
            assert archive.getmember("./usr/bin/perl5.40").islnk()

    def test_sources_move_to_deb822(self, made: Path) -> None:
        """Sources are where trixie's images have them, and nowhere else."""
        with finish(made, slim=False) as archive:
            assert text(archive, "etc/apt/sources.list.d/debian.sources") == roots.deb822(SOURCES)
            assert "./etc/apt/sources.list" not in archive.getnames()

    def test_configured_as_debians_images_are(self, made: Path) -> None:
        """No service starts, and apt keeps no archives and fetches no translations."""
        with finish(made, slim=False) as archive:
            policy = archive.getmember("./usr/sbin/policy-rc.d")
            assert (policy.mode, text(archive, "usr/sbin/policy-rc.d")) == (0o755, "#!/bin/sh\nexit 101\n")
            assert 'Acquire::Languages "none";' in text(archive, "etc/apt/apt.conf.d/docker-no-languages")
            assert "/var/cache/apt/archives/*.deb" in text(archive, "etc/apt/apt.conf.d/docker-clean")

    def test_extra_files_get_their_directories(self, made: Path) -> None:
        """A further file comes with the directories on its way that are not there yet, and only these."""
        with finish(made, slim=True, extra={"etc/uv/uv.toml": "native-tls = true\n"}) as archive:
            names = archive.getnames()
            assert text(archive, "etc/uv/uv.toml") == "native-tls = true\n"

        assert names.index("./etc/uv") < names.index("./etc/uv/uv.toml")
        assert names.count("./etc") == 1

    def test_no_file_is_newer_than_the_release(self, tmp_path: Path) -> None:
        """Times are cut at the release's day, so that the same packages make the same bytes on any day."""
        one = write(tmp_path / "one.tar", MADE, mtime=roots.EPOCH + 1000)
        other = write(tmp_path / "other.tar", MADE, mtime=roots.EPOCH + 2000)
        for made, finished in ((one, tmp_path / "a"), (other, tmp_path / "b")):
            roots.finish(made, finished, slim=True, extra={"etc/uv/uv.toml": ""})

        with tarfile.open(tmp_path / "a") as archive:
            assert {member.mtime for member in archive} == {roots.EPOCH}
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_without_sources(self, tmp_path: Path) -> None:
        """A tar that is not mmdebstrap's is refused rather than finished."""
        made = write(tmp_path / "made.tar", {"etc/passwd": b""})

        with pytest.raises(KeyError, match=r"sources\.list"):
            roots.finish(made, tmp_path / "finished.tar", slim=False, extra={})


class TestDeb822:
    def test_suites_of_a_mirror_share_a_paragraph(self) -> None:
        """Each mirror has one paragraph with all of its suites, in their order."""
        assert roots.deb822(SOURCES) == (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n"
            "\n"
            "Types: deb\nURIs: http://security.example/debian-security\nSuites: trixie-security\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n"
        )

    @pytest.mark.parametrize("line", ["", "# deb http://mirror.example/debian trixie main", "deb-src http://x y z"])
    def test_other_lines_are_passed_over(self, line: str) -> None:
        """Comments and sources of source packages make no paragraph."""
        assert roots.deb822(line) == ""


class TestMachineFiles:
    def test_uv_is_told_where_certificates_are_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a certificate of the machine's own, its file and uv's setting go into the root; else nothing does."""
        monkeypatch.setattr(roots, "OWN_CERTIFICATES", tmp_path)
        assert roots.machine_files() == {}
        (tmp_path / "proxy.crt").write_text("PEM")

        assert roots.machine_files() == {
            "usr/local/share/ca-certificates/layerlab-proxy.crt": "PEM",
            "etc/uv/uv.toml": "native-tls = true\n",
        }


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
        error = roots.failure("the build failed", ["Get:1 http://d.example", line])

        assert fault in error.remedy
        assert line[:40] in str(error)

    def test_what_programs_print_is_cleaned(self) -> None:
        """Escape codes and long lines of a program do not reach the terminal."""
        error = roots.failure("it failed", ["\x1b[31mE: no\x1b[0m " + "x" * 1000])

        assert "\x1b" not in str(error)
        assert len(str(error)) < 400


class TestCheck:
    def test_root_on_debian_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root on a Debian makes roots for an engine on the same kind of machine."""
        monkeypatch.setattr(roots, "is_debian", lambda: True)
        monkeypatch.setattr(os, "geteuid", lambda: 0)

        roots.check_machine(platform.machine())
        roots.check_machine("")

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
        monkeypatch.setattr(roots, "is_debian", lambda: debian)
        monkeypatch.setattr(os, "geteuid", lambda: user)

        with pytest.raises(StandInError, match=why) as caught:
            roots.check_machine(machine)

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

        assert roots.apt_settings().splitlines() == [
            'Acquire::http::Proxy "http://proxy.example:3128";',
            'Acquire::https::Proxy::d.example "DIRECT";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::Retries "3";',
        ]
