"""A live panel for a notebook: checks a workspace, and checks it again whenever a file of it is saved.

It works in a thread of its own, so the notebook's cells can be run meanwhile. Everything that comes from a learner's
files is escaped.
"""

from __future__ import annotations

import atexit
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
from layerlab.exercise.earlier_checks import Memory
from layerlab.exercise.verdict import HINTS, Finding, Result, Verdict
from layerlab.plots import Picture
from layerlab.ui.progress import Report, Step
from layerlab.ui.text import one_line, plain

Check = Callable[[Path, Report], tuple[Verdict, Picture | None, Sequence[str]]]
"""Checks a workspace: what came of it, the picture of its layers if there is an image, and what to say at the end."""

TICK: Final = 0.5  # seconds at least between two progress messages
PATIENCE: Final = 20.0  # seconds for a check that was told to stop
COLOURS: Final = {"pass": "#0072b2", "fail": "#d55e00", "unknown": "#e69f00"}
_NOTEBOOK: Final = re.compile(r"notebooks/([\w.-]+\.ipynb)")


class Stopped(Exception):  # not an error: the panel was closed
    """Ends a check from within, as soon as it reports something."""


class LivePanel:
    """A live panel of a workspace; it does nothing until `start`."""

    def __init__(self, folder: Path, check: Check) -> None:
        self.verdict: Verdict | None = None  # of the last check; None before its end, and where it could not be made
        self.picture: Picture | None = None  # the layers of the last image that was built; None before there is one
        self.checks = 0  # how many have ended, those that could not be made included
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
        # What the notebook shows.
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
            verdict, picture, end = self._check(self._folder, self._report)
        except Stopped:
            return
        except LabError as error:
            self._done(None, None, f"Could not be checked. {error}: {error.remedy}.")
        except Exception as error:  # the thread has to go on, and to say it
            self._done(None, None, f"The check failed, which is the lab's fault ({type(error).__name__}: {error}).")
        else:
            changes = earlier_checks.changes(earlier_checks.recall(self._folder), verdict)
            earlier_checks.remember(self._folder, verdict)
            self._show_verdict(verdict, [*changes, *earlier_checks.tell_class(verdict), *end])
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

    def _show_verdict(self, verdict: Verdict, sentences: Sequence[str]) -> None:
        told, following = wording.told_once(verdict), wording.next_task(verdict)
        views = [_task(self._folder, task, told[task.id], is_next=task == following) for task in verdict.tasks]
        score = _safe(f"{self._folder.name}: {wording.score(verdict)}")
        said = "".join(f'<p style="line-height:1.4">{_safe(sentence)}</p>' for sentence in sentences)
        summary = widgets.HTML(f'<p style="font-size:150%;font-weight:bold;margin:0">{score}</p>{said}')
        chips = widgets.HBox([chip for chip, _ in views], layout=widgets.Layout(flex_flow="row wrap"))
        _fill(self._tasks, [summary, chips, *(box for _, box in views)])


def _task(folder: Path, task: Result, findings: Sequence[Finding], *, is_next: bool) -> tuple[Any, Any]:
    """A task's chip, which opens and folds it, and the box of its findings, of which a few are read first."""
    first = wording.opened(findings, earlier_checks.recall(folder), task)
    box = widgets.VBox()
    chip = widgets.ToggleButton(
        value=is_next,
        description=f"{wording.SIGNS[task.status]} {task.id} {task.name.replace('-', ' ')}",
        tooltip=f"{wording.TITLES[task.id]}: {wording.told_of(task, findings)}",
        layout=widgets.Layout(width="max-content", border_left=f"4px solid {COLOURS[task.status]}"),
    )

    def show(shown: Sequence[Finding]) -> None:
        """Show these findings where it is open, and nothing where it is folded."""
        rows, place = list[Any](), ""
        if chip.value:
            source = terminal.source_of(folder)
            style = f"border-left:.4em solid {COLOURS[task.status]};padding-left:.6em"
            stands = f"<b>{wording.heading(task)}</b>: {wording.told_of(task, findings)}"
            rows = [widgets.HTML(f'<div style="{style}">{"Next: " if is_next else ""}{stands}</div>')]
            for finding in shown:
                is_there, place = place == wording.place(finding), wording.place(finding)
                rows.append(_finding(folder, task, finding, "" if is_there else terminal.excerpt_of(finding, source)))
            if left := len(findings) - len(shown):
                more = widgets.Button(description=f"Show {left} more", layout=widgets.Layout(width="max-content"))
                more.on_click(lambda _: show(findings))
                rows.append(more)
        _fill(box, rows)

    chip.observe(lambda _: show(first), names="value")
    show(first)
    return chip, box


def _finding(folder: Path, task: Result, finding: Finding, excerpt: str) -> Any:
    """A finding, its hints as far as they were asked for, and a button that asks for the next one."""
    hints, button = widgets.HTML(), widgets.Button(layout=widgets.Layout(width="max-content"))

    def show(memory: Memory) -> None:
        shown = memory.shown(task, finding)
        is_last = len(shown) == HINTS
        hints.value = hints_html(shown)
        button.disabled = is_last
        button.description = "That was the last hint" if is_last else f"Hint {len(shown) + 1} of {HINTS}"

    button.on_click(lambda _: show(earlier_checks.reveal(folder, task, finding)))
    show(earlier_checks.recall(folder))
    parts = [widgets.HTML(finding_html(finding, excerpt)), hints, button]
    return widgets.VBox(parts, layout=widgets.Layout(margin="0 0 0.6em 1em"))


def _fill(box: Any, rows: Sequence[Any]) -> None:
    """Put other widgets into a box, and let go of those that were in it."""
    replaced, box.children = box.children, tuple(rows)
    for row in replaced:
        _close(row)


def _close(widget: Any) -> None:
    """Let go of a widget and of what it holds."""
    for part in getattr(widget, "children", ()):
        _close(part)
    widget.close()


def finding_html(finding: Finding, excerpt: str) -> str:
    """A finding: its place, the lines that it is about, what it says, and the log of what failed."""
    place = wording.place(finding)
    where = f"<code>{_safe(place)}</code>: " if place else ""
    message, _, log = finding.message.partition("\n")
    said = f"<div>{_safe(message)}</div>"
    return f'<div style="line-height:1.4"><b>{where}{finding.level}</b>{_code(excerpt)}{said}{_code(log)}</div>'


def _code(text: str) -> str:
    style = "white-space:pre-wrap;word-break:normal;line-height:1.3"
    return f'<pre style="{style}">{_safe(text)}</pre>' if text else ""


def hints_html(hints: Sequence[str]) -> str:
    """Hints as a list; where one names a notebook, it leads there."""
    style = "color:var(--jp-content-link-color);text-decoration:underline"
    link = rf'<a href="\1" target="_blank" style="{style}">\g<0></a>'
    items = "".join(f"<li>{_NOTEBOOK.sub(link, _safe(one_line(hint)))}</li>" for hint in hints)
    return f'<ol style="margin:.2em 0">{items}</ol>' if items else ""


def picture_html(picture: Picture) -> str:
    """A picture with what it says in words."""
    return f'<img style="max-width:100%" src="{picture.data_url()}" alt="{html.escape(picture.alt)}">'


def _safe(text: str) -> str:
    return html.escape(plain(text))
