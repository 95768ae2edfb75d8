"""The roots of the stand-ins: a minimal Debian, finished as Debian's own images are.

``mmdebstrap`` makes a minimal system from the archive's packages, which it verifies by their signatures. Its tar
is then gone through once for each image: what belongs to the machine that ran it is left out, the configuration
that Debian's images have is put in, and for the slim one documentation and translations are left out.
"""

from __future__ import annotations

import fnmatch
import io
import os
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from layerlab.engine.machine import APT_GET, UNATTENDED, ending_with_us, is_debian, run
from layerlab.engine.symptoms import CLOCK_OFF, OFFLINE, is_disk_full
from layerlab.errors import StandInError
from layerlab.ui.progress import Report
from layerlab.ui.text import shorten

PACKAGES: Final = ("mmdebstrap", "debian-archive-keyring", "mount")
ARCHIVE_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OWN_CERTIFICATES: Final = Path("/usr/local/share/ca-certificates")
APT_SETTINGS: Final = re.compile(
    r"^Acquire::(?:https?::|Check-Valid-Until |Check-Date |Max-FutureTime |Retries |ForceIPv[46] ).*;$", re.MULTILINE
)
_FETCHING: Final = re.compile(
    r"Failed to (?:fetch|download)|Hash Sum mismatch|No matching distribution|Connection (?:failed|refused|reset)"
    r"|timed out|SSLError|Proxy",
    re.IGNORECASE,
)
"""What apt and pip print besides where it is the network that is at fault."""

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


def check_machine(machine: str) -> None:
    """See to it that roots for an engine on such a machine can be made here.

    Args:
        machine: What the engine calls its machine, such as ``x86_64``; empty if it does not say.

    Raises:
        StandInError: this is no Debian or Ubuntu, the user is not root, or the engine's machine is of another kind.
    """
    elsewhere = "or use an engine that reaches a registry, or get the base images with `docker load`"
    if not is_debian():
        raise StandInError(
            "stand-ins for the base images can be made on Debian and Ubuntu only",
            remedy=f"run ./lab there, {elsewhere}",
        )
    if os.geteuid() != 0:
        raise StandInError(
            "making stand-ins for the base images needs root", remedy=f"run ./lab as root, {elsewhere}"
        )
    if machine not in {"", platform.machine()}:
        raise StandInError(
            f"stand-ins for an engine on {machine} cannot be made on {platform.machine()}",
            remedy=f"run ./lab on a machine like the engine's, {elsewhere}",
        )


def install(report: Report) -> None:
    """Install what making roots needs, where it is missing.

    Raises:
        StandInError: the packages cannot be installed.
    """
    if shutil.which("mmdebstrap") and shutil.which("mount") and ARCHIVE_KEYS.is_file():
        return
    for arguments, title in (
        (["update"], "look for mmdebstrap"),
        (["install", "--yes", "--no-install-recommends", *PACKAGES], "install mmdebstrap"),
    ):
        failed = partial(failure, "apt-get failed")
        run([*APT_GET, *arguments], title, report, environment=UNATTENDED, failed=failed)


def apt_settings() -> str:
    """How apt reaches its servers from this machine (proxies, retries, a clock that is off), as apt.conf lines.

    mmdebstrap does not read the machine's own configuration, and would not get through where apt does.
    """
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return "".join(f"{line}\n" for line in APT_SETTINGS.findall(dump.stdout))


def make(folder: Path, report: Report) -> Path:
    """Make a minimal Debian in a tar in this folder, and return the tar's path.

    Raises:
        StandInError: mmdebstrap failed.
    """
    made, settings = folder / "made.tar", folder / "apt.conf"
    settings.touch(mode=0o600)  # a proxy's address may hold a password
    settings.write_text(apt_settings())
    # No mirror is named: mmdebstrap knows Debian's own.
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", "--dpkgopt=force-unsafe-io"]
    command += [f"--aptopt={settings}", SUITE, str(made)]
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)}
    run(
        ending_with_us(command),
        f"make a minimal Debian ({SUITE})",
        report,
        environment=environment,
        failed=partial(failure, "mmdebstrap failed"),
    )
    return made


def machine_files() -> dict[str, str]:
    """Further files for the roots, because of the machine that they are made on: what it trusts, beyond Debian.

    A machine behind a proxy that inspects TLS has certificates of its own (update-ca-certificates(8)). Debian's
    ca-certificates takes them up when it is installed, with which pip, curl and git are served; uv brings its own and
    has to be told to use the system's.
    """
    files = {
        f"usr/local/share/ca-certificates/layerlab-{path.name}": path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(OWN_CERTIFICATES.rglob("*.crt"))
    }
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


def failure(what: str, lines: list[str]) -> StandInError:
    """The error for a program or a step of a build that failed, with whose fault it most likely is.

    Args:
        what: What failed.
        lines: What it printed.
    """
    text = "\n".join(lines)
    wrong = [line for line in lines if re.match(r"E: |ERROR|error: |.*: error", line)] or [
        line for line in lines if line
    ]
    cause = shorten(" ".join(wrong[-2:]), 300) or "it said nothing"
    if is_disk_full(text):
        remedy = "the disk is full: make room (about 4 GB are needed) and repeat"
    elif CLOCK_OFF.search(text):
        remedy = "the clock of this machine is off: set it (see `date`) and repeat"
    elif OFFLINE.search(text) or _FETCHING.search(text):
        remedy = "the network's fault, most likely: see whether Debian's archive and PyPI are reachable, and repeat"
    else:
        remedy = "read what it says, mend it and repeat; what was built is found again"
    return StandInError(f"no stand-in could be made: {what}: {cause}", remedy=remedy)
