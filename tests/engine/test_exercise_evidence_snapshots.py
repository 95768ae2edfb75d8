"""Snapshots of images that were just built: layers, origins, copies and contents, against what is known of them."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from layerlab import builder, dockerfile
from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine
from layerlab.engine.ownership import CONTAINER_LABEL, RUN_ID
from layerlab.exercise.evidence import snapshots
from layerlab.exercise.evidence.facts import File, Snapshot, SystemInstall
from layerlab.image.store import overlay
from layerlab.xray.provenance import layer_history
from layerlab.xray.provenance.file_origins import Origin

APP = "".join(f"print({number})\n" for number in range(200))
DOCKERFILE = """\
FROM {base} AS first
COPY app /ctx
RUN mkdir -p /out/pkg && seq 1 500 > /out/pkg/numbers && seq 2 900 > /out/tool && ln -s tool /out/link
RUN cp /ctx/main.py /out/moved.py && cp /bin/busybox /out/pkg/box && ln /out/tool /out/zhard

FROM {base} AS second
COPY --from=first /out /gathered
COPY --from=first /ctx/main.py /gathered/renamed.py
RUN mkdir -p /gathered/bin/deep && ln -s /x /gathered/bin/deep/link && touch /gathered/bin/deep/empty && \\
    seq 5 700 > /gathered/own && seq 1 450 > /gathered/mine

FROM second AS third
ARG NAME=third
RUN seq 3 800 > /gathered/$NAME

FROM {base}
SHELL ["/bin/sh", "-ec"]
ARG FOLDER=/srv
COPY --from=third /gathered /srv/data
COPY --from=third /bin/busybox /opt/box
WORKDIR $FOLDER
COPY --from=0 /out/tool relative
WORKDIR /etc
COPY --from=first /out/tool /out/pkg/n* ./
RUN seq 4 600 > /etc/made && seq 6 660 > /hidden
RUN --mount=type=bind,from=second,source=/gathered,target=/m cp -a /m/. /mounted && seq 7 770 > /mounted/new
RUN --mount=type=bind,target=/m cp /m/app/main.py /from-context.py
RUN busybox chown -R 7:8 /srv/data && rm /hidden
COPY app/main.py requirements.txt /srv/app/
ENV READY=yes
"""
# Version 2 of the kernel's struct vfs_cap_data, effective: cap_setgid (6) and cap_setpcap + 32 (40) permitted.
CAPABILITIES = struct.pack("<5I", 0x02000001, 1 << 6, 0, 1 << 8, 0).decode()
STAGES = ("first", "second", "third", "3")


@dataclass(frozen=True)
class Built:
    """The images of all stages, and what they were built from."""

    dockerfile: Dockerfile
    ids: Mapping[str, str]
    context: Mapping[str, bytes]

    def snapshots(self, engine: Engine) -> dict[str, Snapshot]:
        """Of all stages; with copies of the last."""
        found: dict[str, Snapshot] = {}
        for stage in self.dockerfile.stages:
            last = stage == self.dockerfile.stages[-1]
            found[stage.label] = snapshots.take(
                engine, self.ids[stage.label], self.dockerfile, stage, found, context=self.context, with_copies=last
            )
        return found

    def line(self, words: str) -> int:
        """The line that has these words."""
        return next(i.line for i in self.dockerfile.instructions if words in i.text)


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this file's own, so that its first looks are first ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def make(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Built]]:
    """Builds each stage of a Dockerfile; the images are removed afterwards."""
    tags: list[str] = []

    def make(text: str) -> Built:
        context = tmp_path_factory.mktemp("context")
        (context / "app").mkdir()
        (context / "app/main.py").write_text(APP)
        (context / "requirements.txt").write_text("flask==1\n")
        (context / "Dockerfile").write_text(text)
        with tarfile.open(context / "programs.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for name, capabilities in {"able": CAPABILITIES, "plain": ""}.items():
                member = tarfile.TarInfo(name)
                member.mode, member.size = 0o755, 3
                member.pax_headers = {"SCHILY.xattr.security.capability": capabilities} if capabilities else {}
                archive.addfile(member, io.BytesIO(b"#!\n"))
        parsed = dockerfile.parse(text)
        ids = {}
        for stage in parsed.stages:
            tags.append(f"layerlab-test-{uuid.uuid4().hex[:12]}:latest")
            target = stage.name or None
            ids[stage.label] = builder.build(engine, context, tag=tags[-1], target=target).image_id
        return Built(parsed, ids, {"app/main.py": APP.encode(), "requirements.txt": b"flask==1\n"})

    yield make
    for tag in tags:
        engine.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def built(make: Callable[[str], Built], busybox_image: str) -> Built:
    """The images of `DOCKERFILE`."""
    return make(DOCKERFILE.format(base=busybox_image))


@pytest.fixture(scope="module")
def taken(engine: Engine, built: Built) -> dict[str, Snapshot]:
    """Their snapshots."""
    return built.snapshots(engine)


def numbers(first: int, last: int) -> bytes:
    """What ``seq`` prints."""
    return "".join(f"{number}\n" for number in range(first, last + 1)).encode()


def origin(snapshot: Snapshot, path: str) -> Origin:
    return snapshot.origins(snapshot.visible[path])


def test_layers_belong_to_the_lines_that_made_them(built: Built, taken: dict[str, Snapshot]) -> None:
    """Each layer above the base has its stage and line, also where variables or SHELL change its words."""
    made = [(layer.stage, layer.line) for layer in taken["3"].layers]
    words = [
        *("/gathered /srv", "/bin/busybox /opt", "WORKDIR $", "/out/tool rel"),
        *("/out/pkg/n*", "seq 4", "seq 7", "/from-context.py", "chown", "COPY app/main.py"),
    ]
    lines = [built.line(word) for word in words]
    assert made[0] == (None, None)
    assert [line for _, line in made[1:] if line != built.line("WORKDIR /etc")] == lines
    assert {stage for stage, _ in made[1:]} == {"3"}
    third = [(layer.stage, layer.line) for layer in taken["third"].layers[1:]]
    second = [("second", built.line(word)) for word in ("/out /gathered", "/ctx/main.py /gathered", "seq 5")]
    assert third == [*second, ("third", built.line("seq 3"))]


def test_origins_are_followed_through_all_copies(built: Built, taken: dict[str, Snapshot]) -> None:
    """What the Dockerfile did with each file is what its origin says."""
    line, final = built.line, taken["3"]
    through = ("third", "first")
    expected = {
        "/srv/data/pkg/numbers": Origin("made", "first", line("seq 1 500"), through),
        "/srv/data/tool": Origin("made", "first", line("seq 1 500"), through),
        "/srv/data/link": Origin("made", "first", line("seq 1 500"), through),
        "/srv/data/pkg": Origin("made", "first", line("seq 1 500"), through),
        "/srv/data/renamed.py": Origin("context", "first", line("COPY app /ctx"), through),
        "/srv/data/moved.py": Origin("context", "first", line("ln /out/tool"), through),
        "/srv/data/own": Origin("made", "second", line("seq 5"), ("third",)),
        "/srv/data/third": Origin("made", "third", line("seq 3"), ("third",)),
        "/opt/box": Origin("base", "second", line("AS second"), ("third",)),
        "/bin/busybox": Origin("base", "3", built.dockerfile.stages[3].line),
        "/srv/relative": Origin("made", "first", line("seq 1 500"), ("first",)),
        "/etc/tool": Origin("made", "first", line("seq 1 500"), ("first",)),
        "/etc/numbers": Origin("made", "first", line("seq 1 500"), ("first",)),
        "/etc/made": Origin("made", "3", line("seq 4")),
        "/mounted/pkg/numbers": Origin("made", "first", line("seq 1 500"), ("second", "first")),
        "/mounted/own": Origin("made", "second", line("seq 5"), ("second",)),
        "/mounted/bin/deep/link": Origin("made", "second", line("seq 5"), ("second",)),
        "/mounted/bin/deep/empty": Origin("made", "second", line("seq 5"), ("second",)),
        "/mounted/new": Origin("made", "3", line("seq 7")),
        "/from-context.py": Origin("context", "3", line("/from-context.py")),
        "/srv/app/main.py": Origin("context", "3", line("COPY app/main.py")),
        "/srv": Origin("made", "3", line("/gathered /srv")),
    }
    assert {path: origin(final, path) for path in expected} == expected


def test_contents_are_those_that_a_container_sees(engine: Engine, built: Built, taken: dict[str, Snapshot]) -> None:
    """All visible files above the base have the checksums that sha256sum finds, and hidden ones can be read too."""
    snapshot = taken["3"]
    paths = [file.path for file in snapshot.files if file.visible and file.kind == "file"]
    client = engine.client.containers
    printed = client.run(built.ids["3"], ["busybox", "sha256sum", *paths], remove=True, network_mode="none")
    truth = {line.split("  ")[1]: line.split("  ")[0] for line in printed.decode().splitlines()}
    found = {path: hashlib.sha256(snapshot.contents(None, path) or b"").hexdigest() for path in paths}
    small = [path for path in paths if snapshot.visible[path].bytes < 1_000_000]
    assert len(small) > 15
    assert {path: found[path] for path in small} == {path: truth[path] for path in small}
    (hidden,) = [file for file in snapshot.files if file.path == "/hidden"]
    assert not hidden.visible
    assert snapshot.contents(hidden.layer, "/hidden") == numbers(6, 660)
    assert snapshot.contents(None, "/hidden") is None
    assert snapshot.contents(None, "/srv/data/link") is None
    assert snapshot.contents(None, "/srv/data/../own") is None
    assert len(snapshot.contents(None, "/bin/busybox") or b"") == 1_000_000


def test_copies_are_what_the_image_had_already(built: Built, taken: dict[str, Snapshot]) -> None:
    """After chown -R everything counts again; so does a program of the base under another name."""
    snapshot = taken["3"]
    by_line = {
        line: {(copy.path, copy.of) for copy in snapshot.copies if snapshot.layers[copy.layer].line == line}
        for line in {snapshot.layers[copy.layer].line for copy in snapshot.copies}
    }
    data = ["pkg/numbers", "pkg/box", "tool", "zhard", "own", "third", "mine", "moved.py", "renamed.py"]
    again = {(f"/srv/data/{name}", f"/srv/data/{name}") for name in data}
    chowned = by_line[built.line("chown")]
    assert chowned <= again
    assert len(chowned) >= len(data) - 1  # hard links are stored once
    assert ("/opt/box", "/bin/busybox") in by_line[built.line("/opt/box")]
    assert ("/etc/tool", "/srv/data/tool") in by_line[built.line("/out/pkg/n*")]
    assert ("/etc/numbers", "/srv/data/pkg/numbers") in by_line[built.line("/out/pkg/n*")]
    assert not {"/etc/made", "/mounted/new", "/hidden"} & {copy.path for copy in snapshot.copies}
    for copy in snapshot.copies:
        if copy.bytes < 1_000_000:
            assert snapshot.contents(copy.layer, copy.path) == snapshot.contents(copy.of_layer, copy.of)


def test_files_and_config_are_told_apart_from_the_base(
    engine: Engine, built: Built, busybox_image: str, taken: dict[str, Snapshot]
) -> None:
    """The base's files, config and history stay apart from what the Dockerfile adds."""
    snapshot = taken["3"]
    base = engine.client.images.get(busybox_image)
    assert snapshot.base_config == base.attrs["Config"]
    assert set(snapshot.base_files) == {f for f in snapshot.base_image_files if f in snapshot.base_files}
    assert "/bin/busybox" in snapshot.base_files
    assert snapshot.base_files["/bin/busybox"].bytes == snapshot.layers[0].bytes
    assert "/srv" not in snapshot.base_files
    assert all(file.layer > 0 for file in snapshot.files)
    assert snapshot.visible["/srv/data/own"].uid == 7
    assert snapshot.total_bytes == sum(layer.bytes for layer in snapshot.layers)
    assert len(snapshot.history) == len(built.dockerfile.stages[3].instructions) - 1
    assert snapshot.history[-1].startswith("ENV READY=yes")
    assert "READY=yes" in snapshot.config["Env"]


@pytest.mark.long
def test_without_directories_the_export_tells_the_same(
    engine: Engine, built: Built, taken: dict[str, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the engine's directories cannot be read, origins and copies are the same, and no container stays."""
    monkeypatch.setattr(overlay, "can_read", lambda: False)
    exported = built.snapshots(engine)["3"]
    snapshot = taken["3"]

    def where(snapshot: Snapshot) -> dict[tuple[int, str], Origin]:
        files: list[File] = [file for file in snapshot.files if file.kind in {"file", "symlink"}]
        return {(file.layer, file.path): snapshot.origins(file) for file in files}

    assert where(exported) == where(snapshot)
    assert {(copy.path, copy.layer) for copy in exported.copies} == {
        (copy.path, copy.layer) for copy in snapshot.copies
    }
    assert exported.contents(None, "/etc/made") == numbers(4, 600)
    assert exported.contents(snapshot.layers[-1].index - 2, "/hidden") is None
    assert not engine.client.containers.list(all=True, filters={"label": f"{CONTAINER_LABEL}={RUN_ID}"})


@pytest.mark.parametrize("by", ["directories", "export"])
def test_capabilities_are_told_from_directories_and_archives(
    engine: Engine, make: Callable[[str], Built], busybox_image: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """What the kernel keeps beside a program, and the engine's archive in a header of its own."""
    built = make(f"FROM {busybox_image}\nADD programs.tar /opt/\n")
    if by == "export":
        monkeypatch.setattr(overlay, "can_read", lambda: False)
    assert built.snapshots(engine)["0"].capabilities() == {"/opt/able": 1 << 6 | 1 << 40}


def test_onbuild_and_scratch(
    engine: Engine, make: Callable[[str], Built], busybox_image: str, new_tag: Callable[[], str], tmp_path: Path
) -> None:
    """What a base asks for by ONBUILD belongs to the line of FROM; an image from scratch has no base."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox_image}\nRUN seq 1 100 > /base\nONBUILD COPY app /asked\nONBUILD RUN seq 1 300 > /triggered\n"
    )
    name = new_tag()
    builder.build(engine, tmp_path, tag=name)
    built = make(
        f"FROM {name} AS maker\nRUN seq 2 200 > /own\n\nFROM scratch\nCOPY --from=maker /own /base /\n"
        "COPY --from=maker /triggered /asked/main.py /deep/\nCMD ['/own']\n"
    )
    found = built.snapshots(engine)
    maker, final = found["maker"], found["1"]
    assert [(layer.stage, layer.line) for layer in maker.layers[2:]] == [("maker", 1), ("maker", 1), ("maker", 2)]
    assert origin(maker, "/triggered") == Origin("made", "maker", 1)
    assert origin(maker, "/asked/main.py") == Origin("context", "maker", 1)
    assert origin(maker, "/base") == Origin("base", "maker", 1)
    assert dict(final.base_files) == {}
    assert final.base_config == {}
    assert [(layer.stage, layer.line) for layer in final.layers] == [("1", 5), ("1", 6)]
    assert origin(final, "/own") == Origin("made", "maker", 2, ("maker",))
    assert origin(final, "/base") == Origin("base", "maker", 1, ("maker",))
    assert origin(final, "/deep/triggered") == Origin("made", "maker", 1, ("maker",))
    assert origin(final, "/deep/main.py") == Origin("context", "maker", 1, ("maker",))


def test_a_base_that_only_buildkit_has(
    engine: Engine, make: Callable[[str], Built], busybox_image: str, new_tag: Callable[[], str]
) -> None:
    """Where the engine has no image of the base's name, its layers are told from the Dockerfile's by the history."""
    name = new_tag()
    repository, tag = name.split(":")
    engine.client.images.get(busybox_image).tag(repository, tag)
    built = make(f"ARG BASE={name}\nFROM $BASE\nENV SOME=thing\nRUN seq 1 300 > /own\nWORKDIR /made\nCMD ['/own']\n")
    engine.client.images.remove(name)
    snapshot = built.snapshots(engine)["0"]
    assert [(layer.stage, layer.line) for layer in snapshot.layers] == [(None, None), ("0", 4), ("0", 5)]
    assert "/bin/busybox" in snapshot.base_files


def test_the_config_of_a_base_that_only_buildkit_has(
    engine: Engine, built: Built, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine cannot say of a base, a build of nothing but this base does, and leaves no image."""
    described = layer_history._described
    monkeypatch.setattr(
        layer_history, "_described", lambda engine, name: None if name == busybox_image else described(engine, name)
    )
    made: list[str] = []
    really_build = builder.build

    def noted(engine: Engine, context: Path, **options: Any) -> builder.Build:
        result = really_build(engine, context, **options)
        made.append(result.image_id)
        made_labels.append(engine.client.images.get(result.image_id).labels)
        return result

    made_labels: list[dict[str, str]] = []
    monkeypatch.setattr(builder, "build", noted)
    check = {"layerlab.check": "this one"}
    snapshot = snapshots.take(
        engine, built.ids["first"], built.dockerfile, built.dockerfile.stages[0], {}, labels=check
    )
    assert made_labels[0].items() >= check.items(), "what a kill leaves behind would not be found again"
    labels = engine.client.images.get(busybox_image).labels
    assert snapshot.base_config["Env"] == ["PATH=/bin"]
    assert (snapshot.base_config.get("Labels") or {}) == labels
    assert len(snapshot.history) == len(built.dockerfile.stages[0].instructions) - 1
    (only,) = made
    with pytest.raises(docker.errors.ImageNotFound):
        engine.client.images.get(only)


def test_system_installs_are_read_from_the_databases(
    engine: Engine, make: Callable[[str], Built], busybox_image: str
) -> None:
    """RUNs that make a package database grow are installs, once each, whichever stages share them; others are not."""
    entry = "Package: {0}\\nStatus: install ok installed\\nVersion: 1\\n\\n"
    status, apk = "/var/lib/dpkg/status", "/lib/apk/db/installed"
    built = make(
        f"FROM {busybox_image} AS tools\n"
        f"RUN mkdir -p /var/lib/dpkg /lib/apk/db && printf '{entry.format('gcc')}{entry.format('make')}' > {status}\n"
        f"RUN printf '{entry.format('gcc')}{entry.format('make')}' > {status}\n"
        f"RUN printf '{entry.format('gcc')}{entry.format('libpq-dev')}' > {status}\n"
        "FROM tools\n"
        f"RUN printf 'P:musl\\nV:1\\n\\nP:curl\\nV:2\\n\\n' > {apk}\n"
        f"RUN printf 'P:musl\\nV:1\\n\\n' > {apk}\n"
        f"COPY --from=tools {status} /elsewhere\n"
    )
    found = built.snapshots(engine)
    assert snapshots.system_installs(found.values()) == (
        SystemInstall("tools", 2, ("gcc", "make"), "dpkg", layer=1),
        SystemInstall("tools", 4, ("libpq-dev",), "dpkg", layer=3),
        SystemInstall("1", 6, ("curl", "musl"), "apk", layer=4),
    )
