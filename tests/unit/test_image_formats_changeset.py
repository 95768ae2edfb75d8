"""Layers read from archives."""

from __future__ import annotations

import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest

from layerlab.errors import ArchiveError
from layerlab.image.formats.changeset import Budget, scan
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
        """Slashes, ``./`` and what ``..`` takes back mean nothing, and the root is no entry."""
        found = layer(
            *(directory("./"), directory("./a//b/"), file("a/./b/c", 1), file("/etc/passwd", 1)),
            *(file("a/../d", 1), file("no/such/../../e/f", 1), link("g", "./a/x/../../d"), whiteout("a/../h")),
        )

        assert found.paths == ["/a", "/a/b", "/a/b/c", "/d", "/e", "/e/f", "/etc", "/etc/passwd", "/g"]
        assert (found.bytes, found.whiteouts) == (4, ("/h",))

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

    def test_targets_of_links(self) -> None:
        """Symbolic links are remembered with their targets."""
        assert layer(symlink("bin", "usr/bin"), symlink("a/x", "/y")).links == {"/bin": "usr/bin", "/a/x": "/y"}

    def test_databases(self) -> None:
        """What package managers wrote down is read while it goes by."""
        found = layer(Entry("usr/site/demo-1.0.dist-info/RECORD", content=b"demo.py,,\n"), file("etc/passwd", 9))

        assert [(claim.name, claim.version, claim.paths) for claim in found.claims] == [
            ("demo", "1.0", ["/usr/site/demo.py"])
        ]


class TestSymbolicLinks:
    """Entries are where extracting puts them; test_image_store_overlay.py has the kernel's word for it."""

    def test_entries_below_one(self) -> None:
        """An entry, a whiteout and an opaque mark below a symbolic link are where it leads."""
        found = layer(
            *(directory("usr/bin"), symlink("bin", "usr/bin"), file("bin/tool", 5), directory("bin/sub", mode=0o700)),
            *(file("bin/deep/file", 1), whiteout("bin/gone"), opaque("bin")),
        )

        assert found.paths == [
            *("/bin", "/usr", "/usr/bin", "/usr/bin/deep", "/usr/bin/deep/file", "/usr/bin/sub", "/usr/bin/tool"),
        ]
        assert (found.whiteouts, found.opaques) == (("/usr/bin/gone",), ("/usr/bin",))

    @pytest.mark.parametrize(
        "links",
        [
            [symlink("e/up", "/d"), symlink("l", "e/up")],
            [symlink("l", "d/")],
            [symlink("l", "./e/../d")],
            [symlink("l", "m"), symlink("m", "n"), symlink("n", "d")],
            [symlink("e/up", "../d"), symlink("l", "/e/up")],
            [symlink("m", "e"), symlink("l", "m/../d")],
            [symlink("m", "d"), link("l", "m")],
        ],
    )
    def test_ways_to_lead_somewhere(self, links: list[Entry]) -> None:
        """Absolute and relative targets, through others and through hard links, lead within the image."""
        found = layer(directory("d"), directory("e"), *links, file("l/x", 1), link("y", "l/x"))

        assert {"/d/x", "/y"} < set(found.paths)
        assert found.bytes == 1

    def test_where_nothing_is_yet(self) -> None:
        """What a symbolic link leads to may be a directory of a layer below (for containerd; Docker refuses it)."""
        found = layer(symlink("bin", "usr/bin"), file("bin/tool", 5))

        assert found.paths == ["/bin", "/usr", "/usr/bin", "/usr/bin/tool"]

    def test_of_a_layer_below(self) -> None:
        """A layer is unpacked by itself: what lies below a lower layer's link replaces it with a directory."""
        assert layer(file("bin/tool", 5)).paths == ["/bin", "/bin/tool"]

    def test_entries_that_came_before(self) -> None:
        """A symbolic link or a file takes the place of a directory, and of all that is in it so far."""
        entries = [file("d/e/x", 1), link("d/y", "d/e/x"), whiteout("d/z"), link("d/e/later", "elsewhere")]
        found = layer(*entries, file("elsewhere", 2), directory("f"), symlink("d", "f"), file("d/new", 3))

        assert found.paths == ["/d", "/elsewhere", "/f", "/f/new"]
        assert (found.whiteouts, found.links, found.bytes) == ((), {"/d": "f"}, 5)

    def test_the_last_one_counts(self) -> None:
        """A directory takes a link's place, and what comes then lies in it."""
        found = layer(
            *(directory("a"), symlink("l", "a"), file("l/x", 1), directory("l"), file("l/y", 2)),
            *(symlink("m", "a"), symlink("m", "l"), file("m/z", 3)),
        )

        assert found.paths == ["/a", "/a/x", "/l", "/l/y", "/l/z", "/m"]


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
            ([file("/../etc/passwd")], "outside"),
            ([directory("etc"), symlink("up", "../etc"), file("up/passwd")], "outside"),
            ([directory("etc"), symlink("a/b/up", "../../../etc"), file("a/b/up/passwd")], "outside"),
            ([directory("a"), symlink("up", "a/../.."), link("x", "up/y")], "outside"),
            ([symlink("l", "l"), file("l/x")], "circle"),
            ([symlink("l", "m"), symlink("m", "/l"), whiteout("l/x")], "circle"),
            ([symlink("l", "f"), file("f"), file("l/x")], "at once"),
            ([link("a", "a")], "circle"),
            ([link("a", "b"), link("b", "a")], "circle"),
            ([link("a", "b"), link("b", "c"), link("c", "b")], "circle"),
            ([directory("d"), link("a", "d")], "directory"),
            ([link("a", "d"), file("d/x")], "directory"),
            ([file("d"), file("d/x")], "at once"),
            ([link("d", "below"), file("d/x")], "at once"),
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

    @pytest.mark.parametrize("content", [b"x" * 6000, b"a,,\n" * 100])
    def test_databases_have_a_budget(self, content: bytes) -> None:
        """What is kept of package databases is limited, so that one cannot fill the memory."""
        record = Entry("demo-1.0.dist-info/RECORD", content=content)

        assert len(layer(record, budget=Budget(database_bytes=10_000))) == 2
        with pytest.raises(ArchiveError, match="package databases are larger"):
            layer(record, budget=Budget(database_bytes=5000))

    def test_replacing_directories_has_a_budget(self) -> None:
        """Each directory that something else replaces is a search for what was in it."""
        entries = [file(f"f{number}") for number in range(50)]
        replaced = [entry for _ in range(3) for entry in (file("d/x"), file("d"), whiteout("d"), directory("d"))]

        assert len(layer(*entries, *replaced, budget=Budget(searched=160))) == 51
        with pytest.raises(ArchiveError, match="replaces a directory"):
            layer(*entries, *replaced, budget=Budget(searched=140))

    def test_following_links_has_a_budget(self) -> None:
        """A symbolic link costs whenever it is followed, so that few bytes cannot take for ever."""
        entries = [symlink("l", "./" * 300 + "d"), directory("d"), *(file(f"l/{number}") for number in range(10))]

        assert len(layer(*entries, budget=Budget(characters=10_000))) == 12
        with pytest.raises(ArchiveError, match="more entries"):
            layer(*entries, budget=Budget(characters=5000))

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
