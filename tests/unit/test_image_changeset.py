"""Layers read from archives."""

from __future__ import annotations

import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest

from layerlab.errors import ArchiveError
from layerlab.image.changeset import Budget, scan
from layerlab.image.layer import KINDS, Layer
from tests.unit.image_truth import Entry, digest, directory, file, link, opaque, symlink, tar, whiteout


def layer(*entries: Entry, budget: Budget | None = None) -> Layer:
    return scan([tar(entries)], budget or Budget())[0]


def sparse(path: str, size: int) -> bytes:
    """The header of a sparse file in GNU's old format that stores nothing."""
    info = tarfile.TarInfo(path)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def layer_of(headers: list[bytes]) -> Layer:
    return scan([*headers, bytes(1024)], Budget())[0]


class TestEntries:
    def test_columns(self) -> None:
        """Each entry has its kind, size, mode and owner, in the order of the paths."""
        found = layer(
            symlink("l", "d"),
            directory("d", mode=0o1777),
            file("d/f", 3, mode=0o4755, uid=1000, gid=7),
            Entry("p", "fifo", mode=0o600),
            Entry("c", "device", mode=0o666),
        )

        assert [
            (path, KINDS[kind], size, mode, uid, gid)
            for path, kind, size, mode, uid, gid in zip(
                found.paths, found.kinds, found.sizes, found.modes, found.uids, found.gids, strict=True
            )
        ] == [
            ("/c", "device", 0, 0o666, 0, 0),
            ("/d", "directory", 0, 0o1777, 0, 0),
            ("/d/f", "file", 3, 0o4755, 1000, 7),
            ("/l", "symlink", 0, 0o777, 0, 0),
            ("/p", "fifo", 0, 0o600, 0, 0),
        ]

    def test_the_mode_of_a_symbolic_link(self) -> None:
        """Whatever mode an archive gives a symbolic link, on Linux all have the same."""
        assert layer(Entry("l", "symlink", target="x", mode=0o644)).modes.tolist() == [0o777]

    def test_ways_to_write_a_path(self) -> None:
        """Slashes and ``./`` at the beginning, doubled or at the end mean nothing, and the root is no entry."""
        found = layer(directory("./"), directory("./a//b/"), file("a/./b/c", 1), file("/etc/passwd", 1))

        assert found.paths == ["/a", "/a/b", "/a/b/c", "/etc", "/etc/passwd"]

    def test_directories_that_only_paths_imply(self) -> None:
        """A directory without an entry is there, and known as such, until an entry describes it."""
        found = layer(file("a/b/c", 1), directory("a", mode=0o700))

        assert [found.paths[index] for index in found.implied] == ["/a/b"]
        assert found.modes.tolist() == [0o700, 0o755, 0o644]

    def test_folders(self) -> None:
        """Each entry knows the directory that it lies in."""
        found = layer(file("a/b", 1), file("a-b", 1), file("a/b-c/d", 1))

        assert dict(zip(found.paths, found.folders.tolist(), strict=True)) == {
            "/a": -1, "/a-b": -1, "/a/b": 0, "/a/b-c": 0, "/a/b-c/d": 3,
        }  # fmt: skip

    def test_the_later_of_two_entries_counts(self) -> None:
        """As when extracting, an entry replaces an earlier one of its path; a name that links to that keeps it."""
        found = layer(file("a", 1), link("b", "a"), file("a", 2))

        assert dict(zip(found.paths, found.sizes.tolist(), strict=True)) == {"/a": 2, "/b": 1}
        assert found.bytes == 3

    def test_whiteouts(self) -> None:
        """Whiteouts and opaque marks are no entries; AUFS's own files are nothing."""
        found = layer(whiteout("a/b"), opaque("c"), file(".wh..wh.plnk/1.2", 3), opaque(""), file(".wh..wh.aufs", 1))

        assert found.whiteouts == ("/a/b",)
        assert found.opaques == ("/", "/c")
        assert found.paths == ["/.wh..wh.plnk", "/.wh..wh.plnk/1.2", "/a", "/c"]

    def test_the_digest_is_of_what_was_read(self) -> None:
        """The diff id is the SHA-256 of the whole archive, its padding included."""
        archive = tar([file("a", 1)]) + bytes(10240)

        assert scan([archive], Budget())[1] == digest(archive)

    def test_links_of_the_root(self) -> None:
        """Only symbolic links in the root are remembered with their targets."""
        assert layer(symlink("bin", "usr/bin"), symlink("usr/x", "y")).links == {"/bin": "usr/bin"}

    def test_databases(self) -> None:
        """What package managers wrote down is read while it goes by."""
        found = layer(Entry("usr/site/demo-1.0.dist-info/RECORD", content=b"demo.py,,\n"), file("etc/passwd", 9))

        assert [(claim.name, claim.version, claim.paths) for claim in found.claims] == [
            ("demo", "1.0", ["/usr/site/demo.py"])
        ]


class TestHardLinks:
    def test_names_of_one_inode(self) -> None:
        """Names that link to each other are one inode, which counts once."""
        found = layer(link("c", "b"), file("b", 5), link("a", "b"), link("z", "c"), file("other", 1))

        assert dict(zip(found.paths, found.inodes.tolist(), strict=True)) == {
            "/a": 0, "/b": 0, "/c": 0, "/other": 3, "/z": 0,
        }  # fmt: skip
        assert (found.bytes, found.files) == (6, 5)

    def test_to_a_layer_below(self) -> None:
        """A target that this layer does not have is looked for in those below, through other links, too."""
        found = layer(link("a", "below"), link("b", "a"), link("c", "/below"))

        assert [(found.paths[index], target) for index, target in found.borrowed] == [
            ("/a", "/below"), ("/b", "/below"), ("/c", "/below"),
        ]  # fmt: skip
        assert found.bytes == 0

    def test_of_databases(self) -> None:
        """A package database that is a further name of another file (uv makes such) counts at its own place, too."""
        cached = Entry("cache/demo-1.0.dist-info/RECORD", content=b"demo.py,,\n")
        found = layer(cached, link("site/demo-1.0.dist-info/RECORD", cached.path))

        assert [(claim.source, claim.paths) for claim in found.claims] == [
            ("/cache/demo-1.0.dist-info/RECORD", ["/cache/demo.py"]),
            ("/site/demo-1.0.dist-info/RECORD", ["/site/demo.py"]),
        ]

    def test_to_a_symbolic_link(self) -> None:
        """A hard link to a symbolic link is one, too."""
        found = layer(symlink("s", "x"), link("t", "s"))

        assert [KINDS[kind] for kind in found.kinds] == ["symlink", "symlink"]


class TestHostile:
    @pytest.mark.parametrize(
        ("entries", "what"),
        [
            ([file("../etc/passwd")], "outside"),
            ([file("a/../../b")], "outside"),
            ([link("a", "../../etc/passwd")], "outside"),
            ([link("a", "a")], "circle"),
            ([link("a", "b"), link("b", "a")], "circle"),
            ([link("a", "b"), link("b", "c"), link("c", "b")], "circle"),
            ([directory("d"), link("a", "d")], "directory"),
            ([link("a", "d"), file("d/x")], "directory"),
            ([file("d"), file("d/x")], "at once"),
            ([file("d/x"), file("d")], "at once"),
            ([directory("d"), symlink("d", "x")], "at once"),
            ([symlink("d", "x"), directory("d")], "at once"),
            ([link("d", "below"), file("d/x")], "at once"),
            ([file("d/x"), link("d", "below")], "at once"),
            ([directory("d"), link("d", "d/x"), file("d/x")], "at once"),
            ([file(".wh.")], "whiteout of nothing"),
            ([file("a/.wh...")], "whiteout of nothing"),
            ([file("a/.wh..")], "whiteout of nothing"),
        ],
    )
    def test_is_refused(self, entries: list[Entry], what: str) -> None:
        """What no engine would write is an error that says what is wrong."""
        with pytest.raises(ArchiveError, match=what):
            layer(*entries)

    @pytest.mark.parametrize(
        "entries",
        [
            [file(f"f{number}") for number in range(101)],
            [file("/".join("d" * 101))],
            [whiteout(f"w{number}") for number in range(101)],
            [file("n" * 2000)],
            [symlink("s", "t" * 2000)],
        ],
    )
    def test_has_a_budget(self, entries: list[Entry]) -> None:
        """Entries, the directories that they imply, names and targets are limited."""
        with pytest.raises(ArchiveError, match="more entries"):
            layer(*entries, budget=Budget(entries=100, characters=1000))

    @pytest.mark.parametrize("budget", [Budget(database_bytes=1000), Budget(claims=50)])
    def test_databases_have_a_budget(self, budget: Budget) -> None:
        """What is kept of package databases is limited, so that one cannot fill the memory."""
        record = Entry("demo-1.0.dist-info/RECORD", content=b"some/path/or/other.py,,\n" * 100)

        with pytest.raises(ArchiveError, match="package databases are larger"):
            layer(record, budget=budget)

    def test_sizes_have_a_budget(self) -> None:
        """Sparse files may claim any size; together they cannot be larger than any disk."""
        claims = [sparse(f"f{number}", 2**50) for number in range(5)]

        assert layer_of(claims[:4]).bytes == 4 * 2**50
        with pytest.raises(ArchiveError, match="larger than any disk"):
            layer_of(claims)

    @pytest.mark.slow
    def test_endless_entries_end(self) -> None:
        """A stream of entries without end is refused in bounded memory."""

        def endless() -> Iterator[bytes]:
            for number in range(10**9):
                yield tar([file(f"{number}/{'n' * 200}")])[:1536]  # without the end of the archive

        tracemalloc.start()
        with pytest.raises(ArchiveError, match="more entries"):
            scan(endless(), Budget(entries=2000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000
