"""The page on limits in CI says what is there."""

from __future__ import annotations

import re

import click
import yaml

from layerlab.cli.xray import command as xray
from layerlab.paths import ROOT

TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def test_options_exist() -> None:
    """Every option that the page names in a call of xray is one of xray's."""
    known = {name for option in xray.params if isinstance(option, click.Option) for name in option.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", TEXT))

    assert {"--max-size", "--max-waste", "--no-root", "--html", "--json", "--dockerfile"} <= named
    assert named <= known


def test_the_workflow_is_one() -> None:
    """The example is YAML, and its steps build an image and hold it against limits."""
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (job,) = yaml.safe_load(block)["jobs"].values()

    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs[0] == "docker build -t my-image ."
    assert runs[1].startswith(".lab/lab xray my-image --dockerfile Dockerfile --max-size 300MB")
