"""Task 3: Python packages from requirements.txt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from layerlab.errors import Failure
from layerlab.exercise.evidence.facts import AppChange, Evidence, PinChange, PythonInstall, RanStep
from layerlab.exercise.tasks.python_packages import judge
from layerlab.service import Answer, Interpreter, Running
from layerlab.xray.provenance.file_origins import Origin
from tests.unit.checker_evidence import GOOD, SITE, Made, good

INSTALL = PythonInstall("build", 5, "RUN pip install", ("flask", "gunicorn"), 59_000_000)
DECIDES = PinChange("flask", "3.1.3", "3.1.2", found=("3.1.2",))
OFFLINE = Failure("network", "The index did not answer.")


def given(made: Made, **changes: Any) -> Evidence:
    """The evidence with experiments after which nothing was installed again, and the other release was found."""
    return made.evidence(**{"app_change": AppChange(), "pin_change": DECIDES, **changes})


def errors(evidence: Evidence) -> list[int | None]:
    """The lines of the errors."""
    return [finding.line for finding in judge(evidence).findings if finding.level == "error"]


def test_packages_installed_by_the_file_pass() -> None:
    """All pins are there, by that file, and a rebuild leaves them alone."""
    result = judge(given(good()))
    assert result.status == "pass"
    assert not result.findings


def test_missing_and_other_versions_fail() -> None:
    """What is missing, or there at another version, is named; equal versions may be spelt differently."""
    made = good()
    made.requirements |= {"pandas": "3.1.1", "flask": "3.1.2", "gunicorn": "27.0.1.0"}
    messages = [finding.message for finding in judge(given(made)).findings]
    assert any("flask 3.1.3 instead of 3.1.2" in message for message in messages)
    assert any("pandas" in message and "1 of 3" in message for message in messages)
    assert not any("gunicorn" in message for message in messages)


def test_packages_where_the_interpreter_does_not_look_are_found() -> None:
    """Packages of another Python's folder are named with it, on the line that copied them."""
    made = good()
    running = made.running(interpreter=Interpreter("/usr/bin/python3.12", "/usr", ("/usr/lib/python3.12",), {}))
    (finding,) = judge(given(made, running=running)).findings
    assert finding.line == 8
    assert SITE in finding.message
    assert "/usr/bin/python3.12 does not look there" in finding.message


def test_pins_that_decide_nothing_fail_on_the_line_that_installed() -> None:
    """That versions happen to agree is not enough: another pin has to change what the service finds."""
    (finding,) = judge(given(good(), pin_change=replace(DECIDES, found=("3.1.3",)))).findings
    assert finding.line == 5
    assert "flask was pinned to 3.1.2 instead of 3.1.3, and the service still found 3.1.3" in finding.message


def test_a_file_that_is_not_sent_decides_nothing() -> None:
    """Without it in the build context no step can read it."""
    (finding,) = judge(given(good(), pin_change=replace(DECIDES, found=(), is_sent=False))).findings
    assert ".dockerignore" in finding.message


def test_a_build_that_refuses_another_pin_is_decided_by_the_file() -> None:
    """Hashes that do not match, or constraints that conflict, are as good as another release."""
    refused = replace(DECIDES, found=(), refused="Line 5 failed: THESE PACKAGES DO NOT MATCH THE HASHES.")
    assert judge(given(good(), pin_change=refused)).status == "pass"


def test_experiments_that_were_not_made_are_unknown() -> None:
    """By --quick, for want of a network, or for any other reason; what is wrong without them stays wrong."""
    for changes, why in (
        ({"is_quick": True, "app_change": None, "pin_change": None}, "--quick"),
        ({"app_change": AppChange(failure=OFFLINE)}, "The index did not answer."),
        ({"pin_change": replace(DECIDES, found=(), failure=OFFLINE)}, "The index did not answer."),
        ({"app_change": None}, "not tried"),
    ):
        result = judge(given(good(), **changes))
        assert result.status == "unknown"
        assert why in result.findings[0].message
    assert judge(given(good(), is_quick=True, requirements={"flask": "1"})).status == "fail"


def test_a_distribution_of_which_only_the_notes_are_left_is_missing() -> None:
    """Its files tell; bytecode in the place of its sources, or a part of them, is enough."""
    made = good()
    flask = [file for file in made.final.files if file.path.startswith(f"{SITE}/flask/")]
    made.final.files = [file for file in made.final.files if file not in flask]
    (finding,) = judge(given(made)).findings
    assert "Of flask" in finding.message
    made.file(f"{SITE}/flask/core.pyc", 8, origin=Origin("made", "build", 5, ("build",)))
    assert not judge(given(made)).findings


def test_an_installation_that_runs_again_fails_and_names_the_copy() -> None:
    """After a change of the app the installing step must come from the cache; the figures are those of the build."""
    text = GOOD.replace("COPY requirements.txt .", "COPY . .")
    ran = (RanStep("build", 5, "RUN pip install", cached=False, seconds=14.2),)
    (finding,) = judge(given(good(text), app_change=AppChange(INSTALL, because=3), ran=ran)).findings
    assert finding.line == 5
    assert "line 5 installed 2 packages again (59 MB and 14 s): line 3 brings the app in before it" in finding.message


def test_a_mount_of_the_app_is_named_as_the_reason() -> None:
    """Where no COPY comes before it, what the step has mounted is why it runs again."""
    text = GOOD.replace("RUN /opt/venv/bin/pip", "RUN --mount=target=/build /opt/venv/bin/pip")
    (finding,) = judge(given(good(text), app_change=AppChange(INSTALL))).findings
    assert "it has the app mounted" in finding.message


@pytest.mark.parametrize(
    ("path", "visible"),
    [
        ("/root/.cache/pip/http-v2/a/b", True),
        ("/root/.cache/uv/archive-v0/x/flask/app.py", False),
        ("/cache/wheels-v5/pypi/flask.whl", True),
    ],
)
def test_caches_fail_on_the_line_that_stores_them(path: str, visible: bool) -> None:
    """A cache ships wherever it lies, and also when a later line removes it."""
    made = good()
    made.file(path, 8, size=5_000_000, visible=visible)
    (finding,) = judge(given(made)).findings
    assert finding.line == 8
    assert "5.0 MB" in finding.message


def test_level_2_needs_the_library() -> None:
    """Where psycopg2 cannot load libpq, /info says so, and the packages are not there for the service."""
    made = good()
    silent: Running = replace(
        made.running(), info=Answer(200, "gunicorn", {"libpq": None, "libpq_error": "libpq.so.5"})
    )
    assert errors(given(made, running=silent, level=2)) == [7]
    told = replace(made.running(), info=Answer(200, "gunicorn", {"libpq": "17.6"}))
    assert judge(given(made, running=told, level=2)).status == "pass"


def test_without_pins_there_is_nothing_to_install_by() -> None:
    """A requirements.txt without pins, or none at all, fails."""
    assert judge(given(good(), requirements={})).status == "fail"


@pytest.mark.parametrize(("site", "asks"), [("", "Where does it say"), ("/usr/elsewhere", "Which interpreter")])
def test_hints_fit_what_is_missing(site: str, asks: str) -> None:
    """What was never installed needs the file with the pins; what lies elsewhere, the folders that are looked in."""
    made = good()
    if site:
        made.package("waitress", "3.0.2", 8, Origin("made", "build", 5, ("build",)), site=site)
        del made.distributions["waitress"]
    made.requirements["waitress"] = "3.0.2"
    (finding,) = [each for each in judge(given(made)).findings if "does not find" in each.message]

    assert finding.hints[0].startswith(asks)
