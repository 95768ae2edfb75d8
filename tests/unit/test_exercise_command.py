"""Task 7, a production command, judged from evidence that is written down."""

from dataclasses import replace
from typing import Any

import pytest

from layerlab.errors import Blame, Failure
from layerlab.exercise.evidence.facts import Evidence
from layerlab.exercise.tasks.command import judge
from layerlab.exercise.verdict import Finding
from layerlab.service import Answer, Distribution, Interpreter, Process, Running, Stop

from .checker_evidence import GOOD, WORKSPACE, good

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


def python(**changes: Any) -> Interpreter:
    return replace(Interpreter("/opt/venv/bin/python", "/opt/venv", (), {}), **changes)


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


def test_pythons_http_server_fails_whatever_it_calls_itself() -> None:
    """Development servers are built on it; who holds the port is told with what it calls itself."""
    (finding,) = errors(run(is_http_server=True, interpreter=python(holder="python /opt/bin/gunicorn")))
    assert finding.line == 13
    assert "held by 'python /opt/bin/gunicorn', which calls itself 'gunicorn'" in finding.message
    assert len(errors(run(is_http_server=True, interpreter=None))) == 1


def test_eventlets_server_passes() -> None:
    """It is built on http.server as well, and made for production."""
    eventlet = {"eventlet": Distribution("eventlet", "0.40.3", "/site-packages/eventlet-0.40.3.dist-info")}
    assert not errors(run(is_http_server=True, interpreter=replace(python(), distributions=eventlet)))


def test_an_app_that_is_its_own_program_may_start_a_production_server() -> None:
    """`python -m app` with another __main__ is what its answers say."""
    answer = Answer(200, "waitress", {"a": 1})
    assert not errors(run(status=answer, info=answer, processes=(Process(10001, "", "python -m app"),)))


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
    ("first", "handles", "said"),
    [
        ("/bin/sh -c gunicorn app.wsgi:app", None, "(/bin/sh -c gunicorn app.wsgi:app) is a shell"),
        ("bash /srv/start.sh", {"SIGCHLD"}, "(bash /srv/start.sh) is a shell"),
        ("server", set(), "(server) has no handler for SIGTERM"),
        ("server", {"SIGTERM"}, "(server) did not end on SIGTERM"),
        ("server", None, "(server) did not end on SIGTERM"),
    ],
)
def test_a_service_that_has_to_be_killed_fails_with_the_cause(
    first: str, handles: set[str] | None, said: str
) -> None:
    """By what process 1 is, and what it has for the signal."""
    stop = replace(KILLED, handles=None if handles is None else frozenset(handles))
    (finding,) = errors(run(stop=stop, processes=(Process(10001, "", first, is_first=True),)))
    assert finding.line == 13
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


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        ("CMD ['gunicorn', 'app.wsgi:app']", """CMD on line 13 is: /bin/sh -c '['"'"'gunicorn'"'"', """),
        ('ENTRYPOINT ["python"]\nCMD -m gunicorn', "ENTRYPOINT on line 13 and CMD on line 14 is: python /bin/sh -c "),
        ('ENTRYPOINT gunicorn\nCMD ["app.wsgi:app"]', "is: /bin/sh -c gunicorn app.wsgi:app. What is no JSON array"),
    ],
)
def test_a_command_that_is_another_than_it_seems_is_told(instructions: str, told: str) -> None:
    """What the engine makes of ENTRYPOINT and CMD shows whatever got lost on the way."""
    ended = Running(up=False, failure=Failure("dockerfile", "It printed last: usage"))
    (finding,) = errors(good(GOOD.replace(COMMAND, f"{instructions}\n")).evidence(ended))
    assert finding.message.startswith("It printed last: usage. What the engine makes of ")
    assert told in finding.message


@pytest.mark.parametrize("command", ["CMD exec gunicorn app.wsgi:app\n", "CMD gunicorn app.wsgi:app\n"])
def test_the_shell_form_passes_where_it_ends_by_its_signal(command: str) -> None:
    """What counts is how it ends, not how it is written."""
    assert not errors(run(command))


def test_a_container_that_was_not_stopped_is_unknown() -> None:
    """How it ends belongs to the task."""
    assert judge(run(stop=None)).status == "unknown"


def test_a_development_server_behind_another_fails() -> None:
    """A proxy in front of it changes nothing but who is asked first."""
    (finding,) = errors(run(interpreter=python(holder="nginx: master", behind=("port 8000",))))
    assert "held by 'nginx: master', and behind it, at port 8000 in the container" in finding.message


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
    ignored = made.evidence(running, context=WORKSPACE)  # app/ in .dockerignore, and a stub brought by other means
    assert errors(ignored) == found
    assert not errors(good().evidence(running))
