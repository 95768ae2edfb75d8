"""What README and docs/contributing.md tell one to type works as it stands there.

The plain docker commands are in test_plain_commands.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import nbformat
import pytest
import requests

from layerlab.engine import Engine
from layerlab.paths import ROOT
from tests.documents import DOCUMENTS


def block(document: str, begins: str) -> list[str]:
    """The commands of the block of this text whose first line begins like this."""
    return next(lines for lines in DOCUMENTS[document].shell_blocks() if lines[0].startswith(begins))


def typed(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type a line into a shell in this folder."""
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder in which the repository's programs are found under the names that the texts use."""
    (tmp_path / "lab").symlink_to(ROOT / "lab")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_lab_without_anything(engine: Engine, tmp_path: Path) -> None:
    """`./lab` builds, compares, serves, and ends with the address at which JupyterLab answers; Ctrl-C ends it."""
    line = block("README.md", "./lab")[0]
    environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    environment |= {"DOCKER_HOST": engine.endpoint, "XDG_STATE_HOME": str(tmp_path)}
    said: list[str] = []
    with subprocess.Popen(
        ["sh", "-c", f"exec {line}"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        stop = threading.Timer(240, process.kill)
        stop.start()
        try:
            for said_line in process.stdout:
                said.append(said_line)
                if address := re.search(r"JupyterLab is at +(http://127\.0\.0\.1:\S+)", said_line):
                    status = requests.get(address[1], timeout=20).status_code
                    process.send_signal(signal.SIGINT)
        finally:
            stop.cancel()
            process.send_signal(signal.SIGTERM)

    assert (status, process.returncode) == (200, 0)
    assert re.search(r"multi-stage-demo:optimized is \d+\.\d times smaller", "".join(said))


def test_the_exercise_from_the_first_line_on(engine: Engine, beside: Path) -> None:
    """A workspace is made, and what its Dockerfile has become is judged."""
    new, check = block("README.md", "./lab new")
    environment = {"DOCKER_HOST": engine.endpoint, "XDG_STATE_HOME": str(beside / "state")}

    made = typed(new, beside, **environment)
    assert made.returncode == 0, made.stderr
    dockerfile = beside / "my-image" / "Dockerfile"
    assert dockerfile.is_file()

    dockerfile.write_text("FROM scratch\nNOTHING\n")  # others see how the starter is judged, which takes longer
    checked = typed(check, beside, **environment)
    assert checked.returncode == 1, checked.stderr
    assert "0 of 7" in checked.stdout


@pytest.mark.long
def test_the_pins_are_what_their_commands_make(beside: Path) -> None:
    """Compiled as docs/contributing.md says, the pins stay as they are, but for remarks: nothing is ahead of them."""
    for name in ("requirements", "exercise"):
        shutil.copytree(ROOT / name, beside / name)
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, beside)
    lines = block("docs/contributing.md", ".venv/bin/uv pip compile")
    assert len(lines) == 7
    for line in lines:
        compiled = typed(line, beside)
        assert compiled.returncode == 0, f"{line}\n{compiled.stderr}"

        name = line.split()[-1]
        assert pins(beside / name) == pins(ROOT / name), f"{name} is not what this makes: {line}"


def pins(path: Path) -> list[str]:
    """The lines of a file of pins, without remarks."""
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.lstrip().startswith("#")]


@pytest.mark.long
def test_notebooks_are_run_and_saved(beside: Path) -> None:
    """The outputs of a notebook that runs are saved; one that fails is said to, and its file stays as it was."""
    line = block("docs/contributing.md", ".venv/bin/python -m layerlab.jupyter.run_notebooks")[0]
    (beside / "notebooks").mkdir()
    right, wrong = beside / "notebooks" / "right.ipynb", beside / "notebooks" / "wrong.ipynb"
    for path, code in ((right, "print(6 * 7)"), (wrong, "1 / 0")):
        cells = [nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = wrong.read_bytes()

    done = typed(line, beside)

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert nbformat.read(right, as_version=4).cells[0].outputs[0].text == "42\n"
    assert wrong.read_bytes() == before
