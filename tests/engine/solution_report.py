"""What the test run says at its end of the labelled solutions that were judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERDICT: Final = "solution"
"""The property of a test's report that tells what was wrong with its verdict; empty if nothing was."""

KINDS: Final[Mapping[str, str]] = {"pass": "FALSE PASS", "fail": "FALSE FAIL", "unknown": "LEFT UNKNOWN"}
"""What a status is that should have been another one."""


def summary(verdicts: Mapping[str, str]) -> list[str]:
    """The lines that sum up these verdicts, which are given by the solution's name."""
    lines = [f"{len(verdicts)} solutions judged"]
    for kind in KINDS.values():
        found = [f"{name}: {part}" for name, said in verdicts.items() for part in said.split("; ") if kind in part]
        lines += [f"{kind}: {len(found)}", *(f"  {line}" for line in found)]
    return lines
