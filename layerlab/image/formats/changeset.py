"""Layers as archives hold them: a tar of what changed, with whiteouts as files of special names.

The format is ``layer.md`` of the OCI image specification. Nothing is ever extracted, but each entry is put where
extracting it into an empty folder would: symbolic links on the way to it are followed, and what comes later replaces
what is there. What no engine would extract is refused: names and links that lead outside, files that have entries
below them, hard links to nothing.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from layerlab.image.databases import LARGEST_DATABASE, is_database, read_databases
from layerlab.image.formats.stream import Budget, Stream, damaged, hashed
from layerlab.image.formats.tar import Member, members
from layerlab.image.layer import DEVICE, DIRECTORY, FIFO, FILE, SYMLINK, Layer, assemble

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
AUFS: Final = ".wh..wh."  # what AUFS kept for itself begins so; it is in old archives and means nothing

MOST_LINKS: Final = 40  # symbolic links that are followed to one entry, as the kernel does

_NOT_PLAIN: Final = frozenset(["", ".", "/"])
_KINDS: Final = {"0": FILE, "2": SYMLINK, "3": DEVICE, "4": DEVICE, "5": DIRECTORY, "6": FIFO}
_COLUMNS: Final = "BqHII"  # kind, size, mode, uid, gid, as `array` stores them: there may be half a million of each


@dataclass(frozen=True)
class WantedFiles:
    """Files of whatever layer whose bytes somebody wants, while layers are read."""

    paths: Collection[str]
    use: Callable[[Member, Iterator[bytes]], Any]  # is given the entry of each and the pieces of its content
    found: dict[tuple[str, str], Any] = field(default_factory=dict)  # what it made of them, by diff id and path


def scan(pieces: Iterable[bytes], budget: Budget, wanted: WantedFiles | None = None) -> tuple[Layer, str]:
    """Read one layer from its tar archive, not compressed, to the end; the budget is less by it afterwards.

    Returns:
        The layer, and its diff id: the digest of the bytes that were read.

    Raises:
        ArchiveError: it is damaged or hostile.
    """
    digest = hashlib.sha256()
    stream = Stream(hashed(pieces, digest.update))
    entries = _Entries(budget, wanted)
    for member in members(stream):
        entries.add(member, stream)
    stream.drain()
    diff_id = f"sha256:{digest.hexdigest()}"
    if wanted is not None:
        wanted.found.update({(diff_id, path): found for path, found in entries.used.items()})
    return entries.layer(), diff_id


def absolute(name: str) -> str:
    """The path within the image that an archive's name stands for; ``/`` for the root.

    A name that begins with a slash means the same without it, and ``a/../b`` the same as ``b``, as for every engine.

    Raises:
        ArchiveError: it leads outside.
    """
    if name[:1] not in _NOT_PLAIN and name[-1] != "/" and not ("/." in name or "//" in name or "\0" in name):
        return f"/{name}"
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise damaged("a name that leads outside of the archive")
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    if "\0" in name:
        raise damaged("a name with a null byte")
    return f"/{'/'.join(parts)}"


def followed(folder: str, target: Callable[[str], str | None], *, clamped: bool = False) -> str:
    """Where a folder is (nothing is the root), once the symbolic links on the way are followed within the image.

    `target` tells what the symbolic link at a path says. Where `clamped`, ``..`` of the root is the root.

    Raises:
        ArchiveError: a link leads outside, or in a circle.
    """
    at, parts, left = "", folder.split("/")[::-1], MOST_LINKS
    while parts:
        part = parts.pop()
        if part == "..":
            if not at and not clamped:
                raise damaged(f"symbolic links on the way to {folder!r} that lead outside of the image")
            at = at.rpartition("/")[0]
        elif part not in {"", "."}:
            path = f"{at}/{part}"
            said = target(path)
            if said is None:
                at = path
                continue
            left -= 1
            if left < 0:
                raise damaged(f"symbolic links on the way to {folder!r} that lead in a circle")
            parts += said.split("/")[::-1]
            at = "" if said.startswith("/") else at
    return at


@dataclass
class _Entries:
    """The entries of a layer as they come. Of two with the same path the later one counts, as when extracting."""

    budget: Budget
    wanted: WantedFiles | None = None
    used: dict[str, Any] = field(default_factory=dict)  # what was made of the wanted files
    rows: dict[str, int] = field(default_factory=dict)  # by path: where its values are in the columns
    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array(code) for code in _COLUMNS))
    folders: set[str] = field(default_factory=lambda: {""})
    whiteouts: set[str] = field(default_factory=set)
    opaques: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)  # targets of the symbolic links
    texts: dict[str, bytes] = field(default_factory=dict)  # of package databases
    later: dict[str, str] = field(default_factory=dict)  # hard links whose target has not come yet
    linked: list[str] = field(default_factory=list)  # hard links that may be further names of databases

    def add(self, member: Member, stream: Stream) -> None:
        path = self._path(member.name)
        if path == "/":
            return
        self.budget.spend(path, member.link, member.apparent_size)
        folder, _, base = path.rpartition("/")
        if folder not in self.folders:
            self._imply(folder)
        if base.startswith(WHITEOUT):
            self._take_away(folder, base)
            return
        if path in self.folders and member.kind != "5":
            self._remove(path)
        self.later.pop(path, None)
        self.texts.pop(path, None)
        self.used.pop(path, None)
        if member.kind == "1":
            if is_database(path):
                self.linked.append(path)
            self._link(path, self._path(member.link))
            return
        kind = _KINDS[member.kind]
        mode = 0o777 if kind == SYMLINK else member.mode  # archives give any mode; on Linux each link has this one
        self._put(path, kind, self._row(kind, member.apparent_size, mode, member.uid, member.gid))
        if kind == SYMLINK:
            self.links[path] = member.link
        if member.is_plain and is_database(path) and member.size <= LARGEST_DATABASE:
            self.budget.remember(text := stream.read(member.size))
            self.texts[path] = text
        if self.wanted is not None and path in self.wanted.paths and member.is_plain:
            known = self.texts.get(path)
            self.used[path] = self.wanted.use(member, stream.pieces(member.size) if known is None else iter([known]))

    def _path(self, name: str) -> str:
        """Where an entry of this name is put."""
        path = absolute(name)
        folder, _, base = path.rpartition("/")
        return path if folder in self.folders else f"{followed(folder, self._target)}/{base}"

    def _target(self, path: str) -> str | None:
        target = self.links.get(path)
        if target is not None:
            self.budget.spend(path, target)
        return target

    def _row(self, *values: int) -> int:
        """Keep the values of an entry, which is an inode of its own; gives where they are."""
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)
        return len(self.columns[0]) - 1

    def _put(self, path: str, kind: int, row: int) -> None:
        if kind == DIRECTORY:
            self.folders.add(path)
        self.links.pop(path, None)
        self.rows[path] = row

    def _remove(self, folder: str) -> None:
        """Take out a directory in whose place something else is put, and all that is in it so far."""
        self.budget.search(len(self.rows))
        below = f"{folder}/"
        by_path: tuple[dict[str, Any], ...] = (self.rows, self.later, self.links, self.texts, self.used)
        for known in by_path:
            for path in [path for path in known if path.startswith(below)]:
                del known[path]
        for paths in (self.folders, self.whiteouts, self.opaques):
            paths.difference_update([path for path in paths if path == folder or path.startswith(below)])

    def _imply(self, folder: str) -> None:
        """Add the directories that have no entry of their own (yet), as extracting makes them."""
        while folder not in self.folders:
            if folder in self.rows or folder in self.later:
                raise damaged(f"{folder!r} is a directory and something else at once")
            self.budget.spend(folder)
            self._put(folder, DIRECTORY, self._row(DIRECTORY, 0, 0o755, 0, 0))
            folder = folder.rpartition("/")[0]

    def _take_away(self, folder: str, base: str) -> None:
        if base == OPAQUE:
            self.opaques.add(folder or "/")
        elif not base.startswith(AUFS):
            name = base.removeprefix(WHITEOUT)
            if name in {"", ".", ".."}:
                raise damaged("a whiteout of nothing")
            self.whiteouts.add(f"{folder}/{name}")

    def _link(self, path: str, target: str) -> None:
        row = self.rows.get(target)
        if row is None:
            self.rows.pop(path, None)
            self.links.pop(path, None)
            self.later[path] = target
        elif target in self.folders:
            raise damaged(f"a hard link to the directory {target!r}")
        else:
            self._put(path, self.columns[0][row], row)
            if target in self.links:
                self.links[path] = self.links[target]

    def _resolve(self) -> dict[str, str]:
        """Tie links to targets that came after them; what remains are links to the layers below."""
        borrowed: dict[str, str] = {}
        for start in list(self.later):
            chain, path = [], start
            while path in self.later:
                chain.append(path)
                path = self.later.pop(path)
            if path in chain:
                raise damaged("hard links that lead in a circle")
            for link in reversed(chain):
                if path in self.rows and path not in borrowed:
                    self._link(link, path)
                else:
                    borrowed[link] = borrowed.get(path, path)
                    self._put(link, FILE, self._row(FILE, 0, 0, 0, 0))
                path = link
        return borrowed

    def layer(self) -> Layer:
        """The layer; what it was made from is given up."""
        borrowed = self._resolve()
        claims = read_databases(self._databases())
        paths = sorted(self.rows)
        rows = np.fromiter(map(self.rows.__getitem__, paths), np.int64, len(paths))
        self.rows.clear()
        columns = [np.frombuffer(column, column.typecode)[rows] for column in self.columns]
        return assemble(
            paths,
            [*columns, rows],  # the names of one inode share a row
            borrowed=borrowed,
            whiteouts=list(self.whiteouts),
            opaques=list(self.opaques),
            links=self.links,
            claims=claims,
        )

    def _databases(self) -> dict[str, bytes]:
        """The package databases by each of their names."""
        by_row = {self.rows[path]: text for path, text in self.texts.items()}
        for path in self.linked:  # uv makes such
            if path not in self.texts and (row := self.rows.get(path, -1)) in by_row:
                self.budget.remember(by_row[row])
                self.texts[path] = by_row[row]
        return self.texts
