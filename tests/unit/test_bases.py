"""What `layerlab.bases` promises without an engine."""

import threading
from pathlib import Path

import pytest

from layerlab import bases
from layerlab.engine.locks import exclusive
from layerlab.ui.progress import Step


class TestAlone:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Locks of the test's own."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def test_the_second_waits_and_says_so(self) -> None:
        """While another process gets the base images, this one reports that it waits, and goes on afterwards."""
        steps: list[Step] = []
        waits, entered = threading.Event(), threading.Event()

        def report(step: Step) -> None:
            steps.append(step)
            waits.set()

        def second() -> None:
            with bases._alone(report):
                entered.set()

        with exclusive("bases"):
            thread = threading.Thread(target=second)
            thread.start()
            assert waits.wait(10)
            was_outside = not entered.is_set()
        thread.join(10)

        assert was_outside
        assert entered.is_set()
        assert [step.state for step in steps] == ["running", "done"]

    def test_the_first_says_nothing(self) -> None:
        """Whoever need not wait reports no waiting."""
        steps: list[Step] = []

        with bases._alone(steps.append):
            pass

        assert steps == []


class TestNames:
    def test_the_bases_have_stand_ins(self) -> None:
        """For each image that the lab builds on there is a stand-in."""
        assert set(bases.BASES) <= set(bases.TAGS)

    def test_every_name_has_a_tag(self) -> None:
        """Names are written in full, so that the engine lists them as they are."""
        assert all(name.rpartition("/")[2].count(":") == 1 for name in bases.TAGS)
