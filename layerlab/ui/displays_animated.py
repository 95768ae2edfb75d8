"""Shows progress in a terminal, with rich; only `layerlab.ui.displays` uses it, once there is something to show."""

from __future__ import annotations

from typing import Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from layerlab.ui.displays import SIGNS, Board, Line
from layerlab.ui.progress import State, Step

_STYLES: Final[dict[State, str]] = {"running": "yellow", "done": "cyan", "cached": "dim", "failed": "bold red"}


class Animated:
    """Lines for a terminal; those that run stay at the bottom and change. Its methods: see `layerlab.ui.displays`."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board = board
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None

    def report(self, step: Step) -> None:
        line, before = self._board.take(step)
        if self._live is None:
            self._console.print(Text(self._board.title, style="bold", overflow="ellipsis", no_wrap=True))
            self._live = Live(
                console=self._console,
                get_renderable=self._running,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        if line.step.state != "running":
            self._console.print(self._row(line))
        elif before is None:
            self._live.refresh()

    def tick(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def end(self, how: str) -> None:
        if self._live is None:
            return
        self._live.stop()
        for line in self._board.running:  # stopped with them
            self._console.print(self._row(line))
        self._console.print(Text(self._board.summary(how), style="bold", overflow="ellipsis", no_wrap=True))

    def _running(self) -> Table:
        table = self._grid()
        for line in self._board.running:
            self._add(table, line)
            if line.step.detail:
                table.add_row("", "", Text(line.step.detail, style="dim"), "")
        return table

    def _row(self, line: Line) -> Table:
        table = self._grid()
        self._add(table, line)
        return table

    def _grid(self) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=2, justify="right")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right", min_width=7)
        return table

    def _add(self, table: Table, line: Line) -> None:
        style = _STYLES[line.step.state]
        table.add_row(
            Text(SIGNS[line.step.state], style=style),
            str(line.number),
            Text(line.step.title),
            Text(line.outcome, style=style),
        )
