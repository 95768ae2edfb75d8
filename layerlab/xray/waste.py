"""Every byte that an image could do without, each once: what no container sees, and what nothing needs as it seems.

*Facts* are of files that no container can see, in the layer that stores them, and say what took them away:

* ``overwritten: content``: a later layer has something else at the path;
* ``overwritten: mode or owner``: it has the same content there, with another mode, owner or group (a ``chmod -R``);
* ``overwritten: unchanged``: it has the same content, mode and owner (only times or extended attributes may differ);
* ``overwritten: not compared``: it has as many bytes there, and nobody has compared them;
* ``deleted``, ``hidden``: as in `layerlab.image.filesystem`.

*Judgements* are of files that a container sees: they hold for most images, and may be wrong for one. Those in
`JUDGEMENTS` are tried in that order, the first counts. Most go by where a file lies and what it is called; for two
contents are read:

* ``same content at several paths``: all but one of the files of 1 kB or more that have the same bytes (under 1 MB
  only those with the same name); the one in the lowest layer counts as needed;
* ``debug symbols``: of programs and libraries that nothing else is said of, what ``strip`` would take out.

So no byte is in two causes, the facts add up to what is wasted, and all the judgements to no more than what is live.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from layerlab.image import Image, filesystem
from layerlab.image.filesystem import OVERWRITTEN
from layerlab.image.layer import DIRECTORY, FILE
from layerlab.image.packages import APP, COMPILERS, Package, part_of_package
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import FileReader
from layerlab.ui.progress import Report, ongoing, silent
from layerlab.ui.text import shown
from layerlab.xray.provenance import copies

if TYPE_CHECKING:
    import pandas as pd

CONTENT: Final = "overwritten: content"
METADATA: Final = "overwritten: mode or owner"
NOTHING: Final = "overwritten: unchanged"
NOT_COMPARED: Final = "overwritten: not compared"
DELETED: Final = "deleted"
HIDDEN: Final = "hidden"
CACHES: Final = "package indexes and caches"
BYTECODE: Final = "bytecode without use"
TESTS: Final = "test suites"
TOOLS: Final = "build tools"
HEADERS: Final = "headers and static libraries"
SAME: Final = "same content at several paths"
SYMBOLS: Final = "debug symbols"

FACTS: Final = (CONTENT, METADATA, NOTHING, NOT_COMPARED, DELETED, HIDDEN)  # what can be known
JUDGEMENTS: Final = (CACHES, BYTECODE, TESTS, TOOLS, HEADERS, SAME, SYMBOLS)
"""What is judged, in the order in which it is."""
CAUSES: Final = (*FACTS, *JUDGEMENTS)

_EXAMPLES: Final = 3
_TEXTS: Final = (
    ".py", ".pyc", ".pyi", ".txt", ".json", ".js", ".css", ".html", ".csv", ".h", ".sh", ".pl", ".pm", ".a"
)  # fmt: skip


def _compiled(*table: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), detail) for pattern, detail in table)


_CACHES: Final = _compiled(
    (r"/var/lib/apt/lists(/|$)", "apt lists"),
    (r"/var/cache/apt(/|$)", "apt archives"),
    (r"(/var/cache/apk|/etc/apk/cache)(/|$)", "apk cache"),
    (r"/var/cache/(dnf|yum|libdnf5|zypp)(/|$)", "dnf cache"),
    (r".*/(\.cache/pip|http-v2|selfcheck)(/|$)", "pip cache"),
    (r".*/(\.cache/uv|(archive|simple|wheels|sdists|interpreter|built-wheels|flat-index)-v\d+)(/|$)", "uv cache"),
    (r".*/(\.npm/_\w+|\.cache/(yarn|node|pnpm)|\.pnpm-store|\.yarn/cache)(/|$)", "npm cache"),
    (r".*/\.cache/pypoetry(/|$)|.*/conda/pkgs(/|$)", "other installers' caches"),
    (r".*/(\.cache/go-build|\.?cargo/registry|\.m2/repository|\.gradle/caches)(/|$)", "build caches"),
    (r"/var/cache/(man|ldconfig)(/|$)", "system caches"),
    (r"/var/log/apt(/|$)", "package manager's logs"),
    (r"(/root|/home/[^/]+)/\.cache(/|$)", "other caches"),
)
_CACHED_FILES: Final = _compiled(
    (r"(?!.*/(ensurepip|virtualenv|seed)/).*\.(deb|rpm|whl)", "package archives"),
    (r"/var/(lib/dpkg|cache/debconf)/[^/]*-old", "package manager's leftovers"),
    (r"/var/log/(dpkg|alternatives|bootstrap)\.log", "package manager's logs"),
)
_TESTS: Final = re.compile(
    r".*/(site|dist)-packages/(.*/)?tests(/|$)"
    r"|.*/lib/python3\.\d+/(?!(site|dist)-packages/)([\w/]+/)?(tests?|idle_test)(/|$)"
    r"|.*/node_modules/(.*/)?(tests?|__tests__)(/|$)"
)
_OWN_TESTS: Final = re.compile(r".*/(tests|__tests__)(/|$)")
_TOOL_FOLDERS: Final = _compiled(
    (r".*/lib/python3\.\d+/ensurepip(/|$)", "pip"),
    (r"/usr/local/go(/|$)", "go"),
    (r"(/usr/local|/root|/home/[^/]+)/\.?(cargo|rustup)(/|$)", "rust"),
    (r"(/usr(/local)?/lib/node_modules/(npm|corepack)|/opt/yarn[^/]*)(/|$)", "npm"),
)
_TOOL_FILES: Final = re.compile(r"(|/bin|/usr/bin|/usr/local/bin|/root/\.local/bin|.*/bin)/(uvx?|poetry|hatch|pdm)")
_INSTALLERS: Final = frozenset({
    "build", "cibuildwheel", "cmake", "cython", "flit-core", "hatch", "hatchling", "maturin", "meson", "meson-python",
    "mypy", "ninja", "pdm", "pip", "pip-tools", "pipenv", "pipx", "poetry", "poetry-core", "pybind11", "scikit-build",
    "scikit-build-core", "setuptools", "setuptools-rust", "setuptools-scm", "twine", "uv", "virtualenv", "wheel",
})  # fmt: skip
_DEVELOPMENT: Final = re.compile(r".*-dev(-bin)?")
_HEADER_FOLDERS: Final = re.compile(
    r"/usr/(local/)?include(/|$)|.*/(site|dist)-packages/(.*/)?include(/|$)|.*/lib/python3\.\d+/config-[^/]*(/|$)|.*/pkgconfig$"
)
_HEADER_ENDINGS: Final = (
    ".h", ".hh", ".hpp", ".hxx", ".a", ".la", ".o", ".pxd", ".pxi", ".pyx", ".pyi", ".c", ".cc", ".cpp", ".cxx",
    ".f90",
)  # fmt: skip

_CACHED: Final = re.compile(r"(.*)/__pycache__/([^/]+?)\.(?:cpython-3(\d+)|[\w-]+?)(?:\.opt-\d)?\.pyc")
_INTERPRETER: Final = re.compile(r"^.*/(?:lib)?python3\.(\d+)t?(?:\.so.*)?\Z")


class Needless(NamedTuple):
    """Bytes of one file, and why they are not needed."""

    entry: int  # the index of the file's entry: its first visible name, or the one that was visible last
    cause: str  # one of `CAUSES`
    detail: str  # what it is exactly, such as ``apt lists`` or a package; empty where the cause says it all
    bytes: int  # how many
    layer: int  # the layer that stores them
    by_layer: int | None = None  # for a fact, the layer that took the file away

    @property
    def is_fact(self) -> bool:
        """Whether it is a fact, not a judgement."""
        return self.by_layer is not None


def rows(stack: LayerStack, reader: FileReader | None = None, report: Report = silent) -> list[Needless]:
    """All of them: facts first, then judgements; within each in the order of the layers. See `causes`."""
    found = [*_facts(stack, reader, report), *_judgements(stack, reader, report)]
    return sorted(found, key=lambda row: (not row.is_fact, row.layer, row.entry))


def _facts(stack: LayerStack, reader: FileReader | None, report: Report) -> Iterator[Needless]:
    merged, wasted = stack.merged, stack.inodes.wasted.tolist()
    again = copies.same_size_again(stack, (index for index in wasted if merged.causes[index] == OVERWRITTEN))
    digests: dict[int, str] = {}
    if reader is not None:
        with ongoing(report, "comparing what was overwritten"):  # of nothing there is one kind
            digests = reader.digests({index for pair in again.items() for index in pair if merged.sizes[index] > 0})
    for index in wasted:
        cause = filesystem.CAUSES[merged.causes[index]]
        if merged.causes[index] == OVERWRITTEN:
            cause = _compared(stack, index, again[index], digests) if index in again else CONTENT
        yield _row(stack, index, cause, by_layer=int(merged.gone_by[index]))


def _compared(stack: LayerStack, old: int, new: int, digests: dict[int, str]) -> str:
    merged = stack.merged
    if merged.sizes[old] > 0 and not {old, new} <= digests.keys():
        return NOT_COMPARED
    if merged.sizes[old] > 0 and digests[old] != digests[new]:
        return CONTENT
    columns = (merged.modes, merged.uids, merged.gids)
    return NOTHING if all(column[old] == column[new] for column in columns) else METADATA


def _judgements(stack: LayerStack, reader: FileReader | None, report: Report) -> Iterator[Needless]:
    merged = stack.merged
    live = stack.inodes.live[merged.sizes[stack.inodes.live] > 0].tolist()
    judged = _judged(stack, live)
    yield from (_row(stack, index, cause, detail) for index, (cause, detail) in judged.items())
    if reader is not None:
        rest = [index for index in live if index not in judged]
        with ongoing(report, "looking for the same content at several paths"):
            again = _same(stack, reader, rest)
        yield from (_row(stack, index, SAME) for index in again)
        with ongoing(report, "looking for debug symbols"):
            programs = [index for index in rest if index not in again and _may_be_program(stack, index)]
            symbols = reader.debug_bytes(programs)
        yield from (_row(stack, index, SYMBOLS, size=size) for index, size in symbols.items() if size)


def _judged(stack: LayerStack, indexes: Sequence[int]) -> dict[int, tuple[str, str]]:
    """The visible files that paths and owners tell to be needless, by index: the cause, and what they are exactly."""
    merged, owners, parts = stack.merged, stack.ownership.owners, stack.parts
    numbers = np.full(len(merged.paths), -1, dtype=np.int64)
    numbers[stack.visible] = np.arange(len(stack.visible))
    by_package = [_of_package(package) for package in stack.ownership.packages]
    folders: dict[str, tuple[str, str] | None] = {}
    unused = _unused_bytecode(stack)
    found = {}
    for index in indexes:
        path, place = merged.paths[index], int(numbers[index])
        folder = path.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = _of_folder(folder)
        of_folder, owner = folders[folder], int(owners[place])
        judged = (
            (of_folder if of_folder and of_folder[0] == CACHES else _of_cached_file(path))
            or ((BYTECODE, unused[index]) if index in unused else None)
            or (of_folder if of_folder and of_folder[0] == TESTS else None)
            or ((TESTS, "the app's") if parts[place] == APP and _OWN_TESTS.match(folder) else None)
            or (by_package[owner] if owner >= 0 else None)
            or of_folder
            or _of_file(path)
        )
        if judged is not None:
            found[index] = judged
    return found


def _of_folder(folder: str) -> tuple[str, str] | None:
    """What a file is for the folder that it lies in."""
    for pattern, detail in _CACHES:
        if pattern.match(folder):
            return CACHES, detail
    if _TESTS.match(folder):
        return TESTS, "of packages" if "-packages/" in folder or "node_modules/" in folder else "the interpreter's"
    for pattern, detail in _TOOL_FOLDERS:
        if pattern.match(folder):
            return TOOLS, detail
    return (HEADERS, "headers") if _HEADER_FOLDERS.match(folder) else None


def _of_cached_file(path: str) -> tuple[str, str] | None:
    if not path.endswith((".deb", ".rpm", ".whl", "-old", ".log")):
        return None
    return next(((CACHES, detail) for pattern, detail in _CACHED_FILES if pattern.fullmatch(path)), None)


def _of_package(package: Package) -> tuple[str, str] | None:
    if package.manager == "python":
        return (TOOLS, package.name) if package.name in _INSTALLERS else None
    if part_of_package(package) != COMPILERS:
        return None
    return HEADERS if _DEVELOPMENT.fullmatch(package.name) else TOOLS, package.name


def _of_file(path: str) -> tuple[str, str] | None:
    if path.endswith(_HEADER_ENDINGS):
        ending = path.rpartition(".")[2]
        detail = "static libraries" if ending in {"a", "la", "o"} else "stubs" if ending == "pyi" else "headers"
        return HEADERS, detail
    return (TOOLS, path.rpartition("/")[2]) if _TOOL_FILES.fullmatch(path) else None


def _unused_bytecode(stack: LayerStack) -> dict[int, str]:
    """The visible bytecode in ``__pycache__`` that nothing reads (PEP 3147), by index, with the reason."""
    merged, visible = stack.merged, stack.visible.tolist()
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
    visible = ((index, merged.paths[index]) for index in stack.visible.tolist())
    there = (path for index, path in visible if "python3." in path[-24:] and merged.kinds[index] != DIRECTORY)
    return frozenset(minor for path in there for minor in _INTERPRETER.findall(path))


def _row(
    stack: LayerStack, index: int, cause: str, detail: str = "", *, by_layer: int | None = None, size: int = 0
) -> Needless:
    merged = stack.merged
    stored = int(merged.layers[merged.inodes[index]])
    return Needless(index, cause, detail, size or int(merged.sizes[index]), stored, by_layer)


def _same(stack: LayerStack, reader: FileReader, indexes: list[int]) -> set[int]:
    """The files that another one makes needless."""
    merged = stack.merged
    found: set[int] = set()
    for same in copies.same_content(reader, copies.may_be_alike(merged, indexes)):
        found.update(sorted(same, key=lambda i: (merged.layers[merged.inodes[i]], merged.paths[i]))[1:])
    return found


def _may_be_program(stack: LayerStack, index: int) -> bool:
    """Whether a file may be an ELF program or library: by its name, or its mode."""
    merged = stack.merged
    name = merged.paths[index].rpartition("/")[2]
    by_mode = bool(merged.modes[index] & 0o111) and not name.endswith(_TEXTS)
    return bool(merged.sizes[index] >= copies.SMALLEST and (".so" in name or by_mode))


def totals(stack: LayerStack, found: list[Needless]) -> dict[str, int]:
    """Bytes by cause, and of what is needed as far as can be told (``needed``); together all that is stored."""
    sums = dict.fromkeys(CAUSES, 0)
    for row in found:
        sums[row.cause] += row.bytes
    return {**sums, "needed": int(np.sum(stack.layer_bytes)) - sum(sums.values())}


@dataclass(frozen=True)
class Cause:
    """The bytes of one cause in one layer."""

    cause: str  # one of `CAUSES`
    is_fact: bool  # whether it is one; a judgement otherwise
    bytes: int  # of its files
    files: int  # how many
    layer: int  # the layer that stores them
    line: int | None  # the line of the Dockerfile that made it, where it is known
    by_layer: int | None  # for a fact, the layer that took the files away
    by_line: int | None  # its line
    details: tuple[str, ...]  # what they are, the most bytes first
    examples: tuple[str, ...]  # paths of the largest


def grouped(stack: LayerStack, rows: list[Needless]) -> list[Cause]:
    """The causes: facts first, then judgements; within each the most bytes first."""
    places: dict[tuple[str, int, int | None], list[Needless]] = {}
    for row in rows:
        places.setdefault((row.cause, row.layer, row.by_layer), []).append(row)
    found = [_cause(stack, key, inside) for key, inside in places.items()]
    return sorted(found, key=lambda cause: (not cause.is_fact, -cause.bytes, CAUSES.index(cause.cause), cause.layer))


def _cause(stack: LayerStack, key: tuple[str, int, int | None], rows: list[Needless]) -> Cause:
    cause, layer, by_layer = key
    details: Counter[str] = Counter()
    for row in rows:
        details[row.detail] += row.bytes
    largest = sorted(rows, key=lambda row: (-row.bytes, row.entry))[:_EXAMPLES]
    lines = stack.lines
    return Cause(
        cause=cause,
        is_fact=by_layer is not None,
        bytes=sum(row.bytes for row in rows),
        files=len(rows),
        layer=layer,
        line=lines[layer],
        by_layer=by_layer,
        by_line=None if by_layer is None else lines[by_layer],
        details=tuple(detail for detail, _ in details.most_common() if detail),
        examples=tuple(shown(stack.merged.paths[row.entry]) for row in largest),
    )


def causes(image: Image, reader: FileReader | None = None, report: Report = silent) -> pd.DataFrame:
    """What an image could do without, by cause and place.

    Files are read by `reader`, as `report` is told, where that takes to compare them. Without one nothing is
    compared, and neither files with the same content nor debug symbols are looked for.

    Returns:
        A row per cause, layer that stores it, and layer that took it away; facts first, then the most bytes. Its
        columns are the attributes of `Cause`: `cause` category, `is_fact` bool, `bytes`, `files` and `layer` int64,
        `line`, `by_layer` and `by_line` Int64, `details` and `examples` tuples of str.
        Always: the bytes of the facts are the image's `wasted_bytes`, and those of the judgements at most its
        `live_bytes`.

    Raises:
        EngineGone: the engine stopped answering.
    """
    import pandas as pd  # noqa: PLC0415  # takes longer than looking at an image

    kinds: dict[str, Any] = {
        "cause": pd.CategoricalDtype(list(CAUSES)),
        "is_fact": "bool",
        **dict.fromkeys(["bytes", "files", "layer"], "int64"),
        **dict.fromkeys(["line", "by_layer", "by_line"], "Int64"),
        **dict.fromkeys(["details", "examples"], "object"),
    }
    found = grouped(image.stack, rows(image.stack, reader, report))
    return pd.DataFrame(map(vars, found), columns=list(kinds)).astype(kinds)


def owners(image: Image) -> list[dict[str, Any]]:
    """Whose the live bytes are, the most first: `owner` (empty for nobody's), `version`, `files`, `bytes`."""
    stack = image.stack
    packages, numbers = stack.ownership.packages, stack.ownership.owners
    bytes_of, files_of = np.zeros((2, len(packages) + 1), dtype=np.int64)
    np.add.at(bytes_of, numbers, stack.live_sizes[stack.visible])  # nobody is -1, the last
    np.add.at(files_of, numbers, (stack.merged.kinds[stack.visible] == FILE).astype(np.int64))
    names = [*((package.owner, package.version) for package in packages), ("", "")]
    found = [
        {"owner": owner, "version": version, "files": int(files_of[number]), "bytes": int(bytes_of[number])}
        for number, (owner, version) in enumerate(names)
        if files_of[number]
    ]
    return sorted(found, key=lambda each: -each["bytes"])
