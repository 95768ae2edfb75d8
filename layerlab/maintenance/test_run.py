"""``./lab test``: the parts of the test run, one after the other, and one summary at the end."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from layerlab.errors import LabError
from layerlab.paths import ROOT

MOST_CACHED: Final = 4e9  # bytes; a first run brings about three times as many into the build cache


@dataclass(frozen=True)
class SuitePart:
    """A part of the test run."""

    name: str  # what it is called in the summary
    commands: tuple[tuple[str, ...], ...]  # run one after the other, programs beside this Python
    needs_engine: bool = False  # whether it needs a Docker engine, and so everything prepared
    needs_browser: bool = False  # whether it needs a Chromium


BY_FILE: Final = ("--dist=loadfile",)  # what a file's tests share is made once, and they run in their order
# Files with few tests are not the quick ones: put last, as xdist would put them, they would run alone.
IN_ORDER: Final = (*BY_FILE, "--no-loadscope-reorder")
# One test for each mechanism, and a few generated cases, are enough to see a mistake before a commit.
SHORT: Final = ("-m=not long", "--hypothesis-profile=short")
# Those that use the engine often wait for it: so they have more workers than there are cores.
PARTS: Final = (
    SuitePart(
        "style and types",
        (
            ("ruff", "check", "--quiet"),
            ("ruff", "format", "--quiet", "--check"),
            ("mypy", "--no-error-summary"),
            ("lint-imports", "--no-logo"),
            ("deno", "lint", "--quiet"),
            ("deno", "fmt", "--quiet", "--check"),
            ("deno", "check", "--quiet", "layerlab"),
        ),
    ),
    SuitePart("unit", (("pytest", "tests/unit", *SHORT, *BY_FILE, "-n=2"),)),
    SuitePart("engine", (("pytest", "tests/engine", *SHORT, *IN_ORDER, "-n=4"),), needs_engine=True),
    SuitePart("notebooks", (("pytest", "notebooks", "--nbval", *BY_FILE, "-n=3"),), needs_engine=True),
    SuitePart(
        "browser", (("pytest", "tests/browser", *SHORT, *IN_ORDER, "-n=3"),), needs_engine=True, needs_browser=True
    ),
)
ALL: Final = tuple(
    replace(part, commands=tuple(tuple(word for word in command if word not in SHORT) for command in part.commands))
    for part in PARTS
)
"""The same with every labelled solution and what else is marked as long: for releases and for every week."""
FAST: Final = (
    PARTS[0],
    SuitePart("unit", (("pytest", "tests/unit", *SHORT, "-m=not slow and not long", *BY_FILE, "-n=2"),)),
    SuitePart("engine", (("pytest", "tests/engine", "-m=fast", *BY_FILE, "-n=2"),), needs_engine=True),
)
"""While you work: unit tests but the slow ones, and those of the engine's that show most in least time."""


def run(
    parts: Sequence[SuitePart],
    *,
    prepare: Callable[[], None],
    prepare_browser: Callable[[], None] = lambda: None,
    say: Callable[[str], None],
) -> int:
    """Run these parts; what cannot be run has failed. Returns 0 if everything passed, else 1.

    Args:
        parts: What to run, in this order.
        prepare: Gets engine, bases and images ready; called once, before the first part that needs them.
        prepare_browser: The same for the browser.
        say: Told what goes on, line by line.
    """
    lines, passed, failed = [], 0, 0
    engine = _once("the engine, the bases and both images", prepare, say)
    browser = _once("the browser", prepare_browser, say)
    for part in parts:
        why_not = (part.needs_engine and engine()) or (part.needs_browser and browser())
        say(f"\n== {part.name}")
        began = time.monotonic()
        if why_not:
            say(f"could not be run: {why_not}")
        right, wrong = (0, 1) if why_not else _run_part(part)
        passed, failed = passed + right, failed + wrong
        counts = why_not or f"{right} passed, {wrong} failed"
        seconds = time.monotonic() - began
        lines.append(f"{'FAILED' if wrong else 'passed'}  {part.name:<16} {seconds:6.1f} s  {counts}")
    say("\n== summary")
    for line in lines:
        say(line)
    print(f"{passed} passed, {failed} failed", flush=True)
    return int(failed > 0)


def _once(what: str, prepare: Callable[[], None], say: Callable[[str], None]) -> Callable[[], str]:
    """What makes something ready when it is first called, and says why it cannot be; empty if it is."""

    @cache
    def why_not() -> str:
        say(f"\n== preparing {what}")
        try:
            prepare()
        except LabError as error:
            return error.one_line
        return ""

    return why_not


def _run_part(part: SuitePart) -> tuple[int, int]:
    """Run a part; returns how many tests (commands, where they are no tests) have passed and failed."""
    passed = failed = 0
    for command in part.commands:
        with tempfile.TemporaryDirectory() as folder:
            junit = Path(folder) / "counts.xml"
            extra = [f"--junit-xml={junit}", "--quiet", "--durations=5"] if command[0] == "pytest" else []
            program = Path(sys.executable).with_name(command[0])
            done = subprocess.run([program, *command[1:], *extra], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
            tests, wrong = _counts(junit)
        if done.returncode and not wrong:  # no test, or a module that cannot be loaded
            wrong, tests = 1, tests + 1
        passed, failed = passed + (tests - wrong if extra else not wrong), failed + wrong
    return passed, failed


def _counts(junit: Path) -> tuple[int, int]:
    """Pytest's counts; a skipped test counts as failed, since nothing here is skipped on purpose."""
    suites = list(ElementTree.parse(junit).getroot().iter("testsuite")) if junit.exists() else []  # noqa: S314
    wrong = sum(int(suite.get(kind, 0)) for suite in suites for kind in ("failures", "errors", "skipped"))
    return sum(int(suite.get("tests", 0)) for suite in suites), wrong
