"""Every byte that an image could do without, each once: what no container sees, and what nothing needs as it seems.

*Facts* are of files that no container can see, in the layer that stores them, and say what took them away:

* ``overwritten: content``: a later layer has something else at the path;
* ``overwritten: mode or owner``: it has the same content there, with another mode, owner or group (a ``chmod -R``);
* ``overwritten: unchanged``: it has the same content, mode and owner (only times or extended attributes may differ);
* ``overwritten: not compared``: it has as many bytes there, and nobody has compared them;
* ``deleted``, ``hidden``: as in `layerlab.image.filesystem`.

*Judgements* are of files that a container sees: those of `rules`, and two for which contents are read:

* ``same content at several paths``: all but one of the files of 1 kB or more that have the same bytes (under 1 MB
  only those with the same name); the one in the lowest layer counts as needed;
* ``debug symbols``: of programs and libraries that nothing else is said of, what ``strip`` would take out.

So no byte is in two causes, the facts add up to what is wasted, and all the judgements to no more than what is live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from layerlab.image import Image, filesystem
from layerlab.image.filesystem import OVERWRITTEN
from layerlab.image.layer import FILE
from layerlab.image.stack import LayerStack
from layerlab.image.store.file_reader import FileReader
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import shown
from layerlab.xray.provenance import copies
from layerlab.xray.waste import rules
from layerlab.xray.waste.rules import CACHES, HEADERS, TESTS, TOOLS

if TYPE_CHECKING:
    import pandas as pd

CONTENT: Final = "overwritten: content"
METADATA: Final = "overwritten: mode or owner"
NOTHING: Final = "overwritten: unchanged"
NOT_COMPARED: Final = "overwritten: not compared"
DELETED: Final = "deleted"
HIDDEN: Final = "hidden"
SAME: Final = "same content at several paths"
SYMBOLS: Final = "debug symbols"

FACTS: Final = (CONTENT, METADATA, NOTHING, NOT_COMPARED, DELETED, HIDDEN)
"""What can be known."""
JUDGEMENTS: Final = (CACHES, rules.BYTECODE, TESTS, TOOLS, HEADERS, SAME, SYMBOLS)
"""What is judged, in the order in which it is."""
CAUSES: Final = (*FACTS, *JUDGEMENTS)
EXAMPLES: Final = 3

_TEXTS: Final = (
    *(".py", ".pyc", ".pyi", ".txt", ".json", ".js", ".css", ".html", ".csv", ".h", ".sh", ".pl", ".pm", ".a"),
)


class Needless(NamedTuple):
    """Bytes of one file, and why they are not needed.

    Attributes:
        entry: The index of the file's entry: its first visible name, or the one that was visible last.
        cause: One of `CAUSES`.
        detail: What it is exactly, such as ``apt lists`` or a package; empty where the cause says it all.
        bytes: How many.
        layer: The layer that stores them.
        by_layer: For a fact, the layer that took the file away.
        like: For ``same content``, the entry that stays.
    """

    entry: int
    cause: str
    detail: str
    bytes: int
    layer: int
    by_layer: int | None = None
    like: int | None = None

    @property
    def is_fact(self) -> bool:
        """Whether it is a fact, not a judgement."""
        return self.by_layer is not None


def rows(stack: LayerStack, reader: FileReader | None = None, report: Report = silent) -> list[Needless]:
    """All of them: facts first, then judgements; within each in the order of the layers.

    Args:
        stack: The image.
        reader: Its files' bytes; without them nothing is compared, and no debug symbols are looked for.
        report: Is told what is being read.
    """
    found = _facts(stack, reader, report)
    found += _judgements(stack, reader, report)
    return found


def _facts(stack: LayerStack, reader: FileReader | None, report: Report) -> list[Needless]:
    merged = stack.merged
    wasted = stack.inodes.wasted.tolist()
    again = copies.same_size_again(stack, (index for index in wasted if merged.causes[index] == OVERWRITTEN))
    digests: dict[int, str] = {}
    if reader is not None:
        report(Step("facts", "comparing what was overwritten", "running"))
        digests = reader.digests(
            {i for pair in again.items() for i in pair if merged.sizes[i] > 0}  # of nothing there is one kind
        )
        report(Step("facts", "comparing what was overwritten", "done"))
    found = []
    for index in wasted:
        if merged.causes[index] != OVERWRITTEN:
            cause = filesystem.CAUSES[merged.causes[index]]
        elif index not in again:
            cause = CONTENT
        else:
            cause = _compared(stack, index, again[index], digests)
        found.append(_row(stack, index, cause, by_layer=int(merged.gone_by[index])))
    return sorted(found, key=lambda row: (row.layer, row.entry))


def _compared(stack: LayerStack, old: int, new: int, digests: dict[int, str]) -> str:
    merged = stack.merged
    if merged.sizes[old] > 0:
        if old not in digests or new not in digests:
            return NOT_COMPARED
        if digests[old] != digests[new]:
            return CONTENT
    columns = (merged.modes, merged.uids, merged.gids)
    return NOTHING if all(column[old] == column[new] for column in columns) else METADATA


def _judgements(stack: LayerStack, reader: FileReader | None, report: Report) -> list[Needless]:
    merged = stack.merged
    live = stack.inodes.live[merged.sizes[stack.inodes.live] > 0].tolist()
    judged = rules.judge(stack, live)
    found = [_row(stack, index, cause, detail) for index, (cause, detail) in judged.items()]
    if reader is not None:
        rest = [index for index in live if index not in judged]
        report(Step("same", "looking for the same content at several paths", "running"))
        again = _same(stack, reader, rest)
        report(Step("same", "looking for the same content at several paths", "done"))
        found += [_row(stack, index, SAME, like=like) for index, like in again.items()]
        report(Step("symbols", "looking for debug symbols", "running"))
        programs = [index for index in rest if index not in again and _may_be_program(stack, index)]
        symbols = reader.debug_bytes(programs)
        report(Step("symbols", "looking for debug symbols", "done"))
        found += [_row(stack, index, SYMBOLS, size=size) for index, size in symbols.items() if size]
    return sorted(found, key=lambda row: (row.layer, row.entry))


def _row(
    stack: LayerStack,
    index: int,
    cause: str,
    detail: str = "",
    *,
    by_layer: int | None = None,
    like: int | None = None,
    size: int | None = None,
) -> Needless:
    merged = stack.merged
    stored = int(merged.layers[merged.inodes[index]])
    return Needless(index, cause, detail, int(merged.sizes[index]) if size is None else size, stored, by_layer, like)


def _same(stack: LayerStack, reader: FileReader, indexes: list[int]) -> dict[int, int]:
    """The files that another one makes needless, each with that one."""
    merged = stack.merged
    found: dict[int, int] = {}
    for same in copies.same_content(reader, copies.may_be_alike(merged, indexes)):
        first, *others = sorted(same, key=lambda i: (merged.layers[merged.inodes[i]], merged.paths[i]))
        found |= dict.fromkeys(others, first)
    return found


def _may_be_program(stack: LayerStack, index: int) -> bool:
    """Whether a file may be an ELF program or library: by its name, or its mode."""
    merged = stack.merged
    name = merged.paths[index].rpartition("/")[2]
    return merged.sizes[index] >= copies.SMALLEST and (
        ".so" in name or bool(merged.modes[index] & 0o111 and not name.endswith(_TEXTS))
    )


def totals(stack: LayerStack, found: list[Needless]) -> dict[str, int]:
    """Bytes by cause, and of what is needed as far as can be told (``needed``); together all that is stored."""
    sums = dict.fromkeys(CAUSES, 0)
    for row in found:
        sums[row.cause] += row.bytes
    return {**sums, "needed": int(np.sum(stack.layer_bytes)) - sum(sums.values())}


@dataclass(frozen=True)
class Cause:
    """The bytes of one cause in one layer.

    Attributes:
        cause: One of `CAUSES`.
        is_fact: Whether it is one; a judgement otherwise.
        bytes: Of its files.
        files: How many.
        layer: The layer that stores them.
        line: The line of the Dockerfile that made it, where it is known.
        by_layer: For a fact, the layer that took the files away.
        by_line: Its line.
        details: What they are, the most bytes first.
        examples: Paths of the largest.
    """

    cause: str
    is_fact: bool
    bytes: int
    files: int
    layer: int
    line: int | None
    by_layer: int | None
    by_line: int | None
    details: tuple[str, ...]
    examples: tuple[str, ...]


def grouped(stack: LayerStack, rows: list[Needless]) -> list[Cause]:
    """The causes: facts first, then judgements; within each the most bytes first."""
    places: dict[tuple[str, int, int | None], list[Needless]] = {}
    for row in rows:
        places.setdefault((row.cause, row.layer, row.by_layer), []).append(row)
    found = [_cause(stack, key, inside) for key, inside in places.items()]
    return sorted(found, key=lambda cause: (not cause.is_fact, -cause.bytes, CAUSES.index(cause.cause), cause.layer))


def _cause(stack: LayerStack, key: tuple[str, int, int | None], rows: list[Needless]) -> Cause:
    cause, layer, by_layer = key
    details: dict[str, int] = {}
    for row in rows:
        if row.detail:
            details[row.detail] = details.get(row.detail, 0) + row.bytes
    largest = sorted(rows, key=lambda row: (-row.bytes, row.entry))[:EXAMPLES]
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
        details=tuple(sorted(details, key=lambda detail: -details[detail])),
        examples=tuple(shown(stack.merged.paths[row.entry]) for row in largest),
    )


def causes(image: Image, reader: FileReader | None = None, report: Report = silent) -> pd.DataFrame:
    """What an image could do without, by cause and place.

    Args:
        image: What `layerlab.image.read` gave.
        reader: Its files' bytes (`layerlab.image.store.file_reader.for_image`), which are read where that takes to
            compare them. None for what can be told without: nothing is compared, and neither files with the same
            content nor debug symbols are looked for.
        report: Is told what is being read.

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
    bytes_of = np.zeros(len(packages) + 1, dtype=np.int64)
    files_of = np.zeros(len(packages) + 1, dtype=np.int64)
    np.add.at(bytes_of, numbers, stack.live_sizes[stack.visible])  # nobody is -1, the last
    np.add.at(files_of, numbers, (stack.merged.kinds[stack.visible] == FILE).astype(np.int64))
    names = [*((package.owner, package.version) for package in packages), ("", "")]
    found = [
        {"owner": owner, "version": version, "files": int(files_of[number]), "bytes": int(bytes_of[number])}
        for number, (owner, version) in enumerate(names)
        if files_of[number]
    ]
    return sorted(found, key=lambda each: -each["bytes"])
