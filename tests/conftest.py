"""What all tests share."""

from __future__ import annotations

import gc
import signal
from functools import cache

import pytest
from hypothesis import settings

# A machine that is busy is slow: that is no fault of what is tested.
settings.register_profile("lab", deadline=None)
settings.register_profile("short", deadline=None, max_examples=20)
settings.load_profile("lab")


def pytest_configure() -> None:
    """Let Ctrl-C reach the tests that are about it, and what they start.

    A shell starts jobs in the background with SIGINT ignored, and every program below them inherits that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Tell the garbage collector that what is there by now stays: it would look at all modules again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long all but the first case of each test that is marked `variants`."""
    begun = set()
    for item in items:
        if item.get_closest_marker("variants"):
            test = item.nodeid.partition("[")[0]
            if test in begun:
                item.add_marker(pytest.mark.long)
            begun.add(test)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an engine where there is none; `./lab test` gets one, and counts what is skipped as failed."""
    if item.path.parent.name in {"engine", "browser"} and (why := _why_no_engine()):
        pytest.skip(why)


@cache
def _why_no_engine() -> str:
    """Why no engine can be used here; empty if one can."""
    from layerlab.engine import connect
    from layerlab.errors import EngineError

    try:
        connect().client.close()
    except EngineError as error:
        return error.one_line
    return ""


@pytest.fixture(scope="session")
def own_images() -> None:
    """The images with which everybody begins; `./lab test` has built them by now."""
    from layerlab import demo
    from layerlab.engine import connect, ownership

    engine = connect()
    for name in demo.FIRST:
        if not ownership.own_images(engine, name):
            demo.build_image(engine, name)
    engine.client.close()
