"""Builds that fail, and builds that are ended: what is said, and that nothing goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import docker
import pytest

from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.errors import (
    BaseImageError,
    BuildTimeout,
    DockerfileError,
    EngineGone,
    RegistryRefused,
    StepFailed,
    UsageError,
)
from layerlab.ui.progress import Step
from tests.engine.contexts import write

NewTag = Callable[[], str]


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

    @pytest.mark.parametrize(
        "line",
        [
            "COPY --from=${v}-tool /a /b",
            "RUN --mount=type=bind,from=$V,target=/m ls /m",
        ],
    )
    def test_a_variable_after_from(self, engine: Engine, busybox_image: str, tmp_path: Path, line: str) -> None:
        """That --from takes no variables is said, instead of what is wrong with the name that it is taken for."""
        write(tmp_path, f"FROM {busybox_image} AS tool\nFROM {busybox_image}\nARG V=tool\n{line}\n")

        with pytest.raises(DockerfileError, match=r"line 4 .*from takes no variables") as caught:
            build(engine, tmp_path)

        assert (caught.value.line, "lowercase" in str(caught.value)) == (4, False)

    @pytest.mark.parametrize("own", ["RUN true", "ENV A=b"])
    def test_onbuild(self, engine: Engine, busybox_image: str, tmp_path: Path, own: str) -> None:
        """What ONBUILD asks for fails on its line, whether the stage has steps of its own or none."""
        write(tmp_path, f"FROM {busybox_image} AS parent\nONBUILD RUN exit 3\nFROM parent\n{own}\n")

        with pytest.raises(StepFailed, match=r"^line 2 of the Dockerfile failed with exit code 3") as caught:
            build(engine, tmp_path)

        assert (caught.value.line, "→ 2 │ ONBUILD RUN exit 3" in caught.value.__notes__[0]) == (2, True)

    def test_onbuild_from_outside(self, engine: Engine, busybox_image: str, new_tag: NewTag, tmp_path: Path) -> None:
        """What the base image asks for fails on the line of FROM, and is no step of the Dockerfile's own."""
        base = new_tag()
        build(engine, write(tmp_path, f"FROM {busybox_image}\nONBUILD RUN exit 3\n"), tag=base)

        with pytest.raises(StepFailed, match=f"^line 1 .*exit code 3: ONBUILD RUN exit 3, which {base} asks for"):
            build(engine, write(tmp_path, f"FROM {base}\nRUN true\n"))

    def test_another_encoding(self, engine: Engine, tmp_path: Path) -> None:
        """An encoding of which the engine reads nothing is named."""
        (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-16")

        with pytest.raises(DockerfileError, match="encoded in UTF-16"):
            build(engine, tmp_path)

    @pytest.mark.parametrize("space", ["\u00a0", "\u200b"])
    def test_spaces_that_are_none(self, engine: Engine, busybox_image: str, tmp_path: Path, space: str) -> None:
        """Within a line of a command, a space of another kind is named where the command is not found for it."""
        write(tmp_path, f"FROM {busybox_image}\nRUN true && \\\n  {space}echo a\n")

        with pytest.raises(StepFailed, match="exit code 127") as caught:
            build(engine, tmp_path)

        assert f"line 3, column 3 holds U+{ord(space):04X}" in caught.value.remedy

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
        with pytest.raises(BaseImageError, match=r"no registry can be reached for localhost:1/nothing:1") as caught:
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
            with pytest.raises(RegistryRefused, match=f"does not give 127.0.0.1:{port}/nothing:1"):
                build(engine, tmp_path)
        finally:
            registry.remove(force=True)


class TestEnd:
    """However a build ends, nothing of it keeps running on the engine: the fixture `long_command` sees to that."""

    @pytest.mark.long
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

    @pytest.mark.long
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

    @pytest.mark.long
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
        code = "import sys, pathlib; from layerlab import engine; from layerlab.builder import build;"
        code += "build(engine.connect(), pathlib.Path(sys.argv[1]))"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "DOCKER_HOST": engine.endpoint}
        ) as process:
            began = until(runs)
            process.kill()

        assert began
        assert until(lambda: not runs())

    @pytest.mark.long
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
    address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    client = docker.DockerClient(base_url=address, version=engine.client.api._version)
    client.api.timeout = None  # type: ignore[assignment]
    try:
        yield dataclasses.replace(engine, client=client), cut
    finally:
        client.close()
        cut()
        for thread in threads:
            thread.join()
