"""Build secrets, as an HTTP/2 client that is not the engine's asks for them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, TrailersReceived

from layerlab.builder.session import _serve
from layerlab.builder.trace import encoded, fields

SECRETS = {"token": b"hunter2", "large": bytes(range(256)) * 2_000, "empty": b""}
GET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"


@pytest.fixture
def engine_side() -> Iterator[socket.socket]:
    """The end of a session's connection that the engine has."""
    ours, theirs = socket.socketpair()
    received = iter(partial(ours.recv, 1000), b"")
    thread = threading.Thread(target=_serve, args=(received, ours, SECRETS))
    thread.start()
    yield theirs
    theirs.close()
    thread.join(10)
    assert not thread.is_alive()
    ours.close()


def ask(connection: socket.socket, *calls: tuple[str, bytes]) -> list[tuple[bytes, str]]:
    """What calls that are made at the same time are answered: the message and the status."""
    http = H2Connection(H2Configuration(header_encoding="utf-8"))
    http.initiate_connection()
    answers = {}
    for stream, (method, message) in enumerate(calls):
        number = 2 * stream + 1
        answers[number] = [b"", ""]
        headers = [(":method", "POST"), (":path", method), (":scheme", "http"), (":authority", "localhost")]
        http.send_headers(number, headers)
        http.send_data(number, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
    connection.sendall(http.data_to_send())
    ended = 0
    while ended < len(calls):
        for event in http.receive_data(connection.recv(65_536)):
            if isinstance(event, DataReceived):
                answers[event.stream_id][0] += event.data
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, TrailersReceived):
                answers[event.stream_id][1] = dict(event.headers)["grpc-status"]
            ended += isinstance(event, StreamEnded)
        connection.sendall(http.data_to_send())
    return [(answer, status) for answer, status in answers.values()]


def secret(answer: bytes) -> bytes:
    """The secret in an answer."""
    compressed, size = struct.unpack(">BI", answer[:5])
    assert (compressed, size) == (0, len(answer) - 5)
    return fields(answer[5:])[1][0]


def test_each_gets_what_it_asks_for(engine_side: socket.socket) -> None:
    """Several at once, one of them larger than what may be under way at a time."""
    names = ["token", "large", "token", "empty"]

    answers = ask(engine_side, *((GET, encoded(1, name.encode())) for name in names))

    assert [status for _, status in answers] == ["0"] * 4
    assert [secret(answer) for answer, _ in answers] == [SECRETS[name] for name in names]


def test_what_is_not_there(engine_side: socket.socket) -> None:
    """A secret that nobody gave is NOT_FOUND, what we do not offer UNIMPLEMENTED, in the numbers of gRPC."""
    calls = [(GET, encoded(1, b"other")), ("/moby.sshforward.v1.SSH/CheckAgent", b"")]

    assert ask(engine_side, *calls) == [(b"", "5"), (b"", "12")]


def test_it_is_well(engine_side: socket.socket) -> None:
    """The engine asks again and again whether the session is alive: SERVING is 1."""
    ((answer, status),) = ask(engine_side, ("/grpc.health.v1.Health/Check", b""))

    assert (fields(answer[5:]), status) == ({1: [1]}, "0")


def test_what_is_no_http(engine_side: socket.socket) -> None:
    """Whatever else comes ends the session, and nothing else."""
    engine_side.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100))
    engine_side.settimeout(10)
    while engine_side.recv(1000):
        pass
