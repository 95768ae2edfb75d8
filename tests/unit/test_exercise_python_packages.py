"""Task 3: Python packages from requirements.txt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from layerlab.dockerfile import parse
from layerlab.exercise.evidence.model import Answer, Evidence, Failure, Interpreter, Origin, RanStep, Rebuild, Running
from layerlab.exercise.tasks.python_packages import judge
from layerlab.exercise.tasks.requirements_file import Reader
from tests.unit.checker_evidence import GOOD, SITE, Made, good

CACHED = Rebuild((RanStep("build", 5, "RUN", cached=True), RanStep("1", 11, "COPY app app", cached=False)))


def given(made: Made, **changes: Any) -> Evidence:
    """The evidence with a rebuild that copies the app again and nothing else."""
    return made.evidence(**{"rebuild": CACHED, **changes})


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
    assert "it is Python 3.12, they are for 3.13" in finding.message


def test_a_venv_whose_interpreter_is_elsewhere_is_named() -> None:
    """A virtual environment that belongs to an interpreter which the image lacks is the reason that is given."""
    made = good()
    made.file("/opt/venv/pyvenv.cfg", 8, content=b"home = /usr/bin\nversion = 3.13.5\n")
    running = made.running(interpreter=Interpreter("/usr/local/bin/python3", "/usr/local", (), {}))
    (finding,) = judge(given(made, running=running)).findings
    assert "belongs to an interpreter in /usr/bin" in finding.message


@pytest.mark.parametrize(
    ("before", "run", "uses"),
    [
        ("COPY requirements.txt .", "pip install -r requirements.txt", True),
        ("COPY requirements.txt /tmp/pins.txt", "pip install -r /tmp/pins.txt", True),
        ("COPY . .", "uv pip sync requirements.txt", True),
        ("COPY *.txt ./", "pip install -c requirements.txt flask", True),
        ("ENV PIP_CONSTRAINT=/c.txt\nCOPY requirements.txt /c.txt", "pip install flask", True),
        ("ARG F=requirements.txt\nCOPY $F .", "pip install flask", False),
        ("", "--mount=type=bind,source=requirements.txt,target=/r.txt pip install -r /r.txt", True),
        ("", "--mount=type=bind,target=. pip wheel -r requirements.txt", True),
        ("COPY requirements.txt .", "xargs pip install < requirements.txt", True),
        ("COPY requirements.txt .", "pip install $(cat requirements.txt)", True),
        ("COPY requirements.txt .", "grep -v x requirements.txt > r2.txt && pip install -r r2.txt", True),
        ("COPY requirements.txt .", "echo pip install -r requirements.txt", False),
        ("COPY requirements.txt .", "pip install flask", False),
        ("COPY other.txt requirements.txt", "pip install -r requirements.txt", False),
        ("COPY same.txt requirements.txt", "pip install -r requirements.txt", True),
        ("RUN echo flask > requirements.txt", "pip install -r requirements.txt", False),
        ("COPY <<EOF requirements.txt\nflask\nEOF", "pip install -r requirements.txt", False),
        ("COPY --from=source /r/requirements.txt /", "pip install -r /requirements.txt", True),
        ("COPY . .", "pip install -r requirements/production.txt", True),
        ("COPY . .", "pip install -r requirements/remark.txt", False),
        ("COPY requirements/test.txt requirements.txt ./", "pip install -r test.txt", True),
        ("COPY requirements.txt .", "pip install --dry-run -r requirements.txt", False),
        ("COPY requirements.txt .", "pip-sync -n requirements.txt", False),
        ("COPY requirements.txt .", "poetry add $(grep -v '^#' requirements.txt)", True),
        ("COPY requirements.txt .", "pdm import requirements.txt && pdm sync", True),
        ("COPY requirements.txt .", "uv add $(cat requirements.txt) && uv sync", True),
        ("COPY requirements.txt .", "uv add flask && uv sync", False),
    ],
)
def test_which_commands_use_the_contexts_file(before: str, run: str, uses: bool) -> None:
    """The file is followed through copies, mounts and pipes; one that is written or another one's does not count."""
    text = f"FROM a:1 AS source\nCOPY requirements.txt /r/\nFROM a:1\n{before}\nRUN {run}\n"
    dockerfile = parse(text)
    pins = b"flask==3.1.3\n"
    files = {"requirements.txt": pins, "same.txt": pins, "other.txt": b"flask\n"}
    files |= {"requirements/base.txt": b"--requirement=../requirements.txt  # all\n"}
    files |= {
        "requirements/production.txt": b"uwsgi==2.0.31\r\n -rbase.txt\r\n",
        "requirements/loop.txt": b"-r loop.txt",
    }
    files |= {
        "requirements/remark.txt": b"# -r ../requirements.txt\nflask\n",
        "requirements/test.txt": b"-r requirements.txt",
    }
    stage = dockerfile.stages[-1]
    evidence = Evidence(dockerfile=dockerfile, context=files, workspace=files)
    assert Reader(evidence, dockerfile).uses_requirements(stage, stage.instructions[-1]) is uses


def test_packages_typed_by_hand_fail_on_their_line() -> None:
    """That versions happen to agree is not enough: the command has to use the file."""
    text = GOOD.replace("-r requirements.txt", "flask==3.1.3 gunicorn==27.0.1")
    assert errors(given(good(text))) == [5]


@pytest.mark.parametrize(
    "run",
    [
        'if [ -n "$NEVER" ]; then pip install -r requirements.txt; else pip install flask==3.1.3 gunicorn pandas; fi',
        "pip install -r requirements.txt || pip install flask==3.1.3 gunicorn==27.0.1 pandas==3.1.1",
    ],
)
def test_pins_typed_beside_the_file_fail(run: str) -> None:
    """Where most of them are named by hand too, nobody can tell that the file decided; one or two more do no harm."""
    text = GOOD.replace("/opt/venv/bin/pip install --no-cache-dir -r requirements.txt", run)
    made = good(text)
    made.package("pandas", "3.1.1", 8, Origin("made", "build", 5, ("build",)))
    assert errors(given(made)) == [5]
    made = good(GOOD.replace("-r requirements.txt", "-r requirements.txt && pip install gunicorn waitress"))
    made.package("pandas", "3.1.1", 8, Origin("made", "build", 5, ("build",)))
    assert errors(given(made)) == []


def test_onbuild_may_install() -> None:
    """What a stage is asked for by ONBUILD counts as its own, on the line of its FROM; also when it runs again."""
    text = """FROM python:3.13-slim-trixie AS recipe
ONBUILD COPY requirements.txt .
ONBUILD RUN pip install -t /opt/venv -r requirements.txt
FROM recipe AS build
FROM python:3.13-slim-trixie
COPY --from=build /opt/venv /opt/venv
COPY app app
"""
    made = good(text, copied=6, app=7)
    for key in made.final.origins:
        made.final.origins[key] = Origin("made", "build", 4, ("build",))
    assert judge(given(made)).status == "pass"
    again = RanStep("build", None, "ONBUILD RUN pip install -t /opt/venv -r requirements.txt", cached=False)
    assert errors(given(made, rebuild=Rebuild((again,)))) == [4]


def test_a_distribution_of_which_only_the_notes_are_left_is_missing() -> None:
    """Its files tell; bytecode in the place of its sources, or a part of them, is enough."""
    made = good()
    flask = [file for file in made.final.files if file.path.startswith(f"{SITE}/flask/")]
    made.final.files = [file for file in made.final.files if file not in flask]
    (finding,) = judge(given(made)).findings
    assert "Of flask" in finding.message
    made.file(f"{SITE}/flask/core.pyc", 8, origin=Origin("made", "build", 5, ("build",)))
    assert not judge(given(made)).findings


def test_one_package_by_hand_in_another_run_fails() -> None:
    """Each pinned distribution has to come by the file, not only most of them."""
    text = GOOD.replace("\n\nFROM", "\nRUN /opt/venv/bin/pip install gunicorn==27.0.1\n\nFROM", 1)
    made = good(text, copied=9, app=12)
    for layer, path in list(made.final.origins):
        if "gunicorn" in path and path.startswith(SITE):
            made.final.origins[layer, path] = Origin("made", "build", 6, ("build",))
    assert errors(given(made, rebuild=Rebuild(()))) == [6]


def test_a_file_that_is_only_named_afterwards_excuses_nothing() -> None:
    """A later RUN went on from what an earlier one installed only if it installed something of the service's, too."""
    run = "RUN /opt/venv/bin/pip install --no-cache-dir -r requirements.txt"
    typed = GOOD.replace(run, "RUN /opt/venv/bin/pip install flask==3.1.3\nRUN pip download -r requirements.txt")
    assert typed != GOOD
    made = good(typed, copied=9, app=12)
    made.requirements |= {"a": "1", "b": "1", "c": "1"}  # so that flask alone is not most of them
    assert 5 in errors(given(made))


def test_an_installation_that_runs_again_fails_and_names_the_copy() -> None:
    """After a change of the app the installing step must come from the cache."""
    text = GOOD.replace("COPY requirements.txt .", "COPY . .")
    steps = (RanStep("build", 3, "COPY . .", cached=False), RanStep("build", 5, "RUN pip", cached=False))
    (finding,) = judge(given(good(text), rebuild=Rebuild(steps))).findings
    assert finding.line == 5
    assert "line 3" in finding.message


def test_without_an_image_a_file_that_is_named_is_not_refuted() -> None:
    """Only a command that names packages refutes the task, not one whose file has not come into the build."""
    broken = Failure("dockerfile", "COPY requirements.txt . failed: not found.", 3)
    without = {"README.md": b"x"}
    missing = given(good(), image=None, failure=broken, context=without)
    assert judge(missing).status == "unknown"
    by_hand = good(GOOD.replace("-r requirements.txt", "flask"))
    assert judge(given(by_hand, image=None, failure=broken, context=without)).status == "fail"


def test_a_rebuild_that_could_not_be_seen_is_unknown() -> None:
    """Without the rebuild's evidence the task is neither passed nor failed."""
    failure = Failure("limit", "It took too long.")
    assert judge(given(good(), rebuild=Rebuild((), failure))).status == "unknown"
    assert judge(given(good(), rebuild=None)).status == "unknown"


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
