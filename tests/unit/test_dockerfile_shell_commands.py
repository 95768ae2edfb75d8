"""What the checker reads out of RUN, CMD and ENTRYPOINT."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from layerlab.dockerfile import parse
from layerlab.dockerfile.shell.commands import (
    Command,
    commands,
    environment,
    installs_python,
    python_install,
    system_install,
)


def read(body: str, files: dict[str, bytes] | None = None, before: str = "") -> list[Command]:
    """The commands of the last instruction."""
    dockerfile = parse(f"FROM debian:13\n{before}{body}\n")
    return list(commands(dockerfile, dockerfile.instructions[-1], files or {}))


def words(body: str, files: dict[str, bytes] | None = None, before: str = "") -> list[str]:
    """The same as lines, the shells and scripts that only lead to them left out."""
    found = read(body, files, before)
    return [" ".join(command.words) for command in found if not command.name.endswith(("sh", "bash"))]


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
        "X=1; Y='a b'; probe $X $Y \"$Y\" ${Y} ${Z:-none} ${X:+set}",
        "if true; then probe yes; fi; for i in 1; do probe $i; done; { probe x; }; (probe y)",
        "probe \"a#b\" a#b # probe not this\nprobe 'it''s' \"\" end",
        "sh -c 'probe $0 \"$1\"' zero 'one two'; env A=b probe env; exec probe last",
        "eval 'probe a; probe b'; A=1 B=2 probe c; export E=5; probe $E",
        "case x in y|z) probe no ;; esac; cat <<'EOF' >/dev/null\nprobe not this\nEOF\nprobe after",
    ],
)
def test_reading_agrees_with_a_real_shell(script: str, tmp_path: Path) -> None:
    """What the reader says is run, with its words, is what /bin/sh runs (but for branches that it does not take)."""
    program = tmp_path / "probe"
    program.write_text('#!/bin/sh\nprintf "<%s>" "$@"; echo\n')
    program.chmod(0o755)
    result = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    said = [line for line in result.stdout.splitlines() if line.startswith("<")]
    dockerfile = parse(f"FROM a:1\nRUN <<OUTER\n{script}\nOUTER\n")
    found = [
        "".join(f"<{word}>" for word in command.words[1:])
        for command in commands(dockerfile, dockerfile.instructions[-1], {})
        if command.name == "probe"
    ]
    assert sorted(line for line in found if line != "<no>") == sorted(said)  # it does not know which branch is taken


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("RUN sudo -u app env A=1 nice -n 5 pip install x", ["pip install x"]),
        ("RUN timeout -k 5 60 xargs -n 1 pip install", ["pip install"]),
        ('RUN ["bash", "-euo", "pipefail", "-c", "apk add gcc && true"]', ["apk add gcc", "true"]),
        ("CMD exec gunicorn app.wsgi:app", ["gunicorn app.wsgi:app"]),
        ('ENTRYPOINT ["tini", "--", "gunicorn"]', ["gunicorn"]),
        ("RUN find / -name '*.whl' -exec pip install {} +", ["pip install {}"]),
        ("RUN su app -c 'pip install y'", ["pip install y"]),
        ("RUN P='gcc make' && apt-get install $P", ["apt-get install gcc make"]),
        ("RUN echo $(pip freeze)", ["pip freeze", "echo $(pip freeze)"]),
        (
            "RUN <<EOF\napt-get update\ncat <<F >a && pip install -r a\nflask\nF\nEOF",
            ["apt-get update", "cat", "pip install -r a"],
        ),
        ("RUN bash -e <<EOF\npip install z\nEOF", ["pip install z"]),
        ("RUN poetry -C . run python -m pip install a", ["python -m pip install a"]),
        ("RUN uv run --no-sync --with b pip install a && uv sync", ["pip install a", "uv sync"]),
        ("RUN conda run --no-capture-output -n env pip install a", ["pip install a"]),
        ("RUN $(command -v python3) -m pip install a", ["command -v python3", "python3 -m pip install a"]),
        ("RUN `which pip` install a", ["which pip", "pip install a"]),
        ("COPY a b", []),
    ],
)
def test_wrappers_and_forms(body: str, expected: list[str]) -> None:
    """Wrappers are taken off, and each form of an instruction is read."""
    assert words(body) == expected


@pytest.mark.parametrize(
    ("body", "before"),
    [
        ("RUN ./install.sh flask", ""),
        ("RUN sh /tmp/install.sh flask", "COPY scripts/install.sh /tmp/\n"),
        ("RUN setup-it flask", "COPY scripts/install.sh /usr/local/bin/setup-it\n"),
        ("RUN --mount=type=bind,source=scripts/install.sh,target=/x/go /x/go flask", ""),
        ("RUN . ./install.sh flask", ""),
        ("RUN sh < install.sh", ""),
        ("RUN /made.sh flask", 'COPY <<EOF /made.sh\npip install "flask"\nEOF\n'),
    ],
)
def test_scripts_of_the_context_are_read(body: str, before: str) -> None:
    """A script that a RUN starts is found in the build context, whatever it is called in the image."""
    found = read(body, {"scripts/install.sh": b'#!/bin/sh -e\npip install "flask"\n'}, before)
    assert any(command.words == ("pip", "install", "flask") for command in found)


def test_a_script_for_something_else_is_no_shell_script() -> None:
    """A script with another interpreter is not read as a shell script."""
    assert words("RUN ./x.pl", {"x.pl": b"#!/usr/bin/perl\npip install a\n"}) == ["./x.pl"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pip install -rrequirements.txt", ("pip", "install", ("requirements.txt",), ())),
        ("pip --python /v/bin/python install --requirement=a.txt b", ("pip", "install", ("a.txt",), ("b",))),
        ("python3.13 -Im pip wheel -w /w -r a.txt", ("pip", "wheel", ("a.txt",), ())),
        ("/opt/venv/bin/pip3 download -d /d -qr a.txt", ("pip", "download", ("a.txt",), ())),
        ("uv pip install --system -r a.txt", ("uv", "install", ("a.txt",), ())),
        ("uv --quiet pip sync a.txt", ("uv", "sync", ("a.txt",), ())),
        ("uv sync --frozen", ("uv", "sync", (), ())),
        ("pip-sync", ("pip-sync", "sync", ("requirements.txt",), ())),
        ("poetry install --no-root", ("poetry", "install", (), ())),
        ("xargs pip install < a.txt", ("pip", "install", ("a.txt",), ())),
        ("cat a.txt | xargs -n1 pip install", ("pip", "install", ("a.txt",), ())),
        ("while read p; do pip install $p; done < a.txt", ("pip", "install", ("a.txt",), ("$p",))),
    ],
)
def test_python_installs(body: str, expected: tuple[str, str, tuple[str, ...], tuple[str, ...]]) -> None:
    """Each way to install Python packages is recognised, with the files that it uses."""
    found = [install for command in read(f"RUN {body}") if (install := python_install(command))]
    assert [(each.tool, each.verb, each.requirements, each.packages) for each in found] == [expected]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("{ echo a; cat b; } > c && echo d", {"echo a": ("", "c"), "cat b": ("c", ""), "echo d": ("", "")}),
        ("(echo a; (cat b; cat b2)) >> c; echo d", {"echo a": ("", "c"), "cat b2": ("", "c"), "echo d": ("", "")}),
        ("for x in a; do echo $x; done > c", {"echo a": ("c", "")}),
        ("(echo a); echo b > c", {"echo a": ("", ""), "echo b": ("c", "")}),
        ("f() { echo a; }; f > c", {"echo a": ("", "")}),
    ],
)
def test_what_a_group_writes(script: str, expected: dict[str, tuple[str, str]]) -> None:
    """The commands of a group write its file together: the last one ends it, those before add to it."""
    found = {" ".join(each.words): (" ".join(each.writes), " ".join(each.extends)) for each in read(f"RUN {script}")}
    assert {text: found[text] for text in expected} == expected


def test_what_a_group_reads() -> None:
    """What is piped or redirected into a group reaches the commands in it."""
    for script in ("cat a.txt | { read x; xargs pip install; }", "(xargs pip install) < a.txt"):
        (install,) = filter(None, map(python_install, read(f"RUN {script}")))
        assert install.requirements == ("a.txt",)


def test_python_install_reads_the_environment() -> None:
    """What pip and uv take from variables counts as if it were on the command line."""
    before = "ENV PIP_CONSTRAINT=c.txt PIP_NO_INDEX=1\nENV PIP_FIND_LINKS=/w PIP_REQUIREMENT=r.txt\n"
    (install,) = map(python_install, read("RUN pip install", before=before))
    assert install
    assert (install.constraints, install.requirements, install.find_links) == (("c.txt",), ("r.txt",), ("/w",))
    assert install.offline


@pytest.mark.parametrize(
    "body", ["pip list", "pip freeze", "echo pip install x", "uv venv", "python -c 'pip install'"]
)
def test_what_installs_nothing(body: str) -> None:
    """Commands that only look or speak are no installations."""
    dockerfile = parse(f"FROM a:1\nRUN {body}\n")
    assert not installs_python(dockerfile, dockerfile.instructions[-1], {})


@pytest.mark.parametrize(
    ("body", "verb", "packages", "no_recommends", "no_cache"),
    [
        ("apt-get install -y --no-install-recommends gcc make", "install", ("gcc", "make"), True, False),
        ("apt -o APT::Install-Recommends=false -y install gcc", "install", ("gcc",), True, False),
        ("apt-get -oAPT::Install-Recommends=0 install gcc", "install", ("gcc",), True, False),
        ("aptitude -R install gcc", "install", ("gcc",), True, False),
        ("apt-get install gcc", "install", ("gcc",), False, False),
        ("apk add --no-cache -t build gcc", "install", ("gcc",), False, True),
        ("apt-get update", "update", (), False, False),
        ("apt-get purge -y gcc", "remove", ("gcc",), False, False),
        ("dpkg -i a.deb", "install", ("a.deb",), False, False),
    ],
)
def test_system_installs(
    body: str, verb: str, packages: tuple[str, ...], no_recommends: bool, no_cache: bool
) -> None:
    """The package managers' commands are told apart, with the options that matter."""
    (found,) = map(system_install, read(f"RUN {body}"))
    assert found
    assert (found.verb, found.packages, found.no_recommends, found.no_cache) == (
        verb,
        packages,
        no_recommends,
        no_cache,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "${",
        "$(",
        "`",
        "'\"",
        "(",
        "<(",
        "eval ",
        "sudo ",
        "a=1;",
        "${a:-",
        "for x in a; do ",
        "env A=B ",
        "\\",
        "{ a; } >b; ",
        "(a) >b; ",
        "{ (",
        "x " * 9,
        "X=$X$X;",
    ],
)
def test_hostile_instructions_are_read_in_bounded_time(piece: str) -> None:
    """A RUN of 150 kB of whatever cannot hold the checker up; a quadratic algorithm would take minutes."""
    dockerfile = parse(f"FROM a:1\nRUN {piece * (150_000 // len(piece))}\n")
    began = time.process_time()
    found = commands(dockerfile, dockerfile.instructions[-1], {})
    assert time.process_time() - began < 10
    assert len(found) < 4_000
