"""The service's own page, as the running image serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from layerlab import demo, service
from layerlab.engine import connect
from layerlab.service import Service
from tests.browser.accessibility import problems


@pytest.fixture(scope="module")
def running(own_images: None) -> Iterator[Service]:
    """A container of the optimised image."""
    engine = connect()
    with service.run(engine, demo.resolve(engine, "optimized")) as container:
        yield container
    engine.client.close()


class TestHomePage:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_reads_well_in_both_schemes(
        self,
        running: Service,
        page: Page,
        console_errors: list[str],
        screenshot: Callable[[str], Path],
        scheme: str,
    ) -> None:
        """Its picture is drawn and has an alternative text, and axe finds nothing, by contrast or otherwise."""
        page.emulate_media(color_scheme=scheme)
        page.goto(running.url, wait_until="load")
        screenshot(f"service-{scheme}")

        drawn = page.get_by_role("img", name="Line plot of three random walks")
        assert drawn.evaluate("image => image.complete && image.naturalWidth > 0")
        assert problems(page, ["html"]) == []
        assert console_errors == []

    def test_every_link_leads_somewhere(self, running: Service, page: Page) -> None:
        """Each address that the page names answers 200 to the browser."""
        page.goto(running.url)
        addresses = page.locator("a").evaluate_all("links => links.map(link => link.href)")

        answers = {address: page.request.get(address).status for address in addresses}
        assert len(answers) > 10
        assert set(answers.values()) == {200}

    def test_it_can_be_used_with_the_keyboard_alone(self, running: Service, page: Page) -> None:
        """Tab goes through all links in their order, each is seen to have the focus, and then leaves the page."""
        page.goto(running.url)
        names = page.locator("a").evaluate_all("links => links.map(link => link.href)")
        seen = []
        for _ in names:
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => [document.activeElement.href, getComputedStyle(document.activeElement).outlineStyle]"
            )
            assert focused[1] != "none"
            seen.append(focused[0])
        page.keyboard.press("Tab")

        assert seen == names
        assert page.evaluate("() => document.activeElement.tagName") == "BODY"
