"""A fresh clone, taken up in each of the ways that people are used to; ``.venv`` damaged in the ways that happen.

A clone is what git would have cloned, with what is not committed yet. Each installs some hundred packages.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import requests

from benchmarks.start import NOT_COPIED
from layerlab import bootstrap
from layerlab.engine import Engine
from layerlab.jupyter.serve import free_port
from layerlab.paths import ROOT
from tests.documents import DOCUMENTS

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
PYTHON: Final = str(Path(sys.base_prefix) / "bin" / "python3")


def clone(folder: Path) -> Path:
    """A clone in this folder."""
    made: Path = shutil.copytree(ROOT, folder / "clone", ignore=NOT_COPIED, symlinks=True)
    return made


def typed(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type a line into a shell in this folder, as somebody would who is in no virtual environment, but has uv."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (tools / "uv").symlink_to(bootstrap.VENV / "bin" / "uv")
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LAB_PYTHON": PYTHON, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def doctor(line: str, folder: Path) -> dict[str, str]:
    """What the lab's doctor has seen, by what it looked at."""
    done = typed(f"{line} doctor --json", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {finding["what"]: finding["seen"] for finding in json.loads(done.stdout)}


def versions(folder: Path) -> dict[str, str]:
    """The packages of the clone's ``.venv``, as uv lists them."""
    listed = json.loads(typed("uv pip list --format=json", folder).stdout)
    return {package["name"]: package["version"] for package in listed}


def pinned(name: str) -> dict[str, str]:
    """The packages that are pinned for any machine."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE))


def line(begins: str) -> str:
    """The line of docs/contributing.md that begins like this."""
    blocks = DOCUMENTS["docs/contributing.md"].shell_blocks()
    return next(line for block in blocks for line in block if line.startswith(begins))


@pytest.fixture(scope="module")
def with_pins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone for which ``./lab test`` has made ``.venv``."""
    made = clone(tmp_path_factory.mktemp("pinned"))
    done = typed("./lab test --help", made)
    assert done.returncode == 0, done.stderr
    return made


class TestPinned:
    def test_lab(self, with_pins: Path) -> None:
        """What is installed is what is pinned, all of it, and the lab is the clone's own."""
        assert pinned("test").items() <= versions(with_pins).items()
        assert doctor("./lab", with_pins)["Python"].endswith("in .venv")

    def test_pytest(self, with_pins: Path) -> None:
        """It passes without an option; a test that needs a browser says why it skips where there is none."""
        done = typed(
            f"{line('.venv/bin/pytest')} tests/unit/test_ui_text.py tests/engine/test_maintenance_clean.py", with_pins
        )
        assert done.returncode == 0, done.stdout
        assert re.search(r" \d+ passed in ", done.stdout), done.stdout

        done = typed(".venv/bin/pytest tests/browser/test_home_page.py", with_pins, LAB_CHROMIUM="/nowhere")
        assert "LAB_CHROMIUM names /nowhere, which is no program" in done.stdout
        assert re.search(r" \d+ skipped in ", done.stdout), done.stdout

    @pytest.mark.usefixtures("_readable_tags")
    def test_nbval(self, with_pins: Path) -> None:
        """A notebook's saved outputs are those that it gives now, but for what differs from machine to machine."""
        done = typed(f"{line('.venv/bin/pytest --nbval')}/00-start.ipynb", with_pins)

        assert done.returncode == 0, done.stdout
        assert re.search(r" \d+ passed in ", done.stdout), done.stdout

    def test_jupyter_lab(self, with_pins: Path) -> None:
        """It serves the notebooks, to kernels that have the lab."""
        port, token = free_port(), secrets.token_urlsafe()
        options = f"--no-browser --allow-root --ServerApp.port={port} --ServerApp.port_retries=0"
        with subprocess.Popen(
            ["sh", "-c", f"{line('cd notebooks').replace('../', 'exec ../')} {options}"],
            cwd=with_pins,
            env={**os.environ, "JUPYTER_TOKEN": token, "IPYTHONDIR": str(with_pins.parent)},
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                found = _answer(f"http://127.0.0.1:{port}/api/contents?token={token}")
                kernels = _answer(f"http://127.0.0.1:{port}/api/kernelspecs?token={token}")["kernelspecs"]
            finally:
                process.terminate()
        kernel = "print(__import__('layerlab').__file__)"
        told = typed(f'../.venv/bin/python -c "{kernel}"', with_pins / "notebooks").stdout

        assert {"00-start.ipynb", "11-clean-up.ipynb"} <= {one["name"] for one in found["content"]}
        assert kernels["python3"]["resources"]["logo-svg"].startswith("/kernelspecs/python3/")
        assert told == f"{with_pins}/layerlab/__init__.py\n"


def _answer(url: str) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    for _ in range(600):
        with suppress(requests.ConnectionError):
            found: dict[str, dict[str, dict[str, dict[str, str]]]] = requests.get(url, timeout=60).json()
            return found
        time.sleep(0.1)
    raise AssertionError(f"nobody answers at {url}")


@pytest.mark.usefixtures("_readable_tags")
def test_uv(tmp_path: Path, engine: Engine) -> None:
    """The newest of what pyproject.toml allows; `./lab` afterwards has its pins again."""
    made = clone(tmp_path)
    done = typed(f"{line('uv sync')} --no-serve", made, DOCKER_HOST=engine.endpoint)
    assert done.returncode == 0, done.stderr
    assert "multi-stage-demo:optimized is" in done.stdout
    assert (made / ".venv" / "bin" / "lab").exists()

    assert doctor("./lab", made)["Python"].endswith("in .venv")
    assert pinned("lab").items() <= versions(made).items()
    assert not (made / ".venv" / "bin" / "lab").exists()
    assert doctor("uv run lab", made)["JupyterLab"]


def test_pip(tmp_path: Path) -> None:
    """In an environment of one's own, which may lie anywhere; a wheel says that it has not what it needs."""
    made = clone(tmp_path)
    done = typed(f"{PYTHON} -m venv ../mine && . ../mine/bin/activate && {line('pip install')}", made)
    assert done.returncode == 0, done.stderr
    assert doctor("../mine/bin/lab", made)["Python"].endswith(f"in {tmp_path / 'mine'}")

    done = typed("../mine/bin/pip install --no-deps . && cd .. && mine/bin/lab doctor", made)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("lab: layerlab was installed in ")
    assert done.stderr.splitlines()[-1].endswith("type there ./lab, or `pip install -e .`.")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which ``./lab`` was used."""
    made = clone(tmp_path_factory.mktemp("small"))
    doctor("./lab", made)
    return made


class TestMended:
    """What of docs/faults.md befalls ``.venv``: the next ``./lab`` works, and has its pins."""

    @pytest.fixture(autouse=True)
    def _mended(self, small: Path) -> Iterator[None]:
        yield
        assert doctor("./lab", small)["JupyterLab"] == pinned("lab")["jupyterlab"]
        assert pinned("lab").items() <= versions(small).items()
        assert (small / ".venv" / "bin" / "uv").exists()

    def test_python_is_gone(self, small: Path) -> None:
        """As after an upgrade of the system's."""
        (small / ".venv" / "bin" / "python").unlink()

    def test_pyvenv_cfg_is_gone(self, small: Path) -> None:
        """What is there would be the system's Python."""
        (small / ".venv" / "pyvenv.cfg").unlink()

    def test_uv_is_gone_with_changed_pins(self, small: Path) -> None:
        """Pip still has a note of it."""
        (small / ".venv" / "bin" / "uv").unlink()
        (small / ".venv" / "holds-lab.txt").write_text("another\n")

    @pytest.mark.parametrize("damage", ["missing", "cut off"])
    def test_a_package_is_damaged(self, small: Path, damage: str) -> None:
        """The command says so, and that the next one mends it; uv's cache, which shares the damage, is not used."""
        package = next((small / ".venv" / "lib").glob("python3*/site-packages/click"))
        if damage == "missing":
            shutil.rmtree(package)
        else:
            (package / "core.py").unlink()  # not the cache's own: others use it
            (package / "core.py").write_text("def (")

        done = typed("./lab doctor", small)
        assert done.returncode == 2
        assert re.search(r"lab: \.venv is damaged \(.*\): repeat the command, and it is mended first\n$", done.stderr)
