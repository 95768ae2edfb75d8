"""What notebook 08 imports, as far as it needs no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerlab import exercise as checker
from layerlab import image
from layerlab import notebook as lab
from layerlab.errors import UsageError
from layerlab.exercise import earlier_checks, new_workspace
from layerlab.exercise.verdict import Verdict
from layerlab.paths import ROOT
from tests.unit.image_truth import file, saved, tar
from tests.unit.verdicts import finding, verdict


@pytest.fixture(autouse=True)
def _own_cache_and_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lab, "engine", lambda: None)


def small_image(folder: Path, name: str, size: int) -> image.Image:
    """An image with one layer of this size."""
    path = folder / f"{name}.tar"
    path.write_bytes(saved([tar([file("app/x", size)])]))
    return image.read(None, str(path))


class TestNew:
    def test_it_makes_a_workspace_and_goes_on_with_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The second time, nothing is overwritten: the learner's work is in it."""
        folder = lab.new(tmp_path / "my-image")
        (folder / "Dockerfile").write_text("FROM mine\n")
        again = lab.new(tmp_path / "my-image")

        assert folder == again == tmp_path / "my-image"
        assert (folder / "Dockerfile").read_text() == "FROM mine\n"
        assert {path.name for path in folder.iterdir()} == set(new_workspace.CONTENTS)
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("my-image is ready: Dockerfile")
        assert second.startswith("my-image is there already")

    def test_a_folder_with_something_else_is_left_alone(self, tmp_path: Path) -> None:
        """What is no workspace is refused by the same rules as on the command line."""
        (tmp_path / "notes.txt").write_text("mine")

        with pytest.raises(UsageError, match=r"notes\.txt"):
            lab.new(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


class TestCheck:
    def test_a_name_is_relative_to_the_repository(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As with the commands, which are typed in the lab's folder; what came of it is printed and remembered."""
        asked: list[Path] = []

        def check(engine: Any, folder: Path, **_: Any) -> Verdict:
            asked.append(folder)
            return verdict("ppfffff")

        monkeypatch.setattr(checker, "check", check)
        judged = lab.check("no-such-image")

        assert asked == [ROOT / "no-such-image"]
        assert judged.score == 2
        assert capsys.readouterr().out == "no-such-image: 2 of 7 tasks pass\n"
        assert earlier_checks.recall(ROOT / "no-such-image").tasks["build-stage"] == "pass"


class TestTables:
    def test_a_row_per_task(self) -> None:
        """Number, names, status, and how many findings of either level."""
        judged = verdict("pfupppp", {2: [finding(), finding(), finding(level="advice")]})
        table = lab.results(judged)

        assert list(table["task"]) == [1, 2, 3, 4, 5, 6, 7]
        assert list(table["status"])[:3] == ["pass", "fail", "unknown"]
        assert table.loc[1, ["name", "what", "errors", "advice"]].to_list() == [
            "system-packages",
            "system packages in one efficient command",
            2,
            1,
        ]
        assert table[["errors", "advice"]].sum().sum() == 3

    def test_a_row_per_finding(self) -> None:
        """A finding without a place has an empty file and no line; the hints have a column each."""
        one, other = finding("first", line=7), finding("second", file=None, line=None)
        table = lab.findings(verdict("pfuffff", {2: [one], 6: [other]}))

        assert table[["task", "level", "file", "message"]].to_numpy().tolist() == [
            [2, "error", "Dockerfile", "first"],
            [6, "error", "", "second"],
        ]
        assert table["line"].isna().to_list() == [False, True]
        assert table["line"][0] == 7
        assert tuple(table.loc[0, ["hint_1", "hint_2", "hint_3"]]) == one.hints

    def test_tables_without_rows_keep_their_types(self) -> None:
        """A perfect solution has no findings, and its table can be filtered like any other."""
        empty, full = lab.findings(verdict("ppppppp")), lab.findings(verdict("f" * 7, {1: [finding()]}))

        assert len(empty) == 0
        assert list(empty.dtypes) == list(full.dtypes)


class TestPicture:
    def test_the_learners_image_comes_first_beside_those_that_are_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An image of the lab's that has not been built is left out."""
        optimized = small_image(tmp_path, "optimized", 200)
        picture = lab._beside(small_image(tmp_path, "mine", 100), {"optimized": optimized})

        assert picture.data[["image", "bytes"]].to_numpy().tolist() == [["your image", 100], ["optimized", 200]]
