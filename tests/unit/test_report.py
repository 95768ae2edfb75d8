"""The HTML report as text: what a browser would make of it is in tests/browser/test_report.py."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from layerlab import report
from layerlab.dockerfile import parse
from layerlab.errors import UsageError
from layerlab.paths import write_output
from layerlab.xray import Advice, Examined
from tests.unit.image_truth import file
from tests.unit.stacked import read

HOSTILE = "</code></td><script>alert(1)</script><img src=x onerror=alert(1)>\"' {{ 7*7 }} {% raise %}"


class Elements(HTMLParser):
    """The elements of a page, and the addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset"}]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of an image in which every name is hostile."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        name = HOSTILE.replace("/", "∕")
        stack = [[file(f"{name}/{name}", 100)], [file(f"{name}/{name}", 101)]]
        looked = read(
            "<i>.tar", stack, [HOSTILE, HOSTILE], User=HOSTILE, Labels={HOSTILE: HOSTILE}, Env=[f"X={HOSTILE}"]
        )
        return report.html(looked, found=Examined(looked, None, False, [], [Advice(HOSTILE, HOSTILE, 1, 1)], 0))


class TestHtml:
    def test_nothing_of_the_image_is_markup(self, text: str) -> None:
        """Names, instructions and settings make no element, no attribute, and are not obeyed by the template."""
        page = Elements(text)

        assert page.tags.count("script") == 2
        assert page.tags.count("img") == 4
        assert not {"onerror", "style", "onclick"} & page.attributes
        assert text.count("{{ 7*7 }}") > 5

    def test_names_nothing_outside(self, text: str) -> None:
        """Every address is within the page, or data."""
        addresses = Elements(text).addresses

        assert addresses
        assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in addresses)

    def test_policy_is_about_what_is_there(self, text: str) -> None:
        """The digests in the policy are those of the script and of the style, and nothing else is allowed."""
        script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
        style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)[0]

        def digest(content: str) -> str:
            return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
        assert policy.replace("&#39;", "'").split("; ") == [
            "default-src 'none'",
            f"script-src 'sha256-{digest(script)}'",
            f"style-src 'sha256-{digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]

    @pytest.mark.slow
    def test_leaves_out_what_it_was_not_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without limits and advice there are no sections for them."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        text = report.html(read(tmp_path / "a.tar", [[file("a", 1)]]))

        ids = re.findall(r'<section id="([\w-]+)"', text)
        assert ids == ["explorer-section", "pictures", "layers", "waste", "packages", "settings"]
        assert "Nothing is wasted" in text

    @pytest.mark.parametrize(("lines", "is_drawn"), [(0, True), (2_000, False)])
    @pytest.mark.slow
    def test_draws_the_dockerfile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int, *, is_drawn: bool
    ) -> None:
        """Also where a build argument says what it is FROM; one without end is done without."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        dockerfile = parse("ARG BASE\nFROM ${BASE}\nRUN b\n" + "ENV A=b\n" * lines, {"BASE": "a"})
        steps = ["ADD rootfs / # buildkit", "RUN /bin/sh -c b # buildkit"]
        looked = read(tmp_path / "a.tar", [[file("a", 2)], [file("b", 1)]], steps, dockerfile)

        assert looked.stack.origins
        assert ("lines with bars beside them" in report.html(looked, dockerfile)) is is_drawn


class TestWrite:
    def test_replaces_what_was_there(self, tmp_path: Path) -> None:
        """The whole file is replaced, and nothing else is left beside it."""
        path = tmp_path / "report.html"
        path.write_text("before")

        write_output(path, "ünï")

        assert path.read_bytes() == "ünï".encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_replaces_nothing_but_ordinary_files(self, tmp_path: Path) -> None:
        """A link stays a link, and what is no file, such as a device, is left alone."""
        (tmp_path / "link").symlink_to(tmp_path / "real.html")
        write_output(tmp_path / "link", "text")
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="no ordinary file"):
            write_output(tmp_path / "pipe", "text")

        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real.html").read_text() == "text"
        assert (tmp_path / "pipe").is_fifo()

    @pytest.mark.parametrize("name", ["no/such/folder.html", "."])
    def test_says_where_it_cannot(self, tmp_path: Path, name: str) -> None:
        """A folder that is not there, or that is the file, is the user's to mend."""
        with pytest.raises(UsageError, match="cannot be written"):
            write_output(tmp_path / name, "text")
        assert list(tmp_path.iterdir()) == []
