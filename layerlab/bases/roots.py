"""The roots of the stand-ins: a minimal Debian, finished as Debian's own images are.

``mmdebstrap`` makes a minimal system from the archive's packages, which it verifies by their signatures. Its tar
is then gone through once for each image: what belongs to the machine that ran it is left out, the configuration
that Debian's images have is put in, and for the slim one documentation and translations are left out.
"""

from __future__ import annotations

import fnmatch
import io
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from layerlab.bases import host
from layerlab.bases.certificates import own_certificates
from layerlab.engine import machine
from layerlab.ui.progress import Report

SUITE: Final = "trixie"

EPOCH: Final = 1754697600
"""2025-08-09, the day of trixie's release, in seconds since 1970. No file is newer: so the same packages make the
same bytes, and whatever an engine has built on them before is found in its cache again."""

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.pgp"

LEFT_OUT: Final = (
    "dev/*",  # the engine makes its own; some may not create devices
    "etc/hostname",  # of the machine that ran mmdebstrap, as is the next
    "etc/resolv.conf",
    "etc/machine-id",
    "etc/apt/sources.list",  # becomes debian.sources
    "etc/apt/apt.conf.d/99mmdebstrap",  # what was right for making it
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "var/cache/apt/archives/lock",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/lock",
    "var/lib/dpkg/*-old",
    "var/log/*.log",
    "var/log/apt/*",
)

LEFT_OUT_OF_SLIM: Final = (
    "usr/share/doc/*",
    "usr/share/groff/*",
    "usr/share/info/*",
    "usr/share/linda/*",
    "usr/share/lintian/overrides/*",
    "usr/share/locale/*",
    "usr/share/man/*",
)
KEPT_IN_SLIM: Final = "usr/share/doc/*/copyright"

CONFIGURATION: Final[Mapping[str, tuple[int, str]]] = {
    # no service starts while packages are installed
    "usr/sbin/policy-rc.d": (0o755, "#!/bin/sh\nexit 101\n"),
    # an image that is half made is thrown away, so nothing need be synced to the disk
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": (0o644, "force-unsafe-io\n"),
    # a package that is only suggested by another does not stay for that
    "etc/apt/apt.conf.d/docker-autoremove-suggests": (0o644, 'Apt::AutoRemove::SuggestsImportant "false";\n'),
    # no package archives and no caches stay in a layer
    "etc/apt/apt.conf.d/docker-clean": (
        0o644,
        "".join(
            f'{when} {{ "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb '
            '/var/cache/apt/*.bin || true"; };\n'
            for when in ("DPkg::Post-Invoke", "APT::Update::Post-Invoke")
        )
        + 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    ),
    "etc/apt/apt.conf.d/docker-gzip-indexes": (0o644, 'Acquire::GzipIndexes "true";\n'),
    "etc/apt/apt.conf.d/docker-no-languages": (0o644, 'Acquire::Languages "none";\n'),
}


def make(folder: Path, report: Report) -> Path:
    """Make a minimal Debian in a tar in this folder, and return the tar's path.

    Raises:
        StandInError: mmdebstrap failed.
    """
    made, settings = folder / "made.tar", folder / "apt.conf"
    settings.touch(mode=0o600)  # a proxy's address may hold a password
    settings.write_text(host.apt_settings())
    # No mirror is named: mmdebstrap knows Debian's own.
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", "--dpkgopt=force-unsafe-io"]
    command += [f"--aptopt={settings}", SUITE, str(made)]
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)}
    machine.run(
        machine.ending_with_us(command),
        f"make a minimal Debian ({SUITE})",
        report,
        environment=environment,
        failed=partial(host.failure, "mmdebstrap failed"),
    )
    return made


def machine_files() -> dict[str, str]:
    """Further files for the roots, because of the machine that they are made on: what it trusts, beyond Debian.

    Debian's ca-certificates takes its part up when it is installed, with which pip, curl and git are served. uv
    brings certificates of its own, and has to be told to use the system's.
    """
    files = {f"usr/local/share/ca-certificates/{name}": pem for name, pem in own_certificates().items()}
    # In newer versions of uv this setting is called system-certs, which older ones refuse; all know this name.
    return {**files, "etc/uv/uv.toml": "native-tls = true\n"} if files else {}


def finish(made: Path, finished: Path, *, slim: bool, extra: Mapping[str, str]) -> None:
    """Turn mmdebstrap's tar into the root of an image.

    Args:
        made: The tar that mmdebstrap wrote.
        finished: Where to write the tar for the image.
        slim: Whether to leave out documentation and translations, now and whenever dpkg installs something.
        extra: Further text files, by their path without the leading slash.

    Raises:
        OSError, tarfile.TarError: a tar cannot be read or written.
    """
    with tarfile.open(made) as source, tarfile.open(finished, "w", format=tarfile.PAX_FORMAT) as target:
        members = {_normal(member.name): member for member in source.getmembers()}
        kept = _kept(members, slim=slim)
        for path, member in members.items():
            if path not in kept:
                continue
            member.mtime = min(member.mtime, EPOCH)
            if member.islnk() and _normal(member.linkname) not in kept:
                original = source.getmember(member.linkname)
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", original.size
                target.addfile(member, source.extractfile(original))
            else:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        sources = source.extractfile(members["etc/apt/sources.list"])
        added = {
            **CONFIGURATION,
            "etc/apt/sources.list.d/debian.sources": (0o644, deb822(sources.read().decode() if sources else "")),
            **({"etc/dpkg/dpkg.cfg.d/docker": (0o644, _dpkg_filters())} if slim else {}),
            **{path: (0o644, text) for path, text in extra.items()},
        }
        for member, text in _new_members(added, kept):
            target.addfile(member, io.BytesIO(text))


def deb822(one_line_style: str) -> str:
    """The package sources of a ``sources.list``, as trixie's images give them (``debian.sources``).

    >>> print(deb822("deb http://mirror.example/debian trixie main"), end="")
    Types: deb
    URIs: http://mirror.example/debian
    Suites: trixie
    Components: main
    Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp
    """
    suites: dict[tuple[str, str], list[str]] = {}
    for line in one_line_style.splitlines():
        words = [word for word in line.split() if not word.startswith("[")]
        if len(words) >= 4 and words[0] == "deb":
            suites.setdefault((words[1], " ".join(words[3:])), []).append(words[2])
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {' '.join(names)}\nComponents: {components}\nSigned-By: {KEYRING}\n"
        for (uri, components), names in suites.items()
    )


def _kept(members: Mapping[str, tarfile.TarInfo], *, slim: bool) -> set[str]:
    """The paths that go into the image; in what slim thins out, directories only if something is left in them."""
    kept, thinned = set(), set()
    for path, member in members.items():
        if _matches(path, LEFT_OUT):
            continue
        if slim and _matches(path, LEFT_OUT_OF_SLIM):
            thinned.add(path)
            if not fnmatch.fnmatchcase(path, KEPT_IN_SLIM) or member.isdir():
                continue
        kept.add(path)
    parents = {str(parent) for path in kept & thinned for parent in PurePosixPath(path).parents}
    kept |= parents & thinned
    # /usr/share/doc/libstdc++6 -> gcc-14-base: the way to its copyright file
    for path in thinned - kept:
        member = members[path]
        if member.issym() and path.startswith("usr/share/doc/") and f"usr/share/doc/{member.linkname}" in kept:
            kept.add(path)
    return kept


def _new_members(files: Mapping[str, tuple[int, str]], known: set[str]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    directories: set[str] = set()
    for path, (mode, text) in files.items():
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            if str(parent) not in known | directories:
                directories.add(str(parent))
                yield _member(str(parent), 0o755, b"", tarfile.DIRTYPE), b""
        data = text.encode()
        yield _member(path, mode, data, tarfile.REGTYPE), data


def _member(path: str, mode: int, data: bytes, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"./{path}")
    member.type, member.mode, member.size, member.mtime = kind, mode, len(data), EPOCH
    return member


def _dpkg_filters() -> str:
    excluded = "".join(f"path-exclude /{pattern}\n" for pattern in LEFT_OUT_OF_SLIM)
    return f"# What the slim image leaves out, whatever is installed.\n{excluded}path-include /{KEPT_IN_SLIM}\n"


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _normal(name: str) -> str:
    return str(PurePosixPath(name))
