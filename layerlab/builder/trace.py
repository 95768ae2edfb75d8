"""What BuildKit tells while it builds: its ``StatusResponse`` messages, decoded.

The Docker Engine passes them on as ``moby.buildkit.trace`` in the JSON stream of a build, base64 around the
protobuf message that ``api/services/control/control.proto`` of github.com/moby/buildkit defines. The numbers here are
those of its fields.

A build is a graph of *vertices*, each of which is known by a digest and reported again whenever it changes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from layerlab.builder import protobuf
from layerlab.builder.protobuf import Fields


@dataclass(frozen=True)
class Vertex:
    """A node of the build's graph, as it stands now.

    Attributes:
        digest: What it is known by.
        inputs: The digests of the vertices that it needs.
        name: Such as ``[build 3/5] RUN make``, or ``[internal] load ...`` for BuildKit's own work.
        cached: Whether its result was there already.
        started: When it began, in seconds since 1970; None before that.
        completed: When it ended, likewise.
        error: Why it failed; empty if it did not.
    """

    digest: str
    inputs: tuple[str, ...]
    name: str
    cached: bool
    started: float | None
    completed: float | None
    error: str


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
        message = protobuf.fields(base64.b64decode(aux, validate=True))
        statuses, logs = ([protobuf.fields(data) for data in message.get(number, ())] for number in (2, 3))
        return Status(
            vertices=tuple(_vertex(protobuf.fields(data)) for data in message.get(1, ())),
            transfers=tuple(Transfer(_text(f, 2), _text(f, 1), _last(f, 4, 0), _last(f, 5, 0)) for f in statuses),
            outputs=tuple(Output(_text(f, 1), _last(f, 4, b"")) for f in logs),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of BuildKit: {error}") from error


def _vertex(fields: Fields) -> Vertex:
    return Vertex(
        digest=_text(fields, 1),
        inputs=tuple(map(_decoded, fields.get(2, ()))),
        name=_text(fields, 3),
        cached=bool(_last(fields, 4, 0)),
        started=_seconds(fields, 5),
        completed=_seconds(fields, 6),
        error=_text(fields, 7),
    )


def _last(fields: Fields, number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]


def _text(fields: Fields, number: int) -> str:
    return _decoded(_last(fields, number, b""))


def _decoded(data: bytes) -> str:
    """Text, UTF-8 or not: BuildKit passes on what a Dockerfile holds."""
    return data.decode(errors="replace")


def _seconds(fields: Fields, number: int) -> float | None:
    """A google.protobuf.Timestamp."""
    if number not in fields:
        return None
    time = protobuf.fields(_last(fields, number, b""))
    return float(_last(time, 1, 0) + _last(time, 2, 0) / 1e9)
