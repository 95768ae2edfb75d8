"""The workflow and the dev container: what can be known of them without GitHub and without an editor."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import json5
import pytest
import yaml

from layerlab.paths import ROOT
from tests.unit.command_lines import explains
from tests.unit.test_documentation import lab_lines

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
WORKFLOWS = sorted(WORKFLOW.parent.glob("*.yml"))
DEV_CONTAINER = ROOT / ".devcontainer" / "devcontainer.json"


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return dict(yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"])


def lines(job: dict[str, Any]) -> list[str]:
    """What a job types into a shell."""
    return [line.strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


def checked(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment."""
    program = shutil.which(command[0], path=str(Path(sys.executable).parent))
    assert program, f"{command[0]} is missing: ./lab test installs it"
    return subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


class TestWorkflow:
    @pytest.mark.slow
    def test_they_are_what_github_understands(self) -> None:
        """Each workflow follows GitHub's schema, and each job has a time limit."""
        for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
            done = checked("check-jsonschema", "--builtin-schema", schema, *map(str, WORKFLOWS))
            assert done.returncode == 0, done.stdout + done.stderr

    def test_they_are_safe(self) -> None:
        """No known weakness: no needless rights, no tag of a stranger, nothing of a pull request in a shell."""
        done = checked("zizmor", "--offline", "--no-progress", "--persona=pedantic", *map(str, WORKFLOWS))

        assert done.returncode == 0, done.stdout + done.stderr

    def test_what_is_unsafe_is_seen(self, tmp_path: Path) -> None:
        """The check can fail: somebody else's action by a tag, text of a pull request in a shell."""
        for old, new in (
            ("actions/checkout@v6", "somebody/checkout@v6"),
            ("- run: ./lab clean", "- run: echo ${{ github.event.pull_request.title }}"),
        ):
            text = WORKFLOW.read_text(encoding="utf-8")
            assert old in text
            (tmp_path / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
            changed = tmp_path / ".github" / "workflows" / "ci.yml"
            changed.write_text(text.replace(old, new))

            done = checked("zizmor", "--offline", "--no-progress", "--config=.github/zizmor.yml", str(changed))
            assert done.returncode not in {0, 1}, done.stdout + done.stderr

    def test_it_types_both_commands_of_the_readme(self, jobs: dict[str, Any]) -> None:
        """A learner's and a maintainer's, and every line of the lab's is one that it understands."""
        assert "./lab --no-serve" in lines(jobs["lab"])
        assert any(line.endswith("./lab test") for line in lines(jobs["test"]))
        for line in (line for job in jobs.values() for line in lines(job)):
            for words in lab_lines(line):
                assert explains(words) is None, line

    def test_the_weekly_job_takes_what_contributing_says(self, jobs: dict[str, Any]) -> None:
        """The newest releases come by the commands of docs/contributing.md, and all is tested."""
        typed = lines(jobs["newest"])

        assert any("docs/contributing.md" in line and "--upgrade" in line for line in typed)
        assert any(line.endswith("./lab test --all") for line in typed)


class TestDevContainer:
    def test_it_has_an_engine_of_its_own(self) -> None:
        """Docker in the container, from Docker's own packages, and the ports that the lab uses."""
        settings = json5.loads(DEV_CONTAINER.read_text(encoding="utf-8"))

        (feature,) = (name for name in settings["features"] if "docker-in-docker" in name)
        assert settings["features"][feature] == {"moby": False}
        assert settings["forwardPorts"] == [8888, 5000]

    def test_its_command_is_understood(self) -> None:
        """What runs after it was made is a command of the lab's."""
        settings = json5.loads(DEV_CONTAINER.read_text(encoding="utf-8"))

        (words,) = lab_lines(settings["postCreateCommand"])
        assert explains(words) is None
