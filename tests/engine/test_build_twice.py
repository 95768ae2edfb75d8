"""Two builds of the same at the same time: BuildKit runs each step once; 20.10's tells it to one of them."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerlab.builder import Build, build
from layerlab.engine import Engine
from layerlab.errors import StepFailed
from layerlab.ui.progress import Step


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
