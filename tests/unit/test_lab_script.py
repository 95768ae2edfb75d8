"""The entry point ``lab``, in a copy of the repository that has just what it reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from layerlab.paths import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose .venv is up to date, and whose Python only says how it was called."""
    root = tmp_path / "a folder with spaces"
    (root / "requirements").mkdir(parents=True)
    (root / "layerlab").mkdir()
    shutil.copy(ROOT / "lab", root)
    (root / "layerlab/bootstrap.py").write_text("import sys; print('bootstrap', *sys.argv[1:]); sys.exit(3)\n")
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$1" = -I ] || echo "$@"\n')
    python.chmod(0o755)
    for pins in ("lab", "test"):
        (root / f"requirements/{pins}.txt").write_text(f"{pins}==1\n")
        (root / f".venv/holds-{pins}.txt").write_text(f"{pins}==1\n")
    (root / ".venv/made-for").write_text(f"{root}\n")
    return root


def lab(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


class TestLab:
    def test_an_up_to_date_environment_is_used_as_it_is(self, repository: Path) -> None:
        """Arguments arrive unchanged, blanks and all."""
        done = lab(repository / "lab", "new", "my image")

        assert (done.returncode, done.stdout) == (0, "-m layerlab new my image\n")

    def test_it_may_be_called_through_a_link_from_anywhere(self, repository: Path, tmp_path: Path) -> None:
        """A link in a folder of the PATH is how people call such scripts."""
        (tmp_path / "lab").symlink_to(repository / "lab")

        assert lab(tmp_path / "lab", "doctor").stdout == "-m layerlab doctor\n"

    def test_what_python_compiles_is_kept_but_not_beside_the_sources(self, repository: Path) -> None:
        """It lies in .venv: no build context and no workspace gets it."""
        python = repository / ".venv/bin/python"
        python.write_text('#!/bin/sh\n[ "$1" = -I ] || env\n')

        said = lab(repository / "lab", PYTHONDONTWRITEBYTECODE="1").stdout.splitlines()
        assert f"PYTHONPYCACHEPREFIX={repository}/.venv/compiled" in said
        assert not [line for line in said if line.startswith("PYTHONDONTWRITEBYTECODE=")]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda root: (root / ".venv/holds-lab.txt").unlink(),
            lambda root: (root / "requirements/lab.txt").write_text("lab==2\n"),
            lambda root: (root / ".venv/made-for").write_text("/somewhere/else\n"),
            lambda root: (root / ".venv/bin/lab").touch(),
            lambda root: (root / ".venv/bin/python").unlink(),
            lambda root: shutil.rmtree(root / ".venv"),
        ],
        ids=["no pins", "pins changed", "moved", "installed into", "no python", "no .venv"],
    )
    def test_an_environment_that_is_not_up_to_date_is_made_so_first(self, repository: Path, damage: object) -> None:
        """Whatever is wrong with it, bootstrap mends it; if that fails, its status is the lab's."""
        damage(repository)  # type: ignore[operator]

        done = lab(repository / "lab", "doctor")
        assert (done.returncode, done.stdout) == (3, "bootstrap lab\n")

    def test_tests_ask_for_the_tests_pins(self, repository: Path) -> None:
        """Only ``./lab test`` needs what the tests need."""
        (repository / ".venv/holds-test.txt").unlink()

        assert lab(repository / "lab", "doctor").stdout == "-m layerlab doctor\n"
        assert lab(repository / "lab", "test").stdout == "bootstrap test\n"

    def test_a_machine_without_python_is_told_so(self, repository: Path, tmp_path: Path) -> None:
        """One line, status 2, and what to do."""
        tools = tmp_path / "bin"
        tools.mkdir()
        for tool in ("sh", "dirname", "cat", "cmp", "readlink"):
            (tools / tool).symlink_to(str(shutil.which(tool)))
        shutil.rmtree(repository / ".venv")

        done = lab(repository / "lab", PATH=str(tools))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "LAB_PYTHON" in done.stderr
