"""The benchmarks' table, in a terminal and in the texts, and what keeps a build apart from the user's cache."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import advice, saved_tables
from benchmarks.builds import NAMES, copy_context, marked
from benchmarks.rows import Row, Setting
from layerlab import demo, dockerfile
from layerlab.errors import LabError
from layerlab.paths import ROOT
from layerlab.ui.progress import Step
from layerlab.xray import Proof
from layerlab.xray.proof import table

MACHINE = {
    **{"processors": 2, "load": 0.1, "python": "3.11.7", "engine": "20.10.24", "storage_driver": "overlay2"},
    "stand_ins": True,
}
ROWS = {"sizes": [Row("an image", 270.0, "MB", "another | image", 1822.0)], "start": [Row("a", 2.0, "s", "b", 2.0)]}


class TestRow:
    @pytest.mark.parametrize(
        ("value", "other", "words"),
        [
            (1.0, 6.8, "6.8 times less"),
            (3.0, 1.0, "3.0 times more"),
            (1.0, 1.0, "the same"),
            (100.0, 101.0, "about the same (less)"),
            (0.0, 5.0, "nothing"),
            (5.0, 0.0, "something, not nothing"),
        ],
    )
    def test_it_compares(self, value: float, other: float, words: str) -> None:
        """Whichever is larger, and where one is nothing."""
        assert Row("ours", value, "s", "theirs", other).in_words == words


class TestSetting:
    def test_each_step_is_told(self, tmp_path: Path) -> None:
        """What is measured is shown while it runs and afterwards; the median is one of several."""
        told: list[tuple[str, str]] = []

        def listen(step: Step) -> None:
            told.append((step.title, step.state))

        calls: list[int] = []
        setting = Setting(engine=None, folder=tmp_path, repeat=3, report=listen)  # type: ignore[arg-type]  # not asked

        assert setting.median("look", lambda: calls.append(1)) >= 0
        assert len(calls) == 3
        assert told == [(f"look ({n})", state) for n in (1, 2, 3) for state in ("running", "done")]

    def test_a_step_that_fails_is_told_so(self, tmp_path: Path) -> None:
        """An error, or Ctrl-C, ends the step as failed and goes on."""
        told: list[str] = []
        setting = Setting(engine=None, folder=tmp_path, report=lambda step: told.append(step.state))  # type: ignore[arg-type]

        def interrupted() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            setting.once("look", interrupted)
        assert told == ["running", "failed"]


class TestSavedTables:
    def test_the_tables_replace_the_earlier_ones(self, tmp_path: Path) -> None:
        """What stood between the marks goes, what stands around them stays, also when it is done again."""
        readme, page = tmp_path / "README.md", tmp_path / "benchmarks.md"
        for path in (readme, page):
            path.write_text(f"# Before\n\n{saved_tables.BEGIN}\nold\n{saved_tables.END}\n\nAfter\n")
        asked_first = Row(saved_tables.IN_README[0], 1.0, "MB", "b", 2.0)

        for _ in range(2):
            saved_tables.write({**ROWS, "more": [asked_first]}, MACHINE, readme, page)

        for path in (readme, page):
            text = path.read_text()
            assert text.startswith(f"# Before\n\n{saved_tables.BEGIN}\n| measured |")
            assert text.endswith(f"{saved_tables.END}\n\nAfter\n")
            assert "old" not in text
            assert f"| {asked_first.what} | 1 | MB |" in text
            assert "stand-in bases" in text
        assert page.read_text().count("| an image | 270 | MB | another \\| image | 1,822 | 6.7 times less |") == 1
        assert "an image |" not in readme.read_text().replace(asked_first.what, "")

    def test_without_marks_nothing_is_written(self, tmp_path: Path) -> None:
        """Where a page lacks the marks, both are left alone, and that is said."""
        page, marked_page = tmp_path / "page.md", tmp_path / "README.md"
        page.write_text("# Text\n")
        marked_page.write_text(f"{saved_tables.BEGIN}\nold\n{saved_tables.END}\n")

        with pytest.raises(LabError, match="marks"):
            saved_tables.write(ROWS, MACHINE, marked_page, page)
        assert page.read_text() == "# Text\n"
        assert "old" in marked_page.read_text()

    def test_the_tables_are_there(self) -> None:
        """Both pages have one; README's has the rows that are asked for first, as the other page has them."""
        readme, page = (
            path.read_text(encoding="utf-8").partition(saved_tables.BEGIN)[2].partition(saved_tables.END)[0]
            for path in (saved_tables.README, saved_tables.PAGE)
        )

        rows = [line for line in readme.splitlines() if line.startswith("| ")]
        assert rows[0] == "| " + " | ".join(saved_tables.HEADINGS) + " |"
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]] == list(saved_tables.IN_README)
        assert set(rows) <= set(page.splitlines())


class TestCommand:
    @pytest.mark.parametrize("part", command.PARTS)
    def test_every_part_has_rows(self, part: str) -> None:
        """Each part is a module with `rows`, and says what it is about."""
        module = import_module(f"benchmarks.{part}")

        assert callable(module.rows)
        assert module.__doc__
        assert all(
            program in import_module("benchmarks.programs").REMEDIES for program in getattr(module, "PROGRAMS", ())
        )

    def test_the_table_has_every_row(self) -> None:
        """A terminal shows each row with both values."""
        console = Console(width=200, record=True, file=io.StringIO())

        console.print(command.table(ROWS, MACHINE))

        shown = console.export_text()
        assert "another | image" in shown
        assert all(text in shown for text in ("1,822", "6.7 times less", "the same", "Docker Engine 20.10.24"))

    def test_what_is_missing_is_said_before_anything_is_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a program that a part needs, one line says which, and how it is got."""
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)

        result = CliRunner().invoke(command.run, ["service"])
        assert isinstance(result.exception, LabError)
        assert "wrk" in result.exception.one_line
        assert "apt-get install" in result.exception.one_line

    def test_saving_wants_all_parts(self) -> None:
        """Half a table would be read as the whole."""
        result = CliRunner().invoke(command.run, ["sizes", "--save"])

        assert (result.exit_code, "all parts" in result.output) == (2, True)


class TestBuilds:
    def test_only_the_mark_differs(self, tmp_path: Path) -> None:
        """Each RUN of both Dockerfiles gets the mark, and nothing else of them changes."""
        copy = copy_context(tmp_path / "copy", "a-mark")
        for name in NAMES:
            recipe = demo.recipe(name)
            before = dockerfile.parse(recipe.path.read_text(encoding="utf-8"))
            after = dockerfile.parse((copy / recipe.dockerfile).read_text(encoding="utf-8"))

            runs = [one.value for one in after.instructions if one.keyword == "RUN"]
            assert runs
            assert all(run.endswith(" && : a-mark") for run in runs)
            assert [(one.keyword, one.value.removesuffix(" && : a-mark")) for one in after.instructions] == [
                (one.keyword, one.value) for one in before.instructions
            ]
        assert (copy / "app" / "wsgi.py").is_file()

    def test_a_run_over_several_lines_is_marked_at_its_end(self) -> None:
        """The mark stands where the command ends, not where its line is continued."""
        assert marked("FROM a\nRUN one \\\n  && two\nUSER 1", "m") == "FROM a\nRUN one \\\n  && two && : m\nUSER 1"


class TestAdvice:
    def test_its_cases_are_there(self) -> None:
        """Ten Dockerfiles and more, beside the lab's own."""
        assert len(advice.SOLUTIONS) >= 10
        assert all((ROOT / "tests" / "solutions" / case / "Dockerfile").is_file() for case in advice.SOLUTIONS)

    @pytest.mark.parametrize(("measured", "status"), [(100, 0), (96, 0), (105, 0), (94, 1), (None, 1)])
    def test_a_wrong_prediction_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], measured: int | None, status: int
    ) -> None:
        """One that is off by more than 5 % is listed and ends with 1, and so does an edit that does not build."""
        found = table([Proof("right", 1, 50, 50), Proof("this one", 2, 100, measured)])
        monkeypatch.setattr("sys.argv", ["advice", "single", "starter"])
        monkeypatch.setattr("layerlab.engine.connection.connect", lambda: None)
        monkeypatch.setattr(advice, "prove", lambda *_: found)

        with pytest.raises(SystemExit) as ended:
            advice.main()

        wrong = capsys.readouterr().out.partition("off by more than 5%:")[2]
        assert (ended.value.code, wrong.count("this one"), "right" in wrong) == (status, 2 * status, False)
