"""Ctrl-C, and SIGTERM as well: the first ends things in order, the third at once.

In order means that what was started on the engine is ended and removed. An engine that is stuck, or has gone with its
network, gives no answers to that; then whoever sits there must still be able to leave.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

from layerlab.engine.connection import hurry

_STILL: Final = b"\nlab: still ending what it had started; Ctrl-C once more leaves that to the next ./lab\n"
_NOW: Final = b"\nlab: ended at once; the next ./lab, or ./lab clean, removes what is left\n"
STATUS: Final = 130
"""The exit status of a program that Ctrl-C has ended: 128 + SIGINT."""


def install() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, once; who waits for an engine without a limit gets one then.

    Where SIGINT is ignored, as by whatever a shell has started in the background, it stays so.
    """
    asked = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            hurry()
            raise KeyboardInterrupt
        os.write(2, _STILL if asked == 2 else _NOW)  # print() may be in the middle of a line
        if asked > 2:
            os._exit(STATUS)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
