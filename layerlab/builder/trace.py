"""What BuildKit tells while it builds: its ``StatusResponse`` messages, decoded.

The Docker Engine passes them on as ``moby.buildkit.trace`` in the JSON stream of a build, base64 around the
protobuf message that ``api/services/control/control.proto`` of github.com/moby/buildkit defines. The numbers here are
those of its fields. Reading protobuf (https://protobuf.dev/programming-guides/encoding/) takes less than describing
the messages to a library would.

A build is a graph of *vertices*, each of which is known by a digest and reported again whenever it changes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

Fields = dict[int, list[Any]]
"""The values of a message, by the number of their field: numbers, or bytes."""


@dataclass(frozen=True)
class Vertex:
    """A node of the build's graph, as it stands now."""

    digest: str
    inputs: tuple[str, ...]  # the digests of the vertices that it needs
    name: str  # such as ``[build 3/5] RUN make``, or ``[internal] load ...`` for BuildKit's own work
    cached: bool  # whether its result was there already
    started: float | None  # in seconds since 1970
    completed: float | None
    error: str  # why it failed; empty if it did not


@dataclass(frozen=True)
class Transfer:
    """How far one part of a vertex is, such as a layer that is pulled: ``current`` of ``total`` bytes."""

    vertex: str
    name: str
    current: int
    total: int


@dataclass(frozen=True)
class Output:
    """What a vertex printed, as it came."""

    vertex: str
    data: bytes


@dataclass(frozen=True)
class Status:
    """One message of BuildKit."""

    vertices: tuple[Vertex, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    outputs: tuple[Output, ...] = ()


def decode(aux: str) -> Status:
    """The message in a ``moby.buildkit.trace`` line.

    Raises:
        ValueError: it is not base64 of a ``StatusResponse``.
    """
    try:
        message = fields(base64.b64decode(aux, validate=True))
        vertices, statuses, logs = ([fields(data) for data in message.get(number, ())] for number in (1, 2, 3))
        return Status(
            vertices=tuple(map(_vertex, vertices)),
            transfers=tuple(Transfer(_text(f, 2), _text(f, 1), _last(f, 4, 0), _last(f, 5, 0)) for f in statuses),
            outputs=tuple(Output(_text(f, 1), _last(f, 4, b"")) for f in logs),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of BuildKit: {error}") from error


def _vertex(message: Fields) -> Vertex:
    return Vertex(
        digest=_text(message, 1),
        inputs=tuple(data.decode(errors="replace") for data in message.get(2, ())),
        name=_text(message, 3),
        cached=bool(_last(message, 4, 0)),
        started=_seconds(message, 5),
        completed=_seconds(message, 6),
        error=_text(message, 7),
    )


def _last(message: Fields, number: int, default: Any) -> Any:
    return message.get(number, [default])[-1]


def _text(message: Fields, number: int) -> str:
    """Text, UTF-8 or not: BuildKit passes on what a Dockerfile holds."""
    return str(_last(message, number, b"").decode(errors="replace"))


def _seconds(message: Fields, number: int) -> float | None:
    """A google.protobuf.Timestamp."""
    if number not in message:
        return None
    time = fields(_last(message, number, b""))
    return float(_last(time, 1, 0) + _last(time, 2, 0) / 1e9)


def fields(message: bytes) -> Fields:
    """What a message of protobuf holds; a ValueError or an IndexError says that it is none.

    >>> fields(bytes.fromhex("0896011202686908019a0100"))
    {1: [150, 1], 2: [b'hi'], 19: [b'']}
    """
    found: Fields = {}
    value: Any
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        if key & 7 == 0:
            value, at = _number(message, at)
        else:
            size, at = _number(message, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = message[at : at + size], at + size
            if at > len(message):
                raise ValueError("it is cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, seven bits in each byte, the lowest first; and where it ends."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1


def encoded(number: int, value: bytes) -> bytes:
    """A message with one field, which holds bytes.

    >>> fields(encoded(1, b"x" * 300)) == {1: [b"x" * 300]}
    True
    """
    size, length = bytearray(), len(value)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + value
