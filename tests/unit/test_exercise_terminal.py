"""What a verdict looks like in a terminal, and what the command prints and returns."""

from __future__ import annotations

import doctest
import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from layerlab import demo, exercise, image, paths
from layerlab.cli import check, image_tables, main
from layerlab.errors import EngineGone, ImageNotFound
from layerlab.exercise import all_passed, earlier_checks, terminal, watching, wording
from layerlab.exercise.earlier_checks import Memory
from layerlab.exercise.verdict import TASK_NAMES, Finding, Verdict
from layerlab.ui.tables import console, show
from tests.unit.image_truth import file, saved, tar
from tests.unit.verdicts import finding, verdict

DOCKERFILE = "FROM a\nRUN install gcc [red]\x1b[31m\nCMD x\n"


def printed(judged: Verdict, *, width: int | None = None, memory: Memory | None = None, **options: Any) -> str:
    """What is printed: into a file, or (given a width) into a terminal of that width, its colours left out."""
    written = io.StringIO()
    out = (
        console(written)
        if width is None
        else Console(file=written, width=width, force_terminal=True, color_system=None)
    )
    terminal.print_verdict(
        out, judged, name="my-image", source=lambda name: DOCKERFILE, memory=memory or Memory(), **options
    )
    return written.getvalue()


class TestVerdict:
    def test_the_seven_tasks_with_signs_names_and_words(self) -> None:
        """Each is told by a sign and in words, so that nothing depends on colours; the last lines sum it up."""
        lines = printed(verdict("ppffupp")).splitlines()

        assert lines == [
            "✓ 1 a proper build stage: passes",
            "✓ 2 system packages in one efficient command: passes",
            "✗ 3 Python packages from requirements.txt: does not pass",
            "✗ 4 a smaller runtime stage: does not pass",
            "? 5 only the artifacts are copied: could not be judged",
            "✓ 6 security: passes",
            "✓ 7 a production command: passes",
            "",
            "Next: task 3, Python packages from requirements.txt",
            "",
            "my-image: 4 of 7 tasks pass (4.2 s)",
        ]

    @pytest.mark.parametrize(
        ("statuses", "image", "number"),
        [("ppfufpp", True, 3), ("ppufpff", True, 4), ("ufuffuu", False, 1), ("ppffpuf", True, 7), ("p" * 7, True, 0)],
    )
    def test_one_task_is_next(self, statuses: str, image: bool, number: int) -> None:
        """The first that fails; before it what does not build, or does not stay up to be looked at."""
        judged = verdict(statuses)
        following = wording.next_task(judged if image else replace(judged, image=None))

        assert (following.id if following else 0) == number

    def test_two_findings_of_the_next_task_are_open(self) -> None:
        """Of different kinds; the others are counted, and shown when they are asked for."""
        several = [
            finding(f"number {number}", about=about, line=number) for number, about in enumerate("aabcd", start=1)
        ]
        judged = verdict("fppfppp", {1: several, 4: [finding("a compiler")]})
        folded, every = printed(judged), printed(judged, show_all=True)

        assert re.findall(r"number \d|a compiler", folded) == ["number 1", "number 3"]
        assert "does not pass (5 errors)" in folded
        assert "For the other 4 findings add --all" in folded
        assert re.findall(r"number \d|a compiler", every) == [f"number {number}" for number in range(1, 6)] + [
            "a compiler"
        ]
        assert "--all" not in every

    def test_findings_stand_below_their_task_with_place_and_excerpt(self) -> None:
        """File and line, the lines around it as they are in the file, what it says, and what failed."""
        text = printed(verdict("fpppppp", {1: [finding("gcc [bold]143 MB[/bold]\nerror: no gcc")]}))

        assert text.splitlines()[8:15] == [
            "Next: task 1, a proper build stage",
            "    Dockerfile:2: error",
            "      1 │ FROM a",
            "    → 2 │ RUN install gcc [red]",
            "      3 │ CMD x",
            "    gcc [bold]143 MB[/bold]",
            "      error: no gcc",
        ]

    @pytest.mark.parametrize(("file", "line"), [(None, None), ("Dockerfile", None), ("Dockerfile", 99), (".env", 1)])
    def test_a_finding_without_a_line_has_no_excerpt(self, file: str | None, line: int | None) -> None:
        """No place, a whole file, a line that is gone since, a file that cannot be shown."""
        one = finding(file=file, line=line)

        assert terminal.excerpt_of(one, lambda name: DOCKERFILE if name == "Dockerfile" else None) == ""
        assert "│" not in printed(verdict("fpppppp", {1: [finding(file=file, line=99 if line else None)]}))

    def test_hints_are_shown_as_far_as_they_were_asked_for(self) -> None:
        """None at first, and how to ask; then one after the other; at last there is nothing more to ask for."""
        judged = verdict("pfppppp", {2: [finding()]})
        task, [one] = judged.tasks[1], judged.tasks[1].findings
        texts = [
            printed(judged, memory=Memory(hints={earlier_checks.hint_key(task, one): count})) for count in range(4)
        ]

        assert [[hint in text for hint in one.hints] for text in texts] == [
            [False, False, False],
            [True, False, False],
            [True, True, False],
            [True, True, True],
        ]
        assert ["Hint 3 of 3, the last one" in text for text in texts] == [False, False, False, True]
        assert [re.findall("For (.*?) hint add (--hint .*)", text) for text in texts] == [
            [("a", "--hint 2")],
            [("one more", "--hint 2")],
            [("one more", "--hint 2")],
            [],
        ]

    def test_what_all_tasks_share_is_told_once(self) -> None:
        """A Dockerfile that does not build says the same about every task; a hint that was asked for is there."""
        same = finding("unknown instruction USRE", line=2)
        judged = verdict("uuuuuuu", {number: [same] for number in range(1, 8)})
        memory = Memory(hints={earlier_checks.hint_key(judged.tasks[5], same): 1})
        text = printed(judged, memory=memory, show_all=True)

        assert text.count("unknown instruction USRE") == text.count("→ 2 │") == 1
        assert text.count("could not be judged\n") == 7
        assert "Hint 1 of 3" not in text

    def test_a_hint_is_shown_once_for_findings_of_one_kind(self) -> None:
        """Lines with the same fault share their hints."""
        judged = verdict("pfppppp", {2: [finding("first"), finding("second", line=3)]})
        memory = Memory(hints={earlier_checks.hint_key(judged.tasks[1], judged.tasks[1].findings[0]): 1})
        text = printed(judged, memory=memory, show_all=True)

        assert text.count("Hint 1 of 3") == 1
        assert text.index("Hint 1 of 3") < text.index("second")

    def test_what_changed_is_said(self) -> None:
        """What is better and what is worse than at the last check, in sentences of their own."""
        before = Memory({"build-stage": "fail", "system-packages": "fail", "python-packages": "pass"})
        judged = verdict("ppfffff")
        lines = printed(judged, changes=earlier_checks.changes(before, judged)).splitlines()

        assert "Better than at the last check: task 1 passes now and task 2 passes now." in lines
        assert "Worse than at the last check: task 3 does not pass any more." in lines

    @pytest.mark.parametrize("width", [20, 40, 80])
    def test_it_fits_a_narrow_terminal(self, width: int) -> None:
        """No line is wider than the terminal, what does not fit goes on indented, and no word is lost."""
        one = finding("a long message " * 20, file="a/very/long/path/of/a/file/Dockerfile")
        text = printed(verdict("fpppppp", {1: [one]}), width=width)

        assert max(map(len, text.splitlines())) <= max(width, 24)
        assert " ".join(text.split()).count("a long message") == 20

    def test_a_file_gets_every_line_whole(self) -> None:
        """What goes through a pipe can be searched: a message stands on one line, however long."""
        message = "word " * 200

        assert message.strip() in printed(verdict("fpppppp", {1: [finding(message)]}))

    def test_nothing_of_the_learners_files_reaches_the_terminal(self) -> None:
        """Escape codes, markup, links and control characters in names, messages and code are harmless."""
        evil = "\x1b]0;title\x07\x1b[2J[link=x]\x9b31m\u202e\x00"
        one = Finding("error", evil, (evil, evil, evil), f"{evil}\nfile", 2)
        judged = verdict("fpppppp", {1: [one]})
        memory = Memory(hints={earlier_checks.hint_key(judged.tasks[0], one): 3})
        written = io.StringIO()
        out = Console(file=written, width=80, force_terminal=True, color_system=None)
        terminal.print_verdict(out, judged, name=evil, source=lambda _: f"{evil}\n{evil * 500}\n", memory=memory)

        assert not set(written.getvalue()) & set("\x1b\x07\x9b\x00\u202e\r")
        assert "[link=x]" in written.getvalue()

    def test_examples(self) -> None:
        """The examples in the docstrings hold."""
        assert doctest.testmod(wording).failed == 0


class TestSource:
    def test_only_regular_files_of_the_workspace_are_read(self, tmp_path: Path) -> None:
        """Not what a link or a path leads to outside, no folder, no pipe that never ends."""
        folder = tmp_path / "my-image"
        (folder / "app").mkdir(parents=True)
        (folder / "Dockerfile").write_bytes(b"FROM a\xff\n")
        (tmp_path / "secret").write_text("secret")
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "inside").symlink_to(folder / "Dockerfile")
        os.mkfifo(folder / "pipe")
        source = terminal.source_of(folder)

        assert source("Dockerfile") == source("inside") == "FROM a\ufffd\n"
        assert [source(name) for name in ("link", "../secret", str(tmp_path / "secret"), "app", "pipe", "x")] == [
            None
        ] * 6


def sized(path: Path, size: int) -> image.Image:
    """An image with one layer of this size."""
    path.write_bytes(saved([tar([file("app/x", size)])]))
    return image.read(None, str(path))


class Lab:
    """The command, with a checker that says one thing after the other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.says: list[Verdict | BaseException] = []
        self.asked: list[bool] = []  # whether it is to be quick
        self.image: image.Image | None = None
        self.output = io.StringIO()
        self.errors = io.StringIO()
        monkeypatch.setattr(exercise, "check", self._check, raising=False)
        monkeypatch.setattr(check, "find_engine", SimpleNamespace)
        monkeypatch.setattr(check, "out", console(self.output))
        for module in (check, main):
            monkeypatch.setattr(module, "err", console(self.errors))

    def _check(
        self, engine: object, folder: Path, *, report: object, on_image: Callable[[Any], None], is_quick: bool
    ) -> Verdict:
        self.asked.append(is_quick)
        said = self.says.pop(0)
        if isinstance(said, BaseException):
            raise said
        if self.image is not None:
            on_image(self.image)
        return said

    def run(self, *options: str, says: list[Verdict | BaseException]) -> int:
        self.says = says
        self.output.truncate(self.output.seek(0))
        return main.main(["check", str(self.folder), *options])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "my-image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return Lab(folder, monkeypatch)


class TestCommand:
    @pytest.mark.parametrize(("statuses", "status"), [("ppppppp", 0), ("ppppppf", 1), ("uuuuuuu", 1), ("ppppppu", 1)])
    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_its_status(self, lab: Lab, statuses: str, status: int, options: tuple[str, ...]) -> None:
        """0 if all seven pass, 1 if one does not, whatever is printed."""
        assert lab.run(*options, says=[verdict(statuses)]) == status

    def test_json_is_the_document(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard output is the document and nothing else, its keys as they are fixed."""
        lab.run("--json", says=[verdict("pppppfp", {6: [finding("root")]})])
        document = json.loads(capsys.readouterr().out)

        assert lab.output.getvalue() == ""
        assert list(document) == ["image", "built", "score", "max_score", "tasks"]
        assert (document["built"], document["score"], document["max_score"]) == (True, 6, 7)
        assert [(task["id"], task["name"]) for task in document["tasks"]] == list(enumerate(TASK_NAMES, start=1))
        assert document["tasks"][5]["status"] == "fail"
        [one] = document["tasks"][5]["findings"]
        assert list(one) == ["level", "file", "line", "message", "hints"]
        assert (one["level"], one["file"], one["line"], one["message"]) == ("error", "Dockerfile", 2, "root")
        assert len(one["hints"]) == 3

    @pytest.mark.parametrize("name", [None, "dockerfile.txt"])
    def test_without_a_dockerfile_there_is_no_document(
        self, lab: Lab, capsys: pytest.CaptureFixture[str], name: str | None
    ) -> None:
        """Status 2, one line that says what is missing and names what comes close, nothing on standard output."""
        (lab.folder / "Dockerfile").unlink()
        if name:
            (lab.folder / name).write_text("FROM a\n")

        assert lab.run("--json", says=[]) == 2
        assert capsys.readouterr().out == lab.output.getvalue() == ""
        assert lab.errors.getvalue().startswith("lab: ")
        assert lab.errors.getvalue().count("\n") == 1
        assert name is None or name in lab.errors.getvalue()

    def test_an_engine_that_goes_away_leaves_no_document(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        """What the checker raises is one line on standard error."""
        assert lab.run("--json", says=[EngineGone("the engine is gone", remedy="start it")]) == 2
        assert capsys.readouterr().out == ""
        assert lab.errors.getvalue() == "lab: the engine is gone: start it.\n"

    def test_hints_are_asked_for_one_at_a_time(self, lab: Lab) -> None:
        """One more each time; what was asked for stays; the next finding begins anew."""
        judged = verdict("ppppffp", {5: [finding("5", about="five")], 6: [finding("6", about="six")]})
        shown = []
        for options in ((), ("--hint", "5"), ("--hint", "5"), ("--hint", "6"), ()):
            lab.run(*options, says=[judged])
            shown.append(re.findall(r"Hint \d of 3: (\w+: \w+)", lab.output.getvalue()))

        assert shown == [
            [],
            ["five: a"],
            ["five: a", "five: a"],
            ["six: a"],
            ["five: a", "five: a"],
        ]

    def test_a_task_that_does_not_exist_is_refused(self, lab: Lab) -> None:
        """Before anything is built."""
        assert lab.run("--hint", "8", says=[]) == 2
        assert "8 is not in the range 1<=x<=7" in lab.errors.getvalue()

    def test_a_task_without_findings_has_no_hints(self, lab: Lab) -> None:
        """Who asks is told that there is nothing to hint at."""
        lab.run("--hint", "1", says=[verdict("pffffff")])

        assert "Task 1 needs no hint" in lab.output.getvalue()

    def test_progress_since_the_last_check_is_told(self, lab: Lab) -> None:
        """Also after a check whose result went elsewhere as JSON."""
        lab.run("--json", says=[verdict("fffffff")])
        lab.run(says=[verdict("ffpffff")])

        assert "Better than at the last check: task 3 passes now." in lab.output.getvalue()

    def test_what_is_remembered_decides_nothing(self, lab: Lab) -> None:
        """The verdict is the same whatever the memory says."""
        documents = []
        for memory in ("ppppppp", "uuuuuuu"):
            earlier_checks.remember(lab.folder, verdict(memory))
            status = lab.run(says=[verdict("fpfpfpf")])
            documents.append((status, lab.output.getvalue().splitlines()[:7]))

        assert documents[0] == documents[1]


class TestQuick:
    def test_what_is_left_out_is_no_step_back(self, lab: Lab) -> None:
        """The experiments are left out, and tasks that nobody judged so are not compared with the last check."""
        lab.run(says=[verdict("ppppppp")])
        lab.run("--quick", says=[verdict("ppupppp")])

        assert lab.asked == [False, True]
        assert "any more" not in lab.output.getvalue()
        assert earlier_checks.recall(lab.folder).tasks.keys() == set(TASK_NAMES) - {"python-packages"}


class TestSizes:
    @pytest.fixture(autouse=True)
    def printed_sizes(self, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
        """Where the comparison goes; of the lab's two images, one has been built."""

        def look(_: object, name: str) -> image.Image:
            if name == "optimized":
                raise ImageNotFound("not built", remedy="build it")
            return sized(tmp_path / "single.tar", 2_000_000)

        lab.image = sized(tmp_path / "mine.tar", 500_000)
        monkeypatch.setattr(demo, "read", look)
        sizes = io.StringIO()
        monkeypatch.setattr(image_tables, "out", console(sizes))
        monkeypatch.setattr(image_tables, "show", partial(show, image_tables.out))
        return sizes

    def test_a_perfect_solution_is_compared_with_the_labs_images(self, lab: Lab, printed_sizes: io.StringIO) -> None:
        """It has the workspace's name, and those of the lab's images that are here stand below it."""
        lab.run(says=[verdict("ppppppp")])
        rows = [line.split()[:2] for line in printed_sizes.getvalue().splitlines() if ".tar" in line or "my" in line]

        assert rows[0] == ["my-image", "0.5"]
        assert rows[1][1] == "2.0"
        assert "my-image is 4.0 times smaller than" in printed_sizes.getvalue()

    def test_the_end_says_how_far_it_is_what_can_still_go_and_what_is_next(
        self, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Against the images of its own level; what the worked example has less of is named by its owner."""
        sizes = {"single": 2_000_000, "optimized": 100_000, "minimal": 50_000}
        monkeypatch.setattr(demo, "read", lambda _, name: sized(tmp_path / f"{name}.tar", sizes[name]))
        lab.run(says=[verdict("ppppppp")])
        first = lab.output.getvalue()
        monkeypatch.setattr(all_passed, "single_bytes", lambda engine, level: 1_000_000 * level)
        (lab.folder / "requirements.txt").write_text("psycopg2==2.9.12\n")
        lab.run(says=[verdict("ppppppp")])

        assert "All seven tasks pass." in first
        assert "It stores 0.5 MB, 4.0 times less than the single-stage image. Another 0.4 MB can go" in first
        assert "shows: 0.4 MB in app." in first
        assert "./lab new my-image-2 --level 2" in first
        assert "4.0 times less than the single-stage image.\n" in lab.output.getvalue()
        assert "--level 2" not in lab.output.getvalue()

    @pytest.mark.parametrize(("statuses", "options"), [("ppppppf", ()), ("ppppppp", ("--json",))])
    def test_nobody_else_is_told_about_sizes(
        self, lab: Lab, printed_sizes: io.StringIO, statuses: str, options: tuple[str, ...]
    ) -> None:
        """Neither on the way there, nor a program that reads the document."""
        lab.run(*options, says=[verdict(statuses)])

        assert printed_sizes.getvalue() == ""


class TestWatch:
    @pytest.fixture
    def saves(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The learner saves as often as there are verdicts left, then presses Ctrl-C."""
        saved: list[Path] = []

        def wait(folder: Path, seen: watching.Files) -> bool:
            assert seen == watching.look(folder)
            if not lab.says:
                raise KeyboardInterrupt
            saved.append(folder)
            return True

        monkeypatch.setattr(watching, "wait_for_change", wait)
        return saved

    def test_it_checks_after_each_change_and_ends_with_the_last_status(self, lab: Lab, saves: list[Path]) -> None:
        """Ctrl-C ends it; the exit status is the last check's, whatever the others said."""
        assert lab.run("--watch", says=[verdict(), verdict("ppppppp")]) == 0
        assert lab.run("--watch", says=[verdict("ppppppp"), verdict(), verdict()]) == 1
        assert len(saves) == 3
        assert lab.errors.getvalue().count("Waiting for a change of Dockerfile, .dockerignore, requirements.txt") == 5

    def test_json_is_one_document_per_line(
        self, lab: Lab, saves: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """So that another program can read them as they come."""
        lab.run("--json", "--watch", says=[verdict(), verdict("ppppppp")])

        scores = [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()]
        assert scores == [0, 7]

    def test_a_dockerfile_that_is_gone_for_a_while_does_not_end_it(self, lab: Lab, saves: list[Path]) -> None:
        """What cannot be checked is said, and the next change is waited for."""
        gone = EngineGone("no Dockerfile", remedy="bring it back")

        assert lab.run("--watch", says=[verdict(), gone, verdict("ppppppp")]) == 0
        assert "lab: no Dockerfile: bring it back." in lab.errors.getvalue()
        assert lab.run("--watch", says=[verdict(), gone]) == 2

    def test_what_is_wrong_at_the_start_ends_it(self, lab: Lab, saves: list[Path]) -> None:
        """There is nothing to wait for where there is no engine."""
        assert lab.run("--watch", says=[EngineGone("no engine", remedy="start it")]) == 2
        assert saves == []

    def test_an_interrupted_check_counts_as_none(self, lab: Lab, saves: list[Path]) -> None:
        """Ctrl-C during a later check leaves the status of the one before; during the first, there is none."""
        assert lab.run("--watch", says=[verdict("ppppppp"), KeyboardInterrupt()]) == 0
        assert lab.run("--watch", says=[KeyboardInterrupt()]) == 130

    def test_hints_that_were_asked_for_once_are_given_once(self, lab: Lab, saves: list[Path]) -> None:
        """Each save shows the same hint again, not the next one."""
        judged = verdict("fpppppp", {1: [finding()]})
        lab.run("--watch", "--hint", "1", says=[judged, judged, judged])

        assert lab.output.getvalue().count("Hint 1 of 3") == 3
        assert "Hint 2 of 3" not in lab.output.getvalue()


def test_memory_is_in_the_cache(lab: Lab) -> None:
    """Nothing is written into the workspace: it would become part of the build context."""
    before = set(lab.folder.rglob("*"))
    lab.run("--hint", "1", says=[verdict("fffffff", {1: [finding()]})])

    assert set(lab.folder.rglob("*")) == before
    assert len(list((paths.cache_directory() / "checks").iterdir())) == 1
