"""What tests in a real browser share: Chromium, a page of its own for each test, and the screenshots that are kept.

Each test has a fresh context (no cookies, no storage of another test). No page can reach anything but this machine:
what a page of ours needs from elsewhere is missing in the test, too, and shows up in `console_errors`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

from layerlab.errors import LabError
from layerlab.maintenance import chromium
from layerlab.paths import ROOT

ARTIFACTS: Final = ROOT / "artifacts" / "browser"
"""Where screenshots are kept; git ignores it."""

PATIENCE: Final = 60_000  # milliseconds that an action waits for what it acts on; the machine may be busy
SMALL: Final = ViewportSize(width=1280, height=800)
LARGE: Final = ViewportSize(width=1920, height=1080)
FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
)
NETWORK_CHANGED: Final = "net::ERR_NETWORK_CHANGED"
"""No fault of a page's: other tests' containers come and go, and with them the machine's network devices."""

LONGEST: Final = ("test_running", "test_tour")
"""The files that take longest: begun first, so that no worker is left alone with them at the end."""

_BEGAN: Final = time.time()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others stay in their order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says where the screenshots of this run are."""
    taken = [path for path in ARTIFACTS.rglob("*.png") if path.stat().st_mtime >= _BEGAN]
    if taken:
        terminalreporter.section("screenshots")
        terminalreporter.line(f"{len(taken)} in {ARTIFACTS.relative_to(ROOT)}/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window, with a profile of its own that goes away with it."""
    try:
        program = chromium.find()
    except LabError as error:
        pytest.skip(error.one_line)
    if program is None:
        pytest.skip(f"no Chromium that Playwright can drive: ./lab test installs one, or {chromium.CHOICE} names it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context of its own, 1280 × 800, in the light colour scheme."""
    made = browser.new_context(viewport=SMALL, color_scheme="light", reduced_motion="reduce")
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the page of this test has complained about: errors on its console, and exceptions that nobody caught."""
    return []


@pytest.fixture
def page(context: BrowserContext, console_errors: list[str]) -> Page:
    """A page of its own."""

    def listen(said: ConsoleMessage) -> None:
        if said.type == "error" and NETWORK_CHANGED not in said.text:
            console_errors.append(said.text)

    opened = context.new_page()
    opened.on("console", listen)
    opened.on("pageerror", lambda error: console_errors.append(f"{error.name}: {error.message}"))
    return opened


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], Path]:
    """Saves what the test's page shows as a PNG file of this name, to be looked at."""

    def save(name: str, *, full_page: bool = False) -> Path:
        path = ARTIFACTS / f"{name}.png"
        page.screenshot(path=path, full_page=full_page, animations="disabled")
        return path

    return save
