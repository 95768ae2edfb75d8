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
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TextIO

from layerlab.ui.progress import Report, State, Step
from layerlab.ui.text import one_line, shorten
from layerlab.ui.units import counted

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

SIGN_OF_LIFE: Final = 10.0  # seconds after which plain text says again that a step runs
TICK: Final = 0.5  # seconds between two looks at the clock
_PLAIN_WIDTH: Final = 100  # characters of a title in plain text; nobody knows the width of a file
SIGNS: Final[dict[State, str]] = {"running": "▸", "done": "✓", "cached": "=", "failed": "✗"}
_STYLES: Final[dict[State, str]] = {"running": "yellow", "done": "cyan", "cached": "dim", "failed": "bold red"}
# Okabe and Ito's colours, which everybody can tell apart; they show on white and on black.
_COLOURS: Final[dict[State, str]] = {"running": "#e69f00", "done": "#0072b2", "cached": "none", "failed": "#d55e00"}
_CUT: Final = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


def terminal(title: str, *, stream: TextIO | None = None) -> AbstractContextManager[Report]:
    """Show progress in a terminal, or in plain lines where the stream is none.

    In a terminal each step ends up as one line; below them stand those that run, with their seconds and the newest
    line that each printed. Elsewhere a line says when a step starts, when it ends, and every `SIGN_OF_LIFE` seconds
    that it still runs; there are no escape codes then. ``NO_COLOR`` is honoured. No `stream` means standard error.
    """
    stream = stream or sys.stderr
    moves = stream.isatty() and os.environ.get("TERM") != "dumb"
    return _shown(_Animated(title, stream) if moves else _PlainLines(title, stream))


def notebook(title: str) -> AbstractContextManager[Report]:
    """Show progress in a notebook, as a widget; outside of one, as `terminal` does.

    nbval, which compares a notebook's outputs with the saved ones, does not see the widget, whether it is there or
    not. So what counts as the output is what is printed at the end, which is the same on every machine.
    """
    ipython = sys.modules.get("IPython")
    is_in_kernel = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    return _shown(_Widget(title)) if is_in_kernel else terminal(title)


def widget_view(widget: Any) -> dict[str, Any]:
    """What shows a widget of ipywidgets in a notebook, by its media type."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view}


def publish_widget(widget: Any) -> None:
    """Show a widget of ipywidgets in the notebook's cell.

    Without the text that a widget usually adds for those who cannot show it: nbval would compare it.
    """
    from IPython.display import display  # noqa: PLC0415  # only a notebook needs it

    display(widget_view(widget), raw=True)  # type: ignore[no-untyped-call]


def publish_with_words(shown: Any, words: str) -> None:
    """Show something as an output of a notebook's cell, and below it the same in words, as HTML."""
    from IPython.display import display  # noqa: PLC0415  # only a notebook needs it

    data, metadata = shown._repr_mimebundle_()
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
    display({"text/html": words}, raw=True)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Line:
    """A step as it is shown."""

    number: int  # counted from 1, in the order in which the steps were first reported
    step: Step  # what was reported last, its text made harmless
    at: float  # when that was, on the monotonic clock

    @property
    def seconds(self) -> float:
        """How long the step has taken up to now."""
        return (self.step.seconds or 0.0) + (time.monotonic() - self.at if self.step.state == "running" else 0.0)

    @property
    def outcome(self) -> str:
        """How it stands, in a word and seconds."""
        return "cached" if self.step.state == "cached" else f"{self.seconds:.1f} s"


class _Display:
    """The steps that were reported.

    Each kind shows in its own way what is taken in (`show`), that time goes by (`tick`) and how all of it ended
    (`end`); the last two only after something was reported, and never two at the same time.
    """

    def __init__(self, title: str) -> None:
        self.title = one_line(title)
        self.begin = time.monotonic()
        self.lines: dict[str, Line] = {}

    def take_in(self, step: Step) -> tuple[Line, State | None]:
        """What was reported of a step, and how that stood before; None if it is new."""
        before = self.lines.get(step.key)
        step = replace(step, title=one_line(step.title), detail=one_line(step.detail))
        line = Line(before.number if before else len(self.lines) + 1, step, time.monotonic())
        self.lines[step.key] = line
        return line, before.step.state if before else None

    @property
    def running(self) -> list[Line]:
        """Those that still run."""
        return [line for line in self.lines.values() if line.step.state == "running"]

    def summary(self, how: str) -> str:
        """The whole in one line; `how` it ended."""
        cached = sum(line.step.state == "cached" for line in self.lines.values())
        steps = f"{counted(len(self.lines), 'step')}{f', {cached} cached' if cached else ''}"
        return f"{self.title}: {how} after {time.monotonic() - self.begin:.1f} s ({steps})"


@contextlib.contextmanager
def _shown(display: _PlainLines | _Animated | _Widget) -> Iterator[Report]:
    """Let a display show what is reported and how time goes by, and tell it how all of it ended."""
    lock = threading.Lock()
    finished = threading.Event()

    def report(step: Step) -> None:
        with lock:
            display.show(*display.take_in(step))

    def tick() -> None:
        while not finished.wait(TICK):
            with lock:
                if display.lines:
                    display.tick()

    context = contextvars.copy_context()  # in a notebook, it says which cell the output belongs to
    thread = threading.Thread(target=context.run, args=(tick,), name="layerlab-display", daemon=True)
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
        if display.lines:
            display.end(how)


class _PlainLines(_Display):
    """Lines for a file, a pipe or a log."""

    def __init__(self, title: str, stream: TextIO) -> None:
        super().__init__(title)
        self._stream = stream
        self._said_at: dict[str, float] = {}

    def show(self, line: Line, before: State | None) -> None:
        if line.number == 1 and before is None:
            self._write(self.title)
        state = line.step.state
        if before != state:
            self._say(line, "started" if state == "running" else state)

    def tick(self) -> None:
        for line in self.running:
            if time.monotonic() - self._said_at[line.step.key] >= SIGN_OF_LIFE:
                self._say(line, "running")

    def end(self, how: str) -> None:
        self._write(self.summary(how))

    def _say(self, line: Line, word: str) -> None:
        self._said_at[line.step.key] = time.monotonic()
        seconds = f" ({line.seconds:.1f} s)" if word not in {"started", "cached"} else ""
        detail = f": {shorten(line.step.detail, _PLAIN_WIDTH)}" if word == "running" and line.step.detail else ""
        self._write(f"{line.number:>3} {word:<7} {shorten(line.step.title, _PLAIN_WIDTH)}{seconds}{detail}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more; the work goes on
            print(text, file=self._stream, flush=True)


class _Animated(_Display):
    """Lines for a terminal; those that run stay at the bottom and change."""

    _live: Live | None = None  # rich is imported when there is something to show: many commands show nothing

    def __init__(self, title: str, stream: TextIO) -> None:
        super().__init__(title)
        self._stream = stream

    def show(self, line: Line, before: State | None) -> None:
        live = self._live = self._live or self._open()
        if line.step.state != "running":
            live.console.print(self._table(line))
        elif before is None:
            live.refresh()

    def tick(self) -> None:
        if self._live is not None:  # else it was interrupted while it opened; as in `end`
            self._live.refresh()

    def end(self, how: str) -> None:
        if self._live is None:
            return
        self._live.stop()
        for line in self.running:  # stopped with them
            self._live.console.print(self._table(line))
        self._live.console.print(self.summary(how), style="bold", overflow="ellipsis", no_wrap=True)

    def _open(self) -> Live:
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
        console.print(self.title, style="bold", overflow="ellipsis", no_wrap=True)
        live = Live(
            console=console, get_renderable=lambda: self._table(*self.running, details=True),
            auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        live.start()
        return live

    def _table(self, *lines: Line, details: bool = False) -> Table:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=2, justify="right")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right", min_width=7)
        for line in lines:
            style = _STYLES[line.step.state]
            sign, outcome = Text(SIGNS[line.step.state], style=style), Text(line.outcome, style=style)
            table.add_row(sign, str(line.number), Text(line.step.title), outcome)
            if details and line.step.detail:
                table.add_row("", "", Text(line.step.detail, style="dim"), "")
        return table


class _Widget(_Display):
    """A table for a notebook, with a bar for the seconds of each step."""

    _widget: Any = None

    def show(self, line: Line, before: State | None) -> None:
        if self._widget is None:
            from ipywidgets import HTML  # noqa: PLC0415  # a terminal does without this slow import

            self._widget = HTML()
            publish_widget(self._widget)
        if before != line.step.state:
            self._draw(f"{self.title} …")

    def tick(self) -> None:
        if self.running:
            self._draw(f"{self.title} …")

    def end(self, how: str) -> None:
        self._draw(self.summary(how))

    def _draw(self, caption: str) -> None:
        if self._widget is None:  # it was interrupted before there was one
            return
        longest = max((line.seconds for line in self.lines.values() if line.step.state != "cached"), default=0) or 1
        rows = "".join(_html_row(line, 100 * min(1, line.seconds / longest)) for line in self.lines.values())
        self._widget.value = f"""<div tabindex="0" style="max-height:28em;overflow:auto;line-height:1.5">
<table style="width:100%;table-layout:fixed;border-collapse:collapse">
<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption><colgroup><col style="width:2em">
<col style="width:2.5em"><col><col style="width:8em"><col style="width:5.5em"></colgroup>{rows}</table></div>"""


def _html_row(line: Line, percent: float) -> str:
    """A line, with a bar for its seconds."""
    step, title = line.step, html.escape(line.step.title)
    is_told = step.detail and step.state in {"running", "failed"}
    detail = f'<div style="{_CUT};opacity:.7;font-size:85%">{html.escape(step.detail)}</div>' if is_told else ""
    style = f"height:.7em;box-sizing:border-box;border:1px solid;background:{_COLOURS[step.state]}"
    bar = f'<div style="width:{percent:.1f}%;{style}"></div>' if step.state != "cached" else ""
    return f"""<tr style="vertical-align:top"><td title="{step.state}">{SIGNS[step.state]}</td>
<td style="text-align:right">{line.number}</td>
<td style="{_CUT};padding:0 .7em;font-family:monospace" title="{title}">{title}{detail}</td>
<td>{bar}</td><td style="text-align:right">{line.outcome}</td></tr>"""
