"""What makes this a project that others can pick up: its dependencies and their pins, its licence, its hooks."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.metadata import packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layerlab.paths import ROOT

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "lab": ("",),
    "class": ("", "class"),
    "test": ("", "site", "test"),
    "site": ("site",),
    "uv": ("uv",),
}
"""What each file of pins is compiled from: the dependencies (as the group without a name), and dependency groups."""

ENVIRONMENTS: Final = [
    {"python_version": version, "python_full_version": f"{version}.1", "sys_platform": system, "os_name": "posix"}
    for version in ("3.11", "3.12", "3.13", "3.14")
    for system in ("linux", "darwin")
]


def wanted(project: dict[str, Any], group: str) -> list[Requirement]:
    """What a group asks for; the group without a name is the dependencies."""
    lines = project["dependency-groups"][group] if group else project["project"]["dependencies"]
    return [Requirement(line) for line in lines]


def pins(text: str) -> dict[str, tuple[Requirement, set[str]]]:
    """The packages of a compiled file: each with its version, and the groups that ask for it by name."""
    found = {}
    for block in re.split(r"\n(?=\w)", text):
        if block[:1] != "#":
            requirement = Requirement(block.partition("\n")[0].rstrip(" \\"))
            asking = re.findall(r"(?:via|#) +layerlab \(pyproject\.toml(?::(\w+))?\)|via (uv)\b", block)
            found[canonicalize_name(requirement.name)] = (requirement, {"".join(one) for one in asking})
    return found


def misfits(project: dict[str, Any], text: str, groups: tuple[str, ...]) -> Iterator[str]:
    """In what a file of pins is not what these groups ask for."""
    pinned = pins(text)
    for group in groups:
        asked = {canonicalize_name(one.name) for one in wanted(project, group)}
        yield from (f"{name} is left over" for name, (_, by) in pinned.items() if group in by and name not in asked)
        for one in wanted(project, group):
            name = canonicalize_name(one.name)
            if name not in pinned or group not in pinned[name][1]:
                yield f"{name} is missing"
                continue
            pin = pinned[name][0]
            if not one.specifier.contains(str(pin.specifier).removeprefix("==")):
                yield f"{name} is pinned to another version"
            if applies(one.marker) != applies(pin.marker):
                yield f"{name} is pinned for other machines"
            for extra in one.extras:
                brought = [Requirement(line) for line in requires(name) or []]
                needed = [other for other in brought if other.marker and f'extra == "{extra}"' in str(other.marker)]
                yield from (
                    f"{other.name} is missing" for other in needed if canonicalize_name(other.name) not in pinned
                )


def applies(marker: Marker | None) -> list[bool]:
    """Where a requirement holds."""
    return [marker is None or marker.evaluate(dict(environment)) for environment in ENVIRONMENTS]


@cache
def compiled(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


class TestPins:
    @pytest.mark.parametrize("name", GROUPS)
    def test_they_fit_the_project(self, name: str) -> None:
        """Each file holds what pyproject.toml asks for, in a version that fits: docs/contributing.md says how."""
        assert list(misfits(PROJECT, compiled(name), GROUPS[name])) == [], "compile them: docs/contributing.md"

    @pytest.mark.parametrize(
        ("group", "old", "new", "expected"),
        [
            ("", "", "django", "django is missing"),
            ("", "docker", "", "docker is left over"),
            ("", "requests", "requests[socks]", "PySocks is missing"),
            ("", "pandas", "pandas < 2", "pandas is pinned to another version"),
            ("", "requests", "requests ; sys_platform == 'linux'", "requests is pinned for other machines"),
            ("test", "ruff", "", "ruff is left over"),
            ("test", "", "anyio", "anyio is missing"),
        ],
    )
    def test_a_change_of_the_project_is_seen(self, group: str, old: str, new: str, expected: str) -> None:
        """Something more, something less, an extra, a version, a condition; what comes along was not asked for."""
        lines = [line for line in PROJECT["project"]["dependencies"] if group or line != old] + [new] * (not group)
        grouped = [line for line in PROJECT["dependency-groups"]["test"] if not group or line != old]
        changed = {
            "project": {"dependencies": list(filter(None, lines))},
            "dependency-groups": {
                "site": PROJECT["dependency-groups"]["site"],
                "test": list(filter(None, [*grouped, *[new] * bool(group)])),
            },
        }

        assert list(misfits(changed, compiled("test"), GROUPS["test"])) == [expected]

    def test_the_tests_have_the_labs_and_the_lab_the_images(self) -> None:
        """Versions are the same wherever a package occurs: so the same seed draws the same picture."""
        images, lab, test = (
            {name: str(pin.specifier) for name, (pin, _) in pins(text).items()}
            for text in ((ROOT / "requirements.txt").read_text(encoding="utf-8"), compiled("lab"), compiled("test"))
        )

        assert images.items() <= lab.items() <= test.items()

    @pytest.mark.parametrize("name", GROUPS)
    def test_each_has_hashes_and_none_an_address(self, name: str) -> None:
        """Where a package was downloaded from differs from machine to machine."""
        blocks = [block for block in re.split(r"\n(?=\w)", compiled(name)) if block[:1] != "#"]

        assert all("--hash=sha256:" in block for block in blocks)
        assert "://" not in compiled(name)

    def test_no_lock_file_with_addresses_is_kept(self) -> None:
        """`uv sync` writes one, which stays where it was written."""
        assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


class TestDependencies:
    def test_what_the_lab_was_asked_to_use_is_there(self) -> None:
        """These are named, and so is all that the images install by name."""
        asked = {"jupyterlab", "docker", "flask", "gunicorn", "pandas", "matplotlib", "nbval"}
        service = {
            line.partition("#")[0].strip() for line in (ROOT / "requirements" / "app.in").read_text().splitlines()
        }

        assert asked | service - {""} <= {one.name for one in wanted(PROJECT, "")}

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("folders", "groups"), [(("layerlab",), ("",)), (("tests", "benchmarks"), ("", "test"))], ids=["lab", "tests"]
    )
    def test_what_is_imported_is_named(self, folders: tuple[str, ...], groups: tuple[str, ...]) -> None:
        """Nothing is there only because something else happens to bring it."""
        named = {canonicalize_name(one.name) for group in groups for one in wanted(PROJECT, group)}
        known = packages_distributions()
        for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
            if not {"solutions", "applications"} & {*path.parts}:
                for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
                    brought_by = {canonicalize_name(one) for one in known.get(module, [])} - {"layerlab"}
                    assert not brought_by or brought_by & (named | {"werkzeug"}), (path, module)  # it is Flask's own


def imported(tree: ast.AST) -> Iterator[str]:
    """The packages that a source imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


class TestProject:
    def test_its_command_is_the_labs(self) -> None:
        """What `uv run lab` calls is what `./lab` runs."""
        module, _, name = PROJECT["project"]["scripts"]["lab"].partition(":")

        assert (module, name) == ("layerlab.__main__", "main")
        assert find_spec(module) is not None

    def test_the_changelog_has_its_version(self) -> None:
        """Above all releases is what is not released yet; the newest is this version, and each has its day."""
        first, *released = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

        assert first == "[Unreleased]"
        assert released[0].startswith(f"[{PROJECT['project']['version']}] - ")
        assert all(date.fromisoformat(one.partition(" - ")[2]) for one in released)

    def test_its_licence_is_there(self) -> None:
        """The licence that pyproject.toml names is the one whose text lies beside it."""
        (name,) = PROJECT["project"]["license-files"]
        text = (ROOT / name).read_text(encoding="utf-8")

        assert text.startswith(f"{PROJECT['project']['license']} License\n")
        assert PROJECT["project"]["authors"][0]["name"] in text

    def test_notebooks_are_compared_as_the_lab_compares_them(self) -> None:
        """`pytest --nbval notebooks` leaves out what differs from machine to machine without being told to."""
        options = PROJECT["tool"]["pytest"]["ini_options"]["addopts"].split()
        (sanitiser,) = (ROOT / word.partition("=")[2] for word in options if "--nbval-sanitize-with=" in word)

        assert sanitiser.is_file()

    @pytest.mark.slow
    def test_hooks_are_there_and_find_nothing(self) -> None:
        """Each is a program of .venv, and content with what is here; those that mend are told only to look."""
        (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repository["hooks"]:
            program, *words = hook["entry"].split()
            command = [Path(sys.executable).parent / Path(program).name, *words]
            command += ["--check"] if words[0] == "format" else []
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_without_an_engine_plain_pytest_says_why_it_skips() -> None:
    """Nothing fails, and the summary has one line for all that an engine's tests and the browser's could not do."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/engine/test_maintenance_clean.py",
            "tests/browser/test_home_page.py",
        ],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    ((count, why),) = re.findall(r"^SKIPPED \[(\d+)\] \S+ (.*)$", done.stdout, re.MULTILINE)
    assert why == "there is no socket at /nowhere: start Docker."
    assert re.search(rf"^{count} skipped in", done.stdout, re.MULTILINE)
