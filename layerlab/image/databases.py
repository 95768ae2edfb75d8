"""What package managers write down about what they installed: dpkg's and apk's databases, wheels' RECORD files.

* dpkg: ``/var/lib/dpkg/status`` (packages and versions) and ``info/PACKAGE.list`` (their paths), see dpkg(1);
  in images without dpkg ``status.d/PACKAGE`` and ``status.d/PACKAGE.md5sums``, as distroless images have them.
* apk: ``/lib/apk/db/installed``, a paragraph for each package, see "Apk spec" in Alpine's wiki and apk-package(5);
* Python: ``NAME-VERSION.dist-info/RECORD`` beside the packages, wherever that is; see
  https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from layerlab.image.layer import Claim

LARGEST_DATABASE: Final = 16_000_000
"""Bytes of a database file that is still read; dpkg's own status file has about 1 MB."""

_STATUS: Final = "/var/lib/dpkg/status"
_INFO: Final = "/var/lib/dpkg/info/"
_STATUS_D: Final = "/var/lib/dpkg/status.d/"
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RECORD: Final = ".dist-info/RECORD"
_FIELD: Final = re.compile(r"^(Package|Version|Status|Pre-Depends|Depends|Provides):(.*)$", re.MULTILINE)


class DpkgPackage(NamedTuple):
    """A package that dpkg has installed (deb-control(5)): what it needs, of each tuple one, and its further names."""

    name: str
    depends: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


def is_database(path: str) -> bool:
    """Whether `read_databases` can use this file."""
    return (
        path.endswith(_RECORD)
        or (path.startswith("/var/lib/dpkg/") and (path == _STATUS or path.startswith(_STATUS_D)))
        or (path.endswith(".list") and path.startswith(_INFO))
        or path in _APK
    )


def read_databases(texts: Mapping[str, bytes]) -> list[Claim]:
    """What these database files, by path, say. What cannot be understood in them is passed over."""
    claims: list[Claim] = []
    for source, content in sorted(texts.items()):
        text = content.decode("utf-8", "surrogateescape")
        if source.endswith(_RECORD):
            claims.extend(_record(source, text))
        elif source in _APK:
            claims.extend(_apk(source, text))
        elif source.endswith(".list"):
            name = source.removeprefix(_INFO).removesuffix(".list").partition(":")[0]
            claims.append(Claim(source, "dpkg", name, "", [p for p in text.split("\n") if p.startswith("/")]))
        elif source.endswith(".md5sums"):
            name = source.removeprefix(_STATUS_D).removesuffix(".md5sums")
            found = (line.partition("  ")[2] for line in text.split("\n"))
            claims.append(Claim(source, "dpkg", name, "", [f"/{path.lstrip('/')}" for path in found if path]))
        else:
            for one in _paragraphs(text):
                claims.append(Claim(source, "dpkg", one["Package"], one.get("Version", ""), []))
    return claims


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The fields of the installed packages of a control file (deb822), as far as they are used here."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {name: value.strip() for name, value in _FIELD.findall(paragraph)}
        if fields.get("Package") and fields.get("Status", "install ok installed").endswith(" installed"):
            yield fields


def _apk(source: str, text: str) -> Iterator[Claim]:
    """The packages of apk's database: P name, V version, F the folder of the R files that follow."""
    for paragraph in text.split("\n\n"):
        name = version = folder = ""
        paths = []
        for line in paragraph.split("\n"):
            field, value = line[:2], line[2:].strip()
            if field == "P:":
                name = value
            elif field == "V:":
                version = value
            elif field == "F:":
                folder = value.strip("/")
            elif field == "R:":
                paths.append(f"/{folder}/{value}" if folder else f"/{value}")
        if name:
            yield Claim(source, "apk", name, version, paths)


def _record(source: str, text: str) -> Iterator[Claim]:
    folder = source.removesuffix("/RECORD")
    site, _, directory = folder.rpartition("/")
    name, dash, version = directory.removesuffix(".dist-info").rpartition("-")
    if not dash:
        name, version = version, ""
    name = re.sub(r"[-_.]+", "-", name).lower()
    with suppress(csv.Error):
        rows = [row[0] for row in csv.reader(text.split("\n")) if row and row[0]]
        yield Claim(source, "python", name, version, [_absolute(site, path) for path in rows])


def _absolute(site: str, path: str) -> str:
    if path.startswith(("../", "/")) or "/../" in path:
        return posixpath.normpath(posixpath.join(site or "/", path))
    return f"{site}/{path}"


def dpkg_packages(status: bytes) -> dict[str, DpkgPackage]:
    """The installed packages of ``/var/lib/dpkg/status``, by name."""
    found = {}
    for fields in _paragraphs(re.sub(r"\n[ \t]+", " ", status.decode("utf-8", "replace"))):
        needs = [group for name in ("Pre-Depends", "Depends") for group in _groups(fields.get(name, ""))]
        provides = tuple(group[0] for group in _groups(fields.get("Provides", "")))
        found[fields["Package"]] = DpkgPackage(fields["Package"], tuple(needs), provides)
    return found


def only_recommended(before: Collection[str], after: Mapping[str, DpkgPackage], named: Collection[str]) -> set[str]:
    """The packages that apt has added only because another one recommends them: nothing needs them (apt.conf(5)).

    `before` were there already, `after` are there afterwards, and the command has `named` some.
    """
    added = after.keys() - set(before)
    providers: dict[str, list[str]] = {}
    for package in after.values():
        for name in package.provides:
            providers.setdefault(name, []).append(package.name)
    needed: set[str] = set()
    todo = [found for name in named for found in _found(name, after, providers)]
    while todo:
        name = todo.pop()
        if name in needed or name not in added:
            continue
        needed.add(name)
        for group in after[name].depends:
            candidates = [found for each in group for found in _found(each, after, providers)]
            if candidates and not any(each in before or each in needed for each in candidates):
                todo.append(next((each for each in candidates if each in added), candidates[0]))
    return added - needed


def _found(name: str, after: Mapping[str, DpkgPackage], providers: Mapping[str, list[str]]) -> list[str]:
    return [name] if name in after else providers.get(name, [])


def _groups(field: str) -> list[tuple[str, ...]]:
    """``a (>= 1) | b:any, c`` as ``[("a", "b"), ("c",)]``."""
    groups = ([re.split(r"[\s(:\[<]", each.strip())[0] for each in group.split("|")] for group in field.split(","))
    return [tuple(filter(None, group)) for group in groups if any(group)]
