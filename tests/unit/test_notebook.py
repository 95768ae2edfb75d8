"""What a notebook imports, as far as it needs no engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pandas as pd
import pytest

from layerlab import notebook as lab
from layerlab.builder import Build
from layerlab.paths import ROOT
from layerlab.ui import displays
from layerlab.ui.progress import Step


class TestExpect:
    def test_each_statement_gets_a_tick(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What holds is printed in its order; any true value counts, such as one of numpy's."""
        lab.expect({"one": True, "two": pd.Series([1, 2]).gt(0).all()})

        assert capsys.readouterr().out == "✓ one\n✓ two\n"

    def test_what_does_not_hold_raises_after_all_are_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A cell fails with the names of the wrong statements, and shows the others too."""
        with pytest.raises(AssertionError, match=r"^does not hold: one; three$"):
            lab.expect({"one": False, "two": True, "three": None})

        assert capsys.readouterr().out == "✗ one\n✓ two\n✗ three\n"


class TestExperiment:
    @pytest.fixture
    def trial(self) -> Iterator[lab.Experiment]:
        with lab.experiment() as trial:  # nothing is built, so no engine is asked for
            yield trial

    def test_it_is_a_copy_of_what_the_images_are_built_from(self, trial: lab.Experiment) -> None:
        """Every file that a build would send is there, and nothing that Python left beside the code."""
        copied = {path.relative_to(trial.folder) for path in trial.folder.rglob("*") if path.is_file()}
        sent = {
            path.relative_to(ROOT) for name in ("app", "slim") for path in (ROOT / name).rglob("*") if path.is_file()
        }

        assert {path for path in copied if path.parts[0] in {"app", "slim"}} == {
            path for path in sent if "__pycache__" not in path.parts
        }
        assert {str(path) for path in copied if path.parts[0] not in {"app", "slim"}} == {
            ".dockerignore",
            "Dockerfile",
            "Dockerfile.minimal",
            "Dockerfile.single",
            "Dockerfile.single.dockerignore",
            "requirements.txt",
        }

    def test_it_goes_when_the_block_ends_however_that_is(self) -> None:
        """An error in the block leaves no folder behind."""
        folders: list[Path] = []

        def fail() -> None:
            with lab.experiment() as trial:
                folders.append(trial.folder)
                assert trial.folder.is_dir()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert not folders[0].exists()

    def test_an_edit_replaces_the_one_place(self, trial: lab.Experiment) -> None:
        """The copy is changed, the repository is not."""
        before = (ROOT / "Dockerfile").read_text(encoding="utf-8")

        trial.edit("Dockerfile", "EXPOSE 5000", "EXPOSE 5001")

        changed = (trial.folder / "Dockerfile").read_text(encoding="utf-8")
        assert changed == before.replace("EXPOSE 5000", "EXPOSE 5001") != before
        assert (ROOT / "Dockerfile").read_text(encoding="utf-8") == before

    @pytest.mark.parametrize(("old", "count"), [("RUN ", r"[2-9]"), ("no such line", "0")])
    def test_an_edit_that_is_not_clear_is_an_error(self, trial: lab.Experiment, old: str, count: str) -> None:
        """A text that is not there once would make an experiment of something else."""
        with pytest.raises(ValueError, match=f"^Dockerfile holds this text {count} times, not once"):
            trial.edit("Dockerfile", old, "")

    def test_no_change_is_like_another(self, trial: lab.Experiment) -> None:
        """Each one is new to the build cache, adds one comment and leaves the rest as it is."""
        path = trial.folder / "app/wsgi.py"
        before = path.read_text(encoding="utf-8")

        trial.change("app/wsgi.py")
        trial.change("app/wsgi.py")

        added = path.read_text(encoding="utf-8").removeprefix(before).splitlines()
        assert len(set(added)) == 2
        assert all(line.startswith("# ") for line in added)

    def test_the_context_is_what_dockerignore_lets_through(self, trial: lab.Experiment) -> None:
        """A stray file stays out of the table as it stays out of the build."""
        trial.write("secrets.txt", "not for an image")

        context = trial.context()

        assert "secrets.txt" not in set(context["path"])
        assert {"requirements.txt", "app/wsgi.py"} <= set(context["path"])
        assert context.set_index("path")["bytes"]["app/wsgi.py"] == (ROOT / "app/wsgi.py").stat().st_size


class TestRebuilds:
    def test_steps_of_all_builds_stand_in_one_table(self) -> None:
        """Each row says which change it belongs to; FROM, which is never run, is left out."""
        steps = pd.DataFrame({"instruction": ["FROM x AS y", "RUN fromage"], "cached": [False, True]})
        builds = {change: cast("Build", SimpleNamespace(steps=steps)) for change in ("nothing", "app")}

        table = lab.rebuilds(builds)

        assert table.to_dict("list") == {
            "change": ["nothing", "app"],
            "instruction": ["RUN fromage", "RUN fromage"],
            "cached": [True, True],
        }


class TestErrors:
    def shown(self, error: str, folder: Path) -> str:
        """What IPython shows where code raises this error of the lab's."""
        code = f"from layerlab import errors; raise errors.{error}"
        command = [sys.executable, "-m", "IPython", "--quick", "--HistoryManager.enabled=False", "-c", code]
        environment = {**os.environ, "IPYTHONDIR": str(folder), "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        assert ended.returncode == 1
        return ended.stdout

    @pytest.mark.slow
    def test_what_the_reader_can_mend_is_said_without_a_traceback(self, tmp_path: Path) -> None:
        """A notebook shows what happened and what to do, and the cell has failed all the same."""
        error = "ImageNotFound('there is no image x', remedy='see `docker images`')"

        shown = self.shown(error, tmp_path)

        assert shown == "ImageNotFound: there is no image x.\nWhat to do: see `docker images`.\n"

    @pytest.mark.slow
    def test_a_failed_step_shows_the_end_of_its_log(self, tmp_path: Path) -> None:
        """What the command printed comes before what the lab says about it."""
        error = "StepFailed('line 3 failed', remedy='mend it', line=3, instruction='RUN x', log='a\\nx: not found')"

        shown = self.shown(error, tmp_path)

        assert shown == "a\nx: not found\nStepFailed: line 3 failed.\nWhat to do: mend it.\n"


class Patient:
    """Stands in for a service whose health check says one thing after the other, and then the last for ever."""

    def __init__(self, *says: str) -> None:
        self._says = list(says)

    def health(self) -> str:
        return self._says.pop(0) if len(self._says) > 1 else self._says[0]


class TestWaitForHealth:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lab, "HEALTH_PAUSE", 0.0)

    def test_it_passes_over_what_is_not_wanted(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A check that was healthy turns, and comes back; nothing is written to standard output."""
        service = Patient("starting", "healthy", "unhealthy", "unhealthy", "healthy")

        said = [lab.wait_for_health(service, wanted) for wanted in ("unhealthy", "healthy")]  # type: ignore[arg-type]

        assert said == ["unhealthy", "healthy"]
        assert capsys.readouterr().out == ""

    def test_it_does_not_wait_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the time is over, it tells what the check says, which is not what was wanted, and that it failed."""
        steps: list[Step] = []
        monkeypatch.setattr(displays, "notebook", lambda _: nullcontext(steps.append))

        assert lab.wait_for_health(Patient("starting"), "healthy", timeout=0) == "starting"  # type: ignore[arg-type]
        assert [step.state for step in steps] == ["running", "failed"]
