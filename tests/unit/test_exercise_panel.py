"""The live panel, with a checker that says what it is told to; what it shows is read back from its widgets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
import pytest

from layerlab import plots
from layerlab.errors import EngineGone
from layerlab.exercise import earlier_checks, watching
from layerlab.exercise.panel import LivePanel, hints_html
from layerlab.exercise.verdict import Finding, Verdict
from layerlab.plots import Picture
from layerlab.ui.progress import Report, Step
from tests.unit.verdicts import finding, verdict


class Reader(HTMLParser):
    """The text and the tags of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def all_widgets(box: Any) -> Iterator[Any]:
    yield box
    for child in getattr(box, "children", ()):
        yield from all_widgets(child)


def html(panel: LivePanel) -> str:
    return "\n".join(one.value for one in all_widgets(panel.widget) if isinstance(one, widgets.HTML))


def text(panel: LivePanel) -> str:
    return Reader(html(panel)).text


def hint_buttons(panel: LivePanel) -> list[Any]:
    buttons = [one for one in all_widgets(panel.widget) if isinstance(one, widgets.Button)]
    return [one for one in buttons if one.description.startswith(("Hint", "That was"))]


def chips(panel: LivePanel) -> list[Any]:
    return [one for one in all_widgets(panel.widget) if isinstance(one, widgets.ToggleButton)]


def picture(size: int) -> Picture:
    rows = [("your image", 0, "COPY app app", 3, size, 0), ("single", 0, "RUN x", 2, 100, 10)]
    return plots.beside(
        pd.DataFrame(rows, columns=["image", "index", "instruction", "line", "bytes", "wasted_bytes"])
    )


Says = Verdict | Exception | Callable[[Report], Verdict]


class Checker:
    """Says one thing after the other, the last one for ever."""

    def __init__(self, *says: Says, pictures: tuple[Picture, ...] = ()) -> None:
        self.says = list(says)
        self.pictures = list(pictures)

    def __call__(self, folder: Path, report: Report) -> tuple[Verdict, Picture | None, list[str]]:
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, Exception):
            raise said
        judged = said if isinstance(said, Verdict) else said(report)
        end = ["What is next: level 2"] if judged.score == 7 else []
        return judged, self.pictures.pop(0) if self.pictures else None, end


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(watching, "PAUSE", 0.02)
    monkeypatch.setattr(watching, "SETTLED", 0.02)
    made = tmp_path / "my-image"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM a\nRUN b <i>\n")
    return made


@pytest.fixture
def started() -> Iterator[Callable[[LivePanel], LivePanel]]:
    """Starts panels, and ends them after the test."""
    panels: list[LivePanel] = []

    def start(panel: LivePanel) -> LivePanel:
        panels.append(panel)
        panel.start()
        return panel

    yield start
    for panel in panels:
        panel.close()


class TestWhatItShows:
    def test_score_tasks_and_findings(self, folder: Path) -> None:
        """The same as in a terminal: score, a chip for each task, and of the next one place, excerpt and message."""
        panel = LivePanel(folder, Checker(verdict("pfupppp", {2: [finding()]})))
        panel.check_once()

        shown = text(panel)
        assert "my-image: 5 of 7 tasks pass" in shown
        assert [chip.description for chip in chips(panel)][:3] == [
            "✓ 1 build stage",
            "✗ 2 system packages",
            "? 3 python packages",
        ]
        assert [chip.value for chip in chips(panel)] == [False, True, False, False, False, False, False]
        assert "Next: ✗ 2 system packages in one efficient command: does not pass (1 error)" in shown
        assert "could not be judged" not in shown
        assert "Dockerfile:2: error" in shown
        assert "→ 2 │ RUN b <i>" in shown
        assert "gcc, 143 MB, came with this line." in shown

    def test_a_click_opens_and_folds(self, folder: Path) -> None:
        """Two findings of the next task are open; the others, and the other tasks, are a click away."""
        several = [finding(f"number {number}", about=str(number)) for number in range(5)]
        panel = LivePanel(folder, Checker(verdict("fpppppf", {1: several, 7: [finding("a shell")]})))
        panel.check_once()
        at_first = text(panel)
        [more] = [one for one in all_widgets(panel.widget) if getattr(one, "description", "") == "Show 3 more"]
        more.click()
        chips(panel)[6].value = True
        opened = text(panel)
        chips(panel)[0].value = False

        assert [f"number {number}" in at_first for number in range(5)] == [True, True, False, False, False]
        assert "a shell" not in at_first
        assert all(f"number {number}" in opened for number in range(5))
        assert "a shell" in opened
        assert "number" not in text(panel)
        assert "a shell" in text(panel)

    def test_each_finding_has_a_button_for_its_next_hint(self, folder: Path) -> None:
        """One hint at a time, of this finding alone; after the third there is no more; a new panel remembers."""
        one, other = finding(about="one"), finding(about="other")
        judged = verdict("fpppppp", {1: [one, other]})
        panel = LivePanel(folder, Checker(judged))
        panel.check_once()
        button, untouched = hint_buttons(panel)
        seen = []
        for _ in range(3):
            seen.append((button.description, [hint in text(panel) for hint in one.hints]))
            button.click()
        again = LivePanel(folder, Checker(judged))
        again.check_once()

        assert seen == [
            ("Hint 1 of 3", [False, False, False]),
            ("Hint 2 of 3", [True, False, False]),
            ("Hint 3 of 3", [True, True, False]),
        ]
        assert (button.disabled, untouched.disabled, untouched.description) == (True, False, "Hint 1 of 3")
        assert not any(hint in text(panel) for hint in other.hints)
        assert all(hint in text(again) for hint in one.hints)

    def test_what_all_tasks_share_is_told_once(self, folder: Path) -> None:
        """A Dockerfile that does not build says the same about every task, and has one button for a hint."""
        same = finding("unknown instruction USRE")
        panel = LivePanel(folder, Checker(verdict("uuuuuuu", {number: [same] for number in range(1, 8)})))
        panel.check_once()

        assert text(panel).count("unknown instruction USRE") == 1
        for chip in chips(panel):
            chip.value = True

        assert text(panel).count("unknown instruction USRE") == 1
        assert text(panel).count("could not be judged") == 7
        assert len(hint_buttons(panel)) == 1

    def test_a_hint_leads_to_the_notebook_that_it_names(self) -> None:
        """The link is relative to where notebook 08 is, and stands in the words of the hint."""
        read = Reader(hints_html(["see notebooks/03-a-multi-stage-image.ipynb, and think"]))

        assert read.text == "see notebooks/03-a-multi-stage-image.ipynb, and think"
        assert [attributes["href"] for tag, attributes in read.tags if tag == "a"] == ["03-a-multi-stage-image.ipynb"]

    def test_what_changed_since_the_last_check(self, folder: Path) -> None:
        """Better and worse are told from the second check on, and the old findings are gone."""
        panel = LivePanel(folder, Checker(verdict("fpppppp", {1: [finding("old")]}), verdict("ppppppf")))
        panel.check_once()
        first = text(panel)
        panel.check_once()

        assert "than at the last check" not in first
        assert "Better than at the last check: task 1 passes now." in text(panel)
        assert "Worse than at the last check: task 7 does not pass any more." in text(panel)
        assert "old" in first
        assert "old" not in text(panel)

    def test_the_picture_says_in_words_what_it_shows(self, folder: Path) -> None:
        """It is replaced with each image, and stays when a later build gives none."""
        pictures = (picture(1_000_000), picture(2_000_000))
        panel = LivePanel(folder, Checker(verdict(), pictures=pictures))
        alternatives = []
        for _ in range(3):
            panel.check_once()
            [image] = [attributes for tag, attributes in Reader(html(panel)).tags if tag == "img"]
            alternatives.append(image["alt"])

        assert alternatives == [pictures[0].alt, pictures[1].alt, pictures[1].alt]
        assert panel.picture is pictures[1]

    def test_nothing_of_the_learners_files_becomes_html(self, folder: Path) -> None:
        """Neither names nor messages, hints, code, progress or errors bring tags or escape codes of their own."""
        evil = "<img src=x onerror=alert(1)>\x1b[31m&\"'"
        one = Finding("error", evil, (evil, evil, evil), evil, 1)
        (folder / "Dockerfile").write_text(f"FROM {evil}\n")
        judged = verdict("fpppppp", {1: [one, finding(line=1)]})

        def reports(report: Report) -> Verdict:
            report(Step("1", evil, "running"))
            assert "<img" not in html(panel)
            return judged

        panel = LivePanel(folder, Checker(reports, EngineGone(evil, remedy=evil)))
        panel.check_once()
        for button in hint_buttons(panel):
            for _ in range(3):
                button.click()
        shown = html(panel)
        panel.check_once()

        for source in (shown, html(panel)):
            assert not [tag for tag, _ in Reader(source).tags if tag == "img"]
            assert "\x1b" not in source
            assert "<img src=x onerror=alert(1)>" in Reader(source).text

    def test_what_is_said_at_the_end(self, folder: Path) -> None:
        """At seven of seven, and not before."""
        panel = LivePanel(folder, Checker(verdict("fpppppp"), verdict("ppppppp")))
        panel.check_once()
        before = text(panel)
        panel.check_once()

        assert "What is next" not in before
        assert "What is next: level 2" in text(panel)

    def test_an_error_is_shown(self, folder: Path) -> None:
        """What cannot be checked is said with what to do; the last verdict's tasks stay, but it is none of now."""
        panel = LivePanel(folder, Checker(verdict("ppppppp"), EngineGone("the engine is gone", remedy="start it")))
        panel.check_once()
        panel.check_once()

        assert "Could not be checked. the engine is gone: start it." in text(panel)
        assert panel.verdict is None
        assert panel.checks == 2

    def test_a_fault_of_the_labs_does_not_end_it(self, folder: Path) -> None:
        """Whatever goes wrong in the thread is said there, and the next save is checked."""
        panel = LivePanel(folder, Checker(ZeroDivisionError("oops"), verdict("ppppppp")))
        panel.check_once()
        said = text(panel)
        panel.check_once()

        assert "the lab's fault (ZeroDivisionError: oops)" in said
        assert panel.verdict == verdict("ppppppp")


class TestThread:
    def test_it_checks_again_when_the_file_is_saved(
        self, folder: Path, started: Callable[[LivePanel], LivePanel]
    ) -> None:
        """Starting does not wait; a save brings the next verdict, and nothing else does."""
        panel = started(LivePanel(folder, Checker(verdict("fffffff"), verdict("pffffff"))))
        assert panel.wait(1, 20)
        first = panel.verdict
        assert not panel.wait(2, 0.2)
        (folder / "Dockerfile").write_text("FROM b AS build\n")

        assert panel.wait(2, 20)
        assert (first, panel.verdict) == (verdict("fffffff"), verdict("pffffff"))
        assert "Waits for a change of Dockerfile" in text(panel)

    def test_a_save_during_a_check_is_not_missed(
        self, folder: Path, started: Callable[[LivePanel], LivePanel]
    ) -> None:
        """What was checked is the old file, so it is checked once more."""

        def saved_meanwhile(report: Report) -> Verdict:
            (folder / "Dockerfile").write_text("FROM b\n")
            return verdict("fffffff")

        panel = started(LivePanel(folder, Checker(saved_meanwhile, verdict("ppppppp"))))

        assert panel.wait(2, 20)
        assert panel.verdict == verdict("ppppppp")

    def test_closing_it_breaks_off_a_check(self, folder: Path, started: Callable[[LivePanel], LivePanel]) -> None:
        """The check ends from within, by an exception, so that it cleans up as after any other; no thread stays."""
        begun, cleaned = threading.Event(), threading.Event()

        def long(report: Report) -> Verdict:
            try:
                while True:
                    begun.set()
                    report(Step("1", "for ever", "running"))
            finally:
                cleaned.set()

        panel = started(LivePanel(folder, Checker(long)))
        assert begun.wait(20)
        panel.close()

        assert cleaned.is_set()
        assert "layerlab-panel" not in {thread.name for thread in threading.enumerate()}
        assert panel.checks == 0
        assert "This panel has been stopped" in text(panel)

    def test_its_button_ends_it(self, folder: Path, started: Callable[[LivePanel], LivePanel]) -> None:
        """Without waiting; a save after that is not checked, and the last state stays to be read."""
        panel = started(LivePanel(folder, Checker(verdict("pfffffp"))))
        assert panel.wait(1, 20)
        [button] = [w for w in all_widgets(panel.widget) if getattr(w, "description", "") == "Stop watching"]
        button.click()
        panel.close()
        (folder / "Dockerfile").write_text("FROM b\n")

        assert not panel.wait(2, 0.2)
        assert button.disabled
        assert "2 of 7 tasks pass" in text(panel)

    def test_the_terminal_and_the_panel_share_their_memory(self, folder: Path) -> None:
        """A hint that was asked for in a terminal is there in the panel."""
        one = finding()
        judged = verdict("fpppppp", {1: [one]})
        earlier_checks.reveal(folder, judged.tasks[0])
        panel = LivePanel(folder, Checker(judged))
        panel.check_once()

        assert one.hints[0] in text(panel)
        assert one.hints[1] not in text(panel)
