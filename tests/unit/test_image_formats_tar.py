"""Reading tar archives, against Python's tarfile and GNU tar."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.errors import ArchiveError
from layerlab.image.formats.stream import Stream
from layerlab.image.formats.tar import BLOCK, Member, is_tar, members
from tests.unit.image_truth import TYPES, Entry, file, tar

NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
        lambda part: part not in {".", ".."}
    ),
    min_size=1,
    max_size=4,
).map("/".join)

# Written by GNU tar 1.34 with --sparse: `hole`, 5 MB with a byte every 100 kB (so many that the map needs blocks of
# its own), and `next`, 10 bytes.
SPARSE = {
    "GNU's old format": (
        "ABzY8000000t4;XQEJ;j6a`RqCtAYHXe2G9E67KnAEg4vfpqs(GmtpVo8+U|B5=-"
        "!C12SV9!Wg7KenIu!<D7oQtR_}_jWrims#5{dCl`Mejje&@!@=T8pq+ZZRd|Z_u29PTAjBmlP^}MlP__ebAFe9+h59*>OAjn!n5a"
        "^<6m1#n3vMY=Qy9*-*}%-"
        "oqVZbUUMg}oqV0cd@h}QUc!7yoqSs3e2Mclck(&Bnz?gV<TT|tU*bHxD_*aE&b7qfi?4q!Ws37T&i9)y%3p5E%O`-"
        "_da?un0000096&z}00000z!CJ*0GLkz00000(CDWDFrNSb0001>(N6;a0001R1pPDs<`Vz_0000q`e^{nCjbBd003z8(*OVf0010"
        "8KMjES1ONa40051C8UXVN0000002=)?0Ok__00000H2P@(00000j-"
        "a0gz<dG#0001hMn4UJ`2+v}0001uei{G(004j^=%)cNp8x;=005xTPXk~+0RR9106?Rk2Ecp*00024;n)4s`P%15yQS9W?e5=gO1"
        "Zr5|IKr%X&uINiv@UmINzPdaX4+;hYRu9@h|H43(o=o00000004Yde*j%=Q>Xw40ss"
    ),
    "pax 0.1": (
        "ABzY8000000t4;X&2AGr6ae6?`xJeEDz!boUUUnr5E9}6!X*-"
        "jmY}4S3Qvz4&xG49+6^?S_`b~?$H|<T@i<31%ky`u+c)dgr}cJs{&{n`Ui^8X=-YOGEFK=i(Eg71pT|3k)7!-}xY=E=wk7@I-"
        ";{>a*Ka>8ci&gr-FmtE@^gLB)nz!jKlSbA>f`0+zpuNCCZ44B-qh-"
        "9eR22hoU|eRf8uKO{UV&TA@^r_Y(iVZnEO7AHBLE)Id1aM#8l%p=V6Y!JciiUxX*o)rc(}i9Oih;LrBy4bI$D?$B>61O$lPj9GdB"
        "@G3Bv644T{z&6FdS<nb`*^3b+Zme}X=qj^yB$9B#$=JJNmdCIrOd63E##BR!y%2an4q&$q>lqZ!di2Zcx)aEiV54zls{gfw_D@cd"
        "IkcY0H^Ni)b=fSjuXW`_j^<SQs^?JWwu2)|!*UOl~*#F@_f=Bm%)8G3qsQbU$@Bi?e`+vLHTtD``r{*8t+zWBL000000D$MGKMeo"
        "?006)-"
        "=uZQnJ^=s#002OxKMjET1ONa4005Q#Gynhq0076JKMjET1ONa4005Q#Gyv)o00000095+Z00000033t<Gyv)o00000095+Z0H{v@"
        "00000Q0Y$tpgsWr0000$r9TY-"
        "0002MG3ZYNpgsWr0000$r9TaT`UC&~0001${xkpp0002Tpg#?O`UC&~0001${xksU6951J0030_(*USX0002M-"
        "|%gHd;Pa_graZT{jqp>3?Zi9@!jV!4q;fFhUa(yH@oZAwxr)~Hjh4tr{*8t+zavJz+M0V000000Dzb37djCsOaKT100"
    ),
    "pax 1.0": (
        "ABzY8000000t4;XOKuxE5CBlEbqb$ACfQ#uyq(Ev5MVF|5ReAqfnx=d4LEc9&}O${Xkl*>E5^LH=^|U|>MskZ&E?1K!-"
        "r}6Y1$tyKksg))z24-"
        "zHOhj#pyQ0wmHU6^D)NIuPz=|Z{YrLx80ZYtN*8zF8=)MpUvUxc7K>QU$+15_E&LzGJAbnX2UwQ&u4G9U#6?aH)h?$=kxn%dvmz{"
        "Z@TL0<6N)!eQhqwqx<{m$^CJCGi_oD<M5Lgf)~I4rjO6pg8Kb;F*d7<@Rr~Iez&`O>36T~KfSnjqKWIUZbR<Zd2B*k!<hR%j5SU<"
        "hb3<E(8N^ZHs@i9yF7;2*SODpljcJXc^sB_%tJ`?@pI1Y6338-A<YS5$sC&bs4?ZSJr0`O56zq-mgMm`=<?9EbC%fW@~34`^2c_`"
        "Gv@LRE_uqY#$}Mo8N_bRlgh5{I7oRIyE#uPXAt}O(5cO3$1>=0KlXE;RL&qB2SXmZe#tYI>s|)S;&|@m@xc-"
        "Z00000z!~UI0{{R30B{ca(*USX0000008r^q1E4+u00000K&3wo00000z&Yqo1E4+u00000K&3wofcgXg00000mHspU00000=b%3"
        "gfcgXg00000mHspU>JtC}0000~`qKcYPXGV_002<wPXhn|003|f`qKcYPXGV_002<wPXnMn0RR9106?Wb4FCWD0KhruPXnMn0RR9"
        "106?Wb4S@Ot000000G0kU0O}I}008hS+)fX7zdA=K`nG-"
        "A7N^?~V)_w3&c`@}VRaGS;s)Fw?za1qe!ttjcq3lhe|mB6#J3~g0ssI20002Md-fgu&D_cW2m$~"
    ),
}


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
    @pytest.mark.slow
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

    @pytest.mark.parametrize("format", sorted(SPARSE))
    def test_sparse_files(self, format: str) -> None:
        """A sparse file has its apparent size, and what follows it is found."""
        found = listed(gzip.decompress(base64.b85decode(SPARSE[format])))

        assert [(member.name, member.apparent_size) for member in found] == [("hole", 5_000_000), ("next", 10)]
        assert found[0].size < 200_000

    def test_from_before_posix(self) -> None:
        """Headers without a mark of their own are known by their checksum; a directory's name ends in a slash."""
        archive = b""
        for name, size in (("d/", 0), ("d/f", 3)):
            header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
            header[124:136] = b"%011o\0" % size
            header[156:157] = b"\0"
            header[257:] = bytes(BLOCK - 257)
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            archive += bytes(header) + b"x" * size + bytes(-size % BLOCK)

        assert is_tar(archive[:BLOCK])
        assert not is_tar(b"x" + archive[1:BLOCK])
        found = [(member.name, member.kind, member.size) for member in listed(archive + bytes(2 * BLOCK))]
        assert found == [("d/", "5", 0), ("d/f", "0", 3)]

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
        ],
    )
    def test_is_said(self, archive: bytes, what: str) -> None:
        """A damaged or absurd archive is an error that says what is wrong."""
        with pytest.raises(ArchiveError, match=what):
            listed(archive)

    @given(st.binary(max_size=3000), st.integers(0, 2500))
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
