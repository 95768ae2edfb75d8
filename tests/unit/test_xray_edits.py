"""Edits of Dockerfiles: what becomes of the text, held against what a shell does with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.xray.advice import Edit, can_append, edited, joined, neighbours

TEXT = """\
# first
FROM a AS build
# about the index
RUN apt-get update
RUN apt-get install -y \\
    # a comment within
    curl \\
 && true
EXPOSE 5000
RUN rm -rf /var/lib/apt/lists/*
ENV A=b
RUN --mount=type=cache,target=/c pip install flask
COPY --from=x /a /b
"""


def lines_of(text: str) -> dict[str, list[str]]:
    """The instructions of a Dockerfile, by keyword."""
    found: dict[str, list[str]] = {}
    for each in dockerfile.parse(text).instructions:
        found.setdefault(each.keyword, []).append(" ".join(each.value.split()))
    return found


class TestCommands:
    def test_nothing_changes_nothing(self) -> None:
        """Without edits the text stays as it is, to the byte."""
        assert edited(dockerfile.parse(TEXT), []) == TEXT

    def test_a_command_is_appended(self) -> None:
        """A RUN of several lines gets one more command, once, however often it is asked for."""
        edit = Edit((5,), "rm -rf /x")
        after = edited(dockerfile.parse(TEXT), [edit, edit])
        assert lines_of(after)["RUN"][1] == "apt-get install -y curl && true && rm -rf /x"
        assert after.replace(" \\\n && rm -rf /x", "") == TEXT


class TestMerging:
    def test_runs_become_one(self) -> None:
        """The commands stand in their order, in the place of the first; comments stay, and so does the rest."""
        after = edited(dockerfile.parse(TEXT), [Edit((4, 5)), Edit((5, 10), "true")])
        assert lines_of(after)["RUN"] == [
            "( apt-get update ) && ( apt-get install -y curl && true ) && ( rm -rf /var/lib/apt/lists/* && true )",
            "pip install flask",
        ]
        assert "# about the index" in after

    def test_sets_that_share_a_line_are_one(self) -> None:
        """Spans that overlap are put together, others stay apart."""
        assert set(joined([frozenset({1, 2}), frozenset({4, 5}), frozenset({2, 3})])) == {
            frozenset({1, 2, 3}),
            frozenset({4, 5}),
        }

    def test_neighbours(self) -> None:
        """RUNs belong together unless something between them changes what they do, or they have other mounts."""
        groups = neighbours(dockerfile.parse(TEXT), 0)
        assert [[each.line for each in group] for group in groups] == [[4, 5, 10], [12]]

    @pytest.mark.parametrize(
        "commands",
        [
            ["cd sub && touch a", "touch b"],
            ["X=1; touch $X", "touch n$X"],
            ["export Y=2 && touch y$Y", "touch z$Y"],
            ["false || touch c", "touch d && touch e"],
            ["true", "if test -e b; then touch f; else touch g; fi", "for n in 1 2; do touch l$n; done"],
            ["set -e; touch h", "touch i | cat"],
            ["umask 077 && touch j", "touch k && stat -c %a k > mode"],
            ["(cd sub && touch m)", "touch o; touch p"],
        ],
    )
    def test_one_run_does_what_several_did(self, tmp_path: Path, commands: list[str]) -> None:
        """A shell that runs the one leaves the same files as shells that run the several, one after the other."""
        text = "FROM a\n" + "".join(f"RUN {command}\n" for command in commands)
        parsed = dockerfile.parse(text)
        lines = tuple(each.line for each in parsed.instructions if each.keyword == "RUN")
        (one,) = lines_of(edited(parsed, [Edit(lines)]))["RUN"]
        left = []
        for name, scripts in (("several", commands), ("one", [one])):
            folder = tmp_path / name
            (folder / "sub").mkdir(parents=True)
            for script in scripts:
                subprocess.run(["sh", "-c", script], cwd=folder, check=True)
            files = [path for path in folder.rglob("*") if path.is_file()]
            left.append({(str(path.relative_to(folder)), path.read_text(), path.stat().st_mode) for path in files})
        assert left[0] == left[1] != set()

    def test_failure_stays_failure(self) -> None:
        """A command that fails ends the one RUN, and what stood in the next RUN is not run."""
        parsed = dockerfile.parse("FROM a\nRUN false\nRUN true || true\n")
        after = dockerfile.parse(edited(parsed, [Edit((2, 3))]))
        done = subprocess.run(["sh", "-c", after.instructions[-1].value], check=False)
        assert done.returncode != 0


@pytest.mark.parametrize(
    "run",
    [
        "RUN fetch # the sources",
        "RUN true;# done",
        'RUN ["a", "b"]',
        "RUN <<EOF\ntrue\nEOF",
        "RUN sleep 1 &",
        'SHELL ["/bin/bash", "-c"]\nRUN true',
    ],
)
def test_what_cannot_be_appended_to(run: str) -> None:
    """A comment of the shell's, a JSON form, a heredoc, a background job and another shell are left alone."""
    parsed = dockerfile.parse(f"FROM a\n{run}\n")
    assert not any(can_append(parsed, each) for each in parsed.instructions)
