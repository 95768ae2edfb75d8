"""Bills of materials: what they list of each kind, and that others can read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from layerlab.xray.bill_of_materials import bill_of_materials
from tests.unit.image_folders import layer, read_folders

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
