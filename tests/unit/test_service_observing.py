"""What is read from a container's processes, logs and answers, without one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer

import pytest
from werkzeug.debug import DebuggedApplication
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from layerlab.service import Answer, Process, answers, diagnosis, interpreter, processes
from layerlab.service.diagnosis import Refusal, Script
from layerlab.service.ending import signal_name
from layerlab.service.waiting import Listener, Wait

TITLES = ["PID", "PPID", "UID", "RUID", "SUID", "GID", "COMMAND"]
VENV = "/opt/venv/bin/python /opt/venv/bin/gunicorn app.wsgi:app"


class TestProcesses:
    def test_from_outside(self):
        """Health checks and what they start are not the service's; the children of process 1 are."""
        rows = [
            ["101", "100", "10001", "10001", "10001", "10002", VENV],
            ["100", "50", "10001", "10001", "10001", "10002", VENV],
            ["102", "101", "0", "0", "0", "0", "helper"],
            ["110", "50", "0", "0", "0", "0", "sh -c check"],
            ["111", "110", "0", "0", "0", "0", "curl"],
        ]

        seen = processes.parse_top({"Titles": TITLES, "Processes": rows}, 100, {10001: "app"})

        assert [(one.pid, one.uid, one.user, one.gid, one.command, one.is_first) for one in seen] == [
            (100, 10001, "app", 10002, VENV, True),
            (101, 10001, "app", 10002, VENV, False),
            (102, 0, "0", 0, "helper", False),
        ]

    def test_saved_root(self):
        """A process that can take root back counts as root."""
        rows = [["1", "0", "10001", "10001", "0", "10001", "a"], ["2", "1", "10001", "0", "10001", "10001", "b"]]

        assert {one.uid for one in processes.parse_top({"Titles": TITLES, "Processes": rows}, 1, {})} == {0}

    def test_busybox(self):
        """An engine's ps that knows names alone still tells root; the terminal never sees what a process writes."""
        rows = [["1", "0", "root", "a\x1b[31mb"], ["2", "1", "app", "c"], ["3", "1", "10001", "d"]]

        seen = processes.parse_top(
            {"Titles": ["PID", "PPID", "USER", "COMMAND"], "Processes": rows}, 1, {10001: "me"}
        )

        assert [(one.uid, one.user, one.gid, one.command) for one in seen] == [
            (0, "root", None, "ab"),
            (-1, "app", None, "c"),
            (10001, "me", None, "d"),
        ]
        assert interpreter.user_to_ask_as(seen) == ""

    def test_ended(self):
        """A container that has ended has none."""
        assert processes.parse_top({"Titles": TITLES, "Processes": None}, 0, {}) == ()

    @pytest.mark.parametrize(
        ("commands", "expected"),
        [
            (["tini -- sh", VENV], "1:101"),
            (["nginx: master", "gunicorn: master [app]"], "1:101"),
            (["uwsgi --http :5000", "helper"], "0:100"),
            (["server"], "0:100"),
        ],
    )
    def test_asker(self, commands, expected):
        """The server's process is asked as its own user, which is that of the first Python."""
        seen = [Process(number, "", command, gid=100 + number) for number, command in enumerate(commands)]

        assert interpreter.user_to_ask_as(seen) == expected


class TestCandidates:
    @pytest.mark.parametrize(
        ("commands", "first"),
        [
            ([VENV], "/opt/venv/bin/python"),
            (["python3.13 -m gunicorn"], "python3.13"),
            (["/usr/bin/tini -- /app/.venv/bin/python3 run.py"], "/app/.venv/bin/python3"),
            (["gunicorn: master [app.wsgi:app]"], "python3"),
            (["/lib64/ld-linux-x86-64.so.2 /python/bin/python3.12 -m x"], "/python/bin/python3.12"),
            ([], "python3"),
        ],
    )
    def test_first(self, commands, first):
        """The interpreter that is tried first is one that the processes name, if they name one."""
        assert interpreter.candidates(commands)[0] == first

    def test_each_once(self):
        """None is tried twice."""
        found = interpreter.candidates([VENV, VENV, "python3 x"])

        assert len(found) == len(set(found))
        assert "/usr/local/bin/python3" in found

    @pytest.mark.parametrize(
        "output", [b"", b"MARK", b"MARK[]", b'MARK{"executable": 3}', b"MARK" + b"[" * 100_000, b"\xff\nMARK{}"]
    )
    def test_nonsense(self, output):
        """Whatever an image prints in place of an answer is none."""
        assert interpreter.read_answer(output, "MARK") is None


class TestRefusal:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                'OCI runtime create failed: starting container process caused: exec: "gunicorn": executable file not '
                "found in $PATH",
                Refusal("gunicorn", "missing"),
            ),
            ('process caused: exec: "/start.sh": permission denied', Refusal("/start.sh", "forbidden")),
            ('exec: "/a/b": stat /a/b: no such file or directory', Refusal("/a/b", "missing")),
            ("exec /opt/venv/bin/gunicorn: no such file or directory", Refusal("/opt/venv/bin/gunicorn", "missing")),
            ("exec /start.sh: exec format error", Refusal("/start.sh", "format")),
            (
                "standard_init_linux.go:228: exec user process caused: no such file or directory",
                Refusal("", "missing"),
            ),
            ("sh: 1: gunicorn: not found", Refusal("gunicorn", "missing")),
            ("/bin/sh: 1: exec: gunicorn: not found", Refusal("gunicorn", "missing")),
            ("/bin/sh: gunicorn: not found", Refusal("gunicorn", "missing")),
            ("bash: line 1: gunicorn: command not found", Refusal("gunicorn", "missing")),
            ("/start.sh: 3: /x.sh: Permission denied", Refusal("/x.sh", "forbidden")),
            (
                "/bin/bash: /v/bin/gunicorn: /b/bin/python: bad interpreter: No such file or directory",
                Refusal("/v/bin/gunicorn", "missing"),
            ),
            ("/usr/bin/env: ‘python3’: No such file or directory", Refusal("python3", "missing")),
            ("[FATAL tini (7)] exec gunicorn failed: No such file or directory", Refusal("gunicorn", "missing")),
            ("[dumb-init] gunicorn: No such file or directory", Refusal("gunicorn", "missing")),
            ("[dumb-init] gunicorn a:b: No such file or directory", Refusal("gunicorn a:b", "missing")),
            ("/usr/bin/env: ‘gunicorn a:b’: No such file or directory", Refusal("gunicorn a:b", "missing")),
            (
                "[FATAL tini (7)] exec gunicorn a:b failed: No such file or directory",
                Refusal("gunicorn a:b", "missing"),
            ),
            ("/start.sh: 3: exec: gunicorn a:b: not found", Refusal("gunicorn a:b", "missing")),
            ("setpriv: failed to execute gunicorn: No such file or directory", Refusal("gunicorn", "missing")),
            ("/opt/venv/bin/start.sh: 3: gunicorn: not found", Refusal("gunicorn", "missing")),
            ("/opt/env/bin/start.sh: 3: gunicorn: Permission denied", Refusal("gunicorn", "forbidden")),
            ("could not exec query: relation users: not found", None),
            ("Environment: staging: not found\nEnvironment: x: no such file", None),
            ("[INFO] Starting gunicorn 27.0\ncat: /x: No such file or directory", None),
            ("KeyError: 'PORT'", None),
        ],
    )
    def test_texts(self, text, expected):
        """Engines, shells and init programs say in their own ways that a program cannot be run."""
        assert diagnosis.refusal(text) == expected

    def test_interpreter(self):
        """A script whose interpreter is not there says which that is, and what a virtual environment needs."""
        script = Script("/opt/venv/bin/gunicorn", "/opt/venv/bin/python", "/usr/local/bin/python3.13", exists=False)

        message = diagnosis.why_refused(Refusal("gunicorn", "missing"), script).message

        assert "/opt/venv/bin/python is a link to /usr/local/bin/python3.13" in message
        assert "virtual environment" in message

    @pytest.mark.parametrize("why", ["missing", "forbidden"])
    def test_closed(self, why):
        """Where a script or its interpreter may lie in a folder that is closed, both are named, and the link."""
        script = Script("/v/bin/x", "/v/bin/python", "/root/python")

        message = diagnosis.why_refused(Refusal("x", why), script).message

        assert message.startswith("/v/bin/x")
        assert "its interpreter /v/bin/python (a link to /root/python)" in message

    @pytest.mark.parametrize(
        ("program", "told"),
        [
            ("gunicorn -b 0.0.0.0:5000 'app.wsgi:app'", '["gunicorn", "-b", "0.0.0.0:5000", "app.wsgi:app"]'),
            ("python -c 'print", '["python", "-c", "\'print"]'),
            ("source", "`. FILE`"),
            ("[[", "sh does not know `[[`"),
        ],
    )
    def test_names(self, program, told):
        """A string with spaces is taken for a file's name; a word of bash's is no program that is missing."""
        assert told in diagnosis.why_refused(Refusal(program, "missing"), None).message

    def test_windows(self):
        """A script with Windows line ends is told from one whose interpreter is missing."""
        message = diagnosis.why_refused(Refusal("/a", "missing"), Script("/a", "/bin/sh\r", exists=False)).message

        assert "Windows" in message
        assert "\r" not in message


class TestEnded:
    @pytest.mark.parametrize(
        ("log", "told", "blame"),
        [
            ("ModuleNotFoundError: No module named 'flask'", "module 'flask'", "dockerfile"),
            ("ModuleNotFoundError: No module named 'app'", "the app is not in the folder", "dockerfile"),
            ("/opt/venv/bin/python: No module named gunicorn", "module 'gunicorn'", "dockerfile"),
            (
                "ImportError: libpq.so.5: cannot open shared object file: No such file or directory",
                "library libpq.so.5",
                "dockerfile",
            ),
            ("ModuleNotFoundError: No module named 'encodings'", "own standard library", "dockerfile"),
            ("PermissionError: [Errno 13] Permission denied: '/srv/app'", "not use /srv/app", "dockerfile"),
            ("setpriv: setresuid failed: Operation not permitted", "as root to become another", "dockerfile"),
            ("OSError: [Errno 98] Address already in use", "two servers are started", "dockerfile"),
            ("  File x\nSyntaxError: invalid syntax", "invalid syntax", "workspace"),
            ("SyntaxError: source code cannot contain null bytes", "with a program in the place of", "dockerfile"),
            (
                "SyntaxError: Non-UTF-8 code starting with '\\xb0' in file /bin/sh on line 2",
                "a program",
                "dockerfile",
            ),
            ("/lib/libc.so.6: version `GLIBC_2.38' not found (required by x)", "GLIBC_2.38", "dockerfile"),
            ("Traceback\nKeyError: 'PORT'", "KeyError: 'PORT'", "dockerfile"),
            ("", "printed nothing", "dockerfile"),
        ],
    )
    def test_logs(self, log, told, blame):
        """What it printed last tells why, and whose fault it is."""
        failure = diagnosis.with_last_words(diagnosis.why_ended({"ExitCode": 1}, log), log)

        assert told in failure.message
        assert "ended with exit code 1" in failure.message
        assert failure.blame == blame

    def test_nothing_to_do(self):
        """A container that ends with 0 had no server in the foreground."""
        assert "foreground" in diagnosis.why_ended({"ExitCode": 0}, "done").message

    def test_error(self):
        """As an error, what happened is told apart from what to do, and the log is shown line by line."""
        failure = diagnosis.why_ended({"ExitCode": 1}, "ModuleNotFoundError: No module named 'app'")
        error = diagnosis.not_ready(failure, "first\nModuleNotFoundError: No module named 'app'\n")

        assert str(error).startswith("the container ended with exit code 1 before it answered: python did not find")
        assert str(error).endswith("printed last:\nfirst\nModuleNotFoundError: No module named 'app'")
        assert error.remedy == "see WORKDIR and where app/ is copied"
        assert "last lines" in diagnosis.not_ready(diagnosis.why_ended({"ExitCode": 1}, ""), "").remedy

    @pytest.mark.slow
    def test_hostile_log(self):
        """A log made to keep the patterns busy is read all the same."""
        log = "\n".join([": ".join(["a.so" * 70]) * 3] * 100)

        assert diagnosis.told_by_log(log) is None

    def test_engine_connection(self):
        """What the engine cannot do for reasons of its own is its fault, not the Dockerfile's."""
        assert diagnosis.why_not_started("driver failed programming external connectivity").blame == "engine"
        assert (
            diagnosis.why_not_started("unable to find user x: no matching entries in passwd file").blame
            == "dockerfile"
        )


class TestSilent:
    @pytest.mark.parametrize(
        ("found", "told"),
        [
            ({Listener(5000, "127.0.0.1")}, "127.0.0.1 port 5000, which only the container itself"),
            ({Listener(8000, "172.17.0.2")}, "port 8000, not on 5000"),
            ({Listener(8000, "127.0.0.1"), Listener(80, "::")}, "port 80 and 8000, not on 5000"),
            ({Listener(5000, "::")}, "listens on port 5000, but did not answer"),
            (set(), "nothing in it listened on any port within 3 s"),
        ],
    )
    def test_listeners(self, found, told):
        """Where a container listens tells why it does not answer."""
        assert told in diagnosis.why_silent(Wait(waited=3, found=frozenset(found)), "").message

    def test_log(self):
        """Where nothing listens, what was printed is told as well."""
        log = "ModuleNotFoundError: No module named 'flask'"

        assert "'flask'" in diagnosis.why_silent(Wait(waited=3, found=frozenset()), log).message


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers its first connections as told, byte by byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        answer(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class TestAsk:
    def test_json(self):
        """A JSON object is read, the server is named, and nothing that a terminal obeys is left in its name."""
        head = b'HTTP/1.1 200 OK\r\nServer: \x1b[31mgunicorn\r\nContent-Length: 10\r\n\r\n{"a": [1]}'
        with server(lambda connection: connection.sendall(head)) as url:
            reply = answers.ask(url, "/status")

        assert (reply.status, reply.server, reply.document) == (200, "gunicorn", {"a": [1]})

    @pytest.mark.parametrize("body", [b"[1]", b"<html>", b"\xff", b"[" * 200_000])
    def test_no_document(self, body):
        """What is no JSON object is no document, whatever it is."""
        with server(lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)) as url:
            reply = answers.ask(url, "/status")

        assert reply.document is None

    def test_redirect(self):
        """A redirect is an answer of its own: nobody goes where it leads."""
        asked: list[bytes] = []

        def elsewhere(connection: socket.socket) -> None:
            asked.append(b"")
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /status\r\nContent-Length: 0\r\n\r\n")

        with server(elsewhere) as url:
            reply = answers.ask(url, "/status")

        assert (reply.status, len(asked)) == (302, 1)

    def test_endless(self):
        """Of an answer without end a part is read."""

        def pour(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        with server(pour) as url:
            assert answers.ask(url, "/status") == Answer(200)

    def test_dripping(self):
        """An answer that drips for ever is broken off."""
        ended = threading.Event()

        def drip(connection: socket.socket) -> None:
            try:
                while not ended.wait(0.02):
                    connection.sendall(b"H")
            finally:
                ended.set()

        with server(drip) as url:
            assert answers.ask(url, "/status", timeout=0.3) == Answer()
            assert ended.wait(10)

    def test_nobody(self):
        """Nobody there is no answer."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

        assert answers.ask(f"http://127.0.0.1:{port}", "/status") == Answer()
        assert not answers.is_http_server(f"http://127.0.0.1:{port}")


@contextmanager
def running(made: HTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


@Request.application
def plain_application(request: Request) -> Response:
    return Response("fine", status=200 if request.path == "/" else 404)


class Disguised(WSGIRequestHandler):
    def version_string(self) -> str:
        return "gunicorn"


class TestServers:
    def test_werkzeug(self):
        """Werkzeug's server is told, and has no debugger of itself."""
        with running(make_server("127.0.0.1", 0, plain_application)) as url:
            reply = answers.ask(url, "/")

            assert reply.server.startswith("Werkzeug/")
            assert answers.is_http_server(url)
            assert not answers.has_debugger(url)

    def test_disguised(self):
        """A development server that calls itself by another name is told all the same."""
        with running(make_server("127.0.0.1", 0, plain_application, request_handler=Disguised)) as url:
            reply = answers.ask(url, "/")

            assert reply.server == "gunicorn"
            assert answers.is_http_server(url)

    @pytest.mark.parametrize("evalex", [True, False])
    def test_debugger(self, evalex):
        """Its debugger is seen, with and without a console."""
        with running(make_server("127.0.0.1", 0, DebuggedApplication(plain_application, evalex=evalex))) as url:
            assert answers.has_debugger(url)

    def test_another(self):
        """A server that answers nonsense in its own words is neither."""
        with server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
            assert not answers.is_http_server(url)


@pytest.mark.parametrize(("signal", "name"), [("SIGTERM", "SIGTERM"), ("kill", "SIGKILL"), ("9", "SIGKILL")])
def test_signals(signal, name):
    """A stop signal is told by its name, however STOPSIGNAL says it."""
    assert signal_name(signal) == name
