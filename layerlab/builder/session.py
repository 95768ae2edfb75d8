"""Build secrets: BuildKit asks for them while it builds, over a connection that the engine lets it call back on.

``POST /session`` of the Engine API is upgraded to HTTP/2 (h2c). From then on the engine is the client, and asks by
gRPC (github.com/moby/buildkit, ``session/secrets/secrets.proto``; github.com/grpc/grpc, ``doc/PROTOCOL-HTTP2.md``).
So a secret is on no disk, in no layer, in no history and in no cache key.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from layerlab.builder.trace import encoded, fields
from layerlab.engine import Engine, answering

_ASKS: Final = b"/moby.buildkit.secrets.v1.Secrets/GetSecret"
_HEALTH: Final = b"/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
_PREFIX: Final = struct.Struct(">BI")
"""Before a message of gRPC: whether it is compressed, and its length."""
_PIECE: Final = 65_536  # bytes that are read at once
_OK, _NOT_FOUND, _UNIMPLEMENTED = "0", "5", "12"


@contextlib.contextmanager
def session(engine: Engine, secrets: Mapping[str, bytes]) -> Iterator[str]:
    """The id of a session for builds to name: while it lasts, the engine gets these secrets where it asks for them.

    Raises:
        EngineError: the engine refuses.
        EngineGone: it does not answer.
    """
    identity, api = uuid.uuid4().hex, cast("Any", engine.client.api)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "h2c",
        "X-Docker-Expose-Session-Uuid": identity,
        "X-Docker-Expose-Session-Name": "layerlab",
        "X-Docker-Expose-Session-Sharedkey": "",
        "X-Docker-Expose-Session-Grpc-Method": _ASKS,
    }
    with answering(engine):
        answer = api._post(api._url("/session"), headers=headers, stream=True)
        connection = api._get_raw_response_socket(answer)
        connection = getattr(connection, "_sock", connection)
        # What came right behind the answer's headers has been read by now: so it is asked for where they were.
        received = iter(partial(answer.raw._fp.fp.read1, _PIECE), b"")
        thread = threading.Thread(target=_serve, args=(received, connection, secrets), name="layerlab-session")
        thread.start()
        try:
            yield identity
        finally:
            _end(connection)
            thread.join()
            with contextlib.suppress(OSError):
                answer.close()


def _serve(received: Iterable[bytes], connection: Any, secrets: Mapping[str, bytes]) -> None:
    """Answer what the engine asks until it, or we, close the connection."""
    http = H2Connection(H2Configuration(client_side=False))
    http.initiate_connection()
    asked: dict[int, tuple[bytes, bytearray]] = {}  # by stream: the method and its message
    unsent: dict[int, tuple[bytes, str]] = {}  # what is left of an answer, and the status that ends it
    with contextlib.suppress(OSError, ProtocolError):
        connection.sendall(http.data_to_send())
        for piece in received:
            for event in http.receive_data(piece):
                if isinstance(event, RequestReceived):
                    asked[event.stream_id] = (dict(event.headers)[b":path"], bytearray())
                elif isinstance(event, DataReceived):
                    asked[event.stream_id][1].extend(event.data)
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    http.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    unsent[event.stream_id] = _answer(*asked.pop(event.stream_id), secrets)
            for stream in list(unsent):
                _send(http, stream, unsent)
            connection.sendall(http.data_to_send())
    _end(connection)


def _end(connection: Any) -> None:
    """Wake whoever reads from a connection, which over SSH is a program that ends when it is closed."""
    for end in (partial(connection.shutdown, socket.SHUT_RDWR), connection.close):
        with contextlib.suppress(OSError):
            end()


def _send(http: H2Connection, stream: int, unsent: dict[int, tuple[bytes, str]]) -> None:
    """As much of an answer as the engine has room for; after the last of it the status, in the trailers."""
    answer, status = unsent.pop(stream)
    while answer and (room := min(http.local_flow_control_window(stream), http.max_outbound_frame_size)):
        http.send_data(stream, answer[:room])
        answer = answer[room:]
    if answer:
        unsent[stream] = answer, status
    else:
        http.send_headers(stream, [("grpc-status", status)], end_stream=True)


def _answer(method: bytes, message: bytearray, secrets: Mapping[str, bytes]) -> tuple[bytes, str]:
    """What a unary call gets: its message, and the status."""
    if method == _HEALTH:
        return _message(_SERVING), _OK
    if method != _ASKS:
        return b"", _UNIMPLEMENTED
    wanted = fields(bytes(message[_PREFIX.size :])).get(1, [b""])[-1].decode(errors="replace")
    return (_message(encoded(1, secrets[wanted])), _OK) if wanted in secrets else (b"", _NOT_FOUND)


def _message(content: bytes) -> bytes:
    return _PREFIX.pack(0, len(content)) + content
