"""The test run itself: it must not be able to pass by mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from layerlab.builder import build_cache
from layerlab.cli import test as cli_test
from layerlab.cli.test import command
from layerlab.errors import EngineNotFound, LabError
from layerlab.maintenance import test_run


def part(code: str, *, name: str = "some", needs_engine: bool = False) -> test_run.SuitePart:
    return test_run.SuitePart(name, (("python", "-m", "timeit", "-n1", "-r1", code),), needs_engine=needs_engine)


def prepared() -> None:
    """Nothing needs to be prepared here."""


class TestParts:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], test_run.PARTS),
            (["--no-engine"], [part for part in test_run.PARTS if not part.needs_engine]),
            (["--no-notebooks"], [part for part in test_run.PARTS if part.name != "notebooks"]),
            (["--fast"], test_run.FAST),
            (["--fast", "--no-engine"], test_run.FAST[:2]),
            (["--all"], test_run.ALL),
        ],
        ids=["none", "no engine", "no notebooks", "fast", "fast, no engine", "all"],
    )
    def test_options_leave_parts_out(
        self, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: list[test_run.SuitePart]
    ) -> None:
        """Each option leaves out what it says, and nothing else; without any, everything runs."""
        ran: list[test_run.SuitePart] = []
        monkeypatch.setattr(test_run, "run", lambda parts, **_: ran.extend(parts) or 0)

        assert CliRunner().invoke(command, options).exit_code == 0
        assert ran == list(expected)

    def test_the_build_cache_is_trimmed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From before the images are built until all parts have run; without an engine nothing is."""
        done: list[object] = []

        @contextmanager
        def trimming(engine: str, most: float) -> Iterator[None]:
            done.append((engine, most))
            yield
            done.append("trimmed")

        def run(parts: Sequence[test_run.SuitePart], *, prepare: Callable[[], None], **_: object) -> int:
            if any(part.needs_engine for part in parts):
                prepare()
            done.append("tested")
            return 0

        monkeypatch.setattr(cli_test, "find_engine", lambda: "engine")
        monkeypatch.setattr(cli_test, "build_image", lambda *_, **__: done.append("built"))
        monkeypatch.setattr(build_cache, "trimming", trimming)
        monkeypatch.setattr(test_run, "run", run)

        for options in ([], ["--no-engine"]):
            assert CliRunner().invoke(command, options).exit_code == 0
        assert done == [("engine", test_run.MOST_CACHED), "built", "built", "tested", "trimmed", "tested"]

    def test_fast_tests_are_among_all(self) -> None:
        """`--fast` chooses from what the whole run does, and leaves out no kind of test but the notebooks."""
        folders = {word for part in test_run.FAST for words in part.commands for word in words if "/" in word}

        assert folders == {"tests/unit", "tests/engine"}
        assert test_run.FAST[0] == test_run.PARTS[0]

    def test_all_leaves_nothing_out(self) -> None:
        """`--all` has the same parts, and its words choose none of the tests."""
        assert [part.name for part in test_run.ALL] == [part.name for part in test_run.PARTS]
        assert not [
            word for part in test_run.ALL for words in part.commands for word in words if word.startswith("-m")
        ]


class TestRun:
    def test_all_passing_is_status_0(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The last line counts what passed."""
        assert test_run.run([part("pass")], prepare=prepared, say=lambda _: None) == 0
        assert capfd.readouterr().out.endswith("1 passed, 0 failed\n")

    def test_one_failing_command_is_status_1_and_the_rest_still_runs(self) -> None:
        """A failure does not hide what comes after it."""
        said: list[str] = []
        parts = [part("1/0", name="wrong"), part("pass", name="right")]

        assert test_run.run(parts, prepare=prepared, say=said.append) == 1
        assert any(line.startswith("FAILED  wrong") for line in said)
        assert any(line.startswith("passed  right") for line in said)

    def test_a_part_that_cannot_run_has_failed_and_says_why(self) -> None:
        """Without an engine the engine's part fails; it is not skipped."""

        def unprepared() -> None:
            raise EngineNotFound("no engine", remedy="start Docker")

        said: list[str] = []
        status = test_run.run([part("pass", needs_engine=True)], prepare=unprepared, say=said.append)

        assert status == 1
        assert any("no engine: start Docker" in line for line in said)

    def test_the_browser_is_prepared_once_and_only_if_it_is_needed(self) -> None:
        """Without a browser its part fails and says why; the others run."""
        tries: list[str] = []

        def no_browser() -> None:
            tries.append("browser")
            raise LabError("no Chromium", remedy="install one")

        browser = dataclasses.replace(part("pass", name="browser"), needs_browser=True)
        said: list[str] = []
        run = partial(test_run.run, prepare=prepared, prepare_browser=no_browser, say=said.append)

        assert run([part("pass")]) == 0
        assert tries == []
        assert run([browser, part("pass", name="right"), browser]) == 1
        assert tries == ["browser"]
        assert any("no Chromium: install one" in line for line in said)
        assert any(line.startswith("passed  right") for line in said)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("content", "passed", "failed"),
        [
            (
                "import pytest\n"
                "def test_a(): pass\n"
                "def test_b(): pass\n"
                "def test_c(): assert False\n"
                "def test_d(): pytest.skip('x')\n",
                2,
                2,
            ),
            ("def no_test(): pass\n", 0, 1),
            ("import nothing_of_this_name\n", 0, 1),
        ],
        ids=["pass, fail and skip", "no test", "broken"],
    )
    def test_counts_are_pytests_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, passed: int, failed: int
    ) -> None:
        """A skipped test, a file without tests and one that does not import all count as failed."""
        (tmp_path / "test_sample.py").write_text(content)
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # plugins take longer to load than these tests

        sample = (("pytest", str(tmp_path), "-c", "/dev/null", "-p", "no:cacheprovider"),)
        assert test_run._run_part(test_run.SuitePart("sample", sample)) == (passed, failed)
