"""Displays, looked at through a pseudo-terminal, a plain stream and a notebook's kernel."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient

from layerlab.ui import displays
from layerlab.ui.progress import Report, State, Step
from layerlab.ui.text import one_line, plain

BUILD = (
    Step("1", "[build 1/3] FROM python", "cached"),
    Step("2", "[build 2/3] RUN make", "running", 0.0),
    Step("2", "[build 2/3] RUN make", "running", 0.1, "compiling"),
    Step("2", "[build 2/3] RUN make", "done", 2.25, "compiling"),
    Step("3", "[build 3/3] RUN check", "running", 0.0),
    Step("3", "[build 3/3] RUN check", "failed", 0.5),
)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for something; whether it came true."""
    deadline = time.monotonic() + 20
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return result


def fail(error: BaseException, stream: TextIO) -> None:
    """Raise an error while a step runs."""
    with displays.terminal("the title", stream=stream) as report:
        report(BUILD[1])
        raise error


class Terminal:
    """A pseudo-terminal: what is written to `stream` is collected."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._seen = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # Linux says so when the other end is closed
            while data := os.read(self._master, 65536):
                self._seen += data

    @property
    def seen(self) -> str:
        """What has arrived so far."""
        return self._seen.decode()

    @property
    def lines(self) -> list[str]:
        """The same as lines, without escape codes."""
        return [line.strip() for line in plain(self.seen.replace("\r", "\n")).split("\n") if line.strip()]

    def close(self) -> None:
        self.stream.close()
        self._thread.join()
        os.close(self._master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal of 60 columns that shows colours."""
    monkeypatch.setenv(
        "COLUMNS", "60"
    )  # rich asks the standard streams for their width, not the one that it is given
    for name in ("NO_COLOR", "FORCE_COLOR", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    made = Terminal()
    yield made
    made.close()


class TestPlainLines:
    """Where the stream is no terminal."""

    def shown(self, *steps: Step) -> list[str]:
        stream = io.StringIO()
        with displays.terminal("the title", stream=stream) as report:
            for step in steps:
                report(step)
        return stream.getvalue().splitlines()

    def test_lines(self) -> None:
        """A step has a line when it begins and one when it ends; the last line is the sum."""
        lines = self.shown(*BUILD)

        assert lines[:-1] == [
            "the title",
            "  1 cached  [build 1/3] FROM python",
            "  2 started [build 2/3] RUN make",
            "  2 done    [build 2/3] RUN make (2.2 s)",
            "  3 started [build 3/3] RUN check",
            "  3 failed  [build 3/3] RUN check (0.5 s)",
        ]
        assert re.fullmatch(r"the title: done after \d+\.\d s \(3 steps, 1 cached\)", lines[-1])

    def test_nothing(self) -> None:
        """Where nothing is reported, nothing appears."""
        assert self.shown() == []

    def test_harmless(self) -> None:
        """No escape code and no second line comes from a title or a detail, whatever it holds."""
        lines = self.shown(
            Step("1", "RUN \x1b[31mred\x1b[0m\nsecond\rline " + "x" * 500, "done", 1.0, "\x1b]0;x\x07")
        )

        assert len(lines) == 3
        assert lines[1].startswith("  1 done    RUN red line xxx")
        assert ("\x1b" not in "".join(lines), len(lines[1]) < 130) == (True, True)

    def test_sign_of_life(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step that goes on for long says so again and again, with its newest line."""
        monkeypatch.setattr(displays, "SIGN_OF_LIFE", 0.05)
        monkeypatch.setattr(displays, "TICK", 0.01)
        stream = io.StringIO()
        with displays.terminal("the title", stream=stream) as report:
            report(BUILD[1])
            report(BUILD[2])
            assert until(lambda: stream.getvalue().count("running") >= 2)

        assert re.search(r"^  1 running \[build 2/3\] RUN make \(\d+\.\d s\): compiling$", stream.getvalue(), re.M)

    @pytest.mark.parametrize(("error", "word"), [(ValueError(), "failed"), (KeyboardInterrupt(), "stopped")])
    def test_errors(self, error: BaseException, word: str) -> None:
        """An error passes, and the last line says how it ended."""
        stream = io.StringIO()
        with pytest.raises(type(error)):
            fail(error, stream)

        assert f"the title: {word} after" in stream.getvalue()

    def test_nobody_reads(self) -> None:
        """Where nobody reads the lines any more, the work goes on."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as stream:
            with displays.terminal("the title", stream=stream) as report:
                report(BUILD[0])
            with contextlib.suppress(OSError):
                stream.close()

    def test_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Progress goes to standard error, where it is in no result's way."""
        with displays.terminal("the title") as report:
            report(BUILD[0])

        output = capsys.readouterr()
        assert (output.out, "cached" in output.err) == ("", True)

    def test_threads(self) -> None:
        """Reports from several threads lose nothing and are not mixed up."""
        stream = io.StringIO()

        def work(report: Report, name: str) -> None:
            for number in range(50):
                report(Step(f"{name}{number}", f"RUN {name}{number}", "done", 1.0))

        with displays.terminal("the title", stream=stream) as report:
            threads = [threading.Thread(target=work, args=(report, name)) for name in "abcd"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        numbers = [int(line.split()[0]) for line in stream.getvalue().splitlines()[1:-1]]
        assert numbers == list(range(1, 201))


class TestAnimated:
    """In a terminal."""

    def test_lines(self, terminal: Terminal) -> None:
        """Each step ends up as one line with a sign, its number and its seconds."""
        with displays.terminal("the title", stream=terminal.stream) as report:
            for step in BUILD:
                report(step)

        assert until(lambda: "the title: done after" in terminal.seen)
        lines = terminal.lines
        for expected in (r"= +1 \[build 1/3\] FROM python +cached", r"✓ +2 \[build 2/3\] RUN make +2\.2 s",
                         r"✗ +3 \[build 3/3\] RUN check +0\.5 s"):  # fmt: skip
            assert len([line for line in lines if re.fullmatch(expected, line)]) == 1

    def test_ticking(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        """While a step runs its seconds go on, and the newest line that it printed is shown."""
        monkeypatch.setattr(displays, "TICK", 0.02)
        with displays.terminal("the title", stream=terminal.stream) as report:
            report(BUILD[1])
            report(BUILD[2])
            seen = until(lambda: len(set(re.findall(r"RUN make +(\d\.\d) s", plain(terminal.seen)))) >= 3)

        assert seen
        assert "compiling" in terminal.lines

    def test_width(self, terminal: Terminal) -> None:
        """Titles and details are cut to the terminal's width."""
        with displays.terminal("title " * 50, stream=terminal.stream) as report:
            report(Step("1", "RUN " + "long " * 50, "running", 0.0, "detail " * 50))
            report(Step("1", "RUN " + "漢" * 200, "done", 1.0))

        assert until(lambda: "done after" in terminal.seen or any("…" in line for line in terminal.lines[-1:]))
        assert max(map(len, terminal.lines)) <= 60

    def test_no_color(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        """NO_COLOR means no colours."""
        monkeypatch.setenv("NO_COLOR", "1")
        with displays.terminal("the title", stream=terminal.stream) as report:
            for step in BUILD:
                report(step)

        assert until(lambda: "done after" in terminal.seen)
        assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38)", terminal.seen)

    def test_colours(self, terminal: Terminal) -> None:
        """Otherwise there are some."""
        with displays.terminal("the title", stream=terminal.stream) as report:
            for step in BUILD:
                report(step)

        assert until(lambda: "done after" in terminal.seen)
        assert re.search(r"\x1b\[(?:\d+;)*3[0-7]", terminal.seen)

    def test_harmless(self, terminal: Terminal) -> None:
        """What a title or a log holds never reaches the terminal as a command, be it an escape code or markup."""
        with displays.terminal("[bold]t[/]", stream=terminal.stream) as report:
            report(Step("1", "RUN \x1b]0;evil\x07[red]x[/red] :smile:", "running", 0.0, "\x1b[2Jgone"))
            report(Step("1", "RUN \x1b]0;evil\x07[red]x[/red] :smile:", "done", 1.0))

        assert until(lambda: "done after" in terminal.seen)
        assert ("\x1b]0" in terminal.seen, "\x1b[2J" in terminal.seen) == (False, False)
        assert any("[red]x[/red] :smile:" in line for line in terminal.lines)

    def test_cursor(self, terminal: Terminal) -> None:
        """After an error the cursor is visible again, and what was stopped has its line."""
        with pytest.raises(KeyboardInterrupt):
            fail(KeyboardInterrupt(), terminal.stream)

        assert until(lambda: "stopped after" in terminal.seen)
        assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")
        assert any("RUN make" in line for line in terminal.lines)

    def test_dumb(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal that can do nothing gets plain lines."""
        monkeypatch.setenv("TERM", "dumb")
        with displays.terminal("the title", stream=terminal.stream) as report:
            report(BUILD[0])

        assert until(lambda: "done after" in terminal.seen)
        assert "\x1b" not in terminal.seen


class Texts(HTMLParser):
    """Collects the tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def table(title: str, *steps: Step) -> str:
    """What the widget shows in the end, without a kernel."""
    shown = displays._Widget(title)
    shown._widget = SimpleNamespace()
    for step in steps:
        shown.show(*shown.take_in(step))
    shown.end("done")
    return str(shown._widget.value)


class TestHtml:
    """What the widget shows."""

    @given(title=st.text(), detail=st.text(), state=st.sampled_from(["running", "done", "cached", "failed"]))
    def test_escaped(self, title: str, detail: str, state: State) -> None:
        """Whatever title and detail hold is shown as text and adds no tag."""
        page = Texts(table(title, Step("1", title, state, 1.0, detail)))

        assert page.tags == {"div", "table", "caption", "colgroup", "col", "tr", "td"}
        assert "".join(page.texts).count(one_line(title)) >= 2
        assert one_line(title) in page.titles
        if state in {"running", "failed"}:
            assert one_line(detail) in "".join(page.texts)

    def test_bars(self) -> None:
        """The longest step has the longest bar, the others in proportion, cached ones none; states are words too."""
        html = table("t", Step("1", "a", "done", 4.0), Step("2", "b", "failed", 1.0), Step("3", "c", "cached", 9.0))

        assert re.findall(r"width:([\d.]+)%;height", html) == ["100.0", "25.0"]
        assert [title for title in Texts(html).titles if title in displays.SIGNS] == ["done", "failed", "cached"]


class TestNotebook:
    """In a notebook, without a browser."""

    CELL = """
import sys, time
sys.path.insert(0, {root!r})
from layerlab.ui import displays
from layerlab.ui.progress import Step
with displays.notebook("<b>the title</b>") as report:
    report(Step("1", "RUN <i>make</i>", "running", 0.0))
    time.sleep(1.2)
    report(Step("1", "RUN <i>make</i>", "done", 1.25))
print("It is built.")
"""

    @pytest.mark.long
    def test_notebook(self) -> None:
        """The outputs are a widget, which nbval does not compare, and one line that is always the same."""
        root = str(Path(displays.__file__).parents[1])
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(self.CELL.format(root=root))])

        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

        widget, line = notebook.cells[0].outputs
        states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
        assert set(widget["data"]) == {"application/vnd.jupyter.widget-view+json"}
        assert (line["name"], line["text"]) == ("stdout", "It is built.\n")
        value = states[widget["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]]["state"]["value"]
        assert re.search(r"&lt;b&gt;the title&lt;/b&gt;: done after \d\.\d s \(1 step\)", value)
        assert "RUN &lt;i&gt;make&lt;/i&gt;" in value

    def test_outside(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Outside of a notebook, progress is shown as in a terminal."""
        with displays.notebook("the title") as report:
            report(BUILD[0])

        output = capsys.readouterr()
        assert (output.out, "cached" in output.err) == ("", True)

    @pytest.mark.slow
    def test_widget_without_a_kernel(self) -> None:
        """The widget works where no browser listens: in a thread of its own, its seconds go on."""
        widget = displays._Widget("t")
        values: set[str] = set()
        with displays._shown(widget) as report:
            report(Step("1", "RUN make", "running", 0.0))

            def changed() -> bool:
                values.add(widget._widget.value)
                return len(values) >= 3

            assert until(changed)


class TestImports:
    """What is loaded."""

    def test_light(self) -> None:
        """Progress loads nothing of .venv before something is shown."""
        names = {"matplotlib", "ipywidgets", "IPython", "rich", "pandas"}
        code = f"import sys, layerlab.ui.displays; print({names} & {{*sys.modules}})"
        result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

        assert result.stdout == "set()\n"
