"""What advice reads out of a RUN, and the values of ENV and ARG where an instruction stands."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from layerlab.dockerfile import parse
from layerlab.dockerfile.commands import Command, apt, commands, installs_python
from layerlab.dockerfile.variables import environment


def read(body: str, before: str = "") -> tuple[Command, ...]:
    """The commands of the last instruction."""
    dockerfile = parse(f"FROM debian:13\n{before}{body}\n")
    return commands(dockerfile, dockerfile.instructions[-1])


def test_environment_follows_args_env_and_stages() -> None:
    """ENV and ARG values are those that hold at the instruction, docker's expansion and the parent stage included."""
    text = """ARG VERSION=3.13
ARG UNUSED=1
FROM python:$VERSION AS base
ARG VERSION
ENV A=one B="${A:-two}" C=${VERSION:+yes}
FROM base AS child
ENV D=$A-$C OLD=1
ARG WITH=${D}x
RUN here
ENV LATER=1
"""
    dockerfile = parse(text)
    run = next(each for each in dockerfile.instructions if each.keyword == "RUN")
    found = environment(dockerfile, run)
    assert found == {
        **{"VERSION": "3.13", "A": "one", "B": "two", "C": "yes"},
        **{"D": "one-yes", "OLD": "1", "WITH": "one-yesx"},
    }


@pytest.mark.parametrize(
    "script",
    [
        "probe a 'b c' \"d e\" e\\ f && probe g && false || probe h; probe i | cat",
        "X=1; Y='a b'; probe $X $Y ${Y} ${Z:-none} ${X:+set}",
        "if true; then probe yes; fi; for i in 1; do probe $i; done; { probe x; }; (probe y)",
        "probe \"a#b\" # probe not this\nprobe 'it''s' end >/dev/null 2>&1\nprobe shown",
        "sh -c 'probe inner' && env A=b nice -n 1 timeout -k 5 60 probe wrapped; exec probe last",
        "A=1 B=2 probe c; probe `probe inner` $(probe deep $(probe deeper))",
    ],
)
def test_reading_agrees_with_a_real_shell(script: str, tmp_path: Path) -> None:
    """What is said to be run is what /bin/sh runs, in whatever order; what stays unknown is left out."""
    program, told = tmp_path / "probe", tmp_path / "told"
    program.write_text(f'#!/bin/sh\n(printf "<%s>" "$@"; echo) >> {told}\n')
    program.chmod(0o755)
    subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, check=True)
    dockerfile = parse(f"FROM a:1\nRUN <<OUTER\n{script}\nOUTER\n")
    read_out = commands(dockerfile, dockerfile.instructions[-1])
    found = ["".join(f"<{word}>" for word in each.words[1:]) or "<>" for each in read_out if each.name == "probe"]
    assert sorted(found) == sorted(told.read_text().splitlines())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("RUN sudo -u app xargs -n 1 pip install x", ["pip install x"]),
        ('RUN ["bash", "-euo", "pipefail", "-c", "apk add gcc && true"]', ["apk add gcc", "true"]),
        ("RUN P='gcc make' && apt-get install $P", ["apt-get install gcc make"]),
        ("RUN for p in a b; do apt-get install $p; done", ["apt-get install a b"]),
        ("RUN <<EOF\napt-get update\nrm -r 'a b'\nEOF", ["apt-get update", "rm -r a b"]),
        ("RUN bash -e <<EOF\npip install z\nEOF", ["pip install z"]),
        ("RUN echo 'no end", ["echo"]),
    ],
)
def test_wrappers_and_forms(body: str, expected: list[str]) -> None:
    """Wrappers are taken off, and each form of RUN is read."""
    assert [" ".join(command.words) for command in read(body)] == expected


@pytest.mark.parametrize(
    ("body", "verb", "packages", "no_recommends"),
    [
        ("apt-get install -y --no-install-recommends gcc make", "install", ("gcc", "make"), True),
        ("apt -o APT::Install-Recommends=false -y install gcc", "install", ("gcc",), True),
        ("apt-get install gcc", "install", ("gcc",), False),
        ("apt-get -qq update", "update", (), False),
    ],
)
def test_apt(body: str, verb: str, packages: tuple[str, ...], no_recommends: bool) -> None:
    """Its commands are told apart, with the options that matter."""
    (found,) = map(apt, read(f"RUN {body}"))
    assert found
    assert (found.verb, found.packages, found.no_recommends) == (verb, packages, no_recommends)


@pytest.mark.parametrize(
    ("body", "installs"),
    [
        ("/opt/venv/bin/pip install --no-cache-dir \\\n -r a.txt", True),
        ("python3.13 -m pip wheel -w /w -r a.txt", True),
        ("uv sync --frozen", True),
        ("uv pip install --system -r a.txt", True),
        ("pip list && apt-get install gcc", False),
        ("uv venv", False),
    ],
)
def test_installs_python(body: str, *, installs: bool) -> None:
    """Installations of Python packages are told from what only looks."""
    assert installs_python(parse(f"FROM a:1\nRUN {body}\n").instructions[-1]) is installs


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["${", "$(", "`", "'\"", "(", "sudo ", "a=1;", "${a:-", "for x in a; do ", "X=$X$X;"]
)
def test_hostile_instructions_are_read_in_bounded_time(piece: str) -> None:
    """A RUN of 150 kB of whatever cannot hold anybody up; a quadratic algorithm would take minutes."""
    began = time.process_time()
    read(f"RUN {piece * (150_000 // len(piece))}")
    assert time.process_time() - began < 10
