"""Learners' containers on a real engine: variations of the lab's optimized image, run and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import docker.errors
import pytest

from layerlab import demo
from layerlab.builder import build
from layerlab.engine import Engine, ownership
from layerlab.service import Running, observe, observing, waiting
from layerlab.ui.progress import Step

GUNICORN = 'CMD ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"]'
DROP = "import os, sys; os.setgroups([]); os.setgid(10001); os.setuid(10001); os.execvp(sys.argv[1], sys.argv[1:])"
# A server for what no WSGI server would do; it heeds SIGTERM.
SERVER = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ.get("STATUS", "200")))
        self.end_headers()
        self.wfile.write(os.environ.get("BODY", "fine").encode())
place = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "5000"))
http.server.HTTPServer(place, Handler).serve_forever()
"""
WAITS = """
import signal, subprocess, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
served = subprocess.Popen([sys.executable, "-m", "app"])
signal.sigwait([signal.SIGTERM])
time.sleep(2)
served.kill()
sys.exit(7)
"""
SERVE = 'CMD ["python", "-S", "/serve.py"]'

pytestmark = pytest.mark.usefixtures("own_images")
# A script for everybody, whose interpreter is root's alone, and a program in a folder that is root's alone.
CLOSED = """USER root
RUN cp /usr/local/bin/python3.13 /root/python && printf '#!/root/python\\n' > /closed && chmod 755 /closed
RUN mkdir /root/bin && cp /closed /root/bin/inside
ENV PATH=/root/bin:$PATH
USER 10001
"""

MakeImage = Callable[..., str]


@pytest.fixture(scope="module")
def make_image(engine, tmp_path_factory) -> Iterator[MakeImage]:
    """Builds what these lines make of the optimized image; all of it is removed in the end."""
    base = ownership.marker_tag(str(demo.find(engine, "optimized").id))
    folder = tmp_path_factory.mktemp("context")
    (folder / "serve.py").write_text(SERVER)
    (folder / "wait.py").write_text(WAITS)
    (folder / "start").write_text("#!/build/venv/bin/python\nprint()\n")
    (folder / "start").chmod(0o755)
    made = []

    def make(*lines: str) -> str:
        (folder / "Dockerfile").write_text("\n".join([f"FROM {base}", "COPY serve.py start wait.py /", *lines, ""]))
        tag = f"layerlab-test-container-{len(made)}:{ownership.RUN_ID}"
        made.append(tag)
        return build(engine, folder, tag=tag).image_id

    yield make
    for tag in made:
        with suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def good(engine) -> Running:
    return observe(engine, str(demo.find(engine, "optimized").id))


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """What takes its time because learners' machines are slow need not be slow here."""
    monkeypatch.setattr(observing, "GRACE", 1.0)
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(observing, "PATIENCE", dict.fromkeys(observing.PATIENCE, 0.2))


def own_containers(engine: Engine) -> set[str]:
    label = f"{ownership.CONTAINER_LABEL}={ownership.RUN_ID}"
    found = engine.client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    return {str(one.id) for one in found}


class TestGood:
    def test_answers(self, good):
        """The optimized image answers both endpoints as gunicorn, without a debugger, and nothing is wrong."""
        assert (good.up, good.failure, good.debugger) == (True, None, False)
        assert good.status.status == good.info.status == 200
        assert (good.status.server, good.is_http_server) == ("gunicorn", False)
        assert good.status.document is not None
        assert good.status.document["status"] == "ok"
        assert good.seconds is not None
        assert 0 < good.seconds < 30

    def test_processes(self, good):
        """All its processes run as the image's USER."""
        assert {process.uid for process in good.processes} == {10001}
        assert any("gunicorn" in process.command for process in good.processes)

    def test_interpreter(self, good):
        """The service's Python is that of its virtual environment, with the versions that /info tells."""
        assert good.interpreter is not None
        assert (good.interpreter.executable, good.interpreter.prefix) == ("/opt/venv/bin/python", "/opt/venv")
        assert good.interpreter.path[0] == "/srv"
        found = good.interpreter.distributions
        assert {name: found[name].version for name in good.info.document["packages"]} == good.info.document[
            "packages"
        ]
        assert found["numpy"].location.startswith("/opt/venv/lib/python3.13/site-packages/numpy-")
        assert "python-dateutil" in found

    def test_stop(self, good):
        """It ends by its stop signal."""
        assert good.stop is not None
        assert (good.stop.exit_code, good.stop.killed, good.stop.signal) == (0, False, "SIGTERM")
        assert "Handling signal: term" in good.logs

    def test_hardened(self, engine):
        """It also answers with a read-only root and without capabilities."""
        assert observing._answers_hardened(engine, str(demo.find(engine, "optimized").id)) == (True, "")

    def test_limits(self, engine, make_image):
        """The container has limits, no mount and no privilege, and is gone even if its watcher is broken off."""
        seen: list[dict[str, object]] = []

        def interrupt(step: Step) -> None:
            for one in own_containers(engine):
                attributes = engine.client.api.inspect_container(one)
                if attributes["State"]["Running"]:
                    seen.append(attributes["HostConfig"])
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            observe(engine, make_image('CMD ["sleep", "60"]'), report=interrupt)

        (host,) = seen
        assert (host["Memory"], host["PidsLimit"]) == (2**30, 512)
        assert 0 < int(str(host["NanoCpus"])) <= 2e9
        assert not host["Privileged"]
        assert not host["Binds"]
        assert not host["CapAdd"]
        assert host["ReadonlyRootfs"] is False
        assert own_containers(engine) == set()


class TestUsers:
    @pytest.mark.long
    def test_development_server(self, engine, make_image, monkeypatch):
        """Flask's server as root, with its debugger, behind a shell that has to be killed: all of it is seen."""
        monkeypatch.setattr(observing, "GRACE", 60.0)
        seen = observe(engine, make_image("USER root", "CMD python -m app; true"))

        assert {process.uid for process in seen.processes} == {0}
        assert seen.status.server.startswith("Werkzeug/")
        assert seen.debugger
        assert seen.stop is not None
        assert (seen.stop.killed, seen.stop.exit_code, seen.stop.is_deaf) == (True, 137, True)
        assert seen.stop.seconds < observing.GRACE / 2  # the kernel drops the signal: there is nothing to wait for
        assert seen.interpreter is not None
        assert seen.interpreter.prefix == "/opt/venv"

    def test_one_that_waits_for_its_signal(self, engine, make_image, monkeypatch):
        """Process 1 without a handler that takes the signal and its time, as tini does, is given the whole of it."""
        monkeypatch.setattr(observing, "GRACE", 60.0)
        seen = observe(engine, make_image('CMD ["python", "/wait.py"]'))

        assert seen.stop is not None
        assert (seen.stop.by_signal, seen.stop.exit_code, seen.stop.is_deaf) == (True, 7, False)
        assert seen.stop.seconds > observing.IN_VAIN

    @pytest.mark.long
    def test_dropped(self, engine, make_image):
        """An entry point that gives root up leaves none, though a health check still runs as root beside it."""
        health = 'HEALTHCHECK --interval=1s CMD ["sleep", "20"]'
        image = make_image("USER root", health, f'ENTRYPOINT ["python", "-c", "{DROP}"]', GUNICORN)
        seen = observe(engine, image)

        assert seen.status.status == 200
        assert {process.uid for process in seen.processes} == {10001}
        assert seen.interpreter is not None
        assert seen.interpreter.prefix == "/opt/venv"

    @pytest.mark.long
    def test_half_dropped(self, engine, make_image):
        """Who puts root aside and can take it back counts as root."""
        half = "import os, runpy; os.seteuid(10001); runpy.run_path('/serve.py', run_name='__main__')"
        seen = observe(engine, make_image("USER root", f'CMD ["python", "-S", "-c", "{half}"]'))

        assert seen.status.status == 200
        assert {process.uid for process in seen.processes} == {0}


class TestAnswers:
    def test_no_json(self, engine, make_image):
        """An answer that is no JSON object is one without a document; the server's own exit code is told."""
        seen = observe(engine, make_image(SERVE))

        assert (seen.status.status, seen.status.document) == (200, None)
        assert seen.is_http_server
        assert seen.interpreter is not None
        assert "/serve.py" in seen.interpreter.holder
        assert seen.stop is not None
        assert (seen.stop.killed, seen.stop.exit_code) == (False, 3)

    def test_error(self, engine, make_image):
        """A service that answers 404 is not ready, and that is said."""
        seen = observe(engine, make_image("ENV STATUS=404", SERVE))

        assert (seen.up, seen.seconds, seen.status.status) == (True, None, 404)
        assert seen.failure is not None
        assert "GET /status with 404" in seen.failure.message

    def test_loopback(self, engine, make_image):
        """A service that only its own container can reach is told so, and is looked at all the same."""
        seen = observe(engine, make_image("ENV HOST=127.0.0.1", SERVE))

        assert (seen.up, seen.seconds, seen.status.status) == (True, None, None)
        assert {process.uid for process in seen.processes} == {10001}
        assert seen.failure is not None
        assert seen.failure.blame == "dockerfile"
        assert "127.0.0.1 port 5000" in seen.failure.message
        assert seen.interpreter is not None
        assert seen.interpreter.executable == "/opt/venv/bin/python"

    @pytest.mark.long
    def test_other_port(self, engine, make_image):
        """A service on another port is told which it is."""
        seen = observe(engine, make_image("ENV PORT=8000", SERVE))

        assert seen.failure is not None
        assert "port 8000, not on 5000" in seen.failure.message

    def test_sleep(self, engine, make_image):
        """A container that never listens is up without an answer; its SIGKILL as stop signal counts as one."""
        seen = observe(engine, make_image("STOPSIGNAL 9", 'CMD ["sleep", "60"]'), wait=1)

        assert (seen.up, seen.seconds) == (True, None)
        assert [process.command for process in seen.processes] == ["sleep 60"]
        assert seen.failure is not None
        assert "nothing in it listened" in seen.failure.message
        assert seen.stop is not None
        assert (seen.stop.killed, seen.stop.signal) == (True, "SIGKILL")


class TestNotUp:
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('CMD ["waitress-serve", "app.wsgi:app"]', "waitress-serve cannot be started: it is not in any folder"),
            ("CMD waitress-serve app.wsgi:app", "waitress-serve cannot be started: it is not in any folder"),
            ('CMD ["/start"]', "the interpreter in its first line is not: /build/venv/bin/python"),
            ("CMD exec /start", "the interpreter in its first line is not: /build/venv/bin/python"),
            ('CMD ["/serve.py"]', "may not be run"),
            ('CMD ["gunicorn -b 0.0.0.0:5000"]', 'a string of its own: ["gunicorn", "-b", "0.0.0.0:5000"]'),
            ("CMD source /opt/venv/bin/activate && gunicorn", "write `. FILE` instead"),
            ('CMD ["python", "--version"]', "foreground"),
            ("USER nobody-knows", "user that USER names does not exist"),
        ],
    )
    def test_trouble(self, engine, make_image, line, told):
        """A container that does not stay up says why, and that it is the Dockerfile's fault."""
        seen = observe(engine, make_image(line))

        assert (seen.up, seen.stop, seen.interpreter) == (False, None, None)
        assert seen.failure is not None
        assert seen.failure.blame == "dockerfile"
        assert told in seen.failure.message

    @pytest.mark.parametrize(
        ("command", "told"),
        [
            ("/closed", "it or its interpreter /root/python is not executable, or in a folder"),
            ("inside", "the image's user may not enter its folder"),
        ],
    )
    def test_a_folder_that_is_closed(self, engine, make_image, command, told):
        """What lies where the image's user may not enter is not started, but by the runc of Debian 13."""
        image = make_image(f'{CLOSED}CMD ["{command}"]')
        container = engine.client.containers.create(image, ["/root/python", "-V"])
        try:
            with suppress(docker.errors.APIError):
                container.start()
                told = "before it answered"
        finally:
            container.remove(force=True)

        failure = observe(engine, image).failure
        assert failure is not None
        assert told in failure.message

    def test_no_command(self, engine, busybox_image):
        """An image without a command is told so."""
        seen = observe(engine, str(engine.client.images.get(busybox_image).id))

        assert not seen.up
        assert seen.failure is not None
        assert "no command" in seen.failure.message

    def test_hardened(self, engine, make_image):
        """What fails in the hardened run alone is told."""
        answers, why = observing._answers_hardened(
            engine, make_image('CMD ["python", "-c", "open(\'/srv/x\', \'w\')"]')
        )

        assert not answers
        assert "x'" in why
