"""How much an archive may still cost, so that a hostile one cannot exhaust memory, disk or patience.

The limits lie far above what images have, and are shared by all parts of one archive. What is over a limit is
refused, never cut: a tool that counts bytes must not leave any out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from layerlab.errors import ArchiveError
from layerlab.image.formats.stream import damaged

MOST_ENTRIES: Final = 2_000_000
EXPANSION: Final = 50
"""How many bytes each compressed byte may become; layers become three times as large, source code ten times."""
FREE_EXPANSION: Final = 2**31
"""Bytes beyond that, in all: files of zeros, as lessons on layers have them, become a thousand times as large. So
many are read within seconds."""
_LINE: Final = 64  # bytes that a path takes in memory beyond its own


@dataclass
class Budget:
    """What an archive may still cost.

    Attributes:
        entries: Entries of all layers together; the largest images have some hundred thousand.
        characters: Characters of their paths.
        apparent: Bytes that files claim to have; what a sparse file claims is stored nowhere.
        expanded: Bytes that compressed data may become beyond `EXPANSION`.
        database_bytes: What the package databases that are read may take.
        searched: Entries that are gone through to find what was in a directory that something else replaces.
    """

    entries: int = MOST_ENTRIES
    characters: int = 400_000_000
    apparent: int = 2**52
    expanded: int = FREE_EXPANSION
    database_bytes: int = 500_000_000
    searched: int = 200_000_000

    def spend(self, path: str, target: str = "", size: int = 0) -> None:
        """Account for one more entry, what it leads to, and the bytes that it claims.

        Raises:
            ArchiveError: it is one too many.
        """
        self.entries -= 1
        self.characters -= len(path) + len(target)
        self.apparent -= size
        if self.entries < 0 or self.characters < 0:
            raise damaged(f"it has more entries than any image has (at most {MOST_ENTRIES:,} are read)")
        if self.apparent < 0:
            raise damaged("its files are larger than any disk")

    def holding(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on pieces of compressed data that the archive holds, which may become some more.

        Not those that come out of other compressed data: these may be a thousand times as small once more.
        """
        for piece in pieces:
            self.expanded += EXPANSION * len(piece)
            yield piece

    def expand(self, expanded: int) -> None:
        """Account for what compressed bytes became.

        Raises:
            ArchiveError: it is more than it may be.
        """
        self.expanded -= expanded
        if self.expanded < 0:
            raise ArchiveError(
                f"the archive's compressed data expand without end: to more than {EXPANSION} times their size and"
                f" {FREE_EXPANSION / 1e9:.1f} GB",
                remedy="if you trust it, load it (`docker load`), and look at the image by its name",
            )

    def remember(self, database: bytes) -> None:
        """Account for a package database that was read, and for what each of its lines may become.

        Raises:
            ArchiveError: it is one too many.
        """
        self.database_bytes -= len(database) + _LINE * database.count(b"\n")
        if self.database_bytes < 0:
            raise damaged("its package databases are larger than those of any image")

    def search(self, entries: int) -> None:
        """Account for going through all entries of a layer.

        Raises:
            ArchiveError: it is done too often.
        """
        self.searched -= entries
        if self.searched < 0:
            raise damaged("again and again something else replaces a directory")
