"""What images run on, as users and archives name it."""

from __future__ import annotations

import platform

import pytest

from layerlab.errors import UsageError
from layerlab.image.formats.platforms import Platform, described, host, parse


class TestParse:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("linux/amd64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("arm/v6", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
            ("windows/amd64", "windows/amd64"),
        ],
    )
    def test_ways_to_write_one(self, text: str, meant: str) -> None:
        """Names that mean the same are made equal; Linux is meant where no system is named."""
        assert str(parse(text)) == meant

    @pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/a/b/c", "linux/a b", "a\x1b[31m", "é"])
    def test_what_is_none(self, text: str) -> None:
        """What cannot be a platform is an error that shows how one is written."""
        with pytest.raises(UsageError, match="is no platform") as raised:
            parse(text)

        assert "linux/arm64" in raised.value.remedy


class TestDescribed:
    def test_by_a_document(self) -> None:
        """A config and an index's entry name their platform in the same way."""
        assert described({"os": "linux", "architecture": "arm64", "variant": "v8"}) == Platform("linux", "arm64")

    @pytest.mark.parametrize(
        "document", [{}, {"os": "linux"}, {"os": 1, "architecture": []}, {"os": "", "architecture": "x"}]
    )
    def test_by_nothing(self, document: dict[str, object]) -> None:
        """Where nothing is named that can be one, there is none."""
        assert described(document) is None


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images for this machine are Linux's, whatever system it has."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    assert host() == Platform("linux", "arm64")
