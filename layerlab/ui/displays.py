"""Shows progress while something long goes on: in a terminal, in plain text, in a notebook.

Each display is a context manager that gives a `layerlab.ui.progress.Report`, to be called from any thread::

    with displays.terminal("multi-stage-demo:optimized") as report:
        build(engine, folder, report=report)

Nothing appears before the first report. Titles and details come from Dockerfiles and from what programs print, so
they are shown as plain text, whatever they contain. No colour says what a sign or a word does not say too.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Protocol, TextIO

from layerlab.ui.progress import Report, State, Step, silent
from layerlab.ui.text import one_line, shorten

SIGN_OF_LIFE: Final = 10.0  # seconds after which plain text says again that a step runs
TICK: Final = 0.5  # seconds between two looks at the clock
_PLAIN_WIDTH: Final = 100  # characters of a title in plain text; nobody knows the width of a file
SIGNS: Final[dict[State, str]] = {"running": "▸", "done": "✓", "cached": "=", "failed": "✗"}
# Okabe and Ito's colours, which everybody can tell apart; they show on white and on black.
_COLOURS: Final[dict[State, str]] = {
    "running": "#e69f00", "done": "#0072b2", "cached": "none", "failed": "#d55e00"
}  # fmt: skip
_CUT: Final = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
_WIDGET: Final = "application/vnd.jupyter.widget-view+json"


@contextlib.contextmanager
def terminal(title: str, *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Report]:
    """Show progress in a terminal, or in plain lines where the stream is none.

    In a terminal each step ends up as one line; below them stand those that run, with their seconds and the newest
    line that each printed. Elsewhere a line says when a step starts, when it ends, and every `SIGN_OF_LIFE` seconds
    that it still runs; there are no escape codes then. ``NO_COLOR`` is honoured.

    Args:
        title: What goes on.
        quiet: Show nothing at all.
        stream: Where to write; standard error if None.
    """
    stream = stream or sys.stderr
    display: _Display
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        board = Board(title)
        display = _Later(lambda: import_module("layerlab.ui.displays_animated").Animated(board, stream))
    else:
        display = _PlainLines(Board(title), stream)
    with _shown(display, quiet) as report:
        yield report


@contextlib.contextmanager
def notebook(title: str, *, quiet: bool = False, ends_with: str | None = None) -> Iterator[Report]:
    """Show progress in a notebook, as a widget; outside of one, as `terminal` does.

    nbval, which compares a notebook's outputs with the saved ones, does not see the widget, whether it is there or
    not. So the output that counts is one line that is always the same.

    Args:
        title: What goes on.
        quiet: Show nothing but the last line.
        ends_with: The line to print at the end, unless there was an error; none if None.
    """
    with _shown(_Widget(Board(title)), quiet) if _in_kernel() else terminal(title, quiet=quiet) as report:
        yield report
    if ends_with is not None:
        print(one_line(ends_with))


@dataclass(frozen=True)
class Line:
    """A step as it is shown.

    Attributes:
        number: Counted from 1, in the order in which the steps were first reported.
        step: What was reported last.
        at: When that was, on the monotonic clock.
    """

    number: int
    step: Step
    at: float

    @property
    def seconds(self) -> float:
        """How long the step has taken up to now."""
        running = time.monotonic() - self.at if self.step.state == "running" else 0.0
        return (self.step.seconds or 0.0) + running

    @property
    def outcome(self) -> str:
        """How it stands, in a word and seconds."""
        return "cached" if self.step.state == "cached" else f"{self.seconds:.1f} s"


class Board:
    """The steps that were reported."""

    def __init__(self, title: str) -> None:
        self.title = one_line(title)
        self.begin = time.monotonic()
        self._lines: dict[str, Line] = {}

    def take(self, step: Step) -> tuple[Line, Line | None]:
        """Take in a step, its text made harmless; gives the line that it is now, and the one that it was."""
        before = self._lines.get(step.key)
        line = Line(
            number=before.number if before else len(self._lines) + 1,
            step=replace(step, title=one_line(step.title), detail=one_line(step.detail)),
            at=time.monotonic(),
        )
        self._lines[step.key] = line
        return line, before

    @property
    def lines(self) -> list[Line]:
        """The steps in the order of their numbers."""
        return list(self._lines.values())

    @property
    def running(self) -> list[Line]:
        """Those that still run."""
        return [line for line in self.lines if line.step.state == "running"]

    def summary(self, how: str) -> str:
        """The whole in one line; `how` it ended."""
        cached = sum(line.step.state == "cached" for line in self.lines)
        steps = f"{len(self.lines)} step{'' if len(self.lines) == 1 else 's'}"
        return (
            f"{self.title}: {how} after {time.monotonic() - self.begin:.1f} s"
            f" ({steps}{f', {cached} cached' if cached else ''})"
        )


class _Display(Protocol):
    """What shows a board; its methods are never called at the same time."""

    def report(self, step: Step) -> None: ...
    def tick(self) -> None: ...
    def end(self, how: str) -> None: ...


@contextlib.contextmanager
def _shown(display: _Display, quiet: bool) -> Iterator[Report]:
    """Let a display show what is reported and how time goes by, and tell it how all of it ended."""
    if quiet:
        yield silent
        return
    lock = threading.Lock()
    finished = threading.Event()

    def report(step: Step) -> None:
        with lock:
            display.report(step)

    def tick() -> None:
        while not finished.wait(TICK):
            with lock:
                display.tick()

    # In a notebook, the context says which cell the output belongs to.
    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(tick,), name="layerlab-display", daemon=True
    )
    thread.start()
    how = "stopped"
    try:
        yield report
        how = "done"
    except Exception:
        how = "failed"
        raise
    finally:
        finished.set()
        thread.join()
        display.end(how)


class _PlainLines:
    """Lines for a file, a pipe or a log."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board = board
        self._stream = stream
        self._said_at: dict[str, float] = {}

    def report(self, step: Step) -> None:
        line, before = self._board.take(step)
        if line.number == 1 and before is None:
            self._write(self._board.title)
        state = line.step.state
        if before is None or before.step.state != state:
            self._say(line, "started" if state == "running" else state)

    def tick(self) -> None:
        for line in self._board.running:
            if time.monotonic() - self._said_at[line.step.key] >= SIGN_OF_LIFE:
                self._say(line, "running")

    def end(self, how: str) -> None:
        if self._board.lines:
            self._write(self._board.summary(how))

    def _say(self, line: Line, word: str) -> None:
        self._said_at[line.step.key] = time.monotonic()
        seconds = f" ({line.seconds:.1f} s)" if word not in {"started", "cached"} else ""
        detail = f": {shorten(line.step.detail, _PLAIN_WIDTH)}" if word == "running" and line.step.detail else ""
        self._write(f"{line.number:>3} {word:<7} {shorten(line.step.title, _PLAIN_WIDTH)}{seconds}{detail}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more; the work goes on
            print(text, file=self._stream, flush=True)


class _Later:
    """A display that is made when there is something to show; until then, what it takes need not be imported."""

    def __init__(self, make: Callable[[], _Display]) -> None:
        self._make = make
        self._display: _Display | None = None

    def report(self, step: Step) -> None:
        if self._display is None:
            self._display = self._make()
        self._display.report(step)

    def tick(self) -> None:
        if self._display is not None:
            self._display.tick()

    def end(self, how: str) -> None:
        if self._display is not None:
            self._display.end(how)


class _Widget:
    """A table for a notebook, with a bar for the seconds of each step."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._widget: Any = None
        self._changed = False

    def report(self, step: Step) -> None:
        _, before = self._board.take(step)
        if self._widget is None:
            self._open()
        self._changed = True
        if before is None or before.step.state != step.state:
            self._update()

    def tick(self) -> None:
        if self._changed or self._board.running:
            self._update()

    def end(self, how: str) -> None:
        if self._widget is not None:
            self._update(self._board.summary(how))

    def _open(self) -> None:
        from IPython.core.display_functions import publish_display_data  # noqa: PLC0415
        from ipywidgets import HTML  # noqa: PLC0415  # a terminal does without these slow imports

        self._widget = HTML()
        # Without the text that a widget usually adds for those who cannot show it: nbval would compare it.
        bundle = {_WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}}
        publish_display_data(bundle)  # type: ignore[no-untyped-call]

    def _update(self, summary: str = "") -> None:
        self._changed = False
        self._widget.value = _html(self._board, summary)


def _html(board: Board, summary: str) -> str:
    """The board as HTML; `summary` is empty while it goes on."""
    longest = max([line.seconds for line in board.lines if line.step.state != "cached"], default=0.0) or 1.0
    rows = "".join(_html_row(line, longest) for line in board.lines)
    caption = summary or f"{board.title} …"
    return (
        '<div style="max-height:28em;overflow:auto;line-height:1.5">'
        '<table style="width:100%;table-layout:fixed;border-collapse:collapse">'
        f'<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption>'
        '<colgroup><col style="width:2em"><col style="width:2.5em"><col><col style="width:8em">'
        f'<col style="width:5.5em"></colgroup>{rows}</table></div>'
    )


def _html_row(line: Line, longest: float) -> str:
    step, title = line.step, html.escape(line.step.title)
    detail = f'<div style="{_CUT};opacity:.7;font-size:85%">{html.escape(step.detail)}</div>' if step.detail else ""
    bar = (
        f'<div style="width:{100 * min(1.0, line.seconds / longest):.1f}%;height:.7em;box-sizing:border-box;'
        f'border:1px solid;background:{_COLOURS[step.state]}"></div>'
    )
    cells = (
        f'<td title="{step.state}">{SIGNS[step.state]}</td>',
        f'<td style="text-align:right">{line.number}</td>',
        f'<td style="{_CUT};padding:0 .7em;font-family:monospace" title="{title}">{title}',
        detail if step.state in {"running", "failed"} else "",
        f"</td><td>{bar if step.state != 'cached' else ''}</td>",
        f'<td style="text-align:right">{line.outcome}</td>',
    )
    return f'<tr style="vertical-align:top">{"".join(cells)}</tr>'


def _in_kernel() -> bool:
    """Whether this runs in the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython  # noqa: PLC0415

    return hasattr(get_ipython(), "kernel")
