"""Whose each file is: a package's, the interpreter's, the app's, or nobody's.

An *owner* is a package whose database names the path: dpkg's or apk's first, since they hold what the distribution
put there, then a Python distribution's. Debian's databases still say ``/bin/ls`` where ``/bin`` is a link to
``usr/bin``; such paths are followed. Bytecode belongs to the owner of its module, also where no RECORD names it (uv
and ``compileall`` write none). Directories have no owner: most are shared.

A *part* is what a file is there for. The first rule that fits decides:

1. ``python packages``: a Python distribution owns it, or it lies in a site-packages or dist-packages directory;
2. ``interpreter``: CPython wherever it is (``lib/python3.13``, ``include/python3.13``, ``bin/python3``,
   ``libpython3.13.so``), unless dpkg owns it under another name than ``python3...`` or ``libpython3...``;
3. ``compilers``: dpkg owns it by a package that building needs and running does not: compilers, ``make`` and their
   like, and every ``-dev`` package with its headers and static libraries;
4. ``system``: dpkg owns it otherwise;
5. ``app``: it lies in ``/app`` or in the image's working directory (unless that is one that every image has), or
   an instruction of the Dockerfile copied it from the build context;
6. ``system``: it lies in a directory of the distribution: ``/etc``, ``/usr`` (but not ``/usr/local``), ``/var`` ...
7. ``other``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from layerlab.image.filesystem import Filesystem
from layerlab.image.layer import DIRECTORY, Claim, Layer

APP, PYTHON_PACKAGES, INTERPRETER, SYSTEM, COMPILERS, OTHER = range(6)
PARTS: Final = ("app", "python packages", "interpreter", "system", "compilers", "other")  # in the order of the codes
MANAGERS: Final = ("apk", "dpkg", "python")

_SITE: Final = re.compile(r"/(site|dist)-packages(/|$)")
_PYTHON_FOLDER: Final = re.compile(r"/(lib|include)/python3[\w.]*(/|$)")
_PYTHON_NAME: Final = re.compile(r"((lib)?python|pydoc|idle|2to3)[-.\d]*t?([-.](so|a|config|embed|pc|gdb)\b.*)?")
_PYTHON_PACKAGE: Final = re.compile(r"(lib)?python3[\d.]*(-minimal|-stdlib|-dev|-venv|-distutils|-lib2to3)?(t64)?")
_BUILD_PACKAGE: Final = re.compile(
    r"(gcc|g\+\+|cpp|gfortran|clang|llvm|lld|rustc|cargo|golang|binutils|libbinutils|make|cmake|ninja-build|autoconf|"
    r"automake|libtool|m4|patch|pkgconf|pkg-config|build-essential)(-(?!.*\bbase$).*)?|.*-dev(-bin)?"
)
_NAMED_FOLDERS: Final = ("/bin", "/lib", "/lib64", "/pkgconfig", "/man/man1", "-linux-gnu")
_SYSTEM: Final = frozenset(
    ["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "media", "mnt", "proc", "run", "sbin", "sys", "usr", "var"]
)
_EVERYWHERE: Final = _SYSTEM | {"", "home", "opt", "root", "tmp"}


@dataclass(frozen=True)
class Package:
    """An installed package."""

    manager: str
    name: str
    version: str

    @property
    def owner(self) -> str:
        """As `files.owner` has it, such as ``dpkg:gcc-14``."""
        return f"{self.manager}:{self.name}"


@dataclass(frozen=True, eq=False)
class Ownership:
    """The packages, and which of them owns what."""

    packages: list[Package]  # all that are installed or own a visible file
    owners: NDArray[np.int64]  # for each of the entries asked about, the index of its package; -1 for nobody's


def ownership(merged: Filesystem, layers: Sequence[Layer], entries: NDArray[np.int64]) -> Ownership:
    """Who owns these visible entries of the filesystem that was put together from these layers."""
    claims = _valid_claims(merged, layers)
    dpkg, python, apk = ([c for c in claims if c.manager == manager] for manager in ("dpkg", "python", "apk"))
    versions = {claim.name: claim.version for claim in dpkg if claim.version}
    owned = {claim.name: claim.paths for claim in dpkg if not claim.version}
    names = sorted(versions.keys() | owned.keys())
    packages = [Package("python", claim.name, claim.version) for claim in python]
    packages += [Package("dpkg", name, versions.get(name, "")) for name in names]
    packages += [Package("apk", claim.name, claim.version) for claim in apk]
    paths_of_dpkg = (owned.get(name, []) for name in names)
    lists = [*(claim.paths for claim in python), *paths_of_dpkg, *(claim.paths for claim in apk)]
    owner_of, modules = _owners_by_entry(merged, lists, _aliases(merged, layers))
    owners = owner_of[entries]
    for place in np.flatnonzero(owners < 0).tolist():
        path = merged.paths[entries[place]]
        if path.endswith(".pyc"):
            folder, cached, name = path.rpartition("/__pycache__/")  # see PEP 3147
            module = f"{folder}/{name.partition('.')[0]}.py" if cached else path.removesuffix("c")
            index = merged.visible.get(module)
            owners[place] = modules.get(module, -1) if index is None else owner_of[index]
    owners[merged.kinds[entries] == DIRECTORY] = -1
    there = set(owners.tolist())
    kept = [n for n, p in enumerate(packages) if n in there or p.manager != "dpkg" or p.name in versions]
    kept.sort(key=lambda n: (packages[n].manager, packages[n].name))
    number_of = np.full(len(packages) + 1, -1, dtype=np.int64)  # the last stands for nobody
    number_of[kept] = np.arange(len(kept))
    return Ownership([packages[number] for number in kept], number_of[owners])


def _owners_by_entry(
    merged: Filesystem, lists: Sequence[Sequence[str]], aliases: Mapping[str, str]
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """For each entry that is or was last visible at its path, the number of the list that names it; the last counts.

    Also, by path, the numbers of the lists that name modules which are not there (only their bytecode may be).
    """
    paths = list(chain.from_iterable(lists))
    numbers = np.repeat(np.arange(len(lists)), [len(names) for names in lists])
    indexes = merged.find_all(paths)
    modules, prefixes = {}, tuple(aliases)
    for place in np.flatnonzero(indexes < 0).tolist():
        path = paths[place]
        if prefixes and path.startswith(prefixes):
            end = path.index("/", 1) + 1
            path = aliases[path[:end]] + path[end:]
            indexes[place] = merged.visible.get(path, -1)
        if path.endswith(".py"):
            modules[path] = int(numbers[place])
    owner_of = np.full(len(merged.paths) + 1, -1, dtype=np.int64)
    owner_of[indexes] = numbers  # where an index comes again, numpy keeps the last value
    owner_of[-1] = -1
    return owner_of, modules


def _valid_claims(merged: Filesystem, layers: Sequence[Layer]) -> list[Claim]:
    """The claims whose database files are visible, in the order of the packages' names."""
    claims = [
        claim
        for number, layer in enumerate(layers)
        for claim in layer.claims
        if (index := merged.find(claim.source)) is not None and merged.layers[index] == number
    ]
    return sorted(claims, key=lambda claim: (claim.name, claim.source))


def _aliases(merged: Filesystem, layers: Sequence[Layer]) -> dict[str, str]:
    """Where the links in the root directory lead, such as ``/bin/`` to ``/usr/bin/``."""
    found = {}
    for number, layer in enumerate(layers):
        for path, target in layer.links.items():
            index = merged.find(path) if path.count("/") == 1 else None
            if index is not None and merged.layers[index] == number and ".." not in target:
                found[f"{path}/"] = f"/{target.strip('/')}/"
    return found


def parts(
    merged: Filesystem,
    entries: NDArray[np.int64],
    ownership: Ownership,
    *,
    working_directory: str,
    from_context: Collection[int],
) -> NDArray[np.int8]:
    """What these visible entries are there for; codes, see `PARTS`.

    `from_context` are the layers that hold what was copied from the build context.
    """
    top = working_directory.strip("/")
    app_folders = ["/app"] if top in _EVERYWHERE else ["/app", f"/{top}"]
    of_folder = np.full(len(merged.paths) + 1, OTHER, dtype=np.int8)  # the last stands for the root
    may_be_python = np.zeros(len(merged.paths) + 1, dtype=bool)
    folders = merged.folders[entries]
    for index in np.flatnonzero(np.bincount(folders[folders >= 0])).tolist():
        path = merged.paths[index]
        of_folder[index] = _part_of_folder(f"{path}/", app_folders)
        may_be_python[index] = path.endswith(_NAMED_FOLDERS)
    found = of_folder[folders]
    owners = ownership.owners
    rest = (found != PYTHON_PACKAGES) & (owners < 0)
    found[rest & (found != INTERPRETER) & np.isin(merged.layers[entries], list(from_context))] = APP
    for place in np.flatnonzero(rest & may_be_python[folders]).tolist():
        if _PYTHON_NAME.fullmatch(merged.paths[entries[place]].rpartition("/")[2]):
            found[place] = INTERPRETER
    of_package = np.array([part_of_package(package) for package in ownership.packages] or [OTHER], dtype=np.int8)
    owned = (found != PYTHON_PACKAGES) & (owners >= 0)
    found[owned] = of_package[owners[owned]]
    return found


def part_of_package(package: Package) -> int:
    """What a package's files are there for; a code, see `PARTS`."""
    if package.manager == "python":
        return PYTHON_PACKAGES
    if _PYTHON_PACKAGE.fullmatch(package.name):
        return INTERPRETER
    return COMPILERS if _BUILD_PACKAGE.fullmatch(package.name) else SYSTEM


def _part_of_folder(folder: str, app_folders: Sequence[str]) -> int:
    """The part of what lies in a folder (its path ends in a slash) and has no owner."""
    if _SITE.search(folder):
        return PYTHON_PACKAGES
    if _PYTHON_FOLDER.search(folder):
        return INTERPRETER
    if any(folder.startswith(f"{app}/") for app in app_folders):
        return APP
    top = folder.split("/", 2)[1]
    return SYSTEM if top in _SYSTEM and not folder.startswith("/usr/local/") else OTHER
