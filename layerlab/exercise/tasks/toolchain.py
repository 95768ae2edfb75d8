"""What only building needs, found in an image: compilers, make, development packages and C headers.

By the files themselves, since a COPY brings no database; those of a package are told by its name.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.exercise.evidence.facts import File, Snapshot
from layerlab.exercise.tasks.judging import package_folders
from layerlab.image.databases import read_databases

Kind = Literal["compiler", "make", "development package", "headers"]

_COMPILER: Final = re.compile(
    r"(?:.*/s?bin/(?:[a-z0-9_]+-(?:[a-z0-9]+-)*?(?:gnu|musl|linux)\w*-)?"
    r"(?:gcc|g\+\+|cc|c\+\+|c[89]9|clang|clang\+\+|tcc|gfortran|f77|f95|gccgo|gdc|gnat|nvcc|zig"
    r"|rustc|cargo|rustup|go|gofmt|node|npm|ghc|javac)(?:-[\d.]+)?"
    r"|.*/(?:cc1|cc1plus|cc1obj|f951|lto1))"
)
_MAKE: Final = re.compile(r".*/s?bin/g?make")
_HEADER: Final = re.compile(r"(?P<folder>.*?/include)/.*\.(?:h|hh|hpp|hxx|h\+\+)")
_DEVELOPMENT: Final = re.compile(r"[^.].*-dev")  # what begins with a dot is apk's name for several packages
_PACKAGED: Final = re.compile(r"/(?:site|dist)-packages/")
# Python's own, wherever its interpreter was copied to, and what packages put there; /usr/include is a -dev package's.
_PYTHON_HEADER: Final = re.compile(r"/include/(?:site/)?python3[\d.]*t?/")
_DPKG: Final = re.compile(r"/var/lib/dpkg/info/(?P<name>[^/:]+)(?::[^/]+)?\.list")
_APK: Final = frozenset({"/lib/apk/db/installed", "/usr/lib/apk/db/installed"})


@dataclass(frozen=True)
class Tool:
    """Something that only building needs.

    Attributes:
        kind: What it is.
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
    packages = package_folders(snapshot)
    return tuple(tool for layer, files in by_layer.items() for tool in _in_layer(snapshot, layer, files, packages))


def _in_layer(
    snapshot: Snapshot, layer: int | None, files: Mapping[str, File], packages: tuple[str, ...]
) -> Iterator[Tool]:
    # Whatever can be imported is a Python package, wherever it was copied to.
    modules = (path.removesuffix("__init__.py") for path in files if path.endswith("/__init__.py"))
    imported = (*packages, *modules)
    kinds = {path: kind for path, file in files.items() if (kind := _kind(file))}
    kinds = {
        path: kind for path, kind in kinds.items() if not path.startswith(imported if kind == "headers" else packages)
    }
    for name, owned in _packages(snapshot, layer, files, all_of_them=bool(kinds)):
        kind = next((kinds[file.path] for file in owned if file.path in kinds), None)
        if _DEVELOPMENT.fullmatch(name):
            kind = "development package"
        if kind:
            yield Tool(kind, name, owned, layer)
            kinds = {path: kind for path, kind in kinds.items() if files[path] not in owned}
    headers: dict[str, list[File]] = defaultdict(list)
    for path, kind in kinds.items():
        if found := _HEADER.fullmatch(path):
            headers[found["folder"]].append(files[path])
        else:
            yield Tool(kind, path, (files[path],), layer)
    for folder, several in headers.items():
        yield Tool("headers", folder, tuple(several), layer)


def _kind(file: File) -> Kind | None:
    """What a file is by its path and mode."""
    path = file.path
    if file.kind != "file" or _PACKAGED.search(path):
        return None
    if _HEADER.fullmatch(path):
        is_pythons = _PYTHON_HEADER.search(path) and not path.startswith("/usr/include/")
        return None if is_pythons else "headers"
    if not file.mode & 0o111:
        return None
    return "compiler" if _COMPILER.fullmatch(path) else "make" if _MAKE.fullmatch(path) else None


def _packages(
    snapshot: Snapshot, layer: int | None, files: Mapping[str, File], *, all_of_them: bool
) -> Iterator[tuple[str, tuple[File, ...]]]:
    """The packages of dpkg and apk that a layer brings files of, with these; perhaps only those for development."""
    lists = {path: found["name"] for path in files if (found := _DPKG.fullmatch(path))}
    wanted = {path for path, name in lists.items() if all_of_them or _DEVELOPMENT.fullmatch(name)}
    texts = {path: snapshot.contents(layer, path) or b"" for path in wanted | (_APK & files.keys())}
    for claim in read_databases(texts):
        # /bin and /lib are links into /usr. Of a package that was removed, its settings in /etc are left.
        places = [path for path in claim.paths if not posixpath.normpath(path).startswith("/etc/")]
        present = (files.get(path) or files.get(f"/usr{path}") for path in places)
        if owned := tuple(file for file in present if file and file.kind == "file"):
            yield claim.name, owned
