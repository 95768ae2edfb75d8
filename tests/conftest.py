"""What all tests share."""

from __future__ import annotations

import gc
import signal

from hypothesis import settings

# A machine that is busy is slow: that is no fault of what is tested.
settings.register_profile("lab", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=10)
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
