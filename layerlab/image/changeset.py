"""Layers as archives hold them: a tar of what changed, with whiteouts as files of special names.

The format is ``layer.md`` of the OCI image specification. Nothing is ever extracted. What no engine would write is
refused: names that lead outside, files that have entries below them, hard links to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from layerlab.image.databases import LARGEST_DATABASE, LARGEST_TOTAL, is_database, read_databases
from layerlab.image.layer import DEVICE, DIRECTORY, FIFO, FILE, SYMLINK, Layer, assemble
from layerlab.image.tar import LONGEST_NAME, Hashed, Member, Stream, damaged, members

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
AUFS: Final = ".wh..wh."
"""What AUFS kept for itself begins so; it is in old archives and means nothing."""

_KINDS: Final = {"0": FILE, "2": SYMLINK, "3": DEVICE, "4": DEVICE, "5": DIRECTORY, "6": FIFO}
_IMPLIED: Final = (DIRECTORY, 0, 0o755, 0, 0)


@dataclass
class Budget:
    """How much an archive may still make this program remember, so that a hostile one cannot exhaust its memory.

    Attributes:
        entries: Entries of all layers together; the largest images have some hundred thousand.
        characters: Characters of their paths.
    """

    entries: int = 2_000_000
    characters: int = 400_000_000

    def spend(self, path: str, target: str = "") -> None:
        """Account for one more entry, and what it leads to.

        Raises:
            ArchiveError: it is one too many.
        """
        self.entries -= 1
        self.characters -= len(path) + len(target)
        if self.entries < 0 or self.characters < 0:
            raise damaged("it has more entries than any image has")


def scan(pieces: Iterable[bytes], budget: Budget) -> tuple[Layer, str]:
    """Read one layer.

    Args:
        pieces: Its tar archive, not compressed. All of it is read.
        budget: What it may cost; less afterwards.

    Returns:
        The layer, and its diff id: the digest of the bytes that were read.

    Raises:
        ArchiveError: it is damaged or hostile.
    """
    hashed = Hashed(pieces)
    stream = Stream(hashed)
    entries = _Entries(budget)
    for member in members(stream):
        entries.add(member, stream)
    stream.drain()
    return entries.layer(), hashed.digest


def absolute(name: str) -> str:
    """The path within the image that an archive's name stands for; ``/`` for the root.

    Raises:
        ArchiveError: it leads outside.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise damaged("a name that leads outside of the archive")
    return f"/{'/'.join(parts)}"


@dataclass
class _Entries:
    """The entries of a layer as they come. Of two with the same path the later one counts, as when extracting."""

    budget: Budget
    rows: dict[str, tuple[int, int, int, int, int, int]] = field(default_factory=dict)  # kind, ..., gid, inode
    folders: set[str] = field(default_factory=lambda: {""})
    implied: set[str] = field(default_factory=set)
    later: dict[str, str] = field(default_factory=dict)  # hard links whose target has not come yet
    whiteouts: set[str] = field(default_factory=set)
    opaques: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    text_bytes: int = 0
    count: int = 0

    def add(self, member: Member, stream: Stream) -> None:
        path = absolute(member.name)
        if path == "/":
            return
        self.budget.spend(path, member.link)
        folder, _, base = path.rpartition("/")
        if folder not in self.folders:
            self._imply(folder)
        if base.startswith(WHITEOUT):
            self._take_away(folder, base)
            return
        if self.later:
            self.later.pop(path, None)
        self.texts.pop(path, None)
        if member.kind == "1":
            self._link(path, absolute(member.link.lstrip("/")))
            return
        self.count += 1
        kind = _KINDS[member.kind]
        # Archives give symbolic links any mode; on Linux each has this one.
        mode = 0o777 if kind == SYMLINK else member.mode
        self._put(path, (kind, member.apparent_size, mode, member.uid, member.gid, self.count))
        if kind == SYMLINK and not folder and len(member.link) <= LONGEST_NAME:
            self.links[path] = member.link
        if kind == FILE and is_database(path) and member.size <= LARGEST_DATABASE:
            self.text_bytes += member.size
            if self.text_bytes <= LARGEST_TOTAL:
                self.texts[path] = stream.read(member.size)

    def _put(self, path: str, row: tuple[int, int, int, int, int, int]) -> None:
        if row[0] == DIRECTORY:
            if path in self.rows and path not in self.folders:
                raise damaged(f"{path!r} is a directory and something else at once")
            self.folders.add(path)
            self.implied.discard(path)
        elif path in self.folders:
            raise damaged(f"{path!r} is a directory and something else at once")
        self.links.pop(path, None)
        self.rows[path] = row

    def _imply(self, folder: str) -> None:
        """Add the directories that have no entry of their own (yet)."""
        while folder not in self.folders:
            if folder in self.rows or folder in self.later:
                raise damaged(f"{folder!r} is a directory and something else at once")
            self.budget.spend(folder)
            self.count += 1
            self.rows[folder] = (*_IMPLIED, self.count)
            self.folders.add(folder)
            self.implied.add(folder)
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
            if path in self.folders:
                raise damaged(f"{path!r} is a directory and something else at once")
            self.rows.pop(path, None)
            self.later[path] = target
        elif row[0] == DIRECTORY:
            raise damaged(f"a hard link to the directory {target!r}")
        else:
            self._put(path, row)

    def _resolve(self) -> dict[str, str]:
        """Tie links to targets that came after them; what remains are links to the layers below."""
        borrowed: dict[str, str] = {}
        for start in list(self.later):
            chain = []
            path = start
            while path in self.later:
                chain.append(path)
                path = self.later.pop(path)
            if path in chain:
                raise damaged("hard links that lead in a circle")
            for link in reversed(chain):
                if path in self.rows and path not in borrowed:
                    self._link(link, path)
                else:
                    target = borrowed.get(path, path)
                    borrowed[link] = target
                    self.count += 1
                    self._put(link, (FILE, 0, 0, 0, 0, self.count))
                path = link
        return borrowed

    def layer(self) -> Layer:
        borrowed = self._resolve()
        return assemble(
            list(self.rows),
            list(zip(*self.rows.values(), strict=True)) if self.rows else [[]] * 6,
            implied=self.implied,
            borrowed=borrowed,
            whiteouts=list(self.whiteouts),
            opaques=list(self.opaques),
            links=self.links,
            claims=read_databases({path: text for path, text in self.texts.items() if path in self.rows}),
        )
