"""Which packages came as recommendations alone."""

from __future__ import annotations

import pytest

from layerlab.image.databases import dpkg_packages, only_recommended

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
