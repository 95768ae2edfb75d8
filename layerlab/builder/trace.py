"""What BuildKit tells while it builds: its ``StatusResponse`` messages, decoded.

The Docker Engine passes them on as ``moby.buildkit.trace`` in the JSON stream of a build, base64 around the
protobuf message that ``api/services/control/control.proto`` of github.com/moby/buildkit defines. `_MESSAGES`
repeats the few fields that the lab needs, under the same numbers, and the descriptors are made from it at run
time: that is shorter than generated code, needs no ``protoc``, and depends on no version of protobuf's runtime.

A build is a graph of *vertices*, each of which is known by a digest and reported again whenever it changes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    # Text is taken as bytes: BuildKit passes on what a Dockerfile holds, UTF-8 or not, and a strict reader
    # would drop the whole message. A Timestamp is google.protobuf.Timestamp, repeated here for its two fields.
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Vertex": {
        "digest": (1, "bytes"),
        "inputs": (2, "repeated bytes"),
        "name": (3, "bytes"),
        "cached": (4, "bool"),
        "started": (5, "Timestamp"),
        "completed": (6, "Timestamp"),
        "error": (7, "bytes"),
    },
    "VertexStatus": {
        "ID": (1, "bytes"),
        "vertex": (2, "bytes"),
        "current": (4, "int64"),
        "total": (5, "int64"),
    },
    "VertexLog": {"vertex": (1, "bytes"), "msg": (4, "bytes")},
    "Position": {"line": (1, "int32")},  # solver/pb/ops.proto, as is Range
    "Range": {"start": (1, "Position")},
    "VertexWarning": {
        "vertex": (1, "bytes"),
        "short": (3, "bytes"),
        "detail": (4, "repeated bytes"),
        "url": (5, "bytes"),
        "ranges": (7, "repeated Range"),
    },
    "StatusResponse": {
        "vertexes": (1, "repeated Vertex"),
        "statuses": (2, "repeated VertexStatus"),
        "logs": (3, "repeated VertexLog"),
        "warnings": (4, "repeated VertexWarning"),
    },
}
_PACKAGE: Final = "moby.buildkit.v1"
_Field: Final = descriptor_pb2.FieldDescriptorProto


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
class Warned:
    """A warning about the Dockerfile; engines older than 23 send none.

    Attributes:
        short: The warning in one sentence.
        detail: What it means.
        url: Where it is documented.
        line: The line of the Dockerfile, counted from 1; None where it has no place.
    """

    short: str
    detail: str
    url: str
    line: int | None


@dataclass(frozen=True)
class Status:
    """One message of BuildKit."""

    vertices: tuple[Vertex, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    outputs: tuple[Output, ...] = ()
    warnings: tuple[Warned, ...] = ()


def decode(aux: str) -> Status:
    """The message in a ``moby.buildkit.trace`` line.

    Raises:
        ValueError: it is not base64 of a ``StatusResponse``.
    """
    try:
        message = _StatusResponse.FromString(base64.b64decode(aux, validate=True))
    except (binascii.Error, DecodeError) as error:
        raise ValueError(f"not a message of BuildKit: {error}") from error
    return Status(
        vertices=tuple(
            Vertex(
                digest=_text(vertex.digest),
                inputs=tuple(map(_text, vertex.inputs)),
                name=_text(vertex.name),
                cached=vertex.cached,
                started=_seconds(vertex, "started"),
                completed=_seconds(vertex, "completed"),
                error=_text(vertex.error),
            )
            for vertex in message.vertexes
        ),
        transfers=tuple(
            Transfer(
                vertex=_text(status.vertex),
                name=_text(status.ID),
                current=status.current,
                total=status.total,
            )
            for status in message.statuses
        ),
        outputs=tuple(Output(vertex=_text(log.vertex), data=log.msg) for log in message.logs),
        warnings=tuple(
            Warned(
                short=_text(warning.short),
                detail="\n".join(map(_text, warning.detail)),
                url=_text(warning.url),
                line=warning.ranges[0].start.line if warning.ranges else None,
            )
            for warning in message.warnings
        ),
    )


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _seconds(message: Any, field: str) -> float | None:
    if not message.HasField(field):
        return None
    time = getattr(message, field)
    return float(time.seconds + time.nanos / 1e9)


def _message_class(name: str) -> Any:
    """The class of a message of `_MESSAGES`, from descriptors in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            repeated, _, name_of_type = kind.rpartition(" ")
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if name_of_type in _MESSAGES:
                added.type_name = f".{_PACKAGE}.{name_of_type}"
            else:
                added.type = _Field.Type.Value(f"TYPE_{name_of_type.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_StatusResponse: Final = _message_class("StatusResponse")
