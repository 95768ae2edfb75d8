"""Whole images in archives: what ``docker save`` writes, and OCI layouts."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.errors import ArchiveError
from layerlab.image.formats import archive
from layerlab.image.formats.platforms import Platform
from layerlab.image.formats.stream import Budget
from tests.unit.image_truth import (
    Layout,
    digest,
    file,
    image_config,
    oci_parts,
    pack,
    saved,
    tar,
    whiteout,
    write_layout,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LAYERS = [tar([file("a", 5), file("b", 3)]), tar([whiteout("a")]), tar([file("c", 2)])]
PATHS = [["/a", "/b"], [], ["/c"]]

Reader = Callable[[bytes], archive.StoredImage]


def as_stream(content: bytes) -> archive.StoredImage:
    """Read an archive as an engine sends it."""
    return archive.read_stream(content[at : at + 1000] for at in range(0, len(content), 1000))


def as_compressed_stream(content: bytes) -> archive.StoredImage:
    """Read an archive that is compressed as a whole."""
    return as_stream(gzip.compress(content))


def as_file(content: bytes) -> archive.StoredImage:
    """Read an archive in a file, whose parts are opened when they are needed."""
    with tempfile.NamedTemporaryFile() as out:
        out.write(content)
        out.flush()
        return archive.read_path(Path(out.name))


every_way = pytest.mark.parametrize("read", [as_stream, as_compressed_stream, as_file])


def paths(contents: archive.StoredImage) -> list[list[str]]:
    return [layer.paths for layer in contents.layers]


def described(layers: list[bytes], **changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a saved image, and the parts of its archive, to be spoilt."""
    config = json.dumps(image_config(layers)).encode()
    files = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    return {"Config": "config.json", "Layers": list(files), **changes}, {**files, "config.json": config}


def spoilt(change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    manifest, files = described(LAYERS)
    change(manifest, files)
    return pack([*files.items(), ("manifest.json", json.dumps([manifest]).encode())])


@every_way
class TestForms:
    def test_a_saved_image(self, read: Reader) -> None:
        """The layers of what ``docker save`` writes come in the manifest's order, their digests verified."""
        contents = read(saved(LAYERS))

        assert paths(contents) == PATHS
        assert contents.diff_ids == [digest(layer) for layer in LAYERS]
        assert contents.id == digest(json.dumps(image_config(LAYERS)).encode())

    def test_equal_layers(self, read: Reader) -> None:
        """A layer that is the same as an earlier one is a symbolic link in the archive."""
        stack = [LAYERS[0], LAYERS[1], LAYERS[0], LAYERS[1]]

        assert paths(read(saved(stack))) == [["/a", "/b"], [], ["/a", "/b"], []]

    @given(st.permutations(range(5)))
    def test_parts_in_any_order(self, read: Reader, order: list[int]) -> None:
        """The manifest may come before the layers or after them."""
        manifest, files = described(LAYERS)
        every = [*files.items(), ("manifest.json", json.dumps([manifest]).encode())]

        assert paths(read(pack(every[place] for place in order))) == PATHS

    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd.compress, lzma.compress, bz2.compress])
    def test_an_oci_layout_in_an_archive(self, read: Reader, compress: Callable[[bytes], bytes]) -> None:
        """Layers are found through indexes and manifests, compressed or not; an attestation is no image."""
        assert paths(read(pack(oci_parts(LAYERS, compress=compress).items()))) == PATHS

    def test_a_saved_image_of_today(self, read: Reader) -> None:
        """Since Docker 25 the archive is an OCI layout with a manifest.json beside the index."""
        files = oci_parts(LAYERS, compress=bytes)
        config = json.dumps({**image_config(LAYERS), "os": "linux", "architecture": "amd64"}).encode()
        manifest = {
            "Config": f"blobs/sha256/{digest(config).removeprefix('sha256:')}",
            "RepoTags": ["demo:1"],
            "Layers": [f"blobs/sha256/{digest(layer).removeprefix('sha256:')}" for layer in LAYERS],
        }
        files["manifest.json"] = json.dumps([manifest]).encode()

        assert paths(read(pack(files.items()))) == PATHS

    def test_large_attestations(self, read: Reader) -> None:
        """A list of an image's software may be larger than any description of an image; it is passed over."""
        manifest, files = described(LAYERS)
        files |= {"sbom.json": b"{" + b" " * 5_000_000, "manifest.json": json.dumps([manifest]).encode()}

        assert paths(read(pack(files.items()))) == PATHS

    def test_damage_beside_the_image(self, read: Reader) -> None:
        """What is damaged and belongs to nothing that is asked for does not matter."""
        manifest, files = described(LAYERS)
        files |= {
            "elsewhere.tar": tar([file("a", 9)])[:700],
            "elsewhere.tar.gz": b"\x1f\x8b\x08 broken",
            "manifest.json": json.dumps([manifest]).encode(),
        }

        assert paths(read(pack(files.items()))) == PATHS

    def test_a_file_whose_name_begins_like_json(self, read: Reader) -> None:
        """A layer is known by its format, whatever its first entry is called."""
        assert paths(read(saved([tar([file("{template}")])]))) == [["/{template}"]]

    def test_names_that_begin_with_a_slash(self, read: Reader) -> None:
        """A part may be named with or without a slash at its beginning, and a dot."""
        manifest, files = described(LAYERS)
        files = {f"/./{name}": content for name, content in files.items()}

        assert paths(read(pack([*files.items(), ("/manifest.json", json.dumps([manifest]).encode())]))) == PATHS

    def test_the_later_of_two_parts_counts(self, read: Reader) -> None:
        """As when extracting, a part replaces an earlier one of its name."""
        manifest, files = described(LAYERS)
        every = [("0/layer.tar", tar([file("other", 1)])), *files.items(), ("manifest.json", b"[]")]

        assert paths(read(pack([*every, ("manifest.json", json.dumps([manifest]).encode())]))) == PATHS

    def test_no_layers(self, read: Reader) -> None:
        """An image may have none."""
        assert paths(read(saved([]))) == []

    def test_an_empty_layer(self, read: Reader) -> None:
        """A layer may be an archive of nothing, or nothing at all."""
        assert paths(read(saved([tar([]), b"", bytes(512)]))) == [[], [], []]

    def test_many_layers(self, read: Reader) -> None:
        """An image may have as many layers as engines allow, and more."""
        stack = [tar([file(f"f{number}", number)]) for number in range(200)]

        assert paths(read(saved(stack))) == [[f"/f{number}"] for number in range(200)]


class TestFiles:
    @pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, lzma.compress, bz2.compress])
    def test_a_compressed_archive(self, compress: Callable[[bytes], bytes]) -> None:
        """``docker save | gzip`` is read as well, and whatever else ``docker load`` takes."""
        assert paths(as_file(compress(saved(LAYERS)))) == PATHS

    def test_an_oci_layout_in_a_directory(self, tmp_path: Path) -> None:
        """A layout need not be packed."""
        write_layout(tmp_path, oci_parts(LAYERS))

        assert archive.is_layout(tmp_path)
        assert paths(archive.read_path(tmp_path)) == PATHS

    def test_what_nobody_asks_for_costs_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Layers of other platforms, and files that cannot be read or are no part of an image, are not looked at."""
        layout = Layout()
        many = [tar([file(f"f{number}-{n}") for n in range(30)]) for number in range(5)]
        images = [layout.image(many, "linux/s390x"), layout.image(LAYERS, "linux/arm64")]
        write_layout(tmp_path, layout.close(layout.index(images)))
        (tmp_path / "blobs/sha256/aaaa").mkdir()
        (tmp_path / "blobs/sha256/bbbb").symlink_to("nowhere")
        os.mkfifo(tmp_path / "blobs/sha256/cccc")
        for number in range(20):
            (tmp_path / f"other{number}").write_bytes(b"{")
        (tmp_path / "packed").write_bytes(pack(layout.parts.items()))
        monkeypatch.setattr(archive, "MOST_PARTS", len(layout.parts))
        monkeypatch.setattr(archive, "Budget", lambda: Budget(entries=10))

        for path in (tmp_path, tmp_path / "packed"):
            assert paths(archive.read_path(path, platform=Platform("linux", "arm64"))) == PATHS
            with pytest.raises(ArchiveError, match="more entries"):
                archive.read_path(path, platform=Platform("linux", "s390x"))

    def test_a_pipe(self, tmp_path: Path) -> None:
        """What another program writes into a pipe is read as it comes."""
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(saved(LAYERS),))
        writer.start()

        assert paths(archive.read_path(tmp_path / "pipe")) == PATHS
        writer.join()


def not_an_image(*listed: object) -> bytes:
    return pack([("manifest.json", json.dumps(list(listed)).encode())])


NO_IMAGES = [
    (b"", "no archive"),
    (b"not an archive", "no archive"),
    (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd data end too early|no archive"),
    (b"\x1f\x8b\x08 broken", "gzip data cannot be read|no archive"),
    (gzip.compress(b"not an archive", mtime=0), "no archive"),
    (tar([file("etc/passwd", 9)]), "no image"),
    (tar([file("part")])[:512] * 10_001, "more than 10,000 parts"),
    (not_an_image(), "manifest.json names none"),
    (pack([("manifest.json", b"{}")]), "manifest.json cannot be read"),
    (pack([("manifest.json", b"[{broken")]), "not valid JSON"),
    (pack([("manifest.json", b"[" * 100_000)]), "not valid JSON"),
    (pack([("manifest.json", b"[" + b"9" * 100_000 + b"]")]), "not valid JSON"),
    (pack([("manifest.json", b" not JSON")]), "not valid JSON|no description"),
    (pack([("manifest.json", b"[" + b" " * 4_000_000)]), "'manifest.json' is no description"),
    (not_an_image(1), "cannot be read"),
    (not_an_image({"Config": 3, "Layers": []}), "cannot be read"),
    (not_an_image({"Config": "c", "Layers": "abc"}), "cannot be read"),
    (not_an_image({"Config": "c", "Layers": [4]}), "cannot be read"),
    (not_an_image({"Config": "../../etc/passwd", "Layers": []}), "outside"),
    (not_an_image({"Config": "c", "Layers": []}), "'c' is missing"),
    (not_an_image(*[{"Config": f"c{n}", "RepoTags": [f"{n}:1"]} for n in "ab"]), r"several images \(a:1, b:1\)"),
    (pack([("index.json", b'{"manifests": []}')]), "index.json names none"),
    (pack([("index.json", b'{"manifests": 7}')]), "index.json names none"),
    (pack([("index.json", b'{"manifests": [{"digest": "../x"}]}')]), "digest"),
    (pack([("index.json", b'{"manifests": [{"digest": "sha256:abc"}]}')]), "missing"),
    (pack([], [("manifest.json", "other"), ("other", "manifest.json")]), "no image|circle"),
]
CONTRADICTIONS = [
    (lambda manifest, _: manifest.update(Layers=manifest["Layers"][::-1]), "not the one"),
    (lambda manifest, _: manifest["Layers"].pop(), "not those"),
    (lambda manifest, _: manifest.update(Layers=manifest["Layers"] * 200), "more layers than any image"),
    (lambda _, files: files.update({"0/layer.tar": tar([file("evil", 1)])}), "not the one"),
    (lambda _, files: files.pop("1/layer.tar"), "missing"),
    (lambda _, files: files.update({"1/layer.tar": b"\x28\xb5\x2f\xfd" + bytes(600)}), "zstd data"),
    (lambda _, files: files.update({"1/layer.tar": gzip.compress(b"no tar")}), "compressed with gzip, but no tar"),
    (lambda _, files: files.update({"1/layer.tar": b"no tar"}), "no tar archive|missing"),
    (lambda _, files: files.update({"1/layer.tar": tar([file("a", 3000)])[:1000]}), "ends too early"),
    (lambda _, files: files.update({"config.json": b"{}"}), "not those"),
    (lambda _, files: files.update({"config.json": b"[]"}), "config cannot be read"),
    (lambda _, files: files.update({"config.json": b'{"rootfs": {"diff_ids": [1]}}'}), "does not name"),
    (lambda _, files: files.update({"config.json": b'{"rootfs": 1}'}), "not those"),
]


@every_way
class TestRefused:
    @pytest.mark.parametrize(("content", "what"), NO_IMAGES, ids=[what for _, what in NO_IMAGES])
    def test_what_is_no_image(self, read: Reader, content: bytes, what: str) -> None:
        """A file that is no image, or a damaged one, is an error that says so and what to do."""
        with pytest.raises(ArchiveError, match=what) as raised:
            read(content)

        assert raised.value.remedy

    @pytest.mark.parametrize(("change", "what"), CONTRADICTIONS, ids=[what for _, what in CONTRADICTIONS])
    def test_what_contradicts_itself(
        self, read: Reader, change: Callable[[dict[str, Any], dict[str, bytes]], None], what: str
    ) -> None:
        """The layers must be those that the config names, by the digest of what was read."""
        with pytest.raises(ArchiveError, match=what):
            read(spoilt(change))

    @pytest.mark.parametrize("size", [300, 700, 5000, -1500])
    def test_an_archive_that_ends_too_early(self, read: Reader, size: int) -> None:
        """A copy that broke off is said to be one."""
        with pytest.raises(ArchiveError, match=r"ends too early|missing|no archive"):
            read(saved(LAYERS)[: size if size > 0 else len(saved(LAYERS).rstrip(b"\0")) + size])

    def test_links_that_lead_in_a_circle(self, read: Reader) -> None:
        """Symbolic links within the archive are followed a few times, not for ever."""
        manifest, files = described(LAYERS, Layers=["x", "1/layer.tar", "2/layer.tar"])
        files["manifest.json"] = json.dumps([manifest]).encode()

        with pytest.raises(ArchiveError, match="circle"):
            read(pack(files.items(), [("x", "y"), ("y", "x")]))

    def test_links_that_lead_outside(self, read: Reader) -> None:
        """A link out of the archive leads to its root at most, and there is nothing of that name."""
        manifest, files = described(LAYERS, Layers=["x", "1/layer.tar", "2/layer.tar"])
        files["manifest.json"] = json.dumps([manifest]).encode()

        with pytest.raises(ArchiveError, match="'x' is missing"):
            read(pack(files.items(), [("x", "../../../../etc/passwd")]))

    def test_a_blob_that_is_not_what_its_name_says(self, read: Reader) -> None:
        """A document of an OCI layout must have the digest by which it is found."""
        files = oci_parts(LAYERS)
        config = next(name for name, content in files.items() if b'"diff_ids"' in content)
        files[config] = files[config].replace(b"amd64", b"arm64")

        with pytest.raises(ArchiveError, match="does not hold what its name says"):
            read(pack(files.items()))

    def test_a_layer_named_again_and_again(self, read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        """The entries of an image are limited, also where a small archive names one layer many times."""
        monkeypatch.setattr(archive, "Budget", lambda: Budget(entries=100))
        stack = [tar(file(f"f{number}") for number in range(30))] * 10

        with pytest.raises(ArchiveError, match="more entries"):
            read(saved(stack))

    def test_descriptions_without_end(self, read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        """All descriptions together are limited, too."""
        monkeypatch.setattr(archive, "LARGEST_TOTAL", 500)

        with pytest.raises(ArchiveError, match="descriptions are larger"):
            read(saved(LAYERS))

    def test_a_bomb(self, read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        """Layers that expand without end are refused; what all of them become counts."""
        monkeypatch.setattr(archive, "Budget", lambda: Budget(expanded=1_500_000))
        stack = [tar([file("zeros", 1_000_000 + number)]) for number in range(2)]
        config = image_config(stack)

        assert paths(read(pack(oci_parts(stack[:1], compress=zstd.compress).items()))) == [["/zeros"]]
        with pytest.raises(ArchiveError, match="without end"):
            read(pack(oci_parts(stack, config, zstd.compress).items()))

    @given(data=st.data())
    def test_any_damage(self, read: Reader, data: st.DataObject) -> None:
        """Whatever a file holds, there is an image or an ArchiveError, and nothing else."""
        content = bytearray(data.draw(st.sampled_from([saved(LAYERS), pack(oci_parts(LAYERS).items())])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
        try:
            read(bytes(content))
        except ArchiveError as error:
            assert error.remedy  # noqa: PT017


class TestExpansion:
    def test_a_bomb_that_is_compressed_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """How much data may become is told by what the archive really holds, not by what comes out of it."""
        monkeypatch.setattr(archive, "Budget", lambda: Budget(expanded=19_500_000))
        content = pack(oci_parts([tar([file("zeros", 20_000_000)])]).items())  # 20 kB, and 1 kB once more

        assert paths(archive.read_stream([content])) == [["/zeros"]]
        with pytest.raises(ArchiveError, match="without end"):
            archive.read_stream([gzip.compress(content)])

    @pytest.mark.long
    def test_files_of_zeros(self, tmp_path: Path) -> None:
        """Some hundred megabytes of zeros are an honest layer: `dd if=/dev/zero` makes such."""
        path = tmp_path / "image.tar"
        path.write_bytes(pack(oci_parts([tar([file("zeros", 300_000_000)])]).items()))

        (layer,) = archive.read_path(path).layers
        assert path.stat().st_size < 500_000
        assert layer.bytes == 300_000_000


class TestDirectories:
    def test_that_are_no_layout(self, tmp_path: Path) -> None:
        """Any other directory is refused with what it would have to be."""
        with pytest.raises(ArchiveError, match="no OCI layout"):
            archive.read_path(tmp_path)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        """Why a file cannot be read is said."""
        with pytest.raises(ArchiveError, match="No such file"):
            archive.read_path(tmp_path / "gone")

    @pytest.mark.parametrize("what", ["a blob", "the folder of the blobs"])
    def test_links_in_a_layout_are_not_followed(self, tmp_path: Path, what: str) -> None:
        """What is a symbolic link might lead anywhere."""
        write_layout(tmp_path / "layout", oci_parts(LAYERS))
        blobs = tmp_path / "layout/blobs/sha256"
        moved = blobs if what != "a blob" else max(blobs.iterdir())
        moved.rename(tmp_path / "elsewhere")
        moved.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(ArchiveError, match=r"cannot be read|missing"):
            archive.read_path(tmp_path / "layout")

    def test_pipes_in_a_layout_are_not_opened(self, tmp_path: Path) -> None:
        """A blob that is a pipe would make a reader wait for ever."""
        write_layout(tmp_path, oci_parts(LAYERS))
        blob = max((tmp_path / "blobs/sha256").iterdir())
        blob.unlink()
        os.mkfifo(blob)

        with pytest.raises(ArchiveError, match="missing"):
            archive.read_path(tmp_path)
