"""What nothing needs that runs, judged by where a file lies and what it is called.

These are judgements: they hold for most images, and may be wrong for one. Of several that apply to a file, the first
counts:

1. package indexes and caches: what package managers download or look up, and archives of packages;
2. bytecode without use, which no interpreter of the image ever reads: see `unused_bytecode`;
3. test suites: ``tests`` folders of packages and of the app, and the interpreter's own;
4. build tools: compilers and their like, pip and other installers;
5. headers and static libraries, and what else only compilers and type checkers read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from layerlab.image.layer import DIRECTORY, FILE
from layerlab.image.packages import APP, COMPILERS, Package, part_of_package
from layerlab.image.stack import LayerStack

CACHES: Final = "package indexes and caches"
BYTECODE: Final = "bytecode without use"
TESTS: Final = "test suites"
TOOLS: Final = "build tools"
HEADERS: Final = "headers and static libraries"


class Judged(NamedTuple):
    """A judgement about a file: the cause, and what it is exactly."""

    cause: str
    detail: str


_CACHES: Final = tuple(
    (re.compile(pattern), detail)
    for pattern, detail in (
        (r"/var/lib/apt/lists(/|$)", "apt lists"),
        (r"/var/cache/apt(/|$)", "apt archives"),
        (r"(/var/cache/apk|/etc/apk/cache)(/|$)", "apk cache"),
        (r"/var/cache/(dnf|yum|libdnf5|zypp)(/|$)", "dnf cache"),
        (r".*/(\.cache/pip|http-v2|selfcheck)(/|$)", "pip cache"),
        (r".*/(\.cache/uv|(archive|simple|wheels|sdists|interpreter|built-wheels|flat-index)-v\d+)(/|$)", "uv cache"),
        (r".*/(\.npm/_\w+|\.cache/(yarn|node|pnpm)|\.pnpm-store|\.yarn/cache)(/|$)", "npm cache"),
        (r".*/\.cache/pypoetry(/|$)|.*/conda/pkgs(/|$)", "other installers' caches"),
        (
            r".*/(\.cache/go-build|\.?cargo/registry|\.m2/repository|\.gradle/caches)(/|$)",
            "build caches",
        ),
        (r"/var/cache/(man|ldconfig)(/|$)", "system caches"),
        (r"/var/log/apt(/|$)", "package manager's logs"),
        (r"(/root|/home/[^/]+)/\.cache(/|$)", "other caches"),
    )
)
_CACHED_FILES: Final = tuple(
    (re.compile(pattern), detail)
    for pattern, detail in (
        (r"(?!.*/(ensurepip|virtualenv|seed)/).*\.(deb|rpm|whl)", "package archives"),
        (r"/var/(lib/dpkg|cache/debconf)/[^/]*-old", "package manager's leftovers"),
        (r"/var/log/(dpkg|alternatives|bootstrap)\.log", "package manager's logs"),
    )
)
_TESTS: Final = re.compile(
    r".*/(site|dist)-packages/(.*/)?tests(/|$)"
    r"|.*/lib/python3\.\d+/(?!(site|dist)-packages/)([\w/]+/)?(tests?|idle_test)(/|$)"
    r"|.*/node_modules/(.*/)?(tests?|__tests__)(/|$)"
)
_OWN_TESTS: Final = re.compile(r".*/(tests|__tests__)(/|$)")
_TOOL_FOLDERS: Final = tuple(
    (re.compile(pattern), detail)
    for pattern, detail in (
        (r".*/lib/python3\.\d+/ensurepip(/|$)", "pip"),
        (r"/usr/local/go(/|$)", "go"),
        (r"(/usr/local|/root|/home/[^/]+)/\.?(cargo|rustup)(/|$)", "rust"),
        (r"(/usr(/local)?/lib/node_modules/(npm|corepack)|/opt/yarn[^/]*)(/|$)", "npm"),
    )
)
_TOOL_FILES: Final = re.compile(r"(|/bin|/usr/bin|/usr/local/bin|/root/\.local/bin|.*/bin)/(uvx?|poetry|hatch|pdm)")
_INSTALLERS: Final = frozenset(
    [
        *("build", "cibuildwheel", "cmake", "cython", "flit-core", "hatch", "hatchling", "maturin", "meson"),
        *("meson-python", "mypy", "ninja", "pdm", "pip", "pip-tools", "pipenv", "pipx", "poetry", "poetry-core"),
        *("pybind11", "scikit-build", "scikit-build-core", "setuptools", "setuptools-rust", "setuptools-scm"),
        *("twine", "uv", "virtualenv", "wheel"),
    ]
)
_DEVELOPMENT: Final = re.compile(r".*-dev(-bin)?")
_HEADER_FOLDERS: Final = re.compile(
    r"/usr/(local/)?include(/|$)|.*/(site|dist)-packages/(.*/)?include(/|$)|.*/lib/python3\.\d+/config-[^/]*(/|$)|.*/pkgconfig$"
)
_HEADER_ENDINGS: Final = (
    *(".h", ".hh", ".hpp", ".hxx", ".a", ".la", ".o", ".pxd", ".pxi", ".pyx", ".pyi"),
    *(".c", ".cc", ".cpp", ".cxx", ".f90"),
)

_CACHED: Final = re.compile(r"(.*)/__pycache__/([^/]+?)\.(?:cpython-3(\d+)|[\w-]+?)(?:\.opt-\d)?\.pyc")
_INTERPRETER: Final = re.compile(r"^.*/(?:lib)?python3\.(\d+)t?(?:\.so.*)?\Z")


def judge(stack: LayerStack, indexes: Sequence[int]) -> dict[int, Judged]:
    """Judge visible regular files by their paths and owners; what is needed as far as can be told is left out.

    Args:
        stack: The image.
        indexes: Of visible entries.
    """
    merged = stack.merged
    numbers = np.full(len(merged.paths), -1, dtype=np.int64)
    numbers[stack.visible] = np.arange(len(stack.visible))
    packages, owners, parts = stack.ownership.packages, stack.ownership.owners, stack.parts
    by_package = [_of_package(package) for package in packages]
    folders: dict[str, Judged | None] = {}
    unused = unused_bytecode(stack)
    found = {}
    for index in indexes:
        path, place = merged.paths[index], int(numbers[index])
        folder = path.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = _of_folder(folder)
        of_folder, owner = folders[folder], int(owners[place])
        judged = (
            (of_folder if of_folder and of_folder.cause == CACHES else _of_cached_file(path))
            or (Judged(BYTECODE, unused[index]) if index in unused else None)
            or (of_folder if of_folder and of_folder.cause == TESTS else None)
            or (Judged(TESTS, "the app's") if parts[place] == APP and _OWN_TESTS.match(folder) else None)
            or (by_package[owner] if owner >= 0 else None)
            or of_folder
            or _of_file(path)
        )
        if judged is not None:
            found[index] = judged
    return found


def _of_folder(folder: str) -> Judged | None:
    """What a file is for the folder that it lies in."""
    for pattern, detail in _CACHES:
        if pattern.match(folder):
            return Judged(CACHES, detail)
    if _TESTS.match(folder):
        return Judged(
            TESTS, "of packages" if "-packages/" in folder or "node_modules/" in folder else "the interpreter's"
        )
    for pattern, detail in _TOOL_FOLDERS:
        if pattern.match(folder):
            return Judged(TOOLS, detail)
    return Judged(HEADERS, "headers") if _HEADER_FOLDERS.match(folder) else None


def _of_cached_file(path: str) -> Judged | None:
    if path.endswith((".deb", ".rpm", ".whl", "-old", ".log")):
        for pattern, detail in _CACHED_FILES:
            if pattern.fullmatch(path):
                return Judged(CACHES, detail)
    return None


def _of_package(package: Package) -> Judged | None:
    if package.manager == "python":
        return Judged(TOOLS, package.name) if package.name in _INSTALLERS else None
    if part_of_package(package) != COMPILERS:
        return None
    return Judged(HEADERS if _DEVELOPMENT.fullmatch(package.name) else TOOLS, package.name)


def _of_file(path: str) -> Judged | None:
    if path.endswith(_HEADER_ENDINGS):
        ending = path.rpartition(".")[2]
        detail = "static libraries" if ending in {"a", "la", "o"} else "stubs" if ending == "pyi" else "headers"
        return Judged(HEADERS, detail)
    return Judged(TOOLS, path.rpartition("/")[2]) if _TOOL_FILES.fullmatch(path) else None


def unused_bytecode(stack: LayerStack) -> dict[int, str]:
    """The visible bytecode in ``__pycache__`` that nothing reads (PEP 3147), by index, with the reason.

    It counts only beside its module, and only for the interpreter that it names.
    """
    merged = stack.merged
    visible = stack.visible.tolist()
    compiled = [index for index in visible if merged.paths[index].endswith(".pyc") and merged.kinds[index] == FILE]
    there = _interpreters(stack) if compiled else frozenset()
    found = {}
    for index in compiled:
        parts = _CACHED.fullmatch(merged.paths[index])
        if parts is None:
            continue
        if merged.find(f"{parts[1]}/{parts[2]}.py") is None:
            found[index] = "without its module"
        elif parts[3] and there and parts[3] not in there:
            found[index] = f"of Python 3.{parts[3]}, which is not there"
    return found


def _interpreters(stack: LayerStack) -> frozenset[str]:
    """The minor versions of the interpreters that are there; empty where none can be told."""
    merged = stack.merged
    found = set()
    for index in stack.visible.tolist():
        path = merged.paths[index]
        if "python3." in path[-24:] and merged.kinds[index] != DIRECTORY:
            found.update(_INTERPRETER.findall(path))
    return frozenset(found)
