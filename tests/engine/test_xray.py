"""The X-ray on a real engine: origins against the bytes of the stages, advice against what really is saved."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from layerlab import builder, dockerfile, image, xray
from layerlab.builder import trials
from layerlab.engine import Engine
from layerlab.errors import LabError, OtherDockerfile, UsageError
from layerlab.image import Image
from layerlab.image.store import file_reader, overlay
from layerlab.paths import ROOT
from layerlab.xray import BuildSource, Examined, waste

APP = "".join(f"print({number})\n" for number in range(200))
DOCKERFILE = """\
FROM {base} AS tools
COPY app /ctx
RUN mkdir -p /out/tests && seq 1 50000 > /out/numbers && seq 2 900 > /out/tool && ln -s tool /out/link && \\
    ln /out/tool /out/second-name && seq 5 100 > /out/tests/unused

FROM {base} AS passing
RUN seq 3 300 > /nothing

FROM {base} AS never
RUN seq 4 400 > /never

FROM {base} AS mounted
RUN seq 6 90000 > /wheels

FROM {base} AS middle
COPY --from=tools /out /gathered
COPY --from=passing /bin/sh /tmp/sh
RUN seq 5 700 > /gathered/own && rm /tmp/sh

FROM {base}
COPY --from=middle /gathered /srv/data
COPY --from=tools /ctx/main.py /srv/renamed.py
COPY app /srv/app
COPY . /all
RUN mkdir /index && seq 1 70000 > /index/list
RUN --mount=type=bind,from=mounted,target=/m wc -l /m/wheels > /counted
RUN seq 1 60000 > /kept && mkdir -p /root/.cache/pip/http-v2 && seq 1 50000 > /root/.cache/pip/http-v2/a
RUN rm -r /index
RUN chmod -R 755 /kept
RUN busybox chown -R 7:8 /srv /all
RUN rm -rf /all/junk
"""
# What the classic builder and BuildKit do not do alike: they agree on the files. The classic one makes no layer where
# nothing has changed, has other owners for the directories of WORKDIR and COPY --chown, and directories for volumes;
# BuildKit stores directories that something was mounted on.
FOR_BOTH_BUILDERS = """\
FROM {base} AS made
WORKDIR /home/made
RUN seq 1 500 > numbers && ln numbers again && ln -s numbers link

FROM {base}
SHELL ["/bin/sh", "-e", "-c"]
ARG SIZE=700
RUN true
WORKDIR /srv
WORKDIR /bin
COPY --chown=7:8 app /srv/deep/app/
COPY . /all
COPY --from=made /home/made /srv/made
VOLUME /data/volume
RUN ["busybox", "chmod", "-R", "700", "/srv/made", "/all"]
RUN seq 1 $SIZE > /counted
RUN rm -r /all/app && mkdir /made
USER 1000:1000
WORKDIR /home/last
COPY rest .
"""


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this file's own, so that its first looks are first ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, busybox_image: str) -> BuildSource:
    """A Dockerfile that does much in vain, and its context."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "app").mkdir()
    (folder / "app/main.py").write_text(APP)
    (folder / "junk").mkdir()
    (folder / "junk/big").write_text("junk\n" * 50_000)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=busybox_image))
    return BuildSource(folder / "Dockerfile", folder)


@pytest.fixture(scope="module")
def built(engine: Engine, source: BuildSource) -> Iterator[Image]:
    """Its image."""
    tag = f"layerlab-test-{uuid.uuid4().hex[:12]}:latest"
    builder.build(engine, source.folder, tag=tag)
    yield image.read(engine, tag, dockerfile=source.parsed)
    engine.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def examined(engine: Engine, built: Image, source: BuildSource) -> Examined:
    """All about it, advice proved."""
    return xray.examine(engine, built, source, proves=True)


def exported(engine: Engine, image_id: str) -> dict[str, str]:
    """Digests of all regular files that a container of an image sees, without the lab's own readers."""
    container = engine.client.containers.create(image_id, ["none"])
    try:
        with tempfile.TemporaryFile() as file:
            for chunk in container.export():
                file.write(chunk)
            file.seek(0)
            found = {}
            with tarfile.open(fileobj=file) as archive:
                for member in archive:
                    if member.isfile() or member.islnk():
                        content = archive.extractfile(member)
                        assert content is not None
                        found[f"/{member.name}"] = hashlib.sha256(content.read()).hexdigest()
            return found
    finally:
        container.remove(force=True)


class TestOrigins:
    @pytest.mark.long
    def test_contents_are_those_of_the_origin(
        self, engine: Engine, built: Image, source: BuildSource, examined: Examined, new_tag: Callable[[], str]
    ) -> None:
        """Every file has the very bytes that its origin has at the place that is told: stage, base or context."""
        final = exported(engine, built.id)
        stages = {}
        for name in ("tools", "middle"):
            tag = new_tag()
            builder.build(engine, source.folder, tag=tag, target=name)
            stages[name] = exported(engine, tag)
        assert examined.origins is not None
        seen = set()
        for row in examined.origins.itertuples():
            if row.path not in final:
                continue
            if row.origin == "context":
                truth = hashlib.sha256((source.folder / str(row.source)).read_bytes()).hexdigest()
            elif row.through:
                truth = stages[row.stage][row.source]
            else:
                continue
            assert final[row.path] == truth, row
            seen.add((row.origin, row.stage, row.through))
        assert seen == {
            ("made", "tools", ("middle", "tools")),
            ("made", "middle", ("middle",)),
            ("context", "tools", ("tools",)),
            ("context", "5", ()),
        }

    def test_each_file_has_its_line(self, examined: Examined, source: BuildSource, busybox_image: str) -> None:
        """Lines and sources are those of the Dockerfile, through all copies and after a chown of everything."""
        assert examined.origins is not None
        table = examined.origins.set_index("path")

        def line(words: str) -> int:
            return next(each.line for each in source.parsed.instructions if words in each.text)

        expected = {
            "/srv/data/numbers": ("made", "tools", line("seq 1 50000"), "/out/numbers"),
            "/srv/data/link": ("made", "tools", line("seq 1 50000"), "/out/link"),
            "/srv/data/own": ("made", "middle", line("seq 5 700"), "/gathered/own"),
            "/srv/renamed.py": ("context", "tools", line("COPY app /ctx"), "app/main.py"),
            "/srv/app/main.py": ("context", "5", line("COPY app /srv"), "app/main.py"),
            "/kept": ("made", "5", line("/kept && mkdir"), "/kept"),
            "/counted": ("made", "5", line("/counted"), "/counted"),
        }
        columns = ["origin", "stage", "line", "source"]
        assert {path: tuple(table.loc[path, columns]) for path in expected} == expected
        busybox = table.loc["/bin/busybox"]
        assert (busybox["origin"], busybox["base"], busybox["base_layer"]) == ("base", busybox_image, 0)
        assert not (table["origin"] == "unknown").any()

    def test_lines_add_up(self, built: Image, examined: Examined) -> None:
        """What all lines have brought is what is live."""
        assert examined.lines is not None
        assert examined.lines["bytes"].sum() == built.live_bytes

    def test_stages_are_named_for_what_they_do(self, built: Image, examined: Examined) -> None:
        """Copied, mounted, used on the way, never built: each stage is called what it is, and the sums are right."""
        assert examined.stages is not None
        table = examined.stages.set_index("stage")
        assert dict(table["role"].astype(str)) == {
            "tools": "copied", "passing": "used", "never": "not built", "mounted": "mounted", "middle": "copied",
            "5": "final",
        }  # fmt: skip
        sums = table["used_bytes"] + table["left_bytes"]
        assert (table["base_bytes"] + table["own_bytes"] == sums).all()
        assert table["final_bytes"].sum() == built.live_bytes
        assert table.loc["passing", "used_bytes"] == 0

    @pytest.mark.long
    def test_another_dockerfile_is_refused(
        self, engine: Engine, built: Image, source: BuildSource, tmp_path: Path
    ) -> None:
        """A Dockerfile, or a folder, that the image was not built from is told by the first layer that differs."""
        other = tmp_path / "Dockerfile"
        other.write_text(source.dockerfile.read_text().replace("seq 1 70000", "seq 1 60001"))
        with pytest.raises(OtherDockerfile, match=r"layer 5 \(line 25 of Dockerfile\)"):
            xray.examine(engine, built, BuildSource(other, source.folder))
        other.write_text(source.dockerfile.read_text().rpartition("RUN rm")[0])
        with pytest.raises(OtherDockerfile, match="has 12 layers, and what Dockerfile builds has 11"):
            xray.examine(engine, built, BuildSource(other, source.folder))

    def test_a_foreign_image_tells_what_it_can(self, engine: Engine, built: Image) -> None:
        """Without a Dockerfile there are causes and remarks, nothing can be proved, and the error says what to do."""
        found = xray.examine(engine, built)
        assert found.origins is None
        assert any("takes away what" in advice.title for advice in found.advice)
        assert not any(advice.is_mechanical for advice in found.advice)
        with pytest.raises(UsageError, match="without the Dockerfile"):
            xray.examine(engine, built, proves=True)


class TestTheClassicBuilder:
    @pytest.fixture
    def source(self, busybox_image: str, tmp_path: Path) -> BuildSource:
        (tmp_path / "app").mkdir()
        (tmp_path / "app/main.py").write_text(APP)
        (tmp_path / "rest").write_text("rest")
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker/Dockerfile").write_text(FOR_BOTH_BUILDERS.format(base=busybox_image))
        (tmp_path / ".dockerignore").write_text("docker\n.dockerignore\n")
        return BuildSource(tmp_path / "docker/Dockerfile", tmp_path)

    @pytest.fixture
    def by_both(self, engine: Engine, source: BuildSource, new_tag: Callable[[], str]) -> list[Image]:
        tags = [new_tag(), new_tag()]
        builder.build(engine, source.folder, dockerfile="docker/Dockerfile", tag=tags[0])
        # The SDK asks for the classic builder.
        engine.client.images.build(path=str(source.folder), dockerfile="docker/Dockerfile", tag=tags[1], rm=True)
        return [image.read(engine, tag, dockerfile=source.built_from) for tag in tags]

    @pytest.mark.long
    def test_origins_are_the_same(self, engine: Engine, by_both: list[Image], source: BuildSource) -> None:
        """Each file comes from the same stage and line, whichever builder it was."""
        tables = []
        for looked in by_both:
            found = xray.examine(engine, looked, source, read_contents=False).origins
            assert found is not None
            files = found[(looked.files["kind"] != "directory") & (found["path"] != "/all/docker/Dockerfile")]
            tables.append(files.set_index("path")[["origin", "stage", "line", "instruction", "through", "source"]])
        assert tables[0].to_dict("index") == tables[1].to_dict("index")
        (line,) = [each.line for each in source.parsed.instructions if each.text.startswith("RUN seq 1 500")]
        assert tuple(tables[1].loc["/srv/made/again", ["origin", "stage", "line"]]) == ("made", "made", line)
        assert not (tables[1]["origin"] == "unknown").any()

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (("$SIZE", "701"), r"line 16 of Dockerfile\) .* seq 1 701"),
            (("COPY . /all", "COPY app /all/app/"), r"line 12 of Dockerfile\) is of `COPY app"),
            (("RUN true", "RUN seq 1 9 > /nine"), r"has \d+ layers, and what Dockerfile builds has \d+"),
        ],
    )
    def test_another_dockerfile_is_refused(
        self, engine: Engine, by_both: list[Image], source: BuildSource, change: tuple[str, str], what: str
    ) -> None:
        """That builders differ does not make another Dockerfile the image's."""
        source.dockerfile.write_text(source.dockerfile.read_text().replace(*change))
        with pytest.raises(OtherDockerfile, match=what):
            xray.examine(engine, by_both[1], BuildSource(source.dockerfile, source.folder))

    @pytest.mark.long
    def test_another_folder_is_refused(self, engine: Engine, by_both: list[Image], source: BuildSource) -> None:
        """A file that has changed since is told by the instruction that copied it."""
        (source.folder / "rest").write_text("another rest")
        with pytest.raises(
            OtherDockerfile, match=r"line 12 of Dockerfile\) is of the same instruction and holds other"
        ):
            xray.examine(engine, by_both[1], BuildSource(source.dockerfile, source.folder))


class TestAdvice:
    def test_every_proof_is_what_was_predicted(self, examined: Examined) -> None:
        """Each edit, and all together, save what was predicted: within 5 %."""
        assert examined.proofs
        wrong = [proof for proof in examined.proofs if proof.error is None or proof.error > 0.05]
        assert wrong == []
        assert examined.proofs[-1].predicted == examined.together

    def test_what_is_advised(self, examined: Examined, source: BuildSource) -> None:
        """Each kind of waste in the Dockerfile has its edit, the largest first."""
        titles = [advice.title for advice in examined.advice]
        for words in (
            "one RUN",
            "--chown",
            ".dockerignore",
            ".cache/pip",
        ):
            assert any(words in title for title in titles), (words, titles)
        assert [title for title in titles if "delete stage" in title] == ["delete stage `never`, or use it"]
        sizes = [advice.bytes for advice in examined.advice]
        assert sizes == sorted(sizes, reverse=True)
        for advice in examined.advice:
            if advice.edit:
                after = str(advice.document(source.parsed)["dockerfile"])
                assert dockerfile.parse(after).stages
                assert after != source.parsed.text or advice.edit.ignored

    def test_nothing_is_left_behind(
        self, engine: Engine, built: Image, source: BuildSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The images that are built to look at an image are gone afterwards, and it itself is still there."""
        made: list[str] = []
        really_build = trials.build  # where it is imported to

        def noted(*arguments: Any, **options: Any) -> builder.Build:
            result = really_build(*arguments, **options)
            made.append(result.image_id)
            return result

        monkeypatch.setattr(trials, "build", noted)
        xray.examine(engine, built, source, read_contents=False)
        assert len(made) == 5  # the image again, and the four other stages that it needs
        for image_id in made:
            with pytest.raises(docker.errors.ImageNotFound):
                engine.client.images.get(image_id)
        assert engine.client.images.get(built.id)


def test_stages_that_are_needed_on_the_way(
    engine: Engine, busybox_image: str, new_tag: Callable[[], str], tmp_path: Path
) -> None:
    """A stage chosen by the platform, one that is FROM it, a tool: each is needed, though no file of it ships."""
    tag = new_tag()
    architecture = engine.platform.split("/")[1]
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox_image} AS tool-{architecture}\nRUN cp /bin/busybox /tool\n"
        f"FROM {busybox_image} AS tool-other\nRUN false\n"
        "FROM tool-$TARGETARCH AS tool\n"
        f"FROM {busybox_image} AS parent\nONBUILD COPY --from=tool /tool /busybox\n"
        "FROM parent AS maker\nCOPY --from=tool /tool /tool\nRUN /busybox seq 8 100 > /made\n"
        f"FROM {busybox_image}\nCOPY --from=maker /made /made\n"
    )
    builder.build(engine, tmp_path, tag=tag)
    source = BuildSource(tmp_path / "Dockerfile", tmp_path, platform=engine.platform)

    found = xray.examine(engine, image.read(engine, tag), source)

    assert found.stages is not None
    assert dict(zip(found.stages["stage"], found.stages["role"].astype(str), strict=True)) == {
        **{f"tool-{architecture}": "used", "tool-other": "not built", "tool": "used", "parent": "used"},
        **{"maker": "copied", "5": "final"},
    }
    assert [advice.title for advice in found.advice] == ["delete stage `tool-other`, or use it"]
    # Whether a stage is needed, the engine knows best: without it, nothing is built.
    for stage in ("tool", f"tool-{architecture}", "parent"):
        text = source.dockerfile.read_text().replace(f" AS {stage}\n", " AS renamed\n")
        (tmp_path / "Other").write_text(text)
        with pytest.raises(LabError):
            builder.build(engine, tmp_path, dockerfile="Other")


STARTER = r"""
FROM {base}
RUN for name in chmod find; do ln -s busybox /bin/$name; done && \
    printf '#!/bin/sh\nL=/var/lib/apt/lists\nif test $1 = update; then mkdir -p $L && seq 1 90000 > $L/index; \
    else cat $L/index > /dev/null && seq 1 30000 > /$3; fi\n' > /bin/apt-get && chmod 755 /bin/apt-get
RUN apt-get update
RUN apt-get install -y gfortran
RUN apt-get install -y nano
ENV SITE=/opt/lib/python3.13/site-packages
RUN mkdir -p $SITE/one/tests && seq 1 40000 > $SITE/one/tests/data && seq 1 9 > $SITE/one/code.py
"""


def test_the_starters_habits(engine: Engine, busybox_image: str, new_tag: Callable[[], str], tmp_path: Path) -> None:
    """An index that several RUNs use, and left tests: the edits keep the order in which RUNs need each other."""
    (tmp_path / "Dockerfile").write_text(STARTER.replace("{base}", busybox_image).lstrip())
    tag = new_tag()
    builder.build(engine, tmp_path, tag=tag)
    source = BuildSource(tmp_path / "Dockerfile", tmp_path)
    found = xray.examine(engine, image.read(engine, tag, dockerfile=source.parsed), source, proves=True)
    assert found.proofs is not None
    assert [(proof.title, proof.trouble) for proof in found.proofs] == [
        ("make lines 5, 6 and 7 one RUN that ends in `rm -rf /var/lib/apt/lists/*`", ""),
        ("remove the packages' tests on line 9", ""),
        ("these 2 together", ""),
    ]
    assert [proof.predicted for proof in found.proofs] == [proof.measured for proof in found.proofs]


def test_a_file_says_the_same(engine: Engine, built: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The causes are the same for directories, for the engine's export and for a file, compressed or not."""
    saved = tmp_path / "saved.tar"
    with saved.open("wb") as file:
        for chunk in engine.client.images.get(built.id).save():
            file.write(chunk)
    packed = tmp_path / "saved.tar.gz"
    packed.write_bytes(gzip.compress(saved.read_bytes(), 1))

    def told(engine: Engine | None, name: str) -> list[tuple[Any, ...]]:
        looked = image.read(engine, name)
        rows = waste.rows(looked.stack, file_reader.for_image(engine, looked))
        return [(looked.stack.merged.paths[row.entry], *row[1:6]) for row in rows]

    truth = told(engine, built.id)
    assert {row[1] for row in truth} >= {"overwritten: mode or owner", "deleted", "package indexes and caches"}
    assert told(None, str(saved)) == truth
    assert told(None, str(packed)) == truth
    monkeypatch.setattr(overlay, "can_read", lambda: False)
    assert told(engine, built.id) == truth


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "layerlab", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command(built: Image, source: BuildSource, tmp_path: Path) -> None:
    """``xray --json`` adds to the document what it has found; what cannot be is one line and status 2."""
    done = lab("xray", built.id, "--dockerfile", str(source.dockerfile), "--json")
    said = json.loads(done.stdout)
    assert said["images"][0]["bytes"] == built.total_bytes
    assert sum(row["bytes"] for row in said["lines"]) == built.live_bytes
    assert {"contents_read", "causes", "owners", "findings", "stages"} <= said.keys()
    printed = lab("xray", built.id, "--dockerfile", str(source.dockerfile), "--advice").stdout
    assert re.findall(r"Stage (\w+) \(line (\d+)\) contributes nothing", printed) == [("never", "9")]
    assert "* make lines 27, 28 and 29 one RUN" in printed
    for options, why in (
        (["--prove"], "nothing can be proved without the Dockerfile"),
        (["--target", "x", "--origins"], "are about a Dockerfile"),
        (["--dockerfile", str(tmp_path / "none")], "there is no file"),
    ):
        done = lab("xray", built.id, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr.splitlines()[-1]
