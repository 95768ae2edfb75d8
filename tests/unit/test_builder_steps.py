"""From BuildKit's vertices to a Dockerfile's steps."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.builder import steps
from layerlab.builder.steps import Progress, Row
from layerlab.builder.trace import Output, Status, Transfer, Vertex
from layerlab.dockerfile import parse
from layerlab.ui.progress import Step

DOCKERFILE = """\
FROM python:3.13 AS Build
WORKDIR /src
COPY app \\
     app
RUN make "$X"

FROM other AS unused
RUN nothing

FROM scratch
COPY --from=build /src /src
"""


def vertex(
    name: str,
    started: float | None = None,
    completed: float | None = None,
    *,
    digest: str = "",
    cached: bool = False,
    error: str = "",
    inputs: tuple[str, ...] = (),
) -> Vertex:
    """A vertex that is known by its name unless a digest is given."""
    return Vertex(digest or name, inputs, name, cached, started, completed, error)


def follow(*messages: Status, text: str = DOCKERFILE) -> tuple[Progress, list[Step]]:
    """What comes of some messages: the progress and what was reported."""
    reported: list[Step] = []
    progress = Progress(parse(text), reported.append)
    for message in messages:
        progress.update(message)
    return progress, reported


def frame_of(*vertices: Vertex, text: str = DOCKERFILE) -> pd.DataFrame:
    """The DataFrame of steps after these vertices."""
    return steps.steps_frame(follow(Status(vertices=vertices), text=text)[0].rows)


class TestFrame:
    """The DataFrame of steps."""

    def test_a_stage_that_is_from_another(self) -> None:
        """Its first step is told apart from the FROM of the stage below, which old engines name after it."""
        text = "FROM python:3.13 AS system\nRUN true\nFROM system AS build\nRUN false\n"
        frame = frame_of(
            vertex("[build 1/4] FROM docker.io/library/python:3.13", 1, 1, cached=True),
            vertex("[system 2/2] RUN true", 1, 2),
            vertex("[build 1/1] RUN false", 2, 3, error="exit code: 1"),
            text=text,
        )

        states = dict(zip(frame["instruction"], frame["cached"], strict=True))
        assert states == {"RUN true": False, "FROM docker.io/library/python:3.13": True, "RUN false": False}

    def test_rows(self) -> None:
        """Each step has its stage, number, line and instruction, in the Dockerfile's order, whatever came first."""
        frame = frame_of(
            vertex("[internal] load remote build context", 1, 2),
            vertex("[stage-2 1/1] COPY --from=build /src /src", 7, 8),
            vertex('[build 4/4] RUN make "value of X"', 4, 6),
            vertex("[build 1/4] FROM docker.io/library/python:3.13@sha256:0", 1, 1, cached=True),
            vertex("[build 2/4] WORKDIR /src", 2, 2.5),
            vertex("[build 3/4] COPY app      app", 3, 4),
            vertex("exporting to image", 8, 9),
        )

        expected = pd.DataFrame(
            {
                "stage": ["build", "build", "build", "build", "2"],
                "step": [1, 2, 3, 4, 1],
                "line": [1, 2, 3, 5, 11],
                "instruction": [
                    "FROM python:3.13 AS Build",
                    "WORKDIR /src",
                    "COPY app app",
                    'RUN make "$X"',
                    "COPY --from=build /src /src",
                ],
                "began": [None, 0.0, 1.0, 2.0, 5.0],
                "seconds": [0.0, 0.5, 1.0, 2.0, 1.0],
                "cached": [True, False, False, False, False],
                "log": [""] * 5,
            }
        ).astype(steps.STEPS_DTYPES)
        pd.testing.assert_frame_equal(frame, expected)

    def test_nothing_ran(self) -> None:
        """Without a step there are the same columns and types, and no rows."""
        frame = frame_of()

        assert (len(frame), dict(frame.dtypes.astype(str))) == (0, steps.STEPS_DTYPES)

    def test_announced_only(self) -> None:
        """A step that was announced but never began is no row."""
        assert frame_of(vertex("[build 2/4] WORKDIR /src")).empty

    def test_the_only_stage(self) -> None:
        """BuildKit names no stage if there is but one; it has its name or index all the same."""
        named = frame_of(vertex("[2/2] RUN a", 1, 2), text="FROM x AS one\nRUN a")
        unnamed = frame_of(vertex("[2/2] RUN a", 1, 2), text="FROM x\nRUN a")

        assert (list(named.stage), list(unnamed.stage)) == (["one"], ["0"])

    @pytest.mark.parametrize("text", ["FROM x\nRUN a", "FROM x AS a\nRUN a\nFROM y"])
    def test_more_than_nine(self, text: str) -> None:
        """BuildKit sets numbers of one digit further to the right where there are ten or more."""
        name = "[a  2/10] RUN a" if "AS" in text else "[ 2/10] RUN a"

        assert list(frame_of(vertex(name, 1, 2), text=text).line) == [2]

    def test_a_platform(self) -> None:
        """The platform before a stage's name, which newer engines add, is no part of the name."""
        assert list(frame_of(vertex("[linux/arm64 build 4/4] RUN make", 1, 2)).line) == [5]

    def test_several_vertices(self) -> None:
        """The vertices of one instruction are one row; it is cached only if all of them are."""
        name = "[build 3/4] COPY app app"
        frame = frame_of(
            vertex(name, 1, 2, digest="a", cached=True),
            vertex(name, 3, 5, digest="b"),
            vertex(name, 4, 6, digest="c"),
        )

        assert list(frame.seconds) == [4.0]
        assert list(frame.cached) == [False]

    def test_from_the_base_image(self) -> None:
        """What the base image adds (ONBUILD) has no line; the numbers are shifted then, and the text decides."""
        frame = frame_of(
            vertex("[build 1/5] FROM docker.io/library/python:3.13", 1, 2),
            vertex("[build 2/5] ONBUILD RUN prepare", 1, 2),
            vertex("[build 3/5] WORKDIR /src", 2, 3),
            vertex('[build 5/5] RUN make "$X"', 3, 4),
        )

        assert list(frame.instruction[1:]) == ["RUN prepare", "WORKDIR /src", 'RUN make "$X"']
        assert list(frame.line.fillna(0)) == [1, 0, 2, 5]

    def test_asked_by_onbuild(self) -> None:
        """What a stage of the Dockerfile asks for has the line of its ONBUILD; the stage's own come after."""
        text = (
            "FROM a AS x\nONBUILD RUN one\nONBUILD WORKDIR /w\nFROM x AS y\nRUN one\nRUN two\nFROM x AS z\nENV A=b\n"
        )
        frame = frame_of(
            vertex("[y 1/2] RUN one", 1, 2),
            vertex("[y 2/2] WORKDIR /w", 2, 3),
            vertex("[y 3/2] RUN one", 3, 4),
            vertex("[y 4/2] RUN two", 4, 5),
            vertex("RUN one", 5, 6),  # old engines number nothing in a stage that has no steps of its own
            text=text,
        )

        assert list(frame.line) == [2, 3, 5, 6, 2]
        assert list(frame.stage) == ["y", "y", "y", "y", "z"]
        assert list(frame.step) == [1, 2, 3, 4, 1]

    def test_log(self) -> None:
        """What a step prints is its log, without escape codes; what nobody asked for is dropped."""
        name = "[build 4/4] RUN make"
        progress, _ = follow(
            Status(vertices=(vertex(name, 1),)),
            Status(outputs=(Output(name, b"one\n\x1b[1mt"), Output("unknown", b"x"), Output(name, b"wo\n"))),
        )

        assert list(steps.steps_frame(progress.rows).log) == ["one\ntwo"]

    @given(
        st.lists(
            st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])),
            max_size=6,
        )
    )
    def test_seconds(self, spans: list[tuple[int, int]]) -> None:
        """Seconds in which several vertices of a step run count once: as many as the naive count of covered ones."""
        row = Row("key", "title")
        for number, (start, end) in enumerate(spans):
            row.update(vertex("x", start, end, digest=str(number)))

        assert row.seconds == len({second for start, end in spans for second in range(start, end)})

    def test_again(self) -> None:
        """A vertex that runs a second time (a retry) counts both times; the same report twice counts once."""
        row = Row("key", "title")
        for start, end in ((1, None), (1, 3), (1, 3), (5, None), (5, 6)):
            row.update(vertex("x", start, end))

        assert row.seconds == 3


class TestStages:
    """The DataFrame of stages."""

    def test_stages(self) -> None:
        """Each stage tells what it uses, whether the target needs it, and whether it is the target."""
        parsed = parse(DOCKERFILE)

        frame = steps.stages_frame(parsed, parsed.target())

        assert frame.to_dict("list") == {
            "stage": ["build", "unused", "2"],
            "line": [1, 7, 10],
            "base": ["python:3.13", "other", "scratch"],
            "uses": [(), (), ("build",)],
            "ran": [True, False, True],
            "final": [False, False, True],
        }
        assert [str(dtype) for dtype in frame.dtypes] == ["str", "int64", "str", "object", "bool", "bool"]


class TestReports:
    """What is reported meanwhile."""

    def test_a_step(self) -> None:
        """A step is reported when it begins, when it prints, and when it ends."""
        name = "[build 4/4] RUN make"
        _, reported = follow(
            Status(vertices=(vertex(name),)),
            Status(vertices=(vertex(name, 10),)),
            Status(outputs=(Output(name, b"compiling\n"),)),
            Status(vertices=(vertex(name, 10, 12.5),)),
        )

        assert [(step.key, step.title, step.state, step.detail) for step in reported] == [
            ("build 4", name, "running", ""),
            ("build 4", name, "running", "compiling"),
            ("build 4", name, "done", "compiling"),
        ]
        assert reported[-1].seconds == 2.5

    @pytest.mark.parametrize(("cached", "error", "state"), [(True, "", "cached"), (False, "exit code: 1", "failed")])
    def test_outcomes(self, cached: bool, error: str, state: str) -> None:
        """A step that was there already, and one that failed, are told apart."""
        _, reported = follow(Status(vertices=(vertex("[build 4/4] RUN make", 1, 2, cached=cached, error=error),)))

        assert [step.state for step in reported] == [state]

    def test_what_another_build_has_begun(self) -> None:
        """A step that began before the build did is not run for its sake, however long it takes."""
        context = vertex("[internal] load remote build context", 100, 101, digest="ours")
        run = "[build 4/4] RUN make"
        _, theirs = follow(Status(vertices=(context, vertex(run, 90))), Status(vertices=(vertex(run, 90, 110),)))
        _, ours = follow(Status(vertices=(context,)), Status(vertices=(vertex(run, 102, 110),)))

        assert [(step.state, step.from_cache) for step in theirs if step.stage] == [
            ("running", True), ("cached", True)
        ]  # fmt: skip
        assert [(step.state, step.from_cache) for step in ours if step.stage] == [("done", False)]

    def test_a_base_image_that_another_build_has_in_hand(self) -> None:
        """Engine 26 calls it as the other build does; here it belongs to the line that names the image."""
        text = "FROM python:3.13\nRUN true\n"
        frame = frame_of(vertex("[theirs 1/7] FROM docker.io/library/python:3.13@sha256:0123", 1, 1), text=text)

        assert frame["line"].tolist() == [1]

    @pytest.mark.parametrize(
        ("instruction", "seconds", "state"),
        [("RUN make", 0.00002, "cached"), ("RUN make", 0.02, "done"), ("COPY app app", 0.00002, "done")],
    )
    def test_a_run_that_took_no_time(self, instruction: str, seconds: float, state: str) -> None:
        """A RUN that ends within microseconds was not run: another build had its result in hand (Engine 26)."""
        _, reported = follow(Status(vertices=(vertex(f"[build 4/4] {instruction}", 1, 1 + seconds),)))
        assert [step.state for step in reported][-1] == state

    @pytest.mark.parametrize(("size", "state"), [(None, "cached"), (0, "cached"), (10, "done")])
    def test_from(self, size: int | None, state: str) -> None:
        """A FROM is cached if nothing was pulled for it, whatever the engine calls it."""
        name = "[build 1/4] FROM docker.io/library/python:3.13"
        pulled = () if size is None else (Transfer(name, "a", 0, size),)
        progress, reported = follow(
            Status(vertices=(vertex(name, 1),), transfers=pulled),
            Status(vertices=(vertex(name, 1, 2),)),
        )
        progress.finish()

        assert [step.state for step in reported] == ["running", state]

    def test_from_comes_first(self) -> None:
        """BuildKit calls a FROM completed before it pulls; its end is told once, when the next step begins."""
        name, following = "[build 1/4] FROM docker.io/library/python:3.13", "[build 2/4] WORKDIR /src"
        progress, reported = follow(
            Status(vertices=(vertex(name, 1, 2, cached=True),)),
            Status(vertices=(vertex(name, 1, 2),)),
            Status(vertices=(vertex(name, 3),), transfers=(Transfer(name, "a", 5, 10),)),
            Status(vertices=(vertex(name, 3, 4),)),
            Status(vertices=(vertex(following, inputs=(name,)),)),
            Status(vertices=(vertex(following, 5, inputs=(name,)),)),
        )
        progress.finish()

        assert [(step.key, step.state) for step in reported] == [
            ("FROM build 1", "running"),
            ("FROM build 1", "done"),
            ("build 2", "running"),
        ]

    def test_transfers(self) -> None:
        """What is pulled tells how far it is."""
        name = "[build 1/4] FROM docker.io/library/python:3.13"
        _, reported = follow(
            Status(vertices=(vertex(name, 1),)),
            Status(transfers=(Transfer(name, "a", 2_000_000, 10_000_000), Transfer(name, "b", 0, 500_000))),
        )

        assert reported[-1].detail == "2.0 of 10.5 MB"

    def test_own_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """BuildKit's own work is shown, in plain words, only if it takes a while."""
        progress, reported = follow(Status(vertices=(vertex("exporting to image", 1),)))
        progress.tick()
        at_once = list(reported)
        monkeypatch.setattr(steps, "_PATIENCE", 0.0)
        progress.tick()
        progress.tick()
        progress.update(Status(vertices=(vertex("exporting to image", 1, 3),)))

        assert at_once == []
        assert [(step.title, step.state) for step in reported] == [
            ("write the image", "running"),
            ("write the image", "done"),
        ]

    def test_own_work_without_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once there is an image nothing goes on, although BuildKit has not told the end; after a failure it may."""
        monkeypatch.setattr(steps.time, "monotonic", lambda: 100.0)
        progress, reported = follow(Status(vertices=(vertex("[internal] load remote build context", 1),)))
        monkeypatch.setattr(steps.time, "monotonic", lambda: 101.0)
        progress.tick()
        progress.finish()
        assert [step.state for step in reported] == ["running"]

        progress.finish(built=True)
        last = reported[-1]
        assert (last.title, last.state, last.seconds) == ("receive the build context", "done", 1.0)

    def test_left_to_another_build(self) -> None:
        """Steps that were announced and never begun count as cached once there is an image, and only then."""
        announced = Status(vertices=(vertex("[build 2/4] WORKDIR /src"), vertex("[build 3/4] COPY app      app")))
        progress, reported = follow(announced)
        progress.finish()
        assert reported == []
        assert steps.steps_frame(progress.rows).empty

        progress.finish(built=True)
        assert [(step.line, step.state) for step in reported] == [(2, "cached"), (3, "cached")]
        frame = steps.steps_frame(progress.rows)
        assert list(frame["line"]) == [2, 3]
        assert frame["cached"].all()
        assert not frame["seconds"].any()

    def test_harmless(self) -> None:
        """A title has one line and no escape codes, whatever the Dockerfile holds."""
        _, reported = follow(Status(vertices=(vertex("[build 4/4] RUN \x1b[2J<<EOF\nmake\nEOF", 1),)))

        assert reported[0].title == "[build 4/4] RUN <<EOF make EOF"


class TestLog:
    """The output of one step."""

    @given(st.lists(st.binary(max_size=50), max_size=40))
    def test_pieces(self, pieces: list[bytes]) -> None:
        """How the output is cut into pieces changes nothing, be it within a character or an escape code."""
        bit_by_bit = Row("a", "a")
        for piece in pieces:
            bit_by_bit.printed += piece

        assert Row("a", "a", printed=bytearray(b"".join(pieces))).log == bit_by_bit.log

    def test_last_line(self) -> None:
        """The newest line is the last one that is not empty, without escape codes."""
        row = Row("a", "a", printed=bytearray(b"first\n\x1b[32msec\x1b[0mond\n  \n"))

        assert row.last_line == "second"

    def test_last_line_of_nothing(self) -> None:
        """A log without a line has an empty one."""
        assert Row("a", "a").last_line == ""

    def test_last_line_of_progress(self) -> None:
        """Of a bar that overwrites itself, the newest line is its last state."""
        assert Row("a", "a", printed=bytearray(b"10%\r20%\r30%")).last_line == "30%"
