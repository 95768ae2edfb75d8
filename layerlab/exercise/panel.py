"""A live panel for a notebook: checks a workspace, and checks it again whenever a file of it is saved.

It works in a thread of its own, so the notebook's cells can be run meanwhile. Everything that comes from a learner's
files is escaped.
"""

from __future__ import annotations

import atexit
import base64
import contextvars
import html
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from layerlab.errors import LabError
from layerlab.exercise import earlier_checks, terminal, watching, wording
from layerlab.exercise.earlier_checks import Change, Memory
from layerlab.exercise.verdict import Finding, Result, Verdict
from layerlab.plots import Picture
from layerlab.ui.progress import Report, Step
from layerlab.ui.text import one_line, plain
from layerlab.ui.units import listed

Check = Callable[[Path, Report], tuple[Verdict, Picture | None]]
"""Checks a workspace: what came of it, and the picture of its layers if there is an image."""

TICK: Final = 0.5  # seconds at least between two progress messages
PATIENCE: Final = 20.0  # seconds for a check that was told to stop
COLOURS: Final = {"pass": "#0072b2", "fail": "#d55e00", "unknown": "#e69f00"}
_NOTEBOOK: Final = re.compile(r"notebooks/([\w.-]+\.ipynb)")


class Stopped(Exception):  # not an error: the panel was closed
    """Ends a check from within, as soon as it reports something."""


class LivePanel:
    """A live panel.

    Attributes:
        widget: What the notebook shows.
        verdict: What the last check says; None before its end, and where it could not be made.
        picture: The layers of the last image that was built, beside others; None before there is one.
        checks: How many checks have ended, those that could not be made included.
    """

    def __init__(self, folder: Path, check: Check) -> None:
        """Make a panel; it does nothing until `start`.

        Args:
            folder: The workspace.
            check: Makes a check.
        """
        self.verdict: Verdict | None = None
        self.picture: Picture | None = None
        self.checks = 0
        self._folder = folder
        self._check = check
        self._stop = threading.Event()
        self._ended = threading.Condition()
        self._thread: threading.Thread | None = None
        self._told = 0.0
        self._state = widgets.HTML()
        self._tasks = widgets.VBox()
        self._picture = widgets.HTML()
        self._close = widgets.Button(description="Stop watching", tooltip="Ends this panel; its last state stays")
        self._close.on_click(lambda _: self.close(wait=False))
        self.widget = widgets.VBox([self._state, self._tasks, self._picture, self._close])

    def start(self) -> None:
        """Check now, and again after each change, until `close` or the end of the kernel."""
        context = contextvars.copy_context()  # in a notebook it says which cell this belongs to
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="layerlab-panel", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self, *, wait: bool = True) -> None:
        """End it: a check that goes on is broken off, and cleans up behind itself."""
        self._stop.set()
        self._close.disabled = True
        if wait and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)
            atexit.unregister(self.close)

    def wait(self, checks: int, timeout: float = 600.0) -> bool:
        """Wait until so many checks have ended; whether they have, within so many seconds."""
        with self._ended:
            return self._ended.wait_for(lambda: self.checks >= checks, timeout)

    def _work(self) -> None:
        while not self._stop.is_set():
            seen = watching.look(self._folder)
            self.check_once()
            if not watching.wait_for_change(self._folder, seen, stop=self._stop):
                break
        self._say("This panel has been stopped; run its cell again for a new one.")

    def check_once(self) -> None:
        """Check, and show what came of it; an error is shown as well, since nobody else would see it."""
        self._say("Checking …")
        try:
            verdict, picture = self._check(self._folder, self._report)
        except Stopped:
            return
        except LabError as error:
            self._done(None, None, f"Could not be checked. {error}: {error.remedy}.")
        except Exception as error:  # the thread has to go on, and to say it
            self._done(None, None, f"The check failed, which is the lab's fault ({type(error).__name__}: {error}).")
        else:
            changes = earlier_checks.changes(earlier_checks.recall(self._folder), verdict)
            earlier_checks.remember(self._folder, verdict)
            self._show_verdict(verdict, changes)
            waiting = f"Waits for a change of {watching.WATCHED} in {self._folder}."
            self._done(verdict, picture, f"Checked at {time.strftime('%H:%M:%S')}. {waiting}")

    def _done(self, verdict: Verdict | None, picture: Picture | None, sentence: str) -> None:
        self.verdict = verdict
        if picture is not None:
            self.picture = picture
            self._picture.value = picture_html(picture)
        self._say(sentence)
        with self._ended:
            self.checks += 1
            self._ended.notify_all()

    def _report(self, step: Step) -> None:
        """Show what the check is doing, not more often than an eye can follow."""
        if self._stop.is_set():
            raise Stopped
        if step.state == "running" and time.monotonic() - self._told >= TICK:
            self._told = time.monotonic()
            self._say(f"Checking … {step.title}")

    def _say(self, sentence: str) -> None:
        self._state.value = f'<p role="status" style="line-height:1.4">{_safe(sentence)}</p>'

    def _show_verdict(self, verdict: Verdict, changes: Sequence[Change]) -> None:
        memory, source = earlier_checks.recall(self._folder), terminal.source_of(self._folder)
        told_before = wording.told_before(verdict)
        rows: list[Any] = [widgets.HTML(summary_html(self._folder.name, verdict, changes))]
        for task in verdict.tasks:
            rows.append(widgets.HTML(task_html(task)))
            for finding in task.findings:
                if (same_as := told_before(task, finding)) is not None:
                    rows.append(widgets.HTML(same_html(finding, same_as)))
                else:
                    rows.append(self._finding(task, finding, terminal.excerpt_of(finding, source), memory))
        replaced, self._tasks.children = self._tasks.children, tuple(rows)
        for row in replaced:
            for part in (*getattr(row, "children", ()), row):
                part.close()

    def _finding(self, task: Result, finding: Finding, excerpt: str, memory: Memory) -> Any:
        def ask() -> Memory:
            return earlier_checks.reveal(self._folder, task, finding)

        return _FindingView(task, finding, excerpt, memory, ask).box


class _FindingView:
    """A finding, its hints as far as they were asked for, and a button that asks for the next one."""

    def __init__(
        self, task: Result, finding: Finding, excerpt: str, memory: Memory, ask: Callable[[], Memory]
    ) -> None:
        self._task, self._finding = task, finding
        self._hints = widgets.HTML()
        self._button = widgets.Button(layout=widgets.Layout(width="max-content"))
        self._button.on_click(lambda _: self._show(ask()))
        parts = [widgets.HTML(finding_html(finding, excerpt)), self._hints, self._button]
        self.box = widgets.VBox(parts, layout=widgets.Layout(margin="0 0 0.6em 2em"))
        self._show(memory)

    def _show(self, memory: Memory) -> None:
        shown = memory.shown(self._task, self._finding)
        is_last = len(shown) == wording.HINTS
        self._hints.value = hints_html(shown)
        self._button.disabled = is_last
        self._button.description = (
            "That was the last hint" if is_last else f"Hint {len(shown) + 1} of {wording.HINTS}"
        )


def summary_html(name: str, verdict: Verdict, changes: Sequence[Change]) -> str:
    """The score, and what changed."""
    sentences = [
        f'<p style="font-size:150%;font-weight:bold;margin:0">{_safe(f"{name}: {wording.score(verdict)}")}</p>'
    ]
    for heading, is_better in (("Better", True), ("Worse", False)):
        if told := [change.in_words for change in changes if change.is_better == is_better]:
            sentences.append(f"<p>{heading} than at the last check: {_safe(listed(told))}.</p>")
    return "".join(sentences)


def task_html(task: Result) -> str:
    """How a task stands: sign, number, name and status in words."""
    colour = COLOURS[task.status]
    return (
        f'<div style="border-left:.4em solid {colour};padding-left:.6em"><b>{wording.SIGNS[task.status]} {task.id} '
        f"{wording.TITLES[task.id]}</b>: {wording.STATUSES[task.status]}</div>"
    )


def finding_html(finding: Finding, excerpt: str) -> str:
    """A finding: its place, the lines that it is about, and what it says."""
    place = wording.place(finding)
    where = f"<code>{_safe(place)}</code>: " if place else ""
    code = (
        f'<pre style="white-space:pre-wrap;word-break:normal;line-height:1.3">{_safe(excerpt)}</pre>'
        if excerpt
        else ""
    )
    return (
        f'<div style="line-height:1.4"><b>{where}{finding.level}</b>{code}<div>{_safe(finding.message)}</div></div>'
    )


def same_html(finding: Finding, task: int) -> str:
    """A finding that an earlier task has as well."""
    place = wording.place(finding)
    where = f"<code>{_safe(place)}</code>: " if place else ""
    return f'<div style="margin-left:2em">{where}{finding.level}, the same as for task {task}</div>'


def hints_html(hints: Sequence[str]) -> str:
    """Hints as a list; where one names a notebook, it leads there."""
    items = "".join(f"<li>{_linked(hint)}</li>" for hint in hints)
    return f'<ol style="margin:.2em 0">{items}</ol>' if items else ""


def picture_html(picture: Picture) -> str:
    """A picture with what it says in words."""
    data = base64.b64encode(picture.png()).decode()
    return f'<img style="max-width:100%" src="data:image/png;base64,{data}" alt="{html.escape(picture.alt)}">'


def _linked(hint: str) -> str:
    return _NOTEBOOK.sub(r'<a href="\1" target="_blank">\g<0></a>', _safe(one_line(hint)))


def _safe(text: str) -> str:
    return html.escape(plain(text))
