"""Task 4: a smaller runtime stage, without what only building needs, and at most half of the single-stage image."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import judging
from layerlab.exercise.verdict import Finding, Result
from layerlab.image.databases import read_databases
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

Kind = Literal["compiler", "make", "development package", "headers"]
"""Of what only building needs."""

TASK: Final = 4
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
_TOOL_HINTS: Final = (
    "Which line of the final stage brings this, and what does the running service do with it?",
    "Compile and install where the tools are, in a stage that does not ship; the final stage takes only the result.",
    f"Compilers: “The build stage” in {judging.MULTI_STAGE}.",
)
_BASE_HINTS: Final = (
    "What is in the base image of your final stage that the service never uses?",
    "The final stage needs Python itself and nothing to build with; the build stage may have any base it likes.",
    f"Slim: “The base image: habit (1)” in {judging.SINGLE_STAGE}.",
)
_SIZE_HINTS: Final = (
    "Which layers of your image are the largest, and which line made each of them?",
    "Look for what is stored and not needed: the base, tools, caches, second copies of the same files.",
    f"The bytes beside the lines: “The Dockerfile with its bytes in the margin” in {judging.BYTES}.",
)


@dataclass(frozen=True)
class Tool:
    """Something that only building needs."""

    kind: Kind  # what it is
    name: str  # a package, a program, or a folder of headers
    files: tuple[File, ...]  # what belongs to it, in one layer
    layer: int | None  # that layer's index; None for the base image's

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(file.bytes for file in self.files)


def judge(evidence: Evidence) -> Result:
    """Judge task 4."""
    found = tools(evidence.image)
    findings = [*_base(evidence, found), *brought(evidence.image, found)]
    if evidence.single_bytes is not None:
        findings += _size(evidence, evidence.single_bytes)
    elif not any(each.level == "error" for each in findings):
        message = "The single-stage image, whose half is the limit for yours, could not be built or measured here."
        message += f" {evidence.failure.message}" if evidence.failure else ""
        return judging.unknown(TASK, message, findings)
    return verdict.judge(TASK, findings)


def _base(evidence: Evidence, found: tuple[Tool, ...]) -> Iterator[Finding]:
    """The base image, judged by what it holds."""
    tools = sorted((tool for tool in found if tool.layer is None), key=lambda tool: -tool.bytes)
    if tools:
        stage = evidence.chain[0]
        figures = first_few([_called(tool) for tool in tools], 4)
        yield judging.finding(
            "error",
            f"The final image is based on {stage.base}, which is made to build things: it holds {figures}. A service "
            "that runs needs none of that, and whoever breaks into it may use all of it.",
            _BASE_HINTS,
            stage.line,
        )


def brought(snapshot: Snapshot, found: Iterable[Tool]) -> Iterator[Finding]:
    """What the layers above the base bring, a finding for each line; task 5 asks for those of compilers, too."""
    by_layer: dict[int, list[Tool]] = defaultdict(list)
    for tool in found:
        if tool.layer is not None:
            by_layer[tool.layer].append(tool)
    for number, tools in by_layer.items():
        line = snapshot.layers[number].line
        tools.sort(key=lambda tool: -tool.bytes)
        files = {file.path: file for tool in tools for file in tool.files}
        size = how_large(sum(file.bytes for file in files.values()))
        message = f"{first_few([_called(tool) for tool in tools], 5)} came with line {line}"
        message += f" ({size} in all)." if len(tools) > 1 else "."
        message += judging.gone_but_stored(snapshot, files.values())
        message += " Only building needs this: in a running service it is weight, and of use to whoever breaks in."
        yield judging.finding("error", message, _TOOL_HINTS, line)


def _called(tool: Tool) -> str:
    """Such as ``gcc-14, 143 MB``."""
    if tool.kind == "headers":
        first = min(file.path for file in tool.files)
        such = f", such as {shorten(first, 80)}" if len(tool.files) > 1 else f", {shorten(first, 80)}"
        return f"{counted(len(tool.files), 'C or C++ header')} in {tool.name} ({how_large(tool.bytes)}{such})"
    size = f" ({how_large(tool.bytes)})" if tool.bytes >= 1000 else ""
    return f"{tool.name}{size}"


def _size(evidence: Evidence, single: int) -> Iterator[Finding]:
    snapshot = evidence.image
    if 2 * snapshot.total_bytes <= single:
        return
    base = sum(layer.bytes for layer in snapshot.layers if layer.is_base)
    above = [layer for layer in snapshot.layers if not layer.is_base]
    above.sort(key=lambda layer: -layer.bytes)
    largest = above[0] if above else None
    line = largest.line if largest and largest.bytes > base else evidence.chain[0].line
    parts = [f"its base {how_large(base)}"] if base else []
    parts += [f"line {layer.line} {how_large(layer.bytes)}" for layer in above[:3] if layer.line and layer.bytes]
    yield judging.finding(
        "error",
        f"The image stores {how_large(snapshot.total_bytes)}, more than half of the single-stage image's "
        f"{how_large(single)} ({'; '.join(parts)}). Whatever is stored is pulled, kept and scanned wherever it runs.",
        _SIZE_HINTS,
        line,
    )


def tools(snapshot: Snapshot) -> tuple[Tool, ...]:
    """All that are shipped, those of one layer together, the base image's first.

    They are told by the files themselves, since a COPY brings no database; those of a package are told by its name.
    """
    by_layer: dict[int | None, dict[str, File]] = defaultdict(dict)
    by_layer[None] = dict(snapshot.base_files)
    for file in snapshot.files:
        by_layer[file.layer][file.path] = file
    packages = judging.package_folders(snapshot)
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
