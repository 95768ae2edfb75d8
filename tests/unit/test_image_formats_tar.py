"""Reading tar archives, against Python's tarfile and GNU tar."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerlab.errors import ArchiveError
from layerlab.image.formats.stream import Stream
from layerlab.image.formats.tar import BLOCK, Member, members
from tests.unit.image_truth import TYPES, Entry, file, tar

NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
        lambda part: part not in {".", ".."}
    ),
    min_size=1,
    max_size=4,
).map("/".join)


def listed(archive: bytes, piece: int = 1000) -> list[Member]:
    """The members, from an archive that arrives in pieces of this size."""
    pieces = (archive[at : at + piece] for at in range(0, len(archive), piece))
    return list(members(Stream(pieces)))


def header(entry: Entry, **fields: int) -> bytes:
    """A header in which numbers may be absurd; its checksum is right."""
    info = tarfile.TarInfo(entry.path)
    info.type, info.linkname = TYPES[entry.kind], entry.target
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def flagged(flag: bytes, size: int, content: bytes = b"") -> bytes:
    """A header of any kind, and what follows it."""
    info = tarfile.TarInfo("x")
    info.type, info.size = flag, size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % BLOCK)


class TestMembers:
    @given(
        entries=st.lists(
            st.builds(
                Entry,
                path=NAMES,
                kind=st.sampled_from(sorted(TYPES)),
                content=st.binary(max_size=1100),
                target=NAMES,
                mode=st.integers(0, 0o7777),
                uid=st.integers(0, 2**32 - 1),
                gid=st.integers(0, 2**32 - 1),
            ),
            max_size=6,
        ),
        format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
        piece=st.sampled_from([1, 511, 512, 4096]),
    )
    @settings(max_examples=100, deadline=None)
    def test_as_tarfile_reads_them(self, entries: list[Entry], format: int, piece: int) -> None:
        """Names, kinds, sizes, modes, owners and links are those that Python's tarfile finds."""
        archive = tar((e if e.kind == "file" else Entry(**{**vars(e), "content": b""}) for e in entries), format)

        with tarfile.open(fileobj=io.BytesIO(archive)) as expected:
            assert [(i.name, i.type.decode(), i.size, i.mode, i.uid, i.gid, i.linkname) for i in expected] == [
                (m.name.rstrip("/"), m.kind, m.size, m.mode, m.uid, m.gid, m.link) for m in listed(archive, piece)
            ]

    def test_the_old_prefix_of_a_name(self) -> None:
        """A ustar header splits a long name in two."""
        name = "/".join(["folder" * 5] * 5) + "/file"

        assert [name] == [member.name for member in listed(tar([file(name)], tarfile.USTAR_FORMAT))]

    def test_names_that_are_not_utf8(self) -> None:
        """Bytes that are no text survive."""
        name = b"caf\xe9".decode("utf-8", "surrogateescape")

        assert [name] == [member.name for member in listed(tar([file(name)], tarfile.GNU_FORMAT))]

    def test_data_may_be_read_or_left(self) -> None:
        """The data of a member are the next bytes of the stream; what is not read of them is passed over."""
        stream = Stream([tar([file("a", 700), file("b", 3), file("c", 600)])])

        read = {member.name: stream.read(2) if member.name != "c" else b"" for member in members(stream)}
        assert read == {"a": b"xx", "b": b"xx", "c": b""}

    def test_an_archive_without_an_end(self) -> None:
        """An archive that ends after an entry, without blocks of zeros, is whole."""
        assert [member.name for member in listed(tar([file("a", 3)])[: 2 * BLOCK])] == ["a"]


class TestDamage:
    @pytest.mark.parametrize(
        ("archive", "what"),
        [
            (tar([file("a", 3000)])[:2000], "ends too early"),
            (tar([file("a")])[:300], "ends too early"),
            (b"\xff" + tar([file("a")])[1:], "checksum"),
            (b"no archive at all" * 100, "not a number|checksum"),
            (header(file("a"), size=2**60), "absurd size"),
            (header(file("a"), uid=2**40), "owner"),
            (header(file("a"), gid=-1), "negative"),
            (flagged(b"x", 2**40), "absurd size"),
            (flagged(b"L", 2**40), "absurd size"),
            (flagged(b"L", 5000, b"n" * 5000), "too long"),
            (flagged(b"x", 10, b"no record\n"), "cannot be read"),
            (flagged(b"x", 12, b"999 path=abc"), "cannot be read"),
            (flagged(b"x", 12, b"-12 path=ab\n"), "cannot be read"),
            (flagged(b"x", 11, b"11 path=abc"), "cannot be read"),
            (flagged(b"x", 12, b"12 size=-99\n") + tar([file("a")]), "not a number"),
            (flagged(b"x", 28, b"28 size=99999999999999999999") + tar([file("a")]), "cannot be read"),
            (flagged(b"V", 0), "unknown kind"),
            (flagged(b"S", 0), "sparse"),
            (flagged(b"x", 22, b"22 GNU.sparse.major=1\n") + tar([file("a")]), "sparse"),
        ],
    )
    def test_is_said(self, archive: bytes, what: str) -> None:
        """A damaged or absurd archive is an error that says what is wrong."""
        with pytest.raises(ArchiveError, match=what):
            listed(archive)

    @given(st.binary(max_size=3000), st.integers(0, 2500))
    @settings(max_examples=150, deadline=None)
    def test_any_bytes(self, noise: bytes, at: int) -> None:
        """Whatever the bytes are, there are members or an ArchiveError, and nothing else."""
        archive = tar([file("a", 700), file("d/" + "n" * 120, 3), file("c", 600)])
        try:
            listed(archive[:at] + noise + archive[at + len(noise) :])
        except ArchiveError as error:
            assert error.remedy  # noqa: PT017

    def test_an_absurd_header_is_not_read_into_memory(self) -> None:
        """A header that claims a terabyte costs no more memory than any other."""

        def endless() -> Iterator[bytes]:
            yield flagged(b"x", 2**40)
            while True:
                yield bytes(2**20)

        tracemalloc.start()
        with pytest.raises(ArchiveError):
            list(members(Stream(endless())))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000
