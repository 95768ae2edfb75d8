"""Limits that an image has to keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab.compare.ci_limits import Amount, broken, check, size
from layerlab.errors import UsageError
from layerlab.image import Image
from tests.unit.image_truth import file, whiteout
from tests.unit.stacked import read


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image that stores 1,000 bytes, of which 50 are waste."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return read("app.tar", [[file("a", 950), file("b", 50)], [whiteout("b")]])


class TestSize:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("300MB", 300_000_000), ("1.2GB", 1_200_000_000), ("250MiB", 262_144_000), ("1000", 1000), ("0", 0),
            ("5 kB", 5000), ("1KiB", 1024), ("2tb", 2 * 10**12), (" 7B ", 7), ("0.5KiB", 512),
            ("9007199254740993B", 2**53 + 1),
        ],
    )  # fmt: skip
    def test_is_written_with_or_without_a_unit(self, text: str, expected: int) -> None:
        """Units count in thousands or, with an i, in 1,024; capitals do not matter."""
        assert size(text).value == expected

    @pytest.mark.parametrize(
        "text",
        ["", "MB", "300M", "300 XB", "-1MB", "1,2GB", "1e9", "inf", "nan", "5%", "1.MB", "1GB1", "٣", "9" * 5000],
    )
    def test_nothing_else_is_one(self, text: str) -> None:
        """What could mean several things, or nothing, is refused with examples."""
        with pytest.raises(UsageError) as caught:
            size(text)
        assert "300MB" in caught.value.remedy


class TestShare:
    def test_is_percent_or_a_size(self) -> None:
        """A percent sign makes a share, everything else is a size."""
        assert size("5%", or_share=True) == Amount(5.0, True, "5%")
        assert size("0.5 %", or_share=True).value == 0.5
        assert size("10MB", or_share=True) == Amount(10_000_000, False, "10MB")

    @pytest.mark.parametrize("text", ["101%", "-1%", "%", "five%", "5%%", ""])
    def test_nothing_else_is_one(self, text: str) -> None:
        """More than all of it is no share."""
        with pytest.raises(UsageError):
            size(text, or_share=True)


class TestCheck:
    @pytest.mark.parametrize(("limit", "ok"), [("1000", True), ("999", False), ("1kB", True), ("0.99kB", False)])
    def test_size(self, stored: Image, limit: str, ok: bool) -> None:
        """What is just as large as the limit keeps it."""
        (found,) = check(stored, max_size=size(limit))

        assert (found.name, found.measured, found.unit, found.ok) == ("max-size", 1000, "bytes", ok)

    @pytest.mark.parametrize(
        ("limit", "measured", "unit", "ok"),
        [("5%", 5.0, "%", True), ("4.9%", 5.0, "%", False), ("50", 50, "bytes", True), ("49B", 50, "bytes", False)],
    )
    def test_waste(self, stored: Image, limit: str, measured: float, unit: str, ok: bool) -> None:
        """Waste is a share of what is stored, or bytes, as it was asked."""
        (found,) = check(stored, max_waste=size(limit, or_share=True))

        assert (found.name, found.measured, found.unit, found.ok) == ("max-waste", measured, unit, ok)

    def test_no_root(self, stored: Image, tmp_path: Path) -> None:
        """An image without a user runs as root; one with a user does not."""
        other = read("other.tar", [[file("a", 1)]], User="10001")

        found = [*check(stored, no_root=True), *check(other, no_root=True)]

        assert [(one.measured, one.ok) for one in found] == [("root", False), ("10001", True)]
        assert broken(found) == ["--no-root is broken: app.tar runs as root, since it names no user"]

    def test_an_image_of_nothing(self, stored: Image) -> None:
        """Nothing keeps every limit of size and waste."""
        empty = read("empty.tar", [])

        found = check(empty, max_size=size("0"), max_waste=size("0%", or_share=True))
        assert [one.ok for one in found] == [True, True]

    def test_says_what_is_there_and_what_is_allowed(self, stored: Image) -> None:
        """Each broken limit has a line with both; kept ones have none."""
        found = check(stored, max_size=size("1GB"), max_waste=size("1%", or_share=True))

        said = "50 bytes (5.0 %) of app.tar can be seen by no container, and at most 1% are allowed"
        assert broken(found) == [f"--max-waste is broken: {said}"]
        assert vars(found[1]) == {
            "name": "max-waste", "limit": 1.0, "measured": 5.0, "unit": "%", "ok": False,
            "message": said,
        }  # fmt: skip

    def test_nothing_asked(self, stored: Image) -> None:
        """Without limits there is nothing to say."""
        assert check(stored) == []
