"""Two builds of the same at the same time: BuildKit runs each step once; 20.10's tells it to one of them."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerlab.bases import BASES
from layerlab.builder import Build, build
from layerlab.engine import Engine
from layerlab.errors import StepFailed
from layerlab.ui.progress import Step
from tests.engine.small_lab import give_bases
from tests.engine.spare_engine import spare_engine


@pytest.fixture
def folders(tmp_path: Path, busybox_image: str) -> tuple[Path, Path]:
    """Two folders with the same in them, which no build has seen yet; an argument makes its last step fail."""
    mark = secrets.token_hex(8)
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
        (folder / "mark").write_text(mark)
        (folder / "Dockerfile").write_text(
            f"FROM {busybox_image}\nARG CODE=0\nCOPY mark /\n"
            "RUN sleep 1 && \\\n    cat /proc/sys/kernel/random/uuid > /made\n"
            'RUN echo "this is the end" && exit "$CODE"\n'
        )
    return folders


def test_both_tell_every_step(engine: Engine, folders: tuple[Path, Path]) -> None:
    """Both have the same image, so each RUN ran once, and all steps; what one was not told of is reported, too."""
    reported: dict[Path, list[Step]] = {folder: [] for folder in folders}

    def run(folder: Path) -> Build:
        return build(engine, folder, report=reported[folder].append)

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(run, folders)

    assert first.image_id == second.image_id
    for built, folder in ((first, folders[0]), (second, folders[1])):
        assert list(built.steps["line"]) == [1, 3, 4, 6]
        assert len({step.key for step in reported[folder] if step.line is not None and step.state != "running"}) == 4
    ran = [set(built.steps.query("not cached")["line"]) for built in (first, second)]
    assert ran[0] | ran[1] >= {3, 4, 6}, ran


def test_both_tell_what_failed(engine: Engine, folders: tuple[Path, Path]) -> None:
    """Both tell line and exit code; the log is known where the step was told."""

    def run(folder: Path) -> StepFailed:
        with pytest.raises(StepFailed) as caught:
            build(engine, folder, build_args={"CODE": "3"})
        return caught.value

    with ThreadPoolExecutor() as pool:
        errors = list(pool.map(run, folders))

    for error in errors:
        assert error.line == 6
        assert "exit code 3" in str(error)
    assert any("this is the end" in error.log for error in errors)


@pytest.mark.long
def test_one_apart_does_no_harm_to_others(tmp_path: Path) -> None:
    """It has no step in common with them: without cache, it would end 20.10's engine with a panic."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASES[0]} AS made\nRUN echo 1 > /1\nRUN echo 2 > /2; sleep 0.3\nRUN echo 3 > /3\n"
        f"FROM {BASES[0]}\nRUN echo 4 > /4; sleep 0.2\nCOPY --from=made /3 /\nRUN echo 5\n"
    )

    def builds(*, apart: bool) -> list[Build]:
        return [build(engine, tmp_path, apart=apart) for _ in range(12 if apart else 40)]

    with spare_engine() as spare, ThreadPoolExecutor() as pool:
        engine = spare.connect()
        give_bases(engine, tmp_path)
        begun = [pool.submit(builds, apart=apart) for apart in (False, True) * 2]
        forced = [built for each in begun[1::2] for built in each.result()]
        assert len(begun[0].result()) == len(begun[2].result()) == 40
        assert not any(built.steps.query("line not in (1, 5)").cached.any() for built in forced)
        engine.client.close()
