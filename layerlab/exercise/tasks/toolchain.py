"""What only building needs, found in an image: compilers, make, development packages and C headers.

By the package databases of Debian and Alpine, and by the files themselves, since a COPY brings no database.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.exercise.evidence.facts import File, Snapshot
from layerlab.exercise.tasks.judging import package_folders

Kind = Literal["compiler", "make", "development package", "headers", "builder"]

_TRIPLET: Final = r"(?:[a-z0-9_]+-(?:[a-z0-9]+-)*?(?:gnu|musl|linux)\w*-)?"
_COMPILER: Final = re.compile(
    rf"{_TRIPLET}(?:gcc|g\+\+|cc|c\+\+|c[89]9|clang|clang\+\+|tcc|gfortran|f77|f95|gccgo|gdc|gnat|nvcc|zig"
    r"|rustc|cargo|rustup|go|gofmt|node|npm|ghc|javac)(?:-[\d.]+)?"
    r"|cc1|cc1plus|cc1obj|f951|lto1|go1|collect2"
)
_MAKE: Final = re.compile(r"g?make")
_BUILDER: Final = re.compile(
    rf"{_TRIPLET}(?:as|ld|ld\.bfd|ld\.gold|strip|objcopy|cmake|ninja|meson|autoconf|automake)"
)
_BINARIES: Final = frozenset({"bin", "sbin"})
_COMPILER_PACKAGE: Final = re.compile(
    r"(?:gcc|g\+\+|cpp|gfortran|clang|rustc|cargo|golang|gccgo|gdc|gnat|tcc|nodejs|npm|go|rust|default-jdk)"
    r"(?:-[\w.+-]+)?|build-(?:essential|base)|libclang-common-.*"
)
_NO_COMPILER_PACKAGE: Final = re.compile(r".*-(?:base|libs?|doc|docs|locales|common)|gcc-libs.*|go-md2man.*|rust-.*")
_MAKE_PACKAGE: Final = re.compile(r"make(?:-guile)?")
_DEVELOPMENT: Final = re.compile(r".*-dev(?:-bin)?")
_BUILDER_PACKAGE: Final = re.compile(r"binutils(?:-[\w-]+)?|cmake|ninja-build|meson|autoconf|automake")
_PACKAGED: Final = re.compile(r"/(?:site|dist)-packages/")
_HEADER: Final = re.compile(r"/include/.*\.(?:h|hh|hpp|hxx|h\+\+)$")
# Python's own, wherever its interpreter was copied to, and what packages put there; /usr/include is a -dev package's.
_PYTHON_HEADER: Final = re.compile(r"/include/(?:site/)?python3[\d.]*t?/")
_DPKG: Final = "/var/lib/dpkg/info/"
_APK: Final = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


@dataclass(frozen=True)
class Tool:
    """Something that only building needs.

    Attributes:
        kind: ``builder`` stands for what is of no use to a service, but compiles nothing.
        name: A package, a program, or a folder of headers.
        files: What belongs to it, in one layer.
        layer: That layer's index; None for the base image's.
    """

    kind: Kind
    name: str
    files: tuple[File, ...]
    layer: int | None

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(file.bytes for file in self.files)


def tools(snapshot: Snapshot) -> tuple[Tool, ...]:
    """All that are shipped, those of one layer together, the base image's first."""
    by_layer: dict[int | None, dict[str, File]] = defaultdict(dict)
    by_layer[None] = dict(snapshot.base_files)
    for file in snapshot.files:
        by_layer[file.layer][file.path] = file
    found: list[Tool] = []
    packages = package_folders(snapshot)
    for number, files in by_layer.items():
        named = [*_dpkg(snapshot, number, files), *_apk(snapshot, number, files)]
        owned = {file.path for tool in named for file in tool.files}
        apart = {path: file for path, file in files.items() if not _is_packaged(path, packages) and path not in owned}
        imported = tuple(path.removesuffix("__init__.py") for path in apart if path.endswith("/__init__.py"))
        found += [*named, *_programs(number, apart), *_headers(number, apart, imported)]
    return tuple(_once(found))


def _once(found: Iterable[Tool]) -> Iterator[Tool]:
    """Without the packages that an earlier layer had already: Debian's and Alpine's tools write their lists anew."""
    seen: set[tuple[Kind, str]] = set()
    for tool in found:
        is_new = (tool.kind, tool.name) not in seen
        if is_new or (tool.bytes and tool.kind != "development package"):
            yield tool
        seen.add((tool.kind, tool.name))


def _kind(package: str) -> Kind | None:
    if _DEVELOPMENT.fullmatch(package) and not package.startswith("."):
        return "development package"
    if _MAKE_PACKAGE.fullmatch(package):
        return "make"
    if _COMPILER_PACKAGE.fullmatch(package) and not _NO_COMPILER_PACKAGE.fullmatch(package):
        return "compiler"
    return "builder" if _BUILDER_PACKAGE.fullmatch(package) else None


def _dpkg(snapshot: Snapshot, layer: int | None, files: dict[str, File]) -> Iterator[Tool]:
    for path, file in files.items():
        if path.startswith(_DPKG) and path.endswith(".list"):
            name = posixpath.basename(path).removesuffix(".list").partition(":")[0]
            kind = _kind(name)
            paths = _listed(snapshot, layer, path) if kind else []
            if kind and not (paths and all(each.startswith("/etc/") for each in paths)):
                yield Tool(kind, name, (file, *_present(files, paths)), layer)


def _listed(snapshot: Snapshot, layer: int | None, path: str) -> list[str]:
    """The paths of a package without its directories; of one that was removed, only settings in /etc are left."""
    lines = (snapshot.contents(layer, path) or b"").decode(errors="replace").splitlines()
    folders = {posixpath.dirname(line) for line in lines}
    return [line for line in lines if line.startswith("/") and line != "/." and line not in folders]


def _present(files: dict[str, File], paths: list[str]) -> Iterator[File]:
    for path in paths:
        file = files.get(path) or files.get(f"/usr{path}")  # /bin and /lib are links into /usr
        if file and file.kind == "file":
            yield file


def _apk(snapshot: Snapshot, layer: int | None, files: dict[str, File]) -> Iterator[Tool]:
    for path in _APK:
        text = (snapshot.contents(layer, path) or b"").decode(errors="replace") if path in files else ""
        for paragraph in text.split("\n\n"):
            names = re.findall(r"^P:(.+)$", paragraph, re.MULTILINE)
            kind = _kind(names[0]) if names else None
            if kind:
                yield Tool(kind, names[0], tuple(_present(files, list(_apk_paths(paragraph)))), layer)


def _apk_paths(paragraph: str) -> Iterator[str]:
    folder = ""
    for line in paragraph.splitlines():
        if line.startswith("F:"):
            folder = line[2:]
        elif line.startswith("R:"):
            yield f"/{folder}/{line[2:]}"


def _is_packaged(path: str, folders: tuple[str, ...]) -> bool:
    """Whether a path lies inside Python packages."""
    return path.startswith(folders) or _PACKAGED.search(path) is not None


def _programs(layer: int | None, files: dict[str, File]) -> Iterator[Tool]:
    for path, file in files.items():
        if file.kind != "file" or not file.mode & 0o111:
            continue
        folder, _, name = path.rpartition("/")
        in_binaries = posixpath.basename(folder) in _BINARIES
        if (in_binaries or name.startswith(("cc1", "f951", "lto1"))) and _COMPILER.fullmatch(name):
            yield Tool("compiler", path, (file,), layer)
        elif in_binaries and _MAKE.fullmatch(name):
            yield Tool("make", path, (file,), layer)
        elif in_binaries and _BUILDER.fullmatch(name):
            yield Tool("builder", path, (file,), layer)


def _headers(layer: int | None, files: dict[str, File], imported: tuple[str, ...]) -> Iterator[Tool]:
    """Headers, those inside folders that can be imported (wherever a Python package was copied to) left out."""
    found: dict[str, list[File]] = defaultdict(list)
    for path, file in files.items():
        if file.kind == "file" and _HEADER.search(path) and not _is_pythons(path) and not path.startswith(imported):
            found[path[: path.index("/include/") + len("/include")]].append(file)
    for folder, headers in found.items():
        yield Tool("headers", folder, tuple(headers), layer)


def _is_pythons(path: str) -> bool:
    return bool(_PYTHON_HEADER.search(path)) and not path.startswith("/usr/include/")
