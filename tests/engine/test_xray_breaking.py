"""Edits that would break an image, or another Dockerfile's lines, are not given to a program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlab import bases, builder, image, xray
from layerlab.engine import Engine
from layerlab.paths import ROOT
from layerlab.xray import Advice, BuildSource, Examined

Look = Callable[..., Examined]


@pytest.fixture
def look(engine: Engine, new_tag: Callable[[], str], tmp_path: Path) -> Look:
    """Builds a Dockerfile with a file ``data/big`` beside it, and examines the image."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/big").write_text("data\n" * 50_000)

    def examine(text: str, *, target: str | None = None, proves: bool = False) -> Examined:
        (tmp_path / "Dockerfile").write_text(text)
        tag = new_tag()
        builder.build(engine, tmp_path, tag=tag, target=target)
        source = BuildSource(tmp_path / "Dockerfile", tmp_path, target)
        return xray.examine(engine, image.read(engine, tag, dockerfile=source.built_from), source, proves=proves)

    return examine


def the_one(found: Examined, words: str) -> Advice:
    """The advice whose title has these words."""
    (advice,) = [advice for advice in found.advice if words in advice.title]
    return advice


def test_only_caches_are_removed_as_a_whole(look: Look, busybox_image: str) -> None:
    """A cache's own folder is named in the command; a folder of data that only sounds like a cache's is not."""
    found = look(
        f"FROM {busybox_image}\n"
        "RUN mkdir -p /root/.m2/repository/a /srv/.cache-v2/x && seq 1 60000 > /root/.m2/repository/a/jar && "
        "seq 1 60000 > /srv/.cache-v2/x/model\n",
        proves=True,
    )
    advice = the_one(found, "rm -rf")
    assert advice.title == "add `rm -rf /root/.m2/repository` to line 2"
    assert found.proofs
    assert found.proofs[0].predicted == found.proofs[0].measured


@pytest.mark.parametrize(
    ("before", "run", "is_mechanical"),
    [
        ("", "busybox chown -R 7:8 /data", True),
        ("RUN mkdir -p /data/logs\n", "busybox chown -R 7:8 /data", False),
        ("RUN mkdir -p /data && seq 1 9 > /data/made\n", "busybox chown -R 7:8 /data", False),
        ("", "mkdir /data/logs && busybox chown -R 7:8 /data", False),
        ("", "seq 1 9 > /data/made && busybox chown -R 7:8 /data", False),
        ("", "mkdir /logs && busybox chown -R 7:8 /data /logs", True),
    ],
)
def test_an_owner_that_copy_cannot_give_stays_with_the_run(
    look: Look, busybox_image: str, before: str, run: str, is_mechanical: bool
) -> None:
    """Where a RUN changes more than what COPY has brought, to take its -R away would leave that as it was."""
    found = look(f"FROM {busybox_image}\n{before}COPY data /data\nRUN {run}\n")
    assert the_one(found, "--chown").is_mechanical is is_mechanical


def test_a_comment_swallows_what_is_appended(look: Look, busybox_image: str) -> None:
    """A RUN that ends in a shell's comment gets no command added."""
    cache = "mkdir -p /root/.m2/repository && seq 1 60000 > /root/.m2/repository/jar"
    assert the_one(look(f"FROM {busybox_image}\nRUN {cache}\n"), "rm -rf").is_mechanical
    assert not the_one(look(f"FROM {busybox_image}\nRUN {cache}; true # done\n"), "rm -rf").is_mechanical


def test_lines_of_a_target(look: Look, busybox_image: str) -> None:
    """Of an image of an earlier stage, the lines are that stage's, though a later one has the same commands."""
    found = look(
        f"FROM {busybox_image} AS first\nCOPY data /data\nRUN seq 1 70000 > /made\n"
        f"FROM {busybox_image} AS last\nCOPY data /data\nRUN seq 1 70000 > /made\n",
        target="first",
    )
    assert found.lines is not None
    stored = {row.line: row.bytes for row in found.lines.itertuples()}
    assert set(stored) == {1, 2, 3}
    assert stored[2] == 250_000


def test_what_a_base_asks_for_is_on_its_from(
    engine: Engine, look: Look, busybox_image: str, new_tag: Callable[[], str], tmp_path: Path
) -> None:
    """A layer of ONBUILD has the line of the FROM, and no line of the Dockerfile is edited for it."""
    base = new_tag()
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {busybox_image}\nONBUILD RUN mkdir -p /root/.m2/repository && seq 1 60000 > /root/.m2/repository/jar\n"
    )
    builder.build(engine, folder, tag=base)
    found = look(f"# one\nFROM {base}\nRUN seq 1 10 > /own\n")
    advice = [advice for advice in found.advice if "rm -rf" in advice.title]
    assert not any(each.is_mechanical for each in advice)
    assert {each.line for each in advice} <= {2, None}


FULL = "python:3.13-trixie"
DISTRIBUTION = (
    "S=/usr/local/lib/python3.13/site-packages && mkdir -p $S/one $S/one-1.dist-info && "
    "seq 1 900000 > $S/one/code.py && cd $S/one-1.dist-info && "
    "printf 'one/code.py,,\\none-1.dist-info/RECORD,,\\n' > RECORD && printf 'Name: one\\nVersion: 1\\n' > METADATA"
)


def test_a_base_that_an_argument_names(engine: Engine, look: Look, busybox_image: str) -> None:
    """Another base is advised; a program can only put it where the base's name stands."""
    bases.ensure(engine)
    files = f"FROM {busybox_image} AS files\nCOPY data /data\n"
    plain = look(f"{files}FROM {FULL}\nCOPY --from=files /data /data\n")
    argued = look(f"ARG BASE={FULL}\n{files}FROM ${{BASE}}\nCOPY --from=files /data /data\n")
    named = [the_one(found, "ship from python:3.13-slim-trixie").is_mechanical for found in (plain, argued)]
    assert named == [True, False]


def test_what_a_second_stage_would_leave_behind(engine: Engine, look: Look) -> None:
    """A file that a RUN has made elsewhere would be lost: the advice names it, and is nothing for a program."""
    bases.ensure(engine)
    found = look(f"FROM {FULL}\nRUN {DISTRIBUTION}\nRUN mkdir /models && seq 1 999 > /models/words\n")
    advice = the_one(found, "and ship that")
    assert "/models/words" in advice.why
    assert not advice.is_mechanical


def test_an_argument_without_a_value_comes_from_the_environment(
    engine: Engine, busybox_image: str, new_tag: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--build-arg NAME`` takes the variable of this process, as docker build does."""
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nARG TOP=1\nRUN seq 1 $TOP > /numbers\n")
    tag = new_tag()
    builder.build(engine, tmp_path, tag=tag, build_args={"TOP": "50000"})
    monkeypatch.setenv("TOP", "50000")
    command = [
        sys.executable,
        "-m",
        "layerlab",
        "xray",
        tag,
        "--dockerfile",
        str(tmp_path / "Dockerfile"),
        "--origins",
    ]
    given = subprocess.run([*command, "--build-arg", "TOP"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert given.returncode == 0, given.stderr
    without = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "line 3" in without.stderr
