"""The explorer's JavaScript, and what of it is from elsewhere."""

from __future__ import annotations

import hashlib
import re

from layerlab.explorer import bundle

VENDORED = bundle.ASSETS / "vendor"
ROW = re.compile(
    r"\| \[(?P<name>[\w-]+)\]\(\S+\) \| (?P<version>[\d.]+) \| \w+ \(`(?P<license>[^`]+)`\) "
    r"\| `(?P<file>[^`]+)` \| `(?P<digest>[0-9a-f]{64})` \|"
)


class TestVendored:
    def test_files_are_what_is_written_down(self) -> None:
        """Each library has its version, its license file and the digest that the README says."""
        rows = list(ROW.finditer((VENDORED / "README.md").read_text()))

        assert [row["name"] for row in rows] == ["d3-hierarchy"]
        for row in rows:
            content = (VENDORED / row["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["digest"]
            assert f"v{row['version']}" in content.decode().splitlines()[0]
            assert "Permission to use, copy, modify" in (VENDORED / row["license"]).read_text()

    def test_nothing_else_is_there(self) -> None:
        """A file that nobody has written down would not be looked after."""
        written = {
            row[key] for row in ROW.finditer((VENDORED / "README.md").read_text()) for key in ("file", "license")
        }
        there = {str(path.relative_to(VENDORED)) for path in VENDORED.rglob("*") if path.is_file()}

        assert there == written | {"README.md"}


class TestExpression:
    def test_is_small_and_whole(self) -> None:
        """All of it is less than 100 kB, and every script is part of it."""
        text = bundle.expression()

        assert len(text) < 100_000
        assert {path.name for path in bundle.ASSETS.glob("*.js")} == set(bundle.SCRIPTS)

    def test_asks_for_nothing(self) -> None:
        """No script names an address, but for the comment that says where the library is from."""
        addresses = re.findall(r"https?://[^\s\"'`)]+", bundle.expression())

        assert addresses == ["https://d3js.org/d3-hierarchy/"]

    def test_writes_text_only(self) -> None:
        """No script makes elements from text, which could hold a file's name."""
        for name in bundle.SCRIPTS:
            text = (bundle.ASSETS / name).read_text()
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            ), name
