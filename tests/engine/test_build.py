"""Builds on a real engine: what they give, and what they send."""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlab.builder import build
from layerlab.builder import context as contexts
from layerlab.dockerfile import parse
from layerlab.engine import Engine
from layerlab.errors import ContextError, DockerfileError
from layerlab.ui.progress import Step
from tests.engine.contexts import write

NewTag = Callable[[], str]


def files_in(engine: Engine, image: str, folder: str) -> set[str]:
    """The files below a folder of an image."""
    container = engine.client.containers.create(image, "true")
    try:
        stream, _ = container.get_archive(folder)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            return {member.name.partition("/")[2] for member in tar if not member.isdir()}
    finally:
        container.remove()


class TestBuild:
    """What comes of a build."""

    @pytest.mark.fast
    def test_image(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """The image has the tag, the labels, the build arguments' values and the files that it was built with."""
        tag = new_tag()
        write(tmp_path, f"FROM {busybox_image}\nARG WHO\nCOPY a.txt /x/\nENV WHO=$WHO\n", a_txt="hello")

        built = build(engine, tmp_path, tag=tag, labels={"some.label": "it's"}, build_args={"WHO": "me & you"})

        image = engine.client.images.get(tag)
        assert (image.id, built.tag) == (built.image_id, tag)
        assert (image.labels["some.label"], "WHO=me & you" in image.attrs["Config"]["Env"]) == ("it's", True)
        assert files_in(engine, tag, "/x") == {"a.txt"}

    DOCKERFILES = (
        "FROM {base}\nWORKDIR /\nWORKDIR /a\nRUN true\nENV X=1\nCOPY Dockerfile x\nADD Dockerfile y\n"
        "WORKDIR b\nCMD z\n",
        "ARG B={base}\nFROM ${{B}} AS One\nRUN true \\\n  # note\n\n  && true\nFROM one as two\nRUN \\\n true\n"
        "FROM scratch\nCOPY --from=0 /bin /bin\nCOPY --from=TWO /tmp /tmp\nWORKDIR /w\n",
        "from {base} as a\nrun echo a\nFROM {base} AS b\nRUN echo b\nCOPY --from=a /tmp /t\nEXPOSE 80\nFROM b\n"
        "RUN --mount=type=bind,from=a,target=/m ls /m\nLABEL a=b\nRUN --mount=type=cache,target=/c \\\n ls /c\n",
        "# escape=`\nFROM {base}\r\nRUN true `\r\n  && true\r\n\r\nENV A=1\r\nRUN true\r\n"
        + "RUN true # again\n" * 9,
    )

    @pytest.mark.variants
    @pytest.mark.parametrize("text", DOCKERFILES)
    def test_numbers(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path, text: str) -> None:
        """The steps' numbers that the parser gives are those that BuildKit gives, and so are their lines."""
        # On a base of its own: a step that another test has in hand may be told under that one's name.
        base = new_tag()
        build(engine, write(tmp_path, f"FROM {busybox_image}\nCOPY salt /\n", salt=secrets.token_hex(8)), tag=base)
        text = text.format(base=base)
        write(tmp_path, text)
        reported: dict[str, Step] = {}

        built = build(engine, tmp_path, tag=new_tag(), report=lambda step: reported.update({step.key: step}))

        names = [re.fullmatch(r"\[(\S+ )? *(\d+)/(\d+)\] (\w+).*", step.title) for step in reported.values()]
        seen = {(int(n[2]), n[4]) for n in names if n}
        parsed = parse(text)
        expected = {(i.step, i.keyword) for s in parsed.needed(parsed.target()) for i in s.instructions if i.step}
        assert len([n for n in names if n]) == len(built.steps)
        assert seen == expected
        lines = text.split("\n")
        for line, instruction in zip(built.steps.line, built.steps.instruction, strict=True):
            assert lines[line - 1].split()[0].upper() == instruction.split()[0]

    def test_platform(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """The ARGs of the platform have the engine's values, and a stage that is named by one is the engine's."""
        names = [f"{whose}{what}" for whose in ("BUILD", "TARGET") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")]
        declared = "".join(f"ARG {name}\n" for name in names)
        said = "echo " + ",".join(f"${name}" for name in names)
        salt = secrets.token_hex(8)
        other = "FROM none AS tool-none\nRUN false\n"
        text = f"{other}FROM {busybox_image} AS tool-{engine.platform.split('/')[1]}\nRUN echo {salt} > /tool\n"
        text += f"FROM tool-${{TARGETARCH}} AS tool\nFROM {busybox_image}\n{declared}COPY --from=tool /tool /tool\n"
        write(tmp_path, f"{text}RUN {said}\n")

        built = build(engine, tmp_path, tag=new_tag())

        parsed = parse(text, platform=engine.platform)
        assert list(built.steps.log)[-1] == ",".join(str(parsed.arguments[name]) for name in names)
        assert list(built.stages.ran) == [False, True, True, True]
        assert list(built.steps.line)[1:] == [4, 15, 16]  # both are FROM the same image, which is one step

    def test_operators(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """A base is put together with patterns; an engine whose builder does not know them is said to be too old."""
        text = (
            f"ARG B={busybox_image}-trixie\nARG T=${{B##*:}}\nFROM ${{B%-trixie}} AS one\n"
            "FROM ${B%%:*}:${T%-trixie}\nCOPY --from=one /bin /other\n"
        )
        write(tmp_path, text)

        assert [stage.base for stage in parse(text).stages] == [busybox_image, busybox_image]
        if int(engine.version.partition(".")[0]) >= 26:
            assert list(build(engine, tmp_path, tag=new_tag()).stages.base) == [busybox_image, busybox_image]
        else:
            with pytest.raises(DockerfileError, match=r"line 3 .* this engine's builder does not know"):
                build(engine, tmp_path)

    @pytest.mark.long
    def test_onbuild(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """What a stage asks for by ONBUILD has its line, in a stage with steps of its own and in one without."""
        salt = secrets.token_hex(8)
        write(
            tmp_path,
            f"FROM {busybox_image} AS parent\nONBUILD ENV A=1\nONBUILD RUN echo {salt} > /a\nONBUILD WORKDIR /w\n"
            f'FROM parent AS child\nRUN echo own {salt} > b\nFROM parent\nCMD ["true"]\n',
        )

        child, bare = (build(engine, tmp_path, tag=new_tag(), target=target) for target in ("child", None))

        assert [(row.line, row.step) for row in child.steps.itertuples()][1:] == [(3, 1), (4, 2), (6, 3)]
        assert [(row.line, row.step) for row in bare.steps.itertuples()][1:] == [(3, 1), (4, 2)]
        assert files_in(engine, child.image_id, "/w") == {"b"}

    @pytest.mark.fast
    def test_steps(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """Steps tell their log and their seconds; the second time all of them are cached."""
        secret = secrets.token_hex(8)
        command = f"echo {secret}; sleep 1; printf '\\033[1mbold\\033[0m'"
        write(tmp_path, f"FROM {busybox_image}\nCOPY a /\nRUN {command}\n", a=secret)

        first, second = (build(engine, tmp_path, tag=new_tag()) for _ in range(2))

        assert list(first.steps.log) == ["", "", f"{secret}\nbold"]
        assert 1.0 <= first.steps.seconds[2] <= first.seconds
        assert list(first.steps.cached[1:]) == [False, False]
        assert list(second.steps.cached) == [True, True, True]
        assert list(second.steps.line) == [1, 2, 3]
        assert second.image_id == first.image_id

    def test_cache(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """A file's time changes nothing; its content changes its own COPY and what follows, nothing before."""
        dockerfile = f"FROM {busybox_image}\nCOPY a /\nRUN echo {secrets.token_hex(8)}\nCOPY b /\nRUN true\n"
        write(tmp_path, dockerfile, a=secrets.token_hex(8), b="")
        build(engine, tmp_path, tag=new_tag())
        os.utime(tmp_path / "a", (1, 1))
        touched = build(engine, tmp_path, tag=new_tag())
        (tmp_path / "b").write_text("changed")
        changed = build(engine, tmp_path, tag=new_tag())
        forced = build(engine, tmp_path, tag=new_tag(), no_cache=True)

        assert list(touched.steps.cached) == [True] * 5
        assert list(changed.steps.cached) == [True, True, True, False, False]
        assert list(forced.steps.cached[1:]) == [False, False, False, False]

    def test_stages(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """Only the stages that the target needs run; the DataFrame of stages agrees with what ran."""
        secret = secrets.token_hex(8)
        write(
            tmp_path,
            f"FROM {busybox_image} AS a\nRUN echo {secret} a\nFROM {busybox_image} AS b\nRUN echo {secret} b\n"
            f"FROM {busybox_image} AS c\nRUN echo {secret} c\nFROM a\nCOPY --from=c /tmp /t\n",
        )

        whole = build(engine, tmp_path, tag=new_tag())
        part = build(engine, tmp_path, tag=new_tag(), target="B")

        for built, needed in ((whole, ["a", "c", "3"]), (part, ["b"])):
            assert list(built.stages.stage[built.stages.ran]) == needed
            assert set(built.steps.stage[built.steps.instruction.str.startswith("RUN")]) == set(needed) - {"3"}
        assert list(whole.stages.uses) == [(), (), (), ("a", "c")]
        assert list(part.stages.stage[part.stages.final]) == ["b"]

    def test_a_long_log(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """Of a step that prints without end, BuildKit keeps no more than a build can hold in memory."""
        write(tmp_path, f"FROM {busybox_image}\nRUN echo {secrets.token_hex(8)}; echo begin; yes | head -c 9000000\n")

        log = build(engine, tmp_path, tag=new_tag()).steps.log[1]

        assert ("begin" in log[:100], len(log) < 2**21 + 1000) == (True, True)

    def test_another_dockerfile(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """Another Dockerfile is used as it is, and the one called Dockerfile stays part of the context."""
        write(tmp_path, "this is none")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/Other").write_text(f"FROM {busybox_image}\nCOPY . /x/\n")

        tag = new_tag()
        build(engine, tmp_path, dockerfile="sub/Other", tag=tag)

        assert files_in(engine, tag, "/x") == {"Dockerfile", "sub/Other"}


class TestContext:
    """What the engine gets."""

    RULES = (
        "*\n!app\n!Dockerfile\n!x.txt\n**/*.pyc\n",
        "**/cache\n*.md\n!README.md\n# app\n",
        "app/*\n!app/main.py\n/x.*\n",
        "**\n!**/*.py\n!Dockerfile\n",
    )

    @pytest.mark.variants
    @pytest.mark.parametrize("rules", RULES)
    def test_as_docker_does(
        self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path, rules: str
    ) -> None:
        """A .dockerignore leaves out what it leaves out for the docker client."""
        write(tmp_path, f"FROM {busybox_image}\nCOPY . /x/\n", x_txt="", README_md="", o_md="", _dockerignore=rules)
        for name in ("app/main.py", "app/cache/a.pyc", "app/sub/cache/b", "cache/c"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        ours, theirs = new_tag(), new_tag()

        build(engine, tmp_path, tag=ours)
        subprocess.run(
            ["docker", "build", "--tag", theirs, tmp_path],
            check=True,
            capture_output=True,
            env={**os.environ, "DOCKER_HOST": engine.endpoint, "DOCKER_BUILDKIT": "0"},
        )

        # The classic client does not look into an ignored folder for !**/*.py; BuildKit's does.
        missing = {"app/main.py"} if "!**" in rules else set()
        assert files_in(engine, ours, "/x") == files_in(engine, theirs, "/x") | missing

    def test_modes_and_links(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """Modes and symbolic links arrive as they are, owned by root."""
        write(
            tmp_path,
            f"FROM {busybox_image}\nCOPY . /x/\n"
            "RUN stat -c '%n %a %u:%g' /x/run /x/private; ls -l /x/link | grep -o '/x.*'\n",
            run="",
            private="",
        )
        (tmp_path / "run").chmod(0o755)
        (tmp_path / "private").chmod(0o600)
        (tmp_path / "link").symlink_to("/nowhere")

        log = build(engine, tmp_path, tag=new_tag(), no_cache=True).steps.log[2]

        assert log.splitlines() == ["/x/run 755 0:0", "/x/private 600 0:0", "/x/link -> /nowhere"]

    @pytest.mark.long
    def test_big(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """A context of many megabytes arrives whole."""
        data = secrets.token_bytes(1_000_000) * 30
        write(tmp_path, f"FROM {busybox_image}\nCOPY big /\nRUN wc -c < /big\n")
        (tmp_path / "big").write_bytes(data)

        assert build(engine, tmp_path, tag=new_tag()).steps.log[2] == "30000000"

    def test_changes_meanwhile(self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that is gone when its turn comes ends the build with an error that names it."""
        write(tmp_path, "FROM scratch\nCOPY . /\n", a="")
        collect = contexts.collect

        def collect_and_remove(folder: Path, *args: Any, **options: Any) -> contexts.Context:
            found = collect(folder, *args, **options)
            (folder / "a").unlink()
            return found

        monkeypatch.setattr(contexts, "collect", collect_and_remove)

        with pytest.raises(ContextError, match="a in the build context cannot be read"):
            build(engine, tmp_path)
