"""Origins: which source of a COPY a file may have been, and which entry of a stage fits it best."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlab import dockerfile
from layerlab.image.layer import FILE, SYMLINK
from layerlab.image.store.file_reader import FileReader
from layerlab.xray.provenance.file_origins import FileOrigins, common_suffix, sources
from layerlab.xray.provenance.layer_history import LayerHistory, LayerInstruction
from tests.unit.image_folders import layer, read_folders


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def origins_of(reader: FileReader) -> FileOrigins:
    """Of an image that nothing is known about but its files."""
    return FileOrigins(
        reader, LayerHistory((), 0, {}, (), {}), dockerfile.parse("FROM scratch\n"), {}, {}, str.encode
    )


def names(folder: Path, files: dict[str, int], base: dict[str, int]) -> FileOrigins:
    """Of a stage that has these files, by path and size, above those of its base."""
    layers = [
        layer(folder / name, {path: bytes(size) for path, size in sizes.items()})
        for name, sizes in (("base", base), ("own", files))
    ]
    return origins_of(read_folders(layers))


def step_of(text: str, workdir: str | None) -> LayerInstruction:
    """An instruction alone in its stage, in this folder."""
    parsed = dockerfile.parse(f"FROM scratch\n{text}\n")
    return LayerInstruction(parsed.stages[0], 2, parsed.instructions[-1], workdir)


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
    assert expected in list(sources(path, step_of(copy, workdir)))


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
    assert list(sources(path, step_of(copy, workdir))) == []


@pytest.mark.parametrize(
    ("instruction", "path", "expected"),
    [
        ("COPY conf /srv/conf", "/srv/conf", ("context", "conf")),
        ("COPY <<EOF /srv/conf\ntext\nEOF", "/srv/conf", ("made", "")),
        ("COPY <<one conf /srv/\ntext\none", "/srv/one", ("made", "")),
        ("COPY <<one conf /srv/\ntext\none", "/srv/conf", ("context", "conf")),
        ("ADD https://127.0.0.1/tool.tar.gz /srv/", "/srv/tool.tar.gz", ("made", "")),
        ('ADD ["https://127.0.0.1/tool", "/srv/"]', "/srv/tool", ("made", "")),
        ("ADD git@127.0.0.1:some/project.git /srv", "/srv/setup.py", ("made", "")),
    ],
)
def test_what_copy_and_add_bring(tmp_path: Path, instruction: str, path: str, expected: tuple[str, str]) -> None:
    """Text in the Dockerfile, and what is downloaded, is none of the build context."""
    parsed = dockerfile.parse(f"FROM scratch\n{instruction}\n")
    (stage,) = parsed.stages
    step = LayerInstruction(stage, 2, parsed.instructions[-1], "/")
    made = read_folders([layer(tmp_path / "own", {path: b"text\n"})])
    origins = FileOrigins(
        made, LayerHistory((stage,), 0, {}, (), {0: step}), parsed, {}, {"conf": 6}, lambda _: b"other\n"
    )
    index = made.stack.merged.find(path)
    assert index is not None
    origin = origins.origin(index)
    assert (origin.kind, origin.source or "", origin.line) == (*expected, 2)


def test_the_longest_common_ending_wins(tmp_path: Path) -> None:
    """Of entries with the same name and size, the one whose folders are the same is the likeliest."""
    own = {"/a/flask/__init__.py": 10, "/a/numpy/__init__.py": 10, "/b/numpy/__init__.py": 11}
    found = names(tmp_path, own, {"/usr/numpy/__init__.py": 10})
    paths = found.reader.stack.merged.paths
    best = found.most_alike("/srv/numpy/__init__.py", FILE, 10)
    assert best is not None
    assert paths[best] == "/a/numpy/__init__.py"
    within = found.most_alike("/srv/numpy/__init__.py", FILE, 10, "/usr")
    assert within is not None
    assert paths[within] == "/usr/numpy/__init__.py"
    assert found.most_alike("/srv/numpy/__init__.py", FILE, 12) is None
    assert found.most_alike("/srv/numpy/__init__.py", SYMLINK, 0) is None
    assert common_suffix("/x/y", "/z") == 0


def test_entries_above_the_base_come_first(tmp_path: Path) -> None:
    """A stage shows what it has made rather than what its base has at that path."""
    found = names(tmp_path, {"/tool": 5}, {"/tool": 4, "/base": 3})
    indexes = {path: found.reader.stack.merged.find(path) for path in ("/tool", "/base", "/none")}
    sizes = {
        path: None if index is None else found.reader.stack.merged.sizes[index] for path, index in indexes.items()
    }
    assert sizes == {"/tool": 5, "/base": 3, "/none": None}


def test_links_on_the_way_are_followed(tmp_path: Path) -> None:
    """A link at the end of a path, links in its folders and links to links lead to the file; circles to nothing."""
    folder = layer(tmp_path / "0", {"/usr/lib/libz.so.1.3": b"z" * 9})
    (folder / "lib").symlink_to("usr/lib")
    (folder / "usr/lib/libz.so.1").symlink_to("libz.so.1.3")
    (folder / "usr/lib/libz.so").symlink_to("../../lib/libz.so.1")
    (folder / "absolute").symlink_to("/lib/libz.so")
    (folder / "usr/above").symlink_to("../../../../lib/libz.so")
    (folder / "circle").symlink_to("circle")
    found = origins_of(read_folders([folder]))
    linked = ("/lib/libz.so.1.3", "/lib/libz.so.1", "/usr/lib/libz.so", "/absolute", "/usr/above")
    for path in ("/usr/lib/libz.so.1.3", *linked):
        assert found.resolved(path) == found.reader.stack.merged.find("/usr/lib/libz.so.1.3")
    assert found.resolved("/circle") is None
    assert found.resolved("/lib/none") is None
