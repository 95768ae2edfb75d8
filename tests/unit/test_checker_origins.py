"""Origins: which source of a COPY a file may have been, and which entry of a stage fits it best."""

from __future__ import annotations

import pytest

from layerlab import dockerfile
from layerlab.checker.evidence import File, Picture
from layerlab.checker.origins import Names, common_suffix, sources


def picture(*files: tuple[str, int], base: tuple[tuple[str, int], ...] = ()) -> Picture:
    """A stage that has these files, by path and size."""

    def file(path: str, size: int, layer: int) -> File:
        return File(path, "file", size, 0o644, 0, 0, layer, visible=True)

    return Picture(
        stage="build", config={}, base_config={}, history=(), layers=(), total_bytes=0,
        files=tuple(file(path, size, 1) for path, size in files),
        base_files={path: file(path, size, 0) for path, size in base},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("copy", "workdir", "path", "expected"),
    [
        ("COPY --from=x /opt/venv /opt/venv", "/", "/opt/venv/bin/flask", "/opt/venv/bin/flask"),
        ("COPY --from=x /venv/ /opt/env/", "/", "/opt/env/bin/flask", "/venv/bin/flask"),
        ("COPY --from=x /out/tool /usr/bin/renamed", "/", "/usr/bin/renamed", "/out/tool"),
        ("COPY --from=x /out/tool /usr/bin/", "/", "/usr/bin/tool", "/out/tool"),
        ("COPY --from=x out/a out/b ./", "/srv", "/srv/a", "/out/a"),
        ("COPY --from=x /w/*.whl /tmp/", "/", "/tmp/flask.whl", "/w/flask.whl"),
        ("COPY --from=x / /", "/", "/etc/passwd", "/etc/passwd"),
        ('COPY --from=x ["/my files", "to"]', "/a", "/a/to/one", "/my files/one"),
        ('COPY --from=x "/quoted" "/to"', None, "/to", "/quoted"),
    ],
)
def test_sources_follow_the_instruction(copy: str, workdir: str | None, path: str, expected: str) -> None:
    """The place that a file was copied from is among those that the instruction allows."""
    instruction = dockerfile.parse(f"FROM scratch\n{copy}\n").instructions[-1]
    assert expected in list(sources(path, instruction, workdir))


@pytest.mark.parametrize(
    ("copy", "workdir", "path"),
    [
        ("COPY --from=x /a $TO", "/", "/b"),
        ("COPY --from=x $A /b", "/", "/b"),
        ("COPY --from=x /a relative", None, "/relative"),
        ("COPY --from=x /opt/venv /opt/venv", "/", "/opt"),
        ("COPY --from=x /opt/venv /opt/venv", "/", "/opt/venv2/file"),
    ],
)
def test_what_cannot_be_told_has_no_source(copy: str, workdir: str | None, path: str) -> None:
    """Variables, an unknown working directory and other places give nothing rather than a guess."""
    instruction = dockerfile.parse(f"FROM scratch\n{copy}\n").instructions[-1]
    assert list(sources(path, instruction, workdir)) == []


def test_the_longest_common_ending_wins() -> None:
    """Of entries with the same name and size, the one whose folders are the same is the likeliest."""
    names = Names(
        picture(
            ("/a/flask/__init__.py", 10), ("/a/numpy/__init__.py", 10), ("/b/numpy/__init__.py", 11),
            base=(("/usr/numpy/__init__.py", 10),),
        )
    )  # fmt: skip
    best = names.like("/srv/numpy/__init__.py", "file", 10)
    assert best is not None
    assert best.path == "/a/numpy/__init__.py"
    within = names.like("/srv/numpy/__init__.py", "file", 10, "/usr")
    assert within is not None
    assert within.path == "/usr/numpy/__init__.py"
    assert names.like("/srv/numpy/__init__.py", "file", 12) is None
    assert names.like("/srv/numpy/__init__.py", "symlink", 0) is None
    assert common_suffix("/x/y", "/z") == 0


def test_entries_above_the_base_come_first() -> None:
    """A stage shows what it has made rather than what its base has at that path."""
    names = Names(picture(("/tool", 5), base=(("/tool", 4), ("/base", 3))))
    found = {path: names.at(path) for path in ("/tool", "/base", "/none")}
    assert {path: file and file.bytes for path, file in found.items()} == {"/tool": 5, "/base": 3, "/none": None}
