"""Task 7, a production command, judged from evidence that is written down."""

from dataclasses import replace
from typing import Any

import pytest

from layerlab.exercise.evidence.model import (
    Answer,
    Blame,
    Evidence,
    Failure,
    Interpreter,
    Origin,
    Process,
    Running,
    Stop,
)
from layerlab.exercise.tasks.command import judge
from layerlab.exercise.verdict import Finding

from .checker_evidence import GOOD, WORKSPACE, Made, good

COMMAND = 'CMD ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"]\n'
KILLED = Stop(10.2, 137, killed=True)
FINE = Answer(200, "gunicorn", {"a": 1})


def errors(evidence: Evidence) -> list[Finding]:
    result = judge(evidence)
    assert result.status == ("fail" if any(f.level == "error" for f in result.findings) else "pass")
    return [finding for finding in result.findings if finding.level == "error"]


def run(command: str = COMMAND, **changes: Any) -> Evidence:
    """A container of an image whose command is this (line 13), that behaves but for the changes."""
    made = good(GOOD.replace(COMMAND, command))
    return made.evidence(made.running(**changes))


def test_a_production_server_that_answers_and_ends_passes_without_advice() -> None:
    """The worked example's shape has nothing that a finding could be about."""
    result = judge(run())
    assert (result.id, result.status, result.findings) == (7, "pass", ())


@pytest.mark.parametrize(
    "server", ["", "gunicorn", "waitress", "uvicorn", "Cheroot/10.0", "TornadoServer/6.5", "nginx"]
)
def test_any_production_server_passes(server: str) -> None:
    """Which one is the learner's choice; some send no Server header."""
    answer = Answer(200, server, {"a": 1})
    assert not errors(run(status=answer, info=answer, processes=(Process(10001, "", "/usr/bin/server --port 5000"),)))


@pytest.mark.parametrize(
    "server",
    [
        "Werkzeug/3.1.9 Python/3.13.5",
        "Werkzeug, as gunicorn",
        "WSGIServer/0.2 CPython/3.13.5",
        "SimpleHTTP/0.6 Python",
    ],
)
def test_a_development_server_fails_by_what_it_calls_itself(server: str) -> None:
    """A script called gunicorn that starts it does not help: the answers tell."""
    answer = Answer(200, server, {"a": 1})
    (finding,) = errors(run(status=answer, info=answer, processes=(Process(10001, "", "python /opt/bin/gunicorn"),)))
    assert finding.line == 13
    assert "whatever the command is called" in finding.message


@pytest.mark.parametrize(
    "command",
    [
        "flask run --host 0.0.0.0",
        "python /venv/bin/flask --app app.wsgi run",
        "python3 -m flask --app app run",
        "python -m app",
    ],
)
def test_a_development_server_without_a_header_fails_by_its_command(command: str) -> None:
    """The process's own words tell, where the answers do not."""
    answer = Answer(200, "", {"a": 1})
    assert len(errors(run(status=answer, info=answer, processes=(Process(10001, "", command),)))) == 1


def test_an_app_that_is_its_own_program_may_start_a_production_server() -> None:
    """`python -m app` with another __main__ is what its answers say."""
    answer = Answer(200, "waitress", {"a": 1})
    assert not errors(run(status=answer, info=answer, processes=(Process(10001, "", "python -m app"),)))


def test_a_development_server_fails_by_what_it_prints() -> None:
    """Werkzeug warns of itself in its log."""
    logs = "WARNING: This is a development server. Do not use it in a production deployment."
    assert len(errors(run(logs=logs))) == 1


def test_an_open_debugger_fails_on_the_line_that_turns_it_on() -> None:
    """The ENV that says so, else the command."""
    assert [finding.line for finding in errors(run(debugger=True))] == [13]
    made = good(GOOD.replace("ENV ", "ENV FLASK_DEBUG=1 "))
    assert [finding.line for finding in errors(made.evidence(made.running(debugger=True)))] == [9]


@pytest.mark.parametrize(
    ("status", "info", "said"),
    [
        (Answer(404), FINE, "GET /status answers 404"),
        (FINE, Answer(500), "GET /info answers 500"),
        (FINE, Answer(None), "GET /info got no answer"),
        (FINE, Answer(200, "gunicorn", None), "GET /info answers 200, without a JSON object"),
    ],
)
def test_wrong_answers_fail(status: Answer, info: Answer, said: str) -> None:
    """Both endpoints have to answer 200 with a JSON object."""
    (finding,) = errors(run(status=status, info=info))
    assert finding.line == 13
    assert said in finding.message


def test_a_service_that_does_not_answer_fails_with_its_reason_on_its_line() -> None:
    """Near misses are told in the words of whoever looked into the container."""
    reason = Failure("dockerfile", "The service listens on 127.0.0.1 port 5000, which only the container can reach.")
    silent = {"status": Answer(None), "info": Answer(None), "seconds": None}
    (finding,) = errors(run(**silent, failure=reason))
    assert finding.line == 13
    assert finding.message.startswith(reason.message)
    (finding,) = errors(run(**silent, failure=replace(reason, line=12)))
    assert finding.line == 12


def test_a_final_stage_without_a_command_is_told_so_on_its_from() -> None:
    """The base's own command is started then."""
    made = good(GOOD.replace(COMMAND, ""))
    stopped = Running(up=False, failure=Failure("dockerfile", "The container ended with status 0."))
    (finding,) = errors(made.evidence(stopped))
    assert finding.line == 7
    assert "neither CMD nor ENTRYPOINT" in finding.message


@pytest.mark.parametrize("blame", ["engine", "network"])
def test_what_is_not_the_learners_fault_is_unknown(blame: Blame) -> None:
    """An engine that cannot start containers says nothing about the image."""
    down = Running(up=False, failure=Failure(blame, "The engine could not start the container."))
    result = judge(good().evidence(down))
    assert result.status == "unknown"
    assert blame in result.findings[0].message


@pytest.mark.parametrize(
    ("command", "line", "said"),
    [
        ("CMD gunicorn app.wsgi:app\n", 13, "line 13 has the shell form"),
        ("ENTRYPOINT gunicorn app.wsgi:app\nCMD []\n", 13, "line 13 has the shell form"),
        ('CMD ["bash", "-ec", "gunicorn app.wsgi:app & sleep infinity"]\n', 13, "line 13 starts a shell"),
        ('CMD ["sh", "-c", "exec server"]\n', 13, "process 1 did not end on SIGTERM"),
        ('STOPSIGNAL SIGTERM\nCMD ["server"]\n', 14, "process 1 did not end on SIGTERM"),
    ],
)
def test_a_service_that_has_to_be_killed_fails_with_the_cause(command: str, line: int, said: str) -> None:
    """A shell as process 1 is seen in the form of the instruction."""
    (finding,) = errors(run(command, stop=KILLED))
    assert finding.line == line
    assert said in finding.message
    assert "exit code 137" in finding.message


def test_sigkill_as_the_stop_signal_fails_on_its_line() -> None:
    """Nothing can end properly on it."""
    (finding,) = errors(run("STOPSIGNAL SIGKILL\n" + COMMAND, stop=Stop(0.1, 137, killed=True, signal="SIGKILL")))
    assert finding.line == 13
    assert "asks for SIGKILL itself" in finding.message


def test_waitress_as_process_1_is_told_what_it_needs() -> None:
    """In words; the answer's code is the learner's to write."""
    command = 'CMD ["waitress-serve", "--port=5000", "app.wsgi:app"]\n'
    answer = Answer(200, "waitress", {"a": 1})
    (finding,) = errors(run(command, stop=KILLED, status=answer, info=answer))
    assert finding.line == 13
    assert "ends on SIGINT" in finding.message
    assert "init" in finding.message
    assert "STOPSIGNAL" not in finding.message


def test_a_stop_signal_that_means_something_else_fails_on_its_line() -> None:
    """The signal is the image's own choice, so that is where it is to be changed."""
    stop = replace(KILLED, signal="SIGUSR1")
    (finding,) = errors(run("STOPSIGNAL SIGUSR1\n" + COMMAND, stop=stop))
    assert finding.line == 13
    assert "asks for SIGUSR1" in finding.message


def test_uwsgi_is_told_that_it_reloads() -> None:
    """It does with SIGTERM, unlike other servers."""
    (finding,) = errors(run('CMD ["/opt/venv/bin/uwsgi", "--http-socket", ":5000"]\n', stop=KILLED))
    assert "for a reload" in finding.message


def test_a_service_that_was_still_loading_is_not_blamed_for_its_end() -> None:
    """It has no handler yet; that it does not answer is what is wrong."""
    late = {"status": Answer(None), "info": Answer(None), "seconds": None, "hurried": True}
    (finding,) = errors(run(stop=KILLED, failure=Failure("dockerfile", "Nothing listened within 30 s."), **late))
    assert finding.message.startswith("Nothing listened")


def test_a_command_that_is_another_than_it_seems_is_named() -> None:
    """Near misses: an array that is no JSON, and an ENTRYPOINT that drops what another stage said."""
    ended = Running(up=False, failure=Failure("dockerfile", "The container ended."))
    (finding,) = errors(good(GOOD.replace(COMMAND, "CMD ['gunicorn', 'app.wsgi:app']\n")).evidence(ended))
    assert "Line 13 looks like a JSON array and is none" in finding.message
    text = GOOD.replace("\nFROM python:3.13-slim-trixie\n", "\nFROM python:3.13-slim-trixie AS service\n")
    dropped = good(f'{text}FROM service\nENTRYPOINT ["tini"]\n').evidence(ended)
    (finding,) = errors(dropped)
    assert "ENTRYPOINT on line 15 drops the CMD of line 13" in finding.message


@pytest.mark.parametrize(
    ("entry", "command", "told"),
    [
        (
            '["python"]',
            "-m gunicorn app.wsgi:app",
            "its arguments: python /bin/sh -c '-m gunicorn app.wsgi:app'. Give",
        ),
        (
            '["/bin/sh", "-c"]',
            "gunicorn app.wsgi:app",
            "on line 13 has the JSON form and CMD on line 14 the shell form",
        ),
        ('["tini", "--"]', "gunicorn app.wsgi:app", ""),
        ('["/usr/bin/env", "A=b"]', "gunicorn app.wsgi:app", ""),
        ('["/srv/start.sh"]', "gunicorn app.wsgi:app", ""),
        ('["python"]', '["-m", "gunicorn", "app.wsgi:app"]', ""),
        ("gunicorn", '["app.wsgi:app"]', "ENTRYPOINT on line 13 has the shell form, which takes no arguments"),
        ('gunicorn "$0"', '["app.wsgi:app"]', ""),
    ],
)
def test_an_entry_point_and_a_command_that_do_not_fit_are_named(entry: str, command: str, told: str) -> None:
    """Unless what is started runs its arguments as a command."""
    made = good(GOOD.replace(COMMAND, f"ENTRYPOINT {entry}\nCMD {command}\n"))
    made.file("/srv/start.sh", 11, content=b'#!/bin/sh\nexec "$@"\n', origin=Origin("context", "1", 11))
    ended = Running(up=False, failure=Failure("dockerfile", "It printed last: usage"))
    (finding,) = errors(made.evidence(ended))
    assert finding.message.startswith("It printed last: usage. ")
    assert (told in finding.message, "ENTRYPOINT" in finding.message) == (True, bool(told))


def test_an_entry_point_script_that_waits_for_the_server_is_named() -> None:
    """Its text shows that it is not replaced by the server."""
    made = good(GOOD.replace(COMMAND, f'ENTRYPOINT ["/srv/start.sh"]\n{COMMAND}'))
    made.file("/srv/start.sh", 11, content=b'#!/bin/sh\necho go\n"$@"\n', origin=Origin("context", "1", 11))
    (finding,) = errors(made.evidence(made.running(stop=KILLED)))
    assert finding.line == 13
    assert "`exec`" in finding.message


@pytest.mark.parametrize("command", ["CMD exec gunicorn app.wsgi:app\n", "CMD gunicorn app.wsgi:app\n"])
def test_the_shell_form_passes_where_it_ends_by_its_signal(command: str) -> None:
    """What counts is how it ends, not how it is written."""
    assert not errors(run(command))


def test_a_container_that_was_not_stopped_is_unknown() -> None:
    """How it ends belongs to the task."""
    assert judge(run(stop=None)).status == "unknown"


def test_without_an_image_a_command_of_a_development_server_fails_and_another_is_unknown() -> None:
    """The Dockerfile alone tells what would be started."""
    broken = Failure("dockerfile", "RUN false ended with status 1.", 2)

    def status(command: str, failure: Failure = broken) -> str:
        made = Made(f"FROM python:3.13-slim\nRUN false\n{command}\n")
        return judge(made.evidence(image=None, running=None, failure=failure)).status

    assert status('CMD ["flask", "--app", "app.wsgi", "run"]') == "fail"
    assert status("CMD python -m app") == "fail"
    assert status('CMD ["gunicorn", "app.wsgi:app"]') == "unknown"
    assert status("CMD python -m app", Failure("network", "no registry answers")) == "unknown"


def test_a_development_server_under_a_forged_name_is_named_both_ways() -> None:
    """What it calls itself is told apart from what it is."""
    answer = Answer(200, "http.server, as waitress", {"a": 1})
    (finding,) = errors(run(status=answer, info=answer))
    assert "calls itself 'waitress' and is Python's http.server" in finding.message


def test_a_development_server_behind_another_fails() -> None:
    """A proxy in front of it changes nothing but who is asked first."""
    interpreter = replace(good().running().interpreter or Interpreter("", "", (), {}), behind=("port 8000",))
    answer = Answer(200, "nginx", {"a": 1})
    (finding,) = errors(run(status=answer, info=answer, interpreter=interpreter))
    assert "Behind what answers, at port 8000 in the container, is Python's http.server" in finding.message


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"container": "0123456789ab"}, ""),
        ({"container": "elsewhere"}, "calls the container 'elsewhere'"),
        ({"python": "3.13.5"}, "does not name the container"),
    ],
)
def test_something_that_answers_in_the_apps_place_fails(info: dict[str, Any], told: str) -> None:
    """The lab's own app tells in which container it runs; an app of which that is not known may answer anything."""
    app = {**WORKSPACE, "app/info.py": b'    "container": socket.gethostname(),\n'}
    made = good(workspace=app)
    running = made.running(hostname="0123456789ab", info=Answer(200, "gunicorn", info))
    found = errors(made.evidence(running))
    assert [told in finding.message for finding in found] == ([True] if told else [])
    assert not errors(good().evidence(running))
