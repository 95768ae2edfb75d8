"""What a build leaves behind: wheels, sources, caches, object files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from layerlab.exercise.evidence.facts import File, Snapshot
from layerlab.exercise.tasks.judging import package_folders, python_cache
from layerlab.exercise.tasks.toolchain import Tool

_PYTHON: Final = r"/(?:site|dist)-packages/|/lib/python3[\d.]*t?/"
_OWN: Final = re.compile(rf"{_PYTHON}|/ensurepip/|^/usr/share/python-wheels/")
_SYSTEM: Final = re.compile(r"^/(?:usr/)?(?:lib|lib64|share)/|^/(?:usr/share|etc|var/lib)/")
_ARCHIVE: Final = re.compile(r"/[A-Za-z][\w.]*(?:-[\w.]+)*-v?\d[\w.]*\.(?:tar\.(?:gz|bz2|xz|zst)|tgz|zip)$")
_PACKED: Final = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|lz4|xz|zst))?|tgz|tbz2?|txz)$")
_SMALLEST_PACKED: Final = 1_000_000  # bytes of an archive that is a leftover whatever its name
_SOURCE: Final = re.compile(r"/(?:setup\.py|pyproject\.toml|PKG-INFO|CMakeLists\.txt|configure|Cargo\.toml|go\.mod)$")
_CACHE: Final = re.compile(
    r"/\.cache/(?:uv|pypoetry|pipenv|pdm|go-build|ccache)/|/pip/(?:http|http-v2|wheels)/"
    r"|/\.(?:cargo|rustup|npm|ccache|mypy_cache|pytest_cache|ruff_cache)/|/go/pkg/|/tmp/(?:pip|uv)-[^/]+/"
)
_WHEEL: Final = re.compile(r"\.whl$")
_OBJECT: Final = re.compile(r"\.(?:o|a|obj)$")


@dataclass(frozen=True)
class Leftover:
    """Files of one kind that one layer stores.

    Attributes:
        kind: In the plural.
        layer: The index of the layer.
        files: Which.
    """

    kind: str
    layer: int
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Of the files."""
        return sum(file.bytes for file in self.files)


def leftovers(snapshot: Snapshot, tools: Iterable[Tool]) -> tuple[Leftover, ...]:
    """All that the layers above the base store, those that no container sees included.

    Args:
        snapshot: The image.
        tools: Whose files are left out, as are the caches of pip and uv: both are told by findings of their own.
    """
    found: dict[tuple[str, int], list[File]] = defaultdict(list)
    owned = {(tool.layer, file.path) for tool in tools for file in tool.files}
    packages = package_folders(snapshot)
    for file in snapshot.files:
        kind = _kind(file, packages) if file.kind == "file" and (file.layer, file.path) not in owned else None
        if kind and snapshot.origins(file).kind != "context":
            found[kind, file.layer].append(file)
    return tuple(Leftover(kind, layer, tuple(files)) for (kind, layer), files in found.items())


def tools_of_installation(snapshot: Snapshot) -> Iterator[File]:
    """Installers above the base that a service does not need, which is a matter of style."""
    for file in snapshot.files:
        if file.visible and file.kind == "file" and re.search(r"/bin/(?:uv|uvx|poetry|pdm|micromamba)$", file.path):
            yield file


def _kind(file: File, packages: tuple[str, ...]) -> str | None:
    if python_cache(file):
        return None
    rules = [("caches", _CACHE)]
    if not _OWN.search(file.path) and not file.path.startswith(packages):
        rules += [("wheels", _WHEEL), ("object files and static libraries", _OBJECT)]
        if not _SYSTEM.search(file.path):
            rules += [("source archives", _ARCHIVE), ("unpacked sources", _SOURCE)]
            rules += [("archives", _PACKED)] if file.bytes >= _SMALLEST_PACKED else []
    return next((kind for kind, pattern in rules if pattern.search(file.path)), None)
