"""What package managers write down, and which packages came as recommendations alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.image.databases import (
    dpkg_packages,
    is_database,
    only_recommended,
    read_databases,
)

INFO = "/var/lib/dpkg/info"
STATUS = b"""\
Package: libc6
Status: install ok installed
Provides: libc-dev-thing (= 1)

Package: curl
Status: install ok installed
Pre-Depends: libc6 (>= 2)
Depends: libcurl4 (= 8), zlib1g:any | zlib-ng,
 libssl3 [amd64]
Recommends: ca-certificates

Package: libcurl4
Status: install ok installed
Depends: mail-server | libldap2

Package: postfix
Status: install ok installed
Provides: mail-server

Package: libldap2
Status: install ok installed

Package: zlib1g
Status: install ok installed

Package: libssl3
Status: install ok installed

Package: ca-certificates
Status: install ok installed
Depends: openssl

Package: openssl
Status: install ok installed

Package: removed
Status: deinstall ok config-files
"""


def claims(source: str, text: str) -> list[tuple[str, str, str, list[str]]]:
    """Manager, name, version and paths of what one file says."""
    found = read_databases({source: text.encode()})
    assert {claim.source for claim in found} <= {source}
    return [(claim.manager, claim.name, claim.version, claim.paths) for claim in found]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/dpkg/status", True),
        ("/var/lib/dpkg/status-old", False),
        (f"{INFO}/libc6:amd64.list", True),
        (f"{INFO}/libc6:amd64.md5sums", False),
        ("/var/lib/dpkg/status.d/libc6", True),
        ("/var/lib/dpkg/status.d/libc6.md5sums", True),
        ("/opt/venv/lib/python3.13/site-packages/flask-3.1.3.dist-info/RECORD", True),
        ("/opt/venv/lib/python3.13/site-packages/flask-3.1.3.dist-info/METADATA", False),
        ("/etc/apt/sources.list", False),
    ],
)
def test_which_files_are_databases(path: str, expected: bool) -> None:
    """Databases are known by where they lie."""
    assert is_database(path) is expected


class TestDpkg:
    def test_lists(self) -> None:
        """A list names its package, without the architecture, and its paths."""
        assert claims(f"{INFO}/libc6:amd64.list", "/.\n/usr\n/usr/lib/libc.so.6\n") == [
            ("dpkg", "libc6", "", ["/.", "/usr", "/usr/lib/libc.so.6"])
        ]

    def test_status(self) -> None:
        """Packages that are installed, and their versions; fields may come in any order, and go on in more lines."""
        text = """\
Package: adduser
Status: install ok installed
Description: add users
 Version: no field but text
Version: 3.134

Package: gone
Status: deinstall ok config-files
Version: 1

Version: 2:9.1
Status: hold ok installed
Package: vim
"""
        assert claims("/var/lib/dpkg/status", text) == [
            ("dpkg", "adduser", "3.134", []),
            ("dpkg", "vim", "2:9.1", []),
        ]

    def test_distroless(self) -> None:
        """Images without dpkg have a file for each package, and the sums of its files."""
        folder = "/var/lib/dpkg/status.d"

        assert claims(f"{folder}/tzdata", "Package: tzdata\nVersion: 2026a\n") == [("dpkg", "tzdata", "2026a", [])]
        assert claims(f"{folder}/tzdata.md5sums", f"{'0' * 32}  usr/share/zoneinfo/UTC\n") == [
            ("dpkg", "tzdata", "", ["/usr/share/zoneinfo/UTC"])
        ]


class TestPython:
    SITE = "/usr/local/lib/python3.13/site-packages"

    def test_records(self) -> None:
        """Paths are relative to the directory of the packages, may lead out of it, and may be quoted."""
        text = '../../../bin/flask,sha256=x,1\nflask/__init__.py,,\n"flask/a,b.py",,\n/etc/flask.conf,,\n\n'

        assert claims(f"{self.SITE}/Flask-3.1.3.dist-info/RECORD", text) == [
            (
                "python",
                "flask",
                "3.1.3",
                [
                    "/usr/local/bin/flask",
                    f"{self.SITE}/flask/__init__.py",
                    f"{self.SITE}/flask/a,b.py",
                    "/etc/flask.conf",
                ],
            )
        ]

    @pytest.mark.parametrize(
        ("directory", "name", "version"),
        [
            ("typing_extensions-4.15.0", "typing-extensions", "4.15.0"),
            ("zope.interface-8.0", "zope-interface", "8.0"),
            ("torch-2.9.0+cu130", "torch", "2.9.0+cu130"),
            ("noversion", "noversion", ""),
        ],
    )
    def test_names(self, directory: str, name: str, version: str) -> None:
        """Names are normalised, versions are as they are."""
        assert claims(f"{self.SITE}/{directory}.dist-info/RECORD", "") == [("python", name, version, [])]

    def test_in_the_root(self) -> None:
        """A RECORD may even lie in the root's own directory."""
        assert claims("/demo-1.dist-info/RECORD", "demo.py,,\n../x,,\n") == [
            ("python", "demo", "1", ["/demo.py", "/x"])
        ]


@given(
    st.sampled_from(
        ["/var/lib/dpkg/status", f"{INFO}/x.list", "/var/lib/dpkg/status.d/x.md5sums", "/s/x-1.dist-info/RECORD"]
    ),
    st.binary(max_size=300),
)
def test_any_content(source: str, content: bytes) -> None:
    """Whatever a database holds, absolute paths come out of it, or none."""
    for claim in read_databases({source: content}):
        assert all(path.startswith("/") for path in claim.paths)


def test_apk() -> None:
    """Each package of apk's database has a claim with its version and the files of all its folders."""
    musl = "C:Q1\nP:musl\nV:1.2-r1\nF:lib\nR:ld-musl-x86_64.so.1\nZ:Q1x=\nF:\nR:top\n"
    curl = "P:curl\nV:8\nF:usr/bin\nM:0:0:755\nR:curl\n"
    assert is_database("/lib/apk/db/installed")
    assert not is_database("/srv/lib/apk/db/installed")
    assert claims("/lib/apk/db/installed", f"{musl}\n{curl}\n") == [
        ("apk", "musl", "1.2-r1", ["/lib/ld-musl-x86_64.so.1", "/top"]),
        ("apk", "curl", "8", ["/usr/bin/curl"]),
    ]


SPACES = " " * 2_000_000
DATABASES = [
    "/var/lib/dpkg/status",
    f"{INFO}/x.list",
    "/var/lib/dpkg/status.d/x",
    "/var/lib/dpkg/status.d/x.md5sums",
    "/lib/apk/db/installed",
    "/s/x-1.dist-info/RECORD",
]


@pytest.mark.parametrize("source", DATABASES)
@pytest.mark.parametrize(
    "text",
    [
        f"Package: a{SPACES}b\n",
        f"P:a{SPACES}b\n",
        f"a{SPACES}b,,\n",
        "\n\r" * 500_000,
        "\n \n x" * 200_000,
        '"' * 999_999,
    ],
    ids=["package", "P", "path", "line ends", "paragraphs", "quotes"],
)
def test_hostile_content(source: str, text: str) -> None:
    """No content takes longer than its length: patterns that try each place anew would take hours here."""
    assert all(len(claim.name) <= len(text) for claim in read_databases({source: text.encode()}))


def test_the_database_is_read() -> None:
    """Folded lines, alternatives, versions and architectures are understood; what is not installed is left out."""
    found = dpkg_packages(STATUS)
    assert "removed" not in found
    assert found["curl"].depends == (("libc6",), ("libcurl4",), ("zlib1g", "zlib-ng"), ("libssl3",))
    assert found["postfix"].provides == ("mail-server",)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["curl"], {"ca-certificates", "openssl", "libldap2"}),
        (["curl", "ca-certificates"], {"libldap2"}),
        (["mail-server"], {"curl", "libcurl4", "zlib1g", "libssl3", "ca-certificates", "openssl", "libldap2"}),
    ],
)
def test_what_nothing_needs(named: list[str], expected: set[str]) -> None:
    """What is named, and what that depends on by whatever name, is needed; the rest came as a recommendation."""
    assert only_recommended({"libc6"}, dpkg_packages(STATUS), named) == expected


def test_what_was_there_before_is_never_meant() -> None:
    """Packages of the base are no recommendations of this RUN."""
    found = dpkg_packages(STATUS)
    assert only_recommended(set(found), found, []) == set()
