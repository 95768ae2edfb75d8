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


@pytest.mark.long
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


def test_an_owner_that_a_run_changes(look: Look, busybox_image: str) -> None:
    """It is said how COPY does it, and a person has to: who else wants that owner is more than a program can tell."""
    advice = the_one(look(f"FROM {busybox_image}\nCOPY data /data\nRUN busybox chown -R 7:8 /data\n"), "--chown")
    assert advice.title == "give COPY on line 2 --chown or --chmod, in place of line 3"
    assert (advice.line, advice.bytes, advice.is_mechanical) == (2, 250_000, False)


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


def test_a_smaller_base(engine: Engine, look: Look) -> None:
    """What the slim base stores less is what shipping from it saves; only a person can tell what moves to a stage."""
    bases.ensure(engine)
    found = look("FROM python:3.13-trixie\nCOPY data /data\n")
    advice = the_one(found, "ship from python:3.13-slim-trixie (line 1)")
    slim = look("FROM python:3.13-slim-trixie\nCOPY data /data\n")
    assert advice.bytes == found.image.total_bytes - slim.image.total_bytes
    assert not advice.is_mechanical
    assert not any("ship from" in each.title for each in slim.advice)


@pytest.mark.long
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
