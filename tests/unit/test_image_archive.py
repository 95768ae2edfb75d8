"""Whole images in archives: what ``docker save`` writes, and OCI layouts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerlab.errors import ArchiveError
from layerlab.image import archive
from layerlab.image.changeset import Budget
from tests.unit.image_truth import (
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

LAYERS = [tar([file("a", 5), file("b", 3)]), tar([whiteout("a")]), tar([file("c", 2)])]


def paths(contents: archive.Contents) -> list[list[str]]:
    return [layer.paths for layer in contents.layers]


def described(layers: list[bytes], **changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a saved image, and the parts of its archive, to be spoilt."""
    config = json.dumps(image_config(layers)).encode()
    parts = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    return {"Config": "config.json", "Layers": list(parts), **changes}, {**parts, "config.json": config}


def spoilt(change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    manifest, parts = described(LAYERS)
    change(manifest, parts)
    return pack([*parts.items(), ("manifest.json", json.dumps([manifest]).encode())])


class TestForms:
    def test_a_saved_image(self) -> None:
        """The layers of what ``docker save`` writes come in the manifest's order, their digests verified."""
        contents = archive.read_stream([saved(LAYERS)])

        assert paths(contents) == [["/a", "/b"], [], ["/c"]]
        assert contents.diff_ids == [digest(layer) for layer in LAYERS]
        assert contents.id == digest(json.dumps(image_config(LAYERS)).encode())

    def test_equal_layers(self) -> None:
        """A layer that is the same as an earlier one is a symbolic link in the archive."""
        stack = [LAYERS[0], LAYERS[1], LAYERS[0], LAYERS[1]]

        assert paths(archive.read_stream([saved(stack)])) == [["/a", "/b"], [], ["/a", "/b"], []]

    @given(st.permutations(range(5)))
    @settings(max_examples=20, deadline=None)
    def test_parts_in_any_order(self, order: list[int]) -> None:
        """The manifest may come before the layers or after them."""
        manifest, parts = described(LAYERS)
        every = [*parts.items(), ("manifest.json", json.dumps([manifest]).encode())]

        contents = archive.read_stream([pack(every[place] for place in order)])
        assert paths(contents) == [["/a", "/b"], [], ["/c"]]

    def test_an_oci_layout_in_an_archive(self) -> None:
        """Compressed layers are found through indexes and manifests; an attestation is no image."""
        contents = archive.read_stream([pack(oci_parts(LAYERS).items())])

        assert paths(contents) == [["/a", "/b"], [], ["/c"]]

    def test_an_oci_layout_in_a_directory(self, tmp_path: Path) -> None:
        """A layout need not be packed."""
        write_layout(tmp_path, oci_parts(LAYERS))

        assert archive.is_layout(tmp_path)
        assert paths(archive.read_path(tmp_path)) == [["/a", "/b"], [], ["/c"]]

    def test_a_saved_image_of_today(self) -> None:
        """Since Docker 25 the archive is an OCI layout with a manifest.json beside the index."""
        parts = oci_parts(LAYERS)
        blobs = {name: f"blobs/sha256/{name.removeprefix('sha256:')}" for name in map(digest, LAYERS)}
        parts |= {blobs[digest(layer)]: layer for layer in LAYERS}
        config = json.dumps(image_config(LAYERS)).encode()
        manifest = {
            "Config": f"blobs/sha256/{digest(config).removeprefix('sha256:')}",
            "RepoTags": ["demo:1"],
            "Layers": list(blobs.values()),
        }
        parts["manifest.json"] = json.dumps([manifest]).encode()

        assert paths(archive.read_stream([pack(parts.items())])) == [["/a", "/b"], [], ["/c"]]

    def test_a_compressed_archive(self) -> None:
        """``docker save | gzip`` is read as well."""
        assert paths(archive.read_stream([gzip.compress(saved(LAYERS))])) == [["/a", "/b"], [], ["/c"]]

    def test_large_attestations(self) -> None:
        """A list of an image's software may be larger than any description of an image; it is passed over."""
        manifest, parts = described(LAYERS)
        parts |= {"sbom.json": b"{" + b" " * 5_000_000, "manifest.json": json.dumps([manifest]).encode()}

        assert paths(archive.read_stream([pack(parts.items())])) == [["/a", "/b"], [], ["/c"]]

    def test_a_file_whose_name_begins_like_json(self) -> None:
        """A layer is known by its format, whatever its first entry is called."""
        assert paths(archive.read_stream([saved([tar([file("{template}")])])])) == [["/{template}"]]

    def test_no_layers(self) -> None:
        """An image may have none."""
        assert paths(archive.read_stream([saved([])])) == []

    def test_an_empty_layer(self) -> None:
        """A layer may be an archive of nothing, or nothing at all."""
        assert paths(archive.read_stream([saved([tar([]), b""])])) == [[], []]


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "no archive"),
            (b"not an archive", "no archive"),
            (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
            (b"\x1f\x8b\x08 broken", "compressed data"),
            (tar([file("etc/passwd", 9)]), "no image"),
            (saved(LAYERS)[:5000], "ends too early"),
            (pack([("manifest.json", b"[]")]), "describes no image"),
            (pack([("manifest.json", b"{}")]), "describes no image"),
            (pack([("manifest.json", b"[{broken")]), "not valid JSON"),
            (pack([("manifest.json", b"[" * 100_000)]), "not valid JSON"),
            (pack([("manifest.json", b"[1]")]), "cannot be read"),
            (pack([("manifest.json", b'[{"Config": 3, "Layers": []}]')]), "cannot be read"),
            (pack([("manifest.json", b'[{"Config": "c", "Layers": "abc"}]')]), "cannot be read"),
            (pack([("manifest.json", b'[{"Config": "c", "Layers": [4]}]')]), "cannot be read"),
            (pack([("manifest.json", b'[{"Config": "../../etc/passwd", "Layers": []}]')]), "outside"),
            (pack([("manifest.json", b'[{"Config": "c", "Layers": []}]')]), "missing"),
            (pack([("manifest.json", b'[{"RepoTags": ["a:1"]}, {"RepoTags": ["b:1"]}]')]), "several images"),
            (pack([("index.json", b'{"manifests": []}')]), "names no image"),
            (pack([("index.json", b'{"manifests": 7}')]), "names no image"),
            (pack([("index.json", b'{"manifests": [{"digest": "../x"}]}')]), "digest"),
            (pack([("index.json", b'{"manifests": [{"digest": "sha256:abc"}]}')]), "missing"),
            (pack([], [("manifest.json", "other"), ("other", "manifest.json")]), "no image"),
        ],
    )
    def test_what_is_no_image(self, content: bytes, what: str) -> None:
        """A file that is no image, or a damaged one, is an error that says so and what to do."""
        with pytest.raises(ArchiveError, match=what) as raised:
            archive.read_stream([content] if content else [])

        assert raised.value.remedy

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda manifest, _: manifest.update(Layers=manifest["Layers"][::-1]), "not those"),
            (lambda manifest, _: manifest["Layers"].pop(), "not those"),
            (lambda manifest, _: manifest.update(Layers=manifest["Layers"] * 200), "cannot be read"),
            (lambda _, parts: parts.update({"0/layer.tar": tar([file("evil", 1)])}), "not those"),
            (lambda _, parts: parts.pop("1/layer.tar"), "missing"),
            (lambda _, parts: parts.update({"1/layer.tar": b"\x28\xb5\x2f\xfd" + bytes(600)}), "zstd"),
            (lambda _, parts: parts.update({"1/layer.tar": gzip.compress(b"no tar")}), "no archive"),
            (lambda _, parts: parts.update({"config.json": b"{}"}), "not those"),
            (lambda _, parts: parts.update({"config.json": b'{"rootfs": {"diff_ids": [1]}}'}), "does not name"),
            (lambda _, parts: parts.update({"config.json": b'{"rootfs": 1}'}), "not those"),
            (lambda _, parts: parts.update({f"{n}.json": b"{" + b" " * 3_900_000 for n in range(17)}), "larger"),
            (lambda _, parts: parts.update({f"part{number}": b"" for number in range(10_000)}), "more parts"),
        ],
    )
    def test_what_contradicts_itself(
        self, change: Callable[[dict[str, Any], dict[str, bytes]], None], what: str
    ) -> None:
        """The layers must be those that the config names, by the digest of what was read."""
        with pytest.raises(ArchiveError, match=what):
            archive.read_stream([spoilt(change)])

    def test_links_that_lead_in_a_circle(self) -> None:
        """Symbolic links within the archive are followed a few times, not for ever."""
        manifest, parts = described(LAYERS, Layers=["x", "1/layer.tar", "2/layer.tar"])
        parts["manifest.json"] = json.dumps([manifest]).encode()

        with pytest.raises(ArchiveError, match="circle"):
            archive.read_stream([pack(parts.items(), [("x", "y"), ("y", "x")])])

    def test_a_blob_that_is_not_what_its_name_says(self) -> None:
        """A document of an OCI layout must have the digest by which it is found."""
        parts = oci_parts(LAYERS)
        config = next(name for name, content in parts.items() if b'"rootfs"' in content)
        parts[config] = parts[config].replace(b"amd64", b"arm64")

        with pytest.raises(ArchiveError, match="does not hold what its name says"):
            archive.read_stream([pack(parts.items())])

    def test_several_tagged_images_in_a_layout(self) -> None:
        """Of several images none is taken for the one that was meant."""
        index = {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": name}} for name in "ab"]}

        with pytest.raises(ArchiveError, match=r"several images \(a, b\)"):
            archive.read_stream([pack([("index.json", json.dumps(index).encode())])])

    def test_a_layer_named_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The entries of an image are limited, also where a small archive names one layer many times."""
        monkeypatch.setattr(archive, "Budget", lambda: Budget(entries=100))
        stack = [tar(file(f"f{number}") for number in range(30))] * 10

        with pytest.raises(ArchiveError, match="more entries"):
            archive.read_stream([saved(stack)])

    def test_a_directory_that_is_no_layout(self, tmp_path: Path) -> None:
        """Any other directory is refused with what it would have to be."""
        with pytest.raises(ArchiveError, match="no OCI layout"):
            archive.read_path(tmp_path)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        """Why a file cannot be read is said."""
        with pytest.raises(ArchiveError, match="No such file"):
            archive.read_path(tmp_path / "gone")

    def test_links_in_a_layout_are_not_followed(self, tmp_path: Path) -> None:
        """A blob that is a symbolic link might lead anywhere."""
        write_layout(tmp_path / "layout", oci_parts(LAYERS))
        blob = max((tmp_path / "layout/blobs/sha256").iterdir())
        blob.rename(tmp_path / "elsewhere")
        blob.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(ArchiveError, match="cannot be read"):
            archive.read_path(tmp_path / "layout")

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_any_damage(self, data: st.DataObject) -> None:
        """Whatever a file holds, there is an image or an ArchiveError, and nothing else."""
        content = bytearray(data.draw(st.sampled_from([saved(LAYERS), pack(oci_parts(LAYERS).items())])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
        try:
            archive.read_stream([bytes(content)])
        except ArchiveError as error:
            assert error.remedy  # noqa: PT017
