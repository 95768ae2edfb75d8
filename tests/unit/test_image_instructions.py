"""Which instruction made a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from layerlab.dockerfile import parse
from layerlab.image import instructions

MULTI_STAGE = """\
ARG VERSION=3.13
FROM python:${VERSION} AS build
WORKDIR /src
COPY requirements.txt .
RUN pip install \\
      --requirement requirements.txt

FROM python:${VERSION}-slim
ARG USER_ID=10001
ENV PATH=/venv/bin:$PATH
WORKDIR /srv
COPY --from=build /venv /venv
COPY app app
RUN useradd --uid $USER_ID app && \\
    rm -rf /var/log/*
USER 10001
CMD ["gunicorn", "app.wsgi:app"]
"""
BASE = [
    ("/bin/sh -c #(nop) ADD file:0123456789abcdef in / ", False),
    ('/bin/sh -c #(nop)  CMD ["bash"]', True),
    ("RUN /bin/sh -c set -eux; apt-get update # buildkit", False),
]
CLASSIC = [
    *BASE,
    ("/bin/sh -c #(nop)  ARG USER_ID=10001", True),
    ("/bin/sh -c #(nop)  ENV PATH=/venv/bin:/usr/bin", True),
    ("/bin/sh -c #(nop) WORKDIR /srv", False),
    ("/bin/sh -c #(nop) COPY dir:0123456789abcdef in /venv ", False),
    ("/bin/sh -c #(nop) COPY dir:fedcba9876543210 in app ", False),
    ("|1 USER_ID=10001 /bin/sh -c useradd --uid $USER_ID app &&     rm -rf /var/log/*", False),
    ("/bin/sh -c #(nop)  USER 10001", True),
    ('/bin/sh -c #(nop)  CMD ["gunicorn" "app.wsgi:app"]', True),
    ("/bin/sh -c #(nop)  LABEL layerlab.image=optimized", True),
]
BUILDKIT = [
    *BASE,
    ("ARG USER_ID=10001", True),
    ("ENV PATH=/venv/bin:/usr/bin", True),
    ("WORKDIR /srv", False),
    ("COPY /venv /venv # buildkit", False),
    ("COPY app app # buildkit", False),
    ("RUN |1 USER_ID=10001 /bin/sh -c useradd --uid $USER_ID app &&     rm -rf /var/log/* # buildkit", False),
    ("USER 10001", True),
    ('CMD ["gunicorn" "app.wsgi:app"]', True),
]


def config(lines: Sequence[tuple[str, bool]], **more: Any) -> dict[str, Any]:
    """A config with this history: what made each line, and whether it made no layer."""
    return {
        "history": [{"created_by": raw, **({"empty_layer": True} if empty else {})} for raw, empty in lines],
        "config": more,
    }


def lines(dockerfile: str, made: Sequence[tuple[str, bool]], **more: Any) -> list[int | None]:
    """The line of each layer."""
    count = sum(not empty for _, empty in made)
    found = instructions.origins(config(made, **more), count, parse(dockerfile))
    return [found[layer].line if layer in found else None for layer in range(count)]


class TestInstruction:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("/bin/sh -c #(nop) COPY dir:6e1f in /app ", "COPY dir:6e1f in /app"),
            ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
            ("/bin/bash -o pipefail -c #(nop)  ENV A=1", "ENV A=1"),
            ("/bin/sh -c echo #(nop) x", "RUN echo #(nop) x"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
            ("COPY app app # buildkit", "COPY app app"),
            ("|1 V=3 /bin/sh -c pip install x==$V", "RUN V=3 pip install x==$V"),
            ("RUN |2 A=1 B=2 /bin/sh -c make # buildkit", "RUN A=1 B=2 make"),
            ("/bin/sh -c set -eux; \tapt-get update; \tcd /", "RUN set -eux; \tapt-get update; \tcd /"),
            ("# debian.sh --arch 'amd64' out/ 'trixie'", "# debian.sh --arch 'amd64' out/ 'trixie'"),
            ("ADD rootfs.tar / # buildkit", "ADD rootfs.tar /"),
            ("bazel build ...", "bazel build ..."),
            ("", ""),
        ],
    )
    def test_in_the_words_of_a_dockerfile(self, raw: str, expected: str) -> None:
        """Every builder's way of writing becomes a Dockerfile's."""
        assert instructions.instruction(raw) == expected


class TestInstructions:
    def test_of_layers(self) -> None:
        """Lines that made no layer are passed over."""
        assert instructions.instructions(config(BASE), 2) == [
            "ADD file:0123456789abcdef in /",
            "RUN set -eux; apt-get update",
        ]

    @pytest.mark.parametrize("broken", [{}, {"history": None}, {"history": [1, 2]}, {"history": [{}]}])
    def test_without_a_history(self, broken: dict[str, Any]) -> None:
        """Where the history does not fit the layers, nothing is said about them."""
        assert instructions.instructions(broken, 2) == ["", ""]
        assert instructions.origins(broken, 2, parse(MULTI_STAGE)) == {}


class TestLines:
    @pytest.mark.parametrize("made", [CLASSIC, BUILDKIT], ids=["classic", "buildkit"])
    def test_of_the_final_stage(self, made: list[tuple[str, bool]]) -> None:
        """Each layer of the final stage has its line, the base image's layers have none."""
        assert lines(MULTI_STAGE, made) == [None, None, 11, 12, 13, 14]

    def test_of_a_stage_on_another(self) -> None:
        """A final stage that is FROM another one continues it."""
        dockerfile = "FROM debian AS first\nRUN one\nFROM first AS second\nRUN two\nFROM second\nRUN three\n"

        assert lines(
            dockerfile, [*BASE, ("/bin/sh -c one", False), ("/bin/sh -c two", False), ("/bin/sh -c three", False)]
        ) == [None, None, 2, 4, 6]

    def test_a_layer_that_turned_out_empty(self) -> None:
        """An instruction that made no layer takes its place all the same."""
        dockerfile = "FROM scratch\nWORKDIR /\nCOPY a b\nRUN true\n"
        made = [("WORKDIR /", True), ("COPY a b # buildkit", False), ("RUN /bin/sh -c true # buildkit", False)]

        assert lines(dockerfile, made) == [3, 4]

    @pytest.mark.parametrize(
        ("dockerfile", "raw"),
        [
            ('RUN ["make", "all"]', "make all"),
            ('RUN ["make", "all"]', "RUN make all # buildkit"),
            ('SHELL ["/bin/bash", "-c"]\nRUN make all', "/bin/bash -c make all"),
            ('SHELL ["/bin/bash", "-c"]\nRUN make all', "RUN |1 A=b /bin/bash -c make all # buildkit"),
            ("RUN <<EOF\nmake all\nEOF", "RUN /bin/sh -c make all\n # buildkit"),
            ("RUN cat <<EOF > x\nmake all\nEOF", "RUN /bin/sh -c cat <<EOF > x\nmake all\nEOF # buildkit"),
            ("RUN --mount=type=cache,target=/x make all", "RUN /bin/sh -c make all # buildkit"),
            ("COPY --chown=1:1 a b /opt/", "COPY --chown=1:1 a b /opt/ # buildkit"),
            ("COPY --chown=1:1 a b /opt/", "COPY a b /opt/ # buildkit"),
            ("COPY a b /opt/", "/bin/sh -c #(nop) COPY multi:0123abcd in /opt/ "),
            ("COPY --chown=1:1 a /opt/", "/bin/sh -c #(nop) COPY --chown=1:1dir:0123abcd in /opt/ "),
            ('SHELL ["/bin/bash", "-c"]\nWORKDIR /srv', "/bin/bash -c #(nop) WORKDIR /srv"),
            ("ARG D=/opt\nCOPY a $D/x", "COPY a /opt/x # buildkit"),
            ("ARG D=/opt\nCOPY a ${D}/x", "/bin/sh -c #(nop) COPY file:0123abcd in /opt/x "),
            ('COPY ["a b", "/opt/"]', "COPY a b /opt/ # buildkit"),
            ("ADD a.tar /", "/bin/sh -c #(nop) ADD file:0123abcd in / "),
            ("WORKDIR sub", "WORKDIR /srv/sub"),
            ('WORKDIR "/srv"', "/bin/sh -c #(nop) WORKDIR /srv"),
            ("WORKDIR ${HOME}/x/", "WORKDIR /root/x"),
        ],
    )
    def test_ways_to_write_an_instruction(self, dockerfile: str, raw: str) -> None:
        """Forms, shells, heredocs, flags and variables are written down differently by each builder."""
        found = lines(f"FROM scratch\n{dockerfile}\n", [(raw, False)])

        assert found == [parse(f"FROM scratch\n{dockerfile}\n").instructions[-1].line]

    def test_the_bases_shell(self) -> None:
        """A base image may have set the shell."""
        assert lines("FROM x\nRUN make\n", [("/bin/ash -e -c make", False)], Shell=["/bin/ash", "-e", "-c"]) == [2]

    @pytest.mark.parametrize(
        ("dockerfile", "raw"),
        [
            ("RUN make", "/bin/sh -c make all"),
            ("RUN make", "/bin/sh -c cmake"),
            ("RUN make", "/bin/sh -c a && /bin/sh -c make"),
            ("RUN make", "|1 A=1 /bin/sh -c a && /bin/sh -c make"),
            ("RUN make", "/bin/bash -c make"),
            ("RUN make", "COPY make make # buildkit"),
            ("COPY a /b", "COPY a /c # buildkit"),
            ("COPY a /b", "COPY x a /b # buildkit"),
            ("COPY a /b", "/bin/sh -c #(nop) COPY file:0123 in /c "),
            ("COPY a /b", "/bin/sh -c #(nop) ADD file:0123 in /b "),
            ("WORKDIR /a", "WORKDIR /b"),
            ("WORKDIR a", "WORKDIR /ba"),
        ],
    )
    def test_rather_none_than_a_wrong_one(self, dockerfile: str, raw: str) -> None:
        """An instruction that is not the one in the history has not made the layer."""
        assert lines(f"FROM scratch\n{dockerfile}\n", [(raw, False)]) == [None]

    def test_nothing_below_a_difference(self) -> None:
        """Below the first difference nothing is known any more."""
        dockerfile = "FROM scratch\nCOPY a a\nRUN changed\nRUN same\n"
        made = [("COPY a a # buildkit", False), ("RUN /bin/sh -c old # buildkit", False), ("/bin/sh -c same", False)]

        assert lines(dockerfile, made) == [None, None, 4]

    def test_a_layer_committed_on_top(self) -> None:
        """A layer that no Dockerfile made leaves those below it untied."""
        assert lines("FROM scratch\nRUN make\n", [("/bin/sh -c make", False), ("", False)]) == [None, None]

    def test_without_a_dockerfile(self) -> None:
        """Without a Dockerfile there are no lines."""
        assert instructions.origins(config(CLASSIC), 6, None) == {}


def test_what_came_from_the_context() -> None:
    """Only what was copied without --from came from the build context."""
    found = instructions.origins(config(CLASSIC), 6, parse(MULTI_STAGE))

    assert instructions.from_context(found) == [4]


class TestHostile:
    SPACES = " " * 2_000_000

    @pytest.mark.parametrize(
        "raw",
        [
            f"RUN |1 {SPACES}x",
            f"|9 {SPACES}/bin/sh -c x",
            f"RUN{SPACES}x",
            f"/bin/sh -c #(nop){SPACES}x",
            f"{'a ' * 900_000}#(nop) x",
        ],
    )
    def test_an_instruction(self, raw: str) -> None:
        """A history's line of megabytes takes no longer than its length."""
        assert instructions.instruction(raw).endswith("x")

    @pytest.mark.parametrize(
        ("written", "made"),
        [
            ("COPY $a $b $c $d $e $f x", "a b " * 200_000),
            ("ADD --x=$a $b /", "--from=x " * 200_000),
            ("WORKDIR $a/$b/$c/$d/$e", SPACES),
        ],
    )
    def test_variables(self, written: str, made: str) -> None:
        """Nor does comparing it with an instruction that has many variables."""
        keyword = written.partition(" ")[0]
        config = {"history": [{"created_by": f"{keyword} {made}y # buildkit"}]}

        assert instructions.origins(config, 1, parse(f"FROM x\n{written}\n")) == {}
