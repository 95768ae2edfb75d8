"""Bills of materials: what they list of each kind, and that others can read them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from layerlab.image.formats.archive import read_path, statements
from layerlab.image.formats.platforms import Platform
from layerlab.xray.bill_of_materials import beside, bill_of_materials
from tests.unit.image_folders import layer, read_folders
from tests.unit.image_truth import Layout, digest, file, pack, tar, write_layout

FILES = {
    "/usr/lib/os-release": b'PRETTY_NAME="Debian"\nVERSION_ID="13"\nID=debian\n',
    "/var/lib/dpkg/status": b"Package: libc6\nStatus: install ok installed\nVersion: 2.41-12+deb13u1\n",
    "/var/lib/dpkg/info/libc6:amd64.list": b"/.\n/usr/lib/libc.so.6\n",
    "/usr/lib/libc.so.6": b"c",
    "/lib/apk/db/installed": b"P:musl\nV:1.2.5-r9\nF:lib\nR:ld-musl.so.1\n",
    "/lib/ld-musl.so.1": b"musl",
    "/opt/a/typing_extensions-4.0.dist-info/RECORD": b"typing_extensions.py,,\n",
    "/opt/a/typing_extensions.py": b"",
    "/opt/b/typing_extensions-4.0.dist-info/RECORD": b"",
    "/opt/\xffmine".encode("latin-1").decode("utf-8", "surrogateescape"): b"nobody's",
}


def components(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    written = bill_of_materials((reader := read_folders([layer(folder, FILES)])).image, reader)
    return written, json.loads(written)["components"]


def test_packages_have_urls_and_files_of_nobody_are_listed(tmp_path: Path) -> None:
    """Each package once, named as scanners look for it; what no package owns with its bytes, in any encoding."""
    _, found = components(tmp_path)

    assert {each["purl"] for each in found if "purl" in each} == {
        "pkg:apk/debian/musl@1.2.5-r9?distro=debian-13",
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?distro=debian-13",
        "pkg:pypi/typing-extensions@4.0",
    }
    assert [(each["name"], each["version"]) for each in found if each["type"] == "operating-system"] == [
        ("debian", "13")
    ]
    files = {each["name"]: each["properties"][0]["value"] for each in found if each["type"] == "file"}
    assert files["/opt/\\xffmine"] == "8"
    assert not {"/usr/lib/libc.so.6", "/lib/ld-musl.so.1", "/opt/a/typing_extensions.py"} & files.keys()


def test_it_keeps_the_schema(tmp_path: Path) -> None:
    """CycloneDX's own schema, strictly; and a component that it does not know is noticed."""
    written, _ = components(tmp_path)
    validator = JsonStrictValidator(SchemaVersion.V1_6)

    assert validator.validate_str(written) is None
    assert validator.validate_str(written.replace('"file"', '"thing"', 1)) is not None


SPDX = {
    "_type": "https://in-toto.io/Statement/v0.1",
    "predicateType": "https://spdx.dev/Document",
    "predicate": {
        "packages": [
            {"name": name, "externalRefs": [{"referenceType": "purl", "referenceLocator": url}]}
            for name, url in {
                "libc6": "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13",
                "typing_extensions": "pkg:pypi/typing_extensions@4.0",
                "zlib": "pkg:deb/debian/zlib1g@1.3?arch=amd64",
                "a program": "pkg:generic/curl@8.0",
                "nonsense": "nonsense",
            }.items()
        ]
    },
}
PROVENANCE = {
    "predicateType": "https://slsa.dev/provenance/v0.2",
    "predicate": {"materials": [{"uri": "pkg:docker/python@3.13?platform=linux%2Famd64"}, {"uri": "https://a.test"}]},
}


class TestAttestations:
    def attested(self, layout: Layout, image: dict[str, Any], *said: Any) -> dict[str, Any]:
        """What BuildKit lays beside an image; gives its descriptor."""
        layers = [layout.blob(json.dumps(each).encode(), "in-toto") for each in said]
        marks = {"vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest"}
        manifest = {"config": layout.blob(b'{"os": "unknown"}', "config.v1+json"), "layers": layers}
        unknown = {"os": "unknown", "architecture": "unknown"}
        return layout.document(manifest, "manifest.v1+json", annotations=marks, platform=unknown)

    def test_they_are_read_of_the_image_that_is_meant(self, tmp_path: Path) -> None:
        """Of two platforms in an index, from a directory, a file, and not from one that was compressed afterwards."""
        layout = Layout()
        images = [layout.image([tar([file(name)])], f"linux/{name}") for name in ("amd64", "arm64")]
        beside_them = [
            self.attested(layout, images[0], SPDX, PROVENANCE),
            self.attested(layout, images[1], {"predicateType": "x"}),
            self.attested(layout, {"digest": digest(b"another")}, {"predicateType": "y"}),
            layout.attestation(),
        ]
        parts = layout.close(layout.index([*beside_them, *images]))
        write_layout(tmp_path / "layout", parts)
        (tmp_path / "file.tar").write_bytes(pack(parts.items()))
        (tmp_path / "file.tar.gz").write_bytes(gzip.compress((tmp_path / "file.tar").read_bytes()))
        image_id = read_path(tmp_path / "layout", platform=Platform("linux", "amd64")).id

        assert statements(tmp_path / "layout", image_id) == [SPDX, PROVENANCE]
        assert statements(tmp_path / "file.tar", image_id) == [SPDX, PROVENANCE]
        assert statements(tmp_path / "file.tar.gz", image_id) == []
        assert statements(tmp_path / "layout", digest(b"none")) == []

    def test_what_differs_is_said(self, tmp_path: Path) -> None:
        """Packages by type, name and version; what an image was made from; what is of another kind."""
        written, _ = components(tmp_path)

        assert beside(written, [SPDX, PROVENANCE, {"predicateType": "x"}]) == [
            "an attestation (https://spdx.dev/Document) lists 3 packages; it lacks: 1 (apk/musl@1.2.5-r9);"
            " missing here: 1 (deb/zlib1g@1.3)",
            "an attestation (https://slsa.dev/provenance/v0.2) says what it was made from: pkg:docker/python@3.13",
            "an attestation (x) is not read",
        ]
