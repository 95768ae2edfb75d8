"""What is remembered of a workspace between two checks."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerlab import paths
from layerlab.exercise import earlier_checks
from layerlab.exercise.earlier_checks import Memory
from tests.unit.verdicts import finding, verdict


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return paths.cache_directory()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-image"
    made.mkdir()
    return made


def told(folder: Path, before: str, after: str) -> tuple[str, ...]:
    """What is said of two checks, one after the other."""
    earlier_checks.remember(folder, verdict(before))
    return earlier_checks.changes(earlier_checks.recall(folder), verdict(after))


class TestChanges:
    def test_the_first_check_has_nothing_to_compare_with(self, folder: Path) -> None:
        """Passing tasks are no news when nobody has looked before."""
        assert earlier_checks.changes(earlier_checks.recall(folder), verdict("ppppppp")) == ()

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ("fffffff", "ffpffff", ["Better than at the last check: task 3 passes now."]),
            ("uffffff", "pffffff", ["Better than at the last check: task 1 passes now."]),
            ("ppppppp", "ppppfpp", ["Worse than at the last check: task 5 does not pass any more."]),
            ("ppppppp", "pppppup", ["Worse than at the last check: task 6 cannot be judged any more."]),
            ("pfupfup", "pfupfup", []),
            ("fuuuuuu", "ufuuuuu", []),
            (
                "pffffff",
                "fpfffff",
                [
                    "Better than at the last check: task 2 passes now.",
                    "Worse than at the last check: task 1 does not pass any more.",
                ],
            ),
        ],
    )
    def test_what_got_better_and_worse(self, folder: Path, before: str, after: str, expected: list[str]) -> None:
        """Passing is better, not passing any more is worse, and between failing and unknown there is no choice."""
        assert list(told(folder, before, after)) == expected

    def test_a_workspace_is_the_same_by_whatever_path(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A symbolic link, a relative path and the real path share one memory; another workspace does not."""
        link = folder.parent / "link"
        link.symlink_to(folder)
        earlier_checks.remember(link, verdict("ppppppp"))
        monkeypatch.chdir(folder)
        other = folder.parent / "other"
        other.mkdir()

        assert (
            earlier_checks.recall(Path()) == earlier_checks.recall(folder) == earlier_checks.recall(link) != Memory()
        )
        assert earlier_checks.recall(other) == Memory()


class TestHints:
    def test_they_come_one_at_a_time_and_no_more_than_there_are(self, folder: Path) -> None:
        """Each request shows one more, from the question to the technique; the fourth changes nothing."""
        one = finding()
        [task] = verdict("fffffff", {1: [one]}).tasks[:1]
        shown = [earlier_checks.reveal(folder, task).shown(task, one) for _ in range(4)]

        assert earlier_checks.recall(folder).shown(task, one) == one.hints
        assert shown == [one.hints[:1], one.hints[:2], one.hints, one.hints]

    def test_a_finding_is_the_same_on_another_line_with_other_figures(self, folder: Path) -> None:
        """Lines move while a learner edits, and sizes change: the hints that were shown stay shown."""
        before, after = finding("143 MB", line=2), finding("129 MB", line=30)
        task = verdict("fffffff", {4: [before]}).tasks[3]
        earlier_checks.reveal(folder, task)

        now = verdict("fffffff", {4: [after]})
        earlier_checks.remember(folder, now)

        assert earlier_checks.recall(folder).shown(now.tasks[3], after) == after.hints[:1]

    def test_the_same_hints_elsewhere_are_not_given_away(self, folder: Path) -> None:
        """A finding of another task, or about something else, still begins with its question."""
        first, other = finding(about="one"), finding(about="two")
        tasks = verdict("fffffff", {1: [first, other], 2: [first]}).tasks
        memory = earlier_checks.reveal(folder, tasks[0], first)

        assert memory.shown(tasks[0], first)
        assert not memory.shown(tasks[0], other)
        assert not memory.shown(tasks[1], first)

    def test_lines_of_one_kind_move_on_together(self, folder: Path) -> None:
        """Three lines with the same fault need one question, not three steps at once."""
        lines = [finding(line=line) for line in (2, 3, 4)]
        task = verdict("fffffff", {2: lines}).tasks[1]
        memory = earlier_checks.reveal(folder, task)

        assert [len(memory.shown(task, one)) for one in lines] == [1, 1, 1]

    def test_errors_come_before_advice(self, folder: Path) -> None:
        """Who asks about a task that fails is helped with what makes it fail; else with the advice."""
        error, advice = finding(about="error"), finding(level="advice", about="advice")
        task = verdict("fffffff", {6: [error, advice]}).tasks[5]
        memory = earlier_checks.reveal(folder, task)
        passing = verdict("ppppppp", {6: [advice]}).tasks[5]
        later = earlier_checks.reveal(folder, passing)

        assert (len(memory.shown(task, error)), len(memory.shown(task, advice))) == (1, 0)
        assert len(later.shown(passing, advice)) == 1

    def test_hints_stay_while_the_task_cannot_be_judged_and_go_when_it_passes(self, folder: Path) -> None:
        """A build that is broken for a while takes nothing away; what is settled starts afresh if it comes back."""
        one = finding()
        task = verdict("fffffff", {1: [one]}).tasks[0]
        earlier_checks.reveal(folder, task)
        earlier_checks.remember(folder, verdict("uuuuuuu"))
        while_unknown = earlier_checks.recall(folder).shown(task, one)
        earlier_checks.remember(folder, verdict("puuuuuu"))

        assert while_unknown == one.hints[:1]
        assert earlier_checks.recall(folder).shown(task, one) == ()


class TestFile:
    def file(self, cache: Path) -> Path:
        [file] = (cache / "checks").iterdir()
        return file

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe",
            b"[]",
            b"{}",
            b'{"tasks": 1, "hints": {}}',
            b'{"tasks": {"security": 1}, "hints": {}}',
            b'{"tasks": {"security": "x"}, "hints": {}}',
            b"[" * 100_000,
        ],
    )
    def test_a_damaged_file_is_as_good_as_none(self, folder: Path, cache: Path, content: bytes) -> None:
        """Whatever stands in it, the next check works, and puts it right."""
        earlier_checks.remember(folder, verdict())
        self.file(cache).write_bytes(content)
        read = earlier_checks.recall(folder)
        earlier_checks.remember(folder, verdict("ppppppp"))

        assert read == Memory()
        assert earlier_checks.recall(folder).tasks["command"] == "pass"

    def test_nothing_is_left_beside_it(self, folder: Path, cache: Path) -> None:
        """It is replaced as a whole, so a reader never sees half of it, and no scratch file stays."""
        for statuses in ("fffffff", "ppppppp"):
            earlier_checks.remember(folder, verdict(statuses))

        assert json.loads(self.file(cache).read_text())["tasks"]["build-stage"] == "pass"

    def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The check has been made; only its memory is lost."""
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        earlier_checks.remember(folder, verdict())

        assert earlier_checks.recall(folder) == Memory()

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
    @given(
        st.lists(st.sampled_from("pfu"), min_size=7, max_size=7).map("".join), st.dictionaries(
            st.integers(1, 7), st.lists(st.builds(finding, about=st.text(max_size=5)), max_size=3), max_size=3
        )
    )  # fmt: skip
    def test_what_is_remembered_is_recalled(
        self, folder: Path, statuses: str, found: dict[int, list[earlier_checks.Finding]]
    ) -> None:
        """Every status comes back, so a check repeated unchanged has no news."""
        judged = verdict(statuses, found)
        earlier_checks.remember(folder, judged)

        assert earlier_checks.changes(earlier_checks.recall(folder), judged) == ()
        assert earlier_checks.recall(folder).tasks == {task.name: task.status for task in judged.tasks}

    def test_a_workspace_may_have_any_name(self, tmp_path: Path) -> None:
        """Bytes that are no text in a path are no obstacle."""
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n"))
        odd.mkdir()
        earlier_checks.remember(odd, verdict("ppppppp"))

        assert earlier_checks.recall(odd).tasks["build-stage"] == "pass"


class TestAClass:
    def test_nothing_is_sent_where_there_is_no_class(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Outside of a hub with an instructor, a check tells nobody."""
        monkeypatch.delenv("LAB_CLASS_OVERVIEW", raising=False)

        assert earlier_checks.tell_class(verdict()) == ()

    def test_an_overview_that_does_not_answer_spoils_no_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The learner is told that the instructor does not see this one."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = taken.getsockname()
        monkeypatch.setenv("LAB_CLASS_OVERVIEW", f"http://{address[0]}:{address[1]}/")

        (told,) = earlier_checks.tell_class(verdict())

        assert "cannot be reached" in told
