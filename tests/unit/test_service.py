"""The parts of the service that need no engine."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.engine import Engine
from layerlab.errors import EngineGone, ServiceError, UsageError
from layerlab.service import Service, answers, run
from layerlab.service.answers import fetch
from layerlab.service.containers import lines, used_bytes
from layerlab.service.ending import excerpt, how_it_ended
from layerlab.service.waiting import Listener, Wait, parse_tables

EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing is bound to it here
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TAIL = " 00000000:00000000 00:00000000 00000000     0        0 39949 1 0000000000000000 100 0 0 10 0\n"


@pytest.fixture
def dead_engine() -> Iterator[Engine]:
    """An engine that answered once, and has gone since: nothing listens at its address."""
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.41")
    yield Engine(
        client=client,
        endpoint="tcp://127.0.0.1:1",
        source="a test",
        version="20.10",
        storage_driver="overlay2",
        root_directory="/var/lib/docker",
        host="127.0.0.1",
        is_local=False,
    )
    client.close()


@contextmanager
def server(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A web server that gives one answer to all: its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", asked
        finally:
            httpd.shutdown()
            thread.join()


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"port": 0},
            {"port": 65536},
            {"memory": "plenty"},
            {"cpus": 0},
            {"pids": 0},
        ],
    )
    def test_impossible(self, dead_engine, options):
        """Options that cannot be are refused before the engine is asked."""
        with pytest.raises(UsageError), run(dead_engine, "image", **options):
            pass


class TestGet:
    def test_query(self, dead_engine):
        """Parameters arrive encoded in the query string, and the body is there in full."""
        with server(200, b'{"a": "\xc3\xa9"}') as (url, asked):
            response = Service(dead_engine, url, "id", 0.0).get("/data", rows=3, kind="a b&c")

        assert response.json() == {"a": "é"}
        assert asked == ["/data?rows=3&kind=a+b%26c"]

    @pytest.mark.parametrize("path", ["status", "@example.org/", "http://example.org/", ""])
    def test_path_stays_with_the_service(self, dead_engine, path):
        """A path that could lead to another host is refused."""
        service = Service(dead_engine, "http://127.0.0.1:1", "id", 0.0)

        with pytest.raises(UsageError):
            service.get(path)

    def test_redirects_are_answers(self, dead_engine):
        """A redirect is given back, not followed."""
        with server(302, b"", Location="/elsewhere") as (url, asked):
            response = Service(dead_engine, url, "id", 0.0).get("/here")

        assert response.status_code == 302
        assert asked == ["/here"]

    def test_no_proxy(self, dead_engine, monkeypatch):
        """The environment's proxies are not asked for the service's own address."""
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        with server(200, b"ok") as (url, _):
            assert Service(dead_engine, url, "id", 0.0).get("/").text == "ok"

    def test_answer_without_end(self, monkeypatch):
        """An answer over the limit is refused, one of just the limit is not."""
        monkeypatch.setattr(answers, "ANSWER_LIMIT", 1000)

        with server(200, bytes(1000)) as (url, _):
            assert fetch(url, (5, 5)).content == bytes(1000)
        with server(200, bytes(1001)) as (url, _), pytest.raises(ServiceError, match="/big"):
            fetch(f"{url}/big", (5, 5))

    def test_engine_gone(self, dead_engine):
        """Where neither the service nor its engine answers, the engine is what is reported."""
        service = Service(dead_engine, "http://127.0.0.1:1", "id", 0.0)

        with pytest.raises(EngineGone):
            service.get("/status")


class TestEngineGone:
    @pytest.mark.parametrize("method", ["logs", "processes", "memory_bytes", "health", "inspect", "stop"])
    def test_methods(self, dead_engine, method):
        """Every method that needs the engine says so when it has gone."""
        with pytest.raises(EngineGone):
            getattr(Service(dead_engine, "http://127.0.0.1:1", "id", 0.0), method)()

    def test_run(self, dead_engine):
        """Nothing can be started on an engine that has gone."""
        with pytest.raises(EngineGone), run(dead_engine, "image"):
            pass


class TestListeners:
    def test_ipv4(self):
        """Listening IPv4 sockets are read from the kernel's table, in which 127.0.0.1 is 0100007F."""
        text = HEADER + "   0: 0100007F:1388 00000000:0000 0A" + TAIL + "   1: 00000000:1F40 00000000:0000 0A" + TAIL

        assert parse_tables(text) == {Listener(5000, "127.0.0.1"), Listener(8000, EVERYWHERE)}

    def test_ipv6(self):
        """So are IPv6 ones: four words of 32 bits, each in the machine's byte order."""
        text = HEADER + "   0: 00000000000000000000000001000000:1388 " + "0" * 32 + ":0000 0A" + TAIL

        assert parse_tables(text) == {Listener(5000, "::1")}

    def test_connections_are_not_listeners(self):
        """A connection (here one in TIME_WAIT, state 06) does not count."""
        assert parse_tables(HEADER + "   1: 020011AC:1388 010011AC:EDEC 06" + TAIL) == set()

    @pytest.mark.parametrize(
        ("address", "expected"),
        [("127.0.0.1", True), ("127.0.0.11", True), ("::1", True), ("::ffff:127.0.0.1", True), (EVERYWHERE, False)],
    )
    def test_loopback(self, address, expected):
        """Loopback addresses, which nothing outside reaches, are known in each of their forms."""
        assert Listener(5000, address).is_loopback is expected

    @given(st.text())
    def test_anything(self, text):
        """A container's own ``cat`` may print anything: that finds nothing, and breaks nothing."""
        assert parse_tables(text) == set()


class TestMistake:
    @pytest.mark.parametrize(
        ("status", "found", "expected"),
        [
            (404, None, "wrong answer"),
            (302, None, "wrong answer"),
            (None, {Listener(8000, EVERYWHERE)}, "elsewhere"),
            (None, {Listener(5000, "::1")}, "loopback"),
            (503, None, ""),
            (None, None, ""),
            (None, frozenset(), ""),
            (None, {Listener(5000, EVERYWHERE)}, ""),
            (None, {Listener(5000, "::"), Listener(9000, "127.0.0.1")}, ""),
        ],
    )
    def test_waiting(self, status, found, expected):
        """What waiting does not cure is told; a service that warms up, or listens where it should, gets its time."""
        assert Wait(status=status, found=found and frozenset(found)).mistake == expected


class TestUsedBytes:
    @pytest.mark.parametrize(
        ("memory", "expected"),
        [
            ({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 1}}, 70),
            ({"usage": 100, "stats": {"inactive_file": 30}}, 70),
            ({"usage": 100, "stats": {"inactive_file": 100}}, 100),
            ({"usage": 100}, 100),
        ],
        ids=["cgroup v1", "cgroup v2", "not under zero", "no details"],
    )
    def test_cache_taken_off(self, memory, expected):
        """Idle file cache does not count as used, as with ``docker stats``."""
        assert used_bytes(memory) == expected


class TestHowItEnded:
    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ({"ExitCode": 0}, "ended with exit code 0"),
            ({"ExitCode": 3, "OOMKilled": False}, "ended with exit code 3"),
            ({"ExitCode": 143}, "ended by SIGTERM (exit code 143)"),
            ({"ExitCode": 255}, "ended with exit code 255"),
            ({"ExitCode": 137}, "ended by SIGKILL (exit code 137)"),
            ({"ExitCode": 9, "OOMKilled": True}, "was killed for needing more memory than its limit (exit code 9)"),
        ],
    )
    def test_words(self, state, expected):
        """Exit codes are told in words, the want of memory before the signal."""
        assert how_it_ended(state) == expected


class TestExcerpt:
    def test_traceback(self):
        """A traceback's frames and markers are left out, its error is not; only the last lines are kept."""
        frames = 'Traceback:\n  File "a.py", line 1\n    f()\n~~~^^\n' * 9
        log = f"{frames}KeyError: 'PORT'\n\n[1] [ERROR] Worker failed to boot\n"

        assert excerpt(log).splitlines()[-3:] == [
            "Traceback:",
            "KeyError: 'PORT'",
            "[1] [ERROR] Worker failed to boot",
        ]
        assert len(excerpt(log).splitlines()) < 10


class TestLines:
    @given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
    def test_pieces(self, log, cuts):
        """How a log is cut into pieces makes no difference to its lines."""
        edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
        pieces = [log[a:b] for a, b in itertools.pairwise(edges)]

        assert list(lines(pieces)) == list(lines([log]))

    def test_lines(self):
        """Lines come whole, without escapes; characters cut in two are put together; the last may lack its end."""
        assert list(lines([b"one\r\ntw", b"o \xc3", b"\xa9\n\x1b[3", b"1mred"])) == ["one", "two é", "red"]

    def test_no_line_end(self):
        """A line without end is shown in pieces, and nothing of it is lost."""
        shown = list(lines([b"x" * 50_000] * 4))

        assert len(shown) > 1
        assert "".join(shown) == "x" * 200_000
