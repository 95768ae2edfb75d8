"""Builds on a real engine."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from layerlab.build import build
from layerlab.build import context as contexts
from layerlab.dockerfile import parse
from layerlab.engine import Engine
from layerlab.errors import (
    BaseImageError,
    BuildTimeout,
    ContextError,
    DockerfileError,
    EngineGone,
    RegistryRefused,
    StepFailed,
    UsageError,
)
from layerlab.progress import Step

NewTag = Callable[[], str]


def write(folder: Path, dockerfile: str, **files: str) -> Path:
    """Write a Dockerfile and other files into a folder; ``_`` in a name stands for a dot."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


def files_in(engine: Engine, image: str, folder: str) -> set[str]:
    """The files below a folder of an image."""
    container = engine.client.containers.create(image, "true")
    try:
        stream, _ = container.get_archive(folder)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            return {member.name.partition("/")[2] for member in tar if not member.isdir()}
    finally:
        container.remove()


def until(condition: Callable[[], bool]) -> bool:
    """Wait for something; whether it came true."""
    deadline = time.monotonic() + 20
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return result


@pytest.fixture
def long_command(engine: Engine, busybox_image: str) -> Iterator[tuple[str, Callable[[], bool]]]:
    """A command that sleeps for hours, and a function that tells whether the engine's machine runs it."""
    command = f"sleep {secrets.randbelow(90_000) + 10_000}"

    def runs() -> bool:
        processes = engine.client.containers.run(busybox_image, ["ps"], pid_mode="host", remove=True)
        return re.search(rf"{command}$", processes.decode(), re.MULTILINE) is not None

    yield command, runs
    assert not runs()


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

    @pytest.mark.parametrize("text", DOCKERFILES)
    def test_numbers(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path, text: str) -> None:
        """The steps' numbers that the parser gives are those that BuildKit gives, and so are their lines."""
        text = text.format(base=busybox_image)
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
        """Of a step that prints megabytes, the log keeps beginning and end."""
        write(
            tmp_path, f"FROM {busybox_image}\nRUN echo {secrets.token_hex(8)}; echo begin; seq 60000; echo the end\n"
        )

        log = build(engine, tmp_path, tag=new_tag()).steps.log[1]

        assert ("begin" in log[:100], len(log) < 150_000) == (True, True)
        assert re.search(r"bytes left out|output clipped", log)

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

    def test_big(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """A context of many megabytes arrives whole."""
        data = secrets.token_bytes(1_000_000) * 30
        write(tmp_path, f"FROM {busybox_image}\nCOPY big /\nRUN wc -c < /big\n")
        (tmp_path / "big").write_bytes(data)

        assert build(engine, tmp_path, tag=new_tag()).steps.log[2] == "30000000"

    def test_over_the_limit(self, engine: Engine, tmp_path: Path) -> None:
        """A context over its limit is refused."""
        write(tmp_path, "FROM scratch\n", big="x" * 2_000_000)

        with pytest.raises(ContextError, match="too big"):
            build(engine, tmp_path, max_context_bytes=1_000_000)

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


class TestErrors:
    """Builds that fail."""

    @pytest.mark.fast
    def test_step(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A step that fails is told with line, command, exit code, log and the place in the Dockerfile."""
        write(tmp_path, f"FROM {busybox_image}\n\nRUN echo before >&2 \\\n  && nosuch --option\nRUN echo after\n")

        with pytest.raises(StepFailed) as caught:
            build(engine, tmp_path)

        error = caught.value
        assert str(error).startswith(
            "line 3 of the Dockerfile failed with exit code 127: RUN echo before >&2 && nosuch"
        )
        assert (error.line, error.instruction) == (3, "RUN echo before >&2 \\\n  && nosuch --option")
        assert error.log == "before\n/bin/sh: nosuch: not found"
        assert "→ 3 │ RUN echo before >&2 \\" in error.__notes__[0]

    @pytest.mark.parametrize("what", ["COPY nothing.txt /", "COPY --from=0 /nothing.txt /"])
    def test_copy(self, engine: Engine, busybox_image: str, tmp_path: Path, what: str) -> None:
        """A COPY of what is not there is told with its line, and nothing of the engine's own paths."""
        write(tmp_path, f"FROM {busybox_image}\nFROM {busybox_image}\n{what}\n")

        with pytest.raises(StepFailed, match=r"line 3 of the Dockerfile failed: COPY .*/nothing.txt") as caught:
            build(engine, tmp_path)

        assert "var/lib" not in str(caught.value)
        assert ".dockerignore" in caught.value.remedy

    def test_beside_a_step_that_runs(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """A step that fails ends those that run beside it."""
        command, _ = long_command
        write(
            tmp_path,
            f"FROM {busybox_image} AS a\nRUN {command}\nFROM {busybox_image} AS b\nRUN sleep 1; exit 4\n"
            f"FROM {busybox_image}\nCOPY --from=a /tmp /a\nCOPY --from=b /tmp /b\n",
        )

        with pytest.raises(StepFailed, match=r"line 4 .* exit code 4"):
            build(engine, tmp_path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("RUNN x", "line 2 .*unknown instruction RUNN"),
            ("RUN --nosuchflag=1 true", "line 2 .*nosuchflag"),
            ("COPY onlyone", "line 2 .*COPY requires"),
            ("COPY --from=9 /a /b", "cannot be built"),
        ],
    )
    def test_dockerfile(self, engine: Engine, busybox_image: str, tmp_path: Path, line: str, message: str) -> None:
        """A Dockerfile that is wrong is told as such, be it the lab or the engine that finds it."""
        with pytest.raises(DockerfileError, match=message):
            build(engine, write(tmp_path, f"FROM {busybox_image}\n{line}\n"))

    def test_no_target(self, engine: Engine, tmp_path: Path) -> None:
        """A target that is not there is told before anything is sent."""
        with pytest.raises(DockerfileError, match="no stage 'nosuch'"):
            build(engine, write(tmp_path, "FROM scratch AS a\n"), target="nosuch")

    def test_tag(self, engine: Engine, tmp_path: Path) -> None:
        """A tag that cannot be one is told before anything is sent."""
        with pytest.raises(UsageError, match="cannot be the tag"):
            build(engine, write(tmp_path, "FROM scratch\n"), tag="Not A Tag")

    def test_no_network(self, engine: Engine, tmp_path: Path) -> None:
        """A base image from a registry that cannot be reached is the network's fault."""
        with pytest.raises(BaseImageError, match=r"localhost:1/nothing:1 is not here.* cannot be reached") as caught:
            build(engine, write(tmp_path, "FROM localhost:1/nothing:1\n"))

        assert not isinstance(caught.value, RegistryRefused)

    def test_refused(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """A registry that has no such image is told from one that cannot be reached."""
        tag, port = new_tag(), free_port()
        serve = f'CMD ["busybox", "httpd", "-f", "-p", "127.0.0.1:{port}", "-h", "/www"]'
        build(
            engine,
            write(tmp_path, f"FROM {busybox_image}\nRUN mkdir -p /www/v2; touch /www/v2/index.html\n{serve}\n"),
            tag=tag,
        )
        # On the engine's own machine, wherever that is, and under an address that needs no certificate there.
        registry = engine.client.containers.run(tag, detach=True, network_mode="host")
        try:
            assert until(lambda: registry.exec_run(f"busybox wget -O- http://127.0.0.1:{port}/v2/").exit_code == 0)
            write(tmp_path, f"FROM 127.0.0.1:{port}/nothing:1\n")
            with pytest.raises(RegistryRefused, match=f"refuses the image 127.0.0.1:{port}/nothing:1"):
                build(engine, tmp_path)
        finally:
            registry.remove(force=True)


class TestEnd:
    """However a build ends, nothing of it keeps running on the engine: the fixture `long_command` sees to that."""

    def test_error_of_the_caller(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """An error of whoever listens to the progress ends the build."""
        command, runs = long_command

        def fail(step: Step) -> None:
            if step.detail == "begun":
                assert until(runs)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            build(engine, write(tmp_path, f"FROM {busybox_image}\nRUN echo begun; {command}\n"), report=fail)

    def test_ctrl_c(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """Ctrl-C while nothing is printed ends the build."""
        command, runs = long_command

        def press(step: Step) -> None:
            if step.detail == "begun":
                assert until(runs)
                threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()

        with pytest.raises(KeyboardInterrupt):
            build(engine, write(tmp_path, f"FROM {busybox_image}\nRUN echo begun; {command}\n"), report=press)

    def test_timeout(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """The time limit ends the build."""
        command, _ = long_command

        with pytest.raises(BuildTimeout, match=r"its limit of 2\.5 s"):
            build(engine, write(tmp_path, f"FROM {busybox_image}\nRUN {command}\n"), timeout=2.5)

    def test_killed(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """A process that is killed outright cannot say goodbye; the engine ends its build all the same."""
        command, runs = long_command
        write(tmp_path, f"FROM {busybox_image}\nRUN {command}\n")
        code = "import sys, pathlib; from layerlab import engine; from layerlab.build import build;"
        code += "build(engine.connect(), pathlib.Path(sys.argv[1]))"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "DOCKER_HOST": engine.endpoint}
        ) as process:
            began = until(runs)
            process.kill()

        assert began
        assert until(lambda: not runs())

    def test_connection_lost(
        self, engine: Engine, busybox_image: str, tmp_path: Path, long_command: tuple[str, Callable[[], bool]]
    ) -> None:
        """A connection that breaks while a step runs is told as such, and at once."""
        command, runs = long_command
        write(tmp_path, f"FROM {busybox_image}\nRUN echo begun; {command}\n")
        with breakable(engine) as (through, cut):

            def report(step: Step) -> None:
                if step.detail == "begun":
                    assert until(runs)
                    cut()

            with pytest.raises(EngineGone, match="stopped answering"):
                build(through, tmp_path, report=report)

        assert until(lambda: not runs())

    def test_no_engine(self, engine: Engine, tmp_path: Path) -> None:
        """An engine that has gone before the build begins is told as such."""
        with breakable(engine) as (through, cut):
            cut()
            with pytest.raises(EngineGone, match="stopped answering"):
                build(through, write(tmp_path, "FROM scratch\n"))


def free_port() -> int:
    """A port that nobody listens on here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def breakable(engine: Engine) -> Iterator[tuple[Engine, Callable[[], None]]]:
    """The engine behind a connection that can be cut."""
    url = urlsplit(engine.endpoint)
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if url.scheme == "unix":
                    far = socket.socket(socket.AF_UNIX)
                    far.connect(url.path)
                else:
                    far = socket.create_connection((url.hostname, url.port))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threads.append(threading.Thread(target=copy, args=pair))
                    threads[-1].start()

    def cut() -> None:
        for end in (listener, *ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{listener.getsockname()[1]}", version=engine.api_version)
    client.api.timeout = None  # type: ignore[assignment]
    try:
        yield dataclasses.replace(engine, client=client), cut
    finally:
        client.close()
        cut()
        for thread in threads:
            thread.join()
