"""Task 1: a proper build stage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from layerlab import exercise
from layerlab.errors import Failure
from layerlab.exercise.evidence.facts import Evidence, HandedOn, NoImage
from layerlab.exercise.tasks.build_stage import is_descriptive, is_pinned, judge
from layerlab.xray.provenance.file_origins import Origin
from tests.unit.checker_evidence import GOOD, good


def errors(evidence: Evidence) -> list[int | None]:
    """The lines of the errors."""
    return [finding.line for finding in judge(evidence).findings if finding.level == "error"]


def test_a_stage_whose_packages_run_passes() -> None:
    """A named stage on a pinned base whose packages the service uses is what is asked for."""
    result = judge(good().evidence())
    assert result.status == "pass"
    assert not result.findings


@pytest.mark.parametrize(("tool", "level", "said"), [("/usr/bin/gcc-14", "error", "gcc"), ("/x", "advice", "")])
def test_what_goes_on_where_the_build_stage_ends_leaves_nothing_behind(tool: str, level: str, said: str) -> None:
    """FROM the build stage ships all of it: a mistake where it holds what only building needs."""
    text = GOOD[: GOOD.index("FROM python", 5)] + "FROM build\n" + GOOD[GOOD.index("ENV") :]
    made = good(text, copied=5, app=10)
    made.file(tool, 5, size=5_000_000, mode=0o755)
    (finding,) = judge(made.evidence()).findings

    assert (finding.level, finding.line) == (level, 7)
    assert "FROM “build”, so all that is there ships" in finding.message
    assert said in finding.message


@pytest.mark.parametrize(
    "name",
    ["build", "builder", "base", "deps", "wheels", "venv", "compile", "python-deps", "test-tools", "imagebase"],
)
def test_names_that_say_something(name: str) -> None:
    """Usual names of build stages are descriptive."""
    assert is_descriptive(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a", "b1", "py3", "stage", "stage1", "stage-2", "foo", "tmp", "xxx", "xxxx", "my-stage", "temp_stage"),
        *("firststage", "testimage1", "anything" * 1000),
    ],
)
def test_names_that_say_nothing(name: str) -> None:
    """Short names and placeholders, numbered or not, are none."""
    assert not is_descriptive(name)


@pytest.mark.parametrize(
    ("reference", "pinned"),
    [
        ("python:3.13", True),
        ("python@sha256:" + "0" * 64, True),
        ("host:5000/python", False),
        ("host:5000/python:3", True),
        ("python", False),
        ("python:latest", False),
        ("scratch", True),
    ],
)
def test_pinned_bases(reference: str, pinned: bool) -> None:
    """A tag other than latest or a digest pins a base; a registry's port does not."""
    assert is_pinned(reference) is pinned


@pytest.mark.parametrize(
    ("old", "new", "copied"),
    [
        ("AS build", "AS stage1", "stage1"),
        ("FROM python:3.13-slim-trixie AS build", "FROM python AS build", "build"),
        ("FROM python:3.13-slim-trixie AS build", "FROM python:latest AS build", "build"),
    ],
)
def test_a_bad_name_or_base_fails_on_its_line(old: str, new: str, copied: str) -> None:
    """The stage that does the work needs a name that says something and a pinned base."""
    text = GOOD.replace(old, new, 1).replace("--from=build", f"--from={copied}")
    made = good(text)
    for key in list(made.final.origins):
        if made.final.origins[key].stage == "build":
            made.final.origins[key] = Origin("made", copied, 5, (copied,))
    assert errors(made.evidence()) == [1]


def test_an_idle_builder_fails_although_its_marker_is_copied() -> None:
    """What is installed in the final stage was not made in the builder, whatever else comes from there."""
    made = good()
    for key in list(made.final.origins):
        made.final.origins[key] = Origin("made", "1", 8)
    made.file("/marker", 8, origin=Origin("made", "build", 5, ("build",)))
    result = judge(made.evidence())
    assert result.status == "fail"
    (finding,) = result.findings
    assert finding.line == 1
    assert "/marker" in finding.message


def test_files_of_the_builders_base_do_not_count() -> None:
    """Copying what the builder's base held already is no building."""
    made = good()
    for key in list(made.final.origins):
        made.final.origins[key] = Origin("base", "build", 1, ("build",))
    assert errors(made.evidence()) == [1]


WHEELS = """FROM python:3.13-slim-trixie AS wheels
COPY requirements.txt .
RUN pip wheel -w /wheels -r requirements.txt
FROM python:3.13-slim-trixie
RUN --mount=from=wheels,source=/wheels,target=/wheels pip install --no-index --find-links=/wheels flask gunicorn
COPY app app
"""
HANDED_ON = HandedOn(5, ("wheels",), ("flask", "gunicorn"), taken=("flask", "gunicorn"))


@pytest.mark.parametrize(
    ("tried", "status"),
    [
        (HANDED_ON, "pass"),
        (replace(HANDED_ON, taken=()), "fail"),
        (replace(HANDED_ON, taken=(), failure=Failure("network", "No answer.")), "unknown"),
    ],
)
def test_wheels_count_if_the_service_is_installed_from_them(tried: HandedOn, status: str) -> None:
    """Wheels that a stage made are used if the final stage's RUN installs nothing without them."""
    made = good(WHEELS, copied=5, app=6)
    for key in list(made.final.origins):
        made.final.origins[key] = Origin("made", "1", 5)
    assert judge(made.evidence(handed_on=(tried,))).status == status


@pytest.mark.parametrize("pinned", [{"flask": "3.1.3"}, {}])
def test_without_an_image(pinned: dict[str, str]) -> None:
    """Nothing but why there is none is told: the tasks come when it builds. To pin nothing is wrong already."""
    verdict = exercise.judge(NoImage(Failure("network", "The base cannot be had.", 1), pinned))
    assert (verdict.image, verdict.blame) == (None, "network")
    expected = ["unknown"] * 7 if pinned else ["unknown"] * 2 + ["fail"] + ["unknown"] * 4
    assert [task.status for task in verdict.tasks] == expected
    assert verdict.tasks[0].findings[0].line == 1
    assert "network" in verdict.tasks[0].findings[0].message
