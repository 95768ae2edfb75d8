"""The page: links that lead somewhere, and a look that everybody can read."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from app import create_app

client = create_app().test_client()


class Page(HTMLParser):
    """Collects elements with their attributes, and the text of the style element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.style = ""
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attributes.get(attribute) or "" for name, attributes in self.elements if name == tag]


@pytest.fixture
def page() -> Page:
    return Page(client.get("/").text)


@pytest.mark.slow
def test_links_and_pictures_lead_somewhere(page: Page) -> None:
    """Every link and picture of the page is answered, and none leads to another place."""
    targets = page.all("a", "href") + page.all("img", "src")

    assert len(targets) > 15
    for target in targets:
        url = urljoin("http://localhost/", target)
        assert url.startswith("http://localhost/")
        assert client.get(url.removeprefix("http://localhost")).status_code == 200, target


def test_links_reach_every_address(page: Page) -> None:
    """From the page one gets everywhere."""
    targets = {urljoin("/", target).partition("?")[0] for target in page.all("a", "href")}

    assert targets == {rule.rule for rule in create_app().url_map.iter_rules()}


def test_the_plot_has_words_for_those_who_do_not_see_it(page: Page) -> None:
    """The alternative text tells what is drawn, and the declared size is that of the file."""
    (picture,) = [attributes for tag, attributes in page.elements if tag == "img"]

    assert "three random walks" in (picture["alt"] or "")
    assert (picture["width"], picture["height"]) == ("640", "400")
    assert "size=640" in (picture["src"] or "")


def test_the_plot_is_another_each_time() -> None:
    """Reloading shows another plot."""
    assert Page(client.get("/").text).all("img", "src") != Page(client.get("/").text).all("img", "src")


def test_the_page_names_its_language_and_fits_a_telephone(page: Page) -> None:
    """Screen readers know how to read it, small screens how wide it is."""
    assert page.all("html", "lang") == ["en"]
    assert "width=device-width" in str(page.elements)


def test_links_with_the_same_words_are_told_apart(page: Page) -> None:
    """Links that all read "PNG" or "JSON" have names of their own."""
    labels = [label for label in page.all("a", "aria-label") if label]

    assert len(labels) == len(set(labels)) >= 14


def test_the_policy_lets_this_style_through_and_no_other(page: Page) -> None:
    """The policy holds the digest of the one style sheet in the page."""
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in client.get("/").headers["Content-Security-Policy"]
    assert not [attributes for _, attributes in page.elements if "style" in attributes]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(page: Page, theme: str) -> None:
    """Text, quiet text and links have the contrast of 7 to 1 that WCAG asks for at its highest level."""
    light, dark = (
        dict(re.findall(r"--(\w+):\s*#(\w{6})", block)) for block in re.findall(r":root\s*{([^}]*)}", page.style)
    )
    colours = light if theme == "light" else dark

    for name in ("text", "quiet", "link"):
        assert contrast(colours[name], colours["back"]) >= 7, name


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG 2.2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour written as six hexadecimal digits."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
