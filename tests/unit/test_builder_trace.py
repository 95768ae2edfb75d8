"""BuildKit's messages: some recorded from an engine, others written byte by byte as protobuf's encoding says."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.builder.trace import Output, Transfer, Vertex, decode

# Recorded from Engine 20.10 for: FROM layerlab-h1:busybox AS one, RUN echo recorded message $RANDOM; exit 3
STEP = "sha256:4f15983d66d5c9df7558df498e84e1efdc98d6e08a77bcd123e66a75425428c8"
RECORDED_LOG = (
    "GnIKR3NoYTI1Njo0ZjE1OTgzZDY2ZDVjOWRmNzU1OGRmNDk4ZTg0ZTFlZmRjOThkNmUwOGE3N2JjZDEyM2U2NmE3NTQyNTQyOGM4EgwI7JmQ2AYQ"
    "5/eqiAIYASIXcmVjb3JkZWQgbWVzc2FnZSAyODAzNgo="
)
RECORDED_FAILURE = (
    "CrkCCkdzaGEyNTY6NGYxNTk4M2Q2NmQ1YzlkZjc1NThkZjQ5OGU4NGUxZWZkYzk4ZDZlMDhhNzdiY2QxMjNlNjZhNzU0MjU0MjhjOBJHc2hhMjU2"
    "OmVhNGMyYjEyYTQ5NjM0NDAxZWE1YTMzZWQzZTIwNmEwNmVmN2FlOGYwZjQ3NTNlOGU3ODI2MjE0ZTY4OTQ5YWQaL1syLzJdIFJVTiBlY2hvIHJl"
    "Y29yZGVkIG1lc3NhZ2UgJFJBTkRPTTsgZXhpdCAzKgwI7JmQ2AYQ0aHbogEyDAjsmZDYBhDgs8+XAjpYZXhlY3V0b3IgZmFpbGVkIHJ1bm5pbmcg"
    "Wy9iaW4vc2ggLWMgZWNobyByZWNvcmRlZCBtZXNzYWdlICRSQU5ET007IGV4aXQgM106IGV4aXQgY29kZTogMw=="
)


def varint(number: int) -> bytes:
    """A number in protobuf's encoding: seven bits a byte, the lowest first; negative ones as 64 bits."""
    number &= (1 << 64) - 1
    result = b""
    while number >= 0x80:
        result += bytes([number & 0x7F | 0x80])
        number >>= 7
    return result + bytes([number])


def field(number: int, value: int | bytes | str) -> bytes:
    """A field in protobuf's encoding."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def timestamp(nanoseconds: int) -> bytes:
    """A google.protobuf.Timestamp."""
    return field(1, nanoseconds // 10**9) + field(2, nanoseconds % 10**9)


def aux(message: bytes) -> str:
    """A message as the engine sends it."""
    return base64.b64encode(message).decode()


class TestDecode:
    """What is in a message."""

    def test_recorded_log(self) -> None:
        """A recorded line of output is what the step printed."""
        assert (Output(STEP, b"recorded message 28036\n"),) == decode(RECORDED_LOG).outputs

    def test_recorded_failure(self) -> None:
        """A recorded failure names its step, its input, its times and its exit code."""
        (vertex,) = decode(RECORDED_FAILURE).vertices

        assert (vertex.digest, vertex.name) == (STEP, "[2/2] RUN echo recorded message $RANDOM; exit 3")
        assert vertex.inputs == ("sha256:ea4c2b12a49634401ea5a33ed3e206a06ef7ae8f0f4753e8e7826214e68949ad",)
        assert vertex.error.endswith("exit code: 3")
        assert pytest.approx(0.245, abs=0.001) == (vertex.completed or 0) - (vertex.started or 0)

    @given(
        texts=st.tuples(st.text(), st.text(), st.text()),
        inputs=st.lists(st.text(), max_size=3),
        cached=st.booleans(),
        times=st.tuples(st.none() | st.integers(0, 2**60), st.none() | st.integers(0, 2**60)),
    )
    def test_vertex(
        self, texts: tuple[str, str, str], inputs: list[str], cached: bool, times: tuple[int | None, int | None]
    ) -> None:
        """Whatever a vertex holds arrives; times to the microsecond, and None where there is none."""
        digest, name, error = texts
        message = field(1, digest) + b"".join(field(2, each) for each in inputs) + field(3, name)
        message += field(4, int(cached)) + field(7, error) + field(8, b"a progress group, which newer engines add")
        for number, time in zip((5, 6), times, strict=True):
            message += field(number, timestamp(time)) if time is not None else b""

        (vertex,) = decode(aux(field(1, message))).vertices

        assert vertex == Vertex(digest, tuple(inputs), name, cached, vertex.started, vertex.completed, error)
        for time, seen in zip(times, (vertex.started, vertex.completed), strict=True):
            assert seen is None if time is None else seen == pytest.approx(time / 1e9, abs=1e-6)

    def test_transfer(self) -> None:
        """A transfer tells how far it is; when it ended, BuildKit says, too, and nobody asks."""
        begun = field(1, "sha256:a") + field(2, STEP) + field(4, 10) + field(5, 40)
        ended = field(1, "x") + field(2, STEP) + field(3, "done") + field(4, 40) + field(5, 40)
        ended += field(8, timestamp(5))

        assert (
            Transfer(STEP, "sha256:a", 10, 40),
            Transfer(STEP, "x", 40, 40),
        ) == decode(aux(field(2, begun) + field(2, ended))).transfers

    def test_not_utf_8(self) -> None:
        """Text that is not UTF-8, which a Dockerfile may hold, loses its bad bytes but not the message."""
        (vertex,) = decode(aux(field(1, field(3, b"[1/1] RUN caf\xe9")))).vertices

        assert vertex.name == "[1/1] RUN caf�"

    def test_fields_of_the_future(self) -> None:
        """Fields that are not known are passed over."""
        message = field(99, b"x") + field(3, field(4, b"out") + field(50, 1)) + field(98, 12345)

        assert (Output("", b"out"),) == decode(aux(message)).outputs

    @given(st.binary(max_size=40))
    def test_garbage(self, data: bytes) -> None:
        """Whatever arrives is a message or a ValueError."""
        try:
            decode(aux(data))
        except ValueError as error:
            assert "not a message of BuildKit" in str(error)  # noqa: PT017  # most data raises nothing

    def test_not_base64(self) -> None:
        """What is not base64 is a ValueError."""
        with pytest.raises(ValueError, match="not a message of BuildKit"):
            decode("***")
