"""Which image an archive is meant for: platforms, attestations, several images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlab.errors import ArchiveError, ImageNotFound, LabError
from layerlab.image.formats import archive, platforms
from layerlab.image.formats.platforms import Platform, parse
from tests.unit.image_truth import Layout, blob_name, digest, file, named, pack, tar, write_layout

AMD64, ARM64, ARMV6, S390X = ("linux/amd64", "linux/arm64", "linux/arm/v6", "linux/s390x")

Reader = Callable[..., str]


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever machine runs the tests, it is an amd64 one."""
    monkeypatch.setattr(platforms, "host", lambda: Platform("linux", "amd64"))


@pytest.fixture(params=["stream", "file", "directory"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    """Reads a layout in each of the ways, and tells the one file of the image that was chosen."""

    def chosen(parts: dict[str, bytes], platform: str | None = None) -> str:
        wanted = parse(platform) if platform else None
        content = pack(parts.items())
        if request.param == "stream":
            contents = archive.read_stream([content], platform=wanted)
        elif request.param == "file":
            (tmp_path / "image.tar").write_bytes(content)
            contents = archive.read_path(tmp_path / "image.tar", platform=wanted)
        else:
            write_layout(tmp_path / "layout", parts)
            contents = archive.read_path(tmp_path / "layout", platform=wanted)
        return contents.layers[0].paths[0]

    return chosen


def layer(name: str) -> bytes:
    return tar([file(name)])


def images(layout: Layout, *platforms: str, **more: Any) -> list[dict[str, Any]]:
    """An image for each of these platforms, with a file of its name."""
    return [layout.image([layer(platform.replace("/", "-"))], platform, **more) for platform in platforms]


def without(layout: Layout, *blobs: dict[str, Any]) -> Layout:
    """The layout, without these blobs."""
    for blob in blobs:
        layout.parts.pop(blob_name(blob))
    return layout


class TestPlatforms:
    def test_this_machines_is_taken(self, read: Reader) -> None:
        """Of several platforms this machine's is taken, wherever it stands in the index."""
        layout = Layout()

        assert read(layout.close(layout.index(images(layout, ARM64, AMD64, S390X)))) == "/linux-amd64"

    @pytest.mark.parametrize(("wanted", "found"), [("arm64", ARM64), ("linux/arm/v6", ARMV6), ("amd64", AMD64)])
    def test_one_can_be_chosen(self, read: Reader, wanted: str, found: str) -> None:
        """The platform that is asked for is taken."""
        layout = Layout()
        parts = layout.close(layout.index(images(layout, AMD64, ARM64, ARMV6)))

        assert read(parts, wanted) == f"/{found.replace('/', '-')}"

    def test_the_only_one_is_taken(self, read: Reader) -> None:
        """An image for another machine can be looked at, where it is the only one."""
        layout = Layout()

        assert read(layout.close(layout.index([*images(layout, S390X), layout.attestation()]))) == "/linux-s390x"

    def test_none_for_this_machine(self, read: Reader) -> None:
        """Where none of several is for this machine, the error names those that there are, and how to choose."""
        layout = Layout()

        with pytest.raises(
            ImageNotFound, match="no image for linux/amd64, but for linux/arm64, linux/s390x"
        ) as raised:
            read(layout.close(layout.index(images(layout, S390X, ARM64))))
        assert "--platform linux/arm64" in raised.value.remedy

    @pytest.mark.parametrize("there", [[AMD64], [AMD64, ARM64]])
    def test_none_for_the_wanted_one(self, read: Reader, there: list[str]) -> None:
        """A platform that was asked for and is not there is an error, also where there is only one image."""
        layout = Layout()

        with pytest.raises(ImageNotFound, match=r"no image for linux/s390x, but for linux/amd64"):
            read(layout.close(layout.index(images(layout, *there))), "linux/s390x")

    def test_a_variant_of_this_machines(self, read: Reader) -> None:
        """A variant for newer processors is taken where there is no plain one."""
        layout = Layout()

        assert read(layout.close(layout.index(images(layout, ARM64, "linux/amd64/v3")))) == "/linux-amd64-v3"

    def test_the_config_tells_what_the_index_does_not(self, read: Reader) -> None:
        """Where the index names no platforms, the images' configs do."""
        layout = Layout()
        entries = [{**entry, "platform": None} for entry in images(layout, ARM64, AMD64)]

        assert read(layout.close(*entries)) == "/linux-amd64"

    def test_an_engine_that_has_only_some(self, read: Reader) -> None:
        """An index lists all platforms although an engine has pulled one: that one is taken."""
        layout = Layout()
        entries = images(layout, AMD64, ARM64, S390X)
        top = layout.index(entries)

        assert read(without(layout, entries[0], entries[2]).close(top)) == "/linux-arm64"

    def test_one_that_is_listed_and_not_there(self, read: Reader) -> None:
        """A platform that is listed without being there is said to be."""
        layout = Layout()
        entries = images(layout, AMD64, ARM64, S390X)
        top = layout.index(entries)

        with pytest.raises(ImageNotFound, match="it names linux/amd64 without holding it"):
            read(without(layout, entries[0]).close(top))

    def test_none_is_whole(self, read: Reader) -> None:
        """An index without any of its images is an error that names them."""
        layout = Layout()
        entries = images(layout, AMD64, ARM64)
        top = layout.index(entries)

        with pytest.raises(ArchiveError, match="no whole image; it names linux/amd64, linux/arm64 without"):
            read(without(layout, *entries).close(top))

    def test_a_layer_that_is_missing(self, read: Reader) -> None:
        """An image that lacks a layer is not chosen over one that is whole, but is named if it is the only one."""
        layout = Layout()
        entries = images(layout, AMD64, ARM64)
        top = layout.index(entries)
        lacking = layout.compress(layer("linux-amd64"))
        parts = without(layout, {"digest": digest(lacking)}).close(top)

        assert read(parts) == "/linux-arm64"
        with pytest.raises(ImageNotFound, match="it names linux/amd64 without holding it"):
            read(parts, AMD64)
        with pytest.raises(ArchiveError, match=r"the layer 'blobs/sha256/[0-9a-f]+' is missing"):
            read(without(layout).close(entries[0]))


class TestBesideTheImage:
    def test_attestations(self, read: Reader) -> None:
        """Attestations are no images, whether their entries or only their configs say so."""
        layout = Layout()
        (image,) = images(layout, AMD64)
        about = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
        beside = [layout.attestation(), layout.attestation(platform=None, **about), layout.attestation(platform=None)]

        assert read(layout.close(*beside, image)) == "/linux-amd64"
        assert read(layout.close(layout.index([image, *beside]))) == "/linux-amd64"

    def test_artifacts(self, read: Reader) -> None:
        """Charts and signatures are no images."""
        layout = Layout()
        chart = {"config": {**layout.blob(b"{}"), "mediaType": "application/vnd.cncf.helm.config.v1+json"}}

        assert (
            read(layout.close(layout.document(chart, "manifest.v1+json"), *images(layout, AMD64))) == "/linux-amd64"
        )
        with pytest.raises(ArchiveError, match="holds no image"):
            read(layout.close(layout.document(chart, "manifest.v1+json")))


class TestSeveralImages:
    def test_are_named(self, read: Reader) -> None:
        """Of several images none is taken for the one that was meant."""
        layout = Layout()
        entries = [*images(layout, AMD64, **named("a:1")), *images(layout, ARM64, **named("b:1"))]

        with pytest.raises(ArchiveError, match=r"several images \(a:1, b:1\)"):
            read(layout.close(*entries))

    def test_without_names(self, read: Reader) -> None:
        """Images for the same platform that nothing tells apart are counted."""
        layout = Layout()
        entries = [layout.image([layer(name)]) for name in "ab"]

        with pytest.raises(ArchiveError, match="holds 2 images for linux/amd64"):
            read(layout.close(*entries))

    def test_one_with_two_names_is_one(self, read: Reader) -> None:
        """``docker save a:1 a:2`` of one image writes two entries that lead to it."""
        layout = Layout()
        (entry,) = images(layout, AMD64)

        assert read(layout.close(*({**entry, **named(name)} for name in ("a:1", "a:2")))) == "/linux-amd64"

    def test_two_manifests_of_one_image(self, read: Reader) -> None:
        """An image that is listed twice, as such and in an index, is one."""
        layout = Layout()
        (entry,) = images(layout, AMD64)

        assert read(layout.close(entry, layout.index([entry]))) == "/linux-amd64"


class TestDockersManifest:
    def manifest(self, layout: Layout, *entries: dict[str, Any]) -> dict[str, bytes]:
        """The files with a ``manifest.json`` for these images of the layout."""
        listed = []
        for entry in entries:
            name = f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"
            found = json.loads(layout.parts[name])
            blobs = [
                f"blobs/sha256/{b['digest'].removeprefix('sha256:')}" for b in [found["config"], *found["layers"]]
            ]
            listed.append({"Config": blobs[0], "RepoTags": None, "Layers": blobs[1:]})
        layout.parts["manifest.json"] = json.dumps(listed).encode()
        return layout.parts

    def test_of_an_image_without_a_name(self, read: Reader) -> None:
        """Where the index is empty, as some engines write it for an image without a tag, the manifest counts."""
        layout = Layout()
        layout.close()

        assert read(self.manifest(layout, *images(layout, AMD64))) == "/linux-amd64"

    def test_of_one_of_several_platforms(self, read: Reader) -> None:
        """The manifest names one platform where the index names several: any can be chosen."""
        layout = Layout()
        entries = images(layout, AMD64, ARM64)
        layout.close(layout.index(entries))

        assert read(self.manifest(layout, entries[0]), "linux/arm64") == "/linux-arm64"

    def test_that_contradicts_the_index(self, read: Reader) -> None:
        """An archive that is one image to one engine and another to the next is refused."""
        layout = Layout()
        layout.close(*images(layout, AMD64))

        with pytest.raises(ArchiveError, match="describe different images"):
            read(self.manifest(layout, *images(layout, ARM64)))


class TestHostile:
    def test_indexes_in_indexes(self, read: Reader) -> None:
        """Indexes may be nested a few times, not for ever."""
        layout = Layout()
        entry = layout.index(images(layout, AMD64))
        for _ in range(2):
            entry = layout.index([entry])

        assert read(layout.close(entry)) == "/linux-amd64"
        with pytest.raises(ArchiveError, match="indexes list more"):
            read(layout.close(layout.index([layout.index([layout.index([entry])])])))

    def test_indexes_that_list_each_other_again_and_again(self, read: Reader) -> None:
        """Each description is visited once, however often it is listed."""
        layout = Layout()
        entry = images(layout, AMD64)[0]
        for _ in range(3):
            entry = layout.index([{**entry, "annotations": {"n": str(n)}} for n in range(900)])

        assert read(layout.close(entry)) == "/linux-amd64"

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            [],
            "sha256:abc",
            {"digest": "sha256:../../etc/passwd"},
            {"digest": "../x:abc"},
            {"digest": "sha256:" + "a" * 5000},
            {"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"},
            {"digest": 7, "platform": 7, "annotations": 7},
        ],
    )
    def test_entries_that_cannot_be(self, read: Reader, entry: object) -> None:
        """An index of anything else is an error, and leads nowhere."""
        with pytest.raises(LabError, match=r"digest|missing|no image"):
            read({"index.json": json.dumps({"manifests": [entry]}).encode(), "blobs/sha256/x": b""})

    def test_a_blob_under_a_weak_digest(self, read: Reader) -> None:
        """Descriptions are only taken by digests that nobody can make up."""
        parts = {"index.json": b'{"manifests": [{"digest": "md5:99914b932bd37a50b983c5e7c90ae93b"}]}'}

        with pytest.raises(ArchiveError, match="digest of an unknown kind, 'md5'"):
            read({**parts, "blobs/md5/99914b932bd37a50b983c5e7c90ae93b": b"{}"})

    @pytest.mark.parametrize("manifest", [{"layers": 7}, {"layers": [1]}, {"config": 7}, {"layers": None}, {}, []])
    def test_manifests_that_cannot_be(self, read: Reader, manifest: object) -> None:
        """A manifest of anything else is an error."""
        layout = Layout()
        entry = layout.document(manifest, "manifest.v1+json")

        with pytest.raises(ArchiveError, match=r"digest|manifest"):
            read(layout.close(entry))

    def test_too_many_entries(self, read: Reader) -> None:
        """No index lists thousands of images."""
        index = {"manifests": [{"digest": f"sha256:{number:064x}"} for number in range(1_001)]}

        with pytest.raises(ArchiveError, match="indexes list more"):
            read({"index.json": json.dumps(index).encode(), "blobs/sha256/x": b""})
