"""Why a build failed: the messages are those of Engine 20.10 and 28."""

from __future__ import annotations

import pytest

from layerlab.builder.failures import explain
from layerlab.builder.steps import Progress
from layerlab.builder.trace import Output, Status, Vertex
from layerlab.dockerfile import parse
from layerlab.errors import (
    BaseImageError,
    BuildError,
    DockerfileError,
    LabError,
    RegistryRefused,
    StepFailed,
)

DOCKERFILE = """\
FROM python:3.13 AS build
RUN make \\
    all
COPY x y
ADD http://localhost:1/x /x
RUN <<EOF
echo
EOF
"""
NO_HOST = (
    'failed to do request: Head "https://registry-1.docker.io/v2/library/x/manifests/1": '
    "dial tcp: lookup registry-1.docker.io: no such host"
)
DENIED = "pull access denied, repository does not exist or may require authorization: server message: denied"


def failed(name: str, error: str, digest: str = "a") -> Vertex:
    """A vertex that failed."""
    return Vertex(digest, (), name, False, 1.0, 2.0, error)


def error_of(message: str, *vertices: Vertex, log: bytes = b"", text: str = DOCKERFILE) -> LabError:
    """The error for a build of these vertices, the first of which printed a log."""
    parsed = parse(text)
    progress = Progress(parsed, lambda step: None)
    progress.update(Status(vertices=vertices, outputs=(Output("a", log),) if log else ()))
    return explain(message, progress.rows, parsed)


class TestSteps:
    """A step failed."""

    @pytest.mark.parametrize(
        "message",
        [
            "executor failed running [/bin/sh -c make all]: exit code: 2",
            'process "/bin/sh -c make     all" did not complete successfully: exit code: 2',
        ],
    )
    def test_exit_code(self, message: str) -> None:
        """The error says line, exit code, command and last words; the log and the place are with it."""
        error = error_of(
            message, failed("[2/5] RUN make     all", message), log=b"a\nb\n\x1b[31mmake: *** no rule\x1b[0m\n"
        )

        assert isinstance(error, StepFailed)
        assert str(error) == (
            "line 2 of the Dockerfile failed with exit code 2: RUN make all (it last said: make: *** no rule)"
        )
        assert (error.line, error.instruction, error.log) == (2, "RUN make \\\n    all", "a\nb\nmake: *** no rule")
        assert "→ 2 │ RUN make \\" in error.__notes__[0]

    @pytest.mark.parametrize(
        "message",
        [
            "executor failed running [/bin/sh -c make     all]: exit code: 2",
            'process "/bin/sh -c make     all" did not complete successfully: exit code: 2',
        ],
    )
    def test_told_to_another_build(self, message: str) -> None:
        """Of two builds that do the same, one is not told which step failed: the command in the message is its."""
        steps = ("[1/5] FROM python:3.13", "[2/5] RUN make     all", "[3/5] COPY x y")
        waiting = [Vertex(name, (), name, False, None, None, "") for name in steps]

        error = error_of(message, *waiting)

        assert isinstance(error, StepFailed)
        assert (error.line, str(error)) == (2, "line 2 of the Dockerfile failed with exit code 2: RUN make all")
        assert not isinstance(error_of("process did not complete successfully: exit code: 2", *waiting), StepFailed)

    @pytest.mark.parametrize(
        ("log", "said"),
        [
            (
                "gcc\nfoo.c:1:10: fatal error: libpq-fe.h: No such file or directory\n",
                "foo.c:1:10: fatal error: libpq",
            ),
            ("  error: subprocess-exited-with-error\n  Error: pg_config executable not found.\n", "Error: pg_config"),
            (
                "  error: [Errno 2] No such file or directory: 'gcc'\n  ERROR: Failed building wheel\n",
                "error: [Errno 2]",
            ),
            ("E: Unable to locate package gfortrann\n", "E: Unable to locate package gfortrann"),
        ],
    )
    def test_the_lines_that_tell_come_first(self, log: str, said: str) -> None:
        """However much is printed after them; then the last ten."""
        message = "executor failed running [x]: exit code: 1"
        end = "".join(f"and more {number}\n" for number in range(20))
        error = error_of(message, failed("[2/5] RUN make", message), log=f"begin\n{log}{end}".encode())

        assert isinstance(error, StepFailed)
        lines = error.log.split("\n")
        assert lines[0].startswith(said)
        assert f"(it said: {said}" in str(error)
        assert lines[-11:] == ["…", *(f"and more {number}" for number in range(10, 20))]

    @pytest.mark.parametrize(("code", "remedy"), [(126, "program"), (127, "install it"), (137, "memory"), (1, "log")])
    def test_remedies(self, code: int, remedy: str) -> None:
        """Exit codes that everybody meets have remedies of their own."""
        message = f"executor failed running [x]: exit code: {code}"

        assert remedy in error_of(message, failed("[2/5] RUN make", message)).remedy

    @pytest.mark.parametrize(
        ("log", "code", "remedy"),
        [
            (b"/bin/sh: 1: source: not found\n", 127, "write `. FILE` instead"),
            (b"/bin/sh: source: not found\n", 127, "no package is missing"),
            (b"/bin/sh: 1: [[: not found\n", 127, "sh does not know `[[`"),
            (b'/bin/sh: 1: Syntax error: "(" unexpected\n', 2, "bash's own syntax"),
            (b"/bin/sh: 1: set: Illegal option -o pipefail\n", 2, "bash's own syntax"),
            (b"/bin/sh: 1: sources: not found\n", 127, "install it"),
            (b"/bin/sh: 1: source: not found\nerror\n", 1, "read the end of its log"),
        ],
    )
    def test_bash(self, log: bytes, code: int, remedy: str) -> None:
        """What bash alone knows is no program that is missing."""
        message = f"executor failed running [x]: exit code: {code}"

        assert remedy in error_of(message, failed("[2/5] RUN make", message), log=log).remedy

    @pytest.mark.parametrize(
        "message",
        [
            'failed to compute cache key: "/x" not found: not found',
            "lstat /var/lib/docker/overlay2/30b2bc/merged/x: no such file or directory",
            'failed to calculate checksum of ref 3f8-0::t2f: "/x": not found',
            "failed to calculate checksum of ref 0::abc: lstat /var/lib/docker/tmp/buildkit-mount123/x: no such file",
        ],
    )
    def test_missing_file(self, message: str) -> None:
        """A file that is not there is named as the Dockerfile sees it, with .dockerignore in the remedy."""
        error = error_of(message, failed("[3/5] COPY x y", message))

        assert isinstance(error, StepFailed)
        assert str(error).startswith("line 4 of the Dockerfile failed: COPY x y (")
        assert "/x" in str(error)
        assert "/var/lib" not in str(error)
        assert ".dockerignore" in error.remedy

    def test_download(self) -> None:
        """Where BuildKit's own work for a step fails, the step is named, and the network where it is at fault."""
        asking = Vertex("step", ("a",), "[4/5] ADD http://localhost:1/x /x", False, None, None, "")
        message = 'Get "http://localhost:1/x": dial tcp 127.0.0.1:1: connect: connection refused'

        error = error_of(message, failed("http://localhost:1/x", message), asking)

        assert isinstance(error, StepFailed)
        assert (error.line, "network" in error.remedy) == (5, True)

    def test_what_was_cancelled_is_no_cause(self) -> None:
        """Of two steps side by side, the one that failed is named, not the one that was stopped for it."""
        error = error_of(
            "exit code: 4",
            failed("[3/5] COPY x y", "context canceled", digest="b"),
            failed("[2/5] RUN make", "executor failed running [x]: exit code: 4"),
        )

        assert isinstance(error, StepFailed)
        assert error.line == 2

    @pytest.mark.parametrize(
        ("name", "text", "line", "said"),
        [
            (
                "[stage-1 1/1] RUN exit 3",
                "FROM a AS x\nONBUILD RUN exit 3\nFROM x\nRUN true",
                2,
                "ONBUILD RUN exit 3",
            ),
            ("RUN exit 3", "FROM a AS x\nONBUILD RUN exit 3\nFROM x\nENV A=b", 2, "ONBUILD RUN exit 3"),
            (
                "[stage-1 2/3] ONBUILD RUN exit 3",
                "FROM a AS x\nONBUILD COPY f /\nONBUILD RUN exit 3\nFROM x\nRUN a",
                3,
                "ONBUILD RUN exit 3",
            ),
            ("[2/2] RUN exit 3", "FROM a:1\nRUN true", 1, "ONBUILD RUN exit 3, which a:1 asks for"),
            ("[2/2] ONBUILD RUN exit 3", "FROM a:1\nRUN exit 3", 1, "ONBUILD RUN exit 3, which a:1 asks for"),
            ("[2/2] RUN exit 3", "FROM a:1\nRUN exit $X", 2, "RUN exit $X"),
        ],
    )
    def test_onbuild(self, name: str, text: str, line: int, said: str) -> None:
        """What ONBUILD asks for is told with its line; what an image from outside asks for, with that of its FROM."""
        error = error_of("exit code: 3", failed(name, "executor failed running [x]: exit code: 3"), text=text)

        assert isinstance(error, StepFailed)
        assert (error.line, f"→ {line} │" in error.__notes__[0]) == (line, True)
        assert str(error).startswith(f"line {line} of the Dockerfile failed with exit code 3: {said}")

    def test_a_space_that_is_none(self) -> None:
        """Where a shell does not find a command that begins with a space of another kind, the space is named."""
        error = error_of(
            "exit code: 127",
            failed("[2/2] RUN true && \u00a0make", "executor failed running [x]: exit code: 127"),
            text="FROM a\nRUN true && \\\n  \u00a0make\n",
        )

        assert error.remedy.startswith("line 3, column 3 holds U+00A0 (no-break space), no space to a shell")

    def test_short(self) -> None:
        """However long command and last words are, the sentence stays readable."""
        message = f"executor failed running [{'x' * 5000}]: exit code: 1"

        assert len(str(error_of(message, failed(f"[9/9] RUN {'y ' * 5000}", message), log=b"z" * 5000))) < 400


class TestImages:
    """An image cannot be had."""

    @pytest.mark.parametrize(
        "name",
        [
            "[internal] load metadata for docker.io/library/python:3.13",
            "[1/5] FROM docker.io/library/python:3.13@sha256:0123",
            "FROM docker.io/library/python:3.13",
            "resolve image config for docker-image://docker.io/library/python:3.13",
        ],
    )
    def test_network(self, name: str) -> None:
        """Without a network it is the network's fault, whichever vertex tells."""
        error = error_of(f"failed to solve: {NO_HOST}", failed(name, NO_HOST))

        assert isinstance(error, BaseImageError)
        assert "no registry can be reached for python:3.13 (" in str(error)

    @pytest.mark.parametrize(
        "reason",
        [DENIED, "docker.io/library/python:3.99: not found", "unexpected status: 500", "toomanyrequests: slow down"],
    )
    def test_refused(self, reason: str) -> None:
        """A registry that answers and says no is told from a network that does not reach it."""
        error = error_of(reason, failed("[internal] load metadata for docker.io/library/python:3.99", reason))

        assert (type(error), "does not give python:3.99" in str(error)) == (RegistryRefused, True)

    @pytest.mark.parametrize(
        ("name", "error", "said"),
        [
            ("builder", DockerfileError, "line 3 of the Dockerfile: no stage is called builder; line 1 begins one"),
            (
                "nginx",
                BaseImageError,
                "no stage is called nginx (there are: build), and no registry can be reached",
            ),
            ("nginx:1", BaseImageError, "no registry can be reached for nginx:1"),
        ],
    )
    def test_a_stage_that_is_not_there(self, name: str, error: type[LabError], said: str) -> None:
        """What may be the name of a stage is told as one; the network comes after that."""
        text = f"FROM a AS build\nFROM b\nCOPY --from={name} /x /x\n"
        asked = f"[internal] load metadata for docker.io/library/{name if ':' in name else f'{name}:latest'}"
        found = error_of(NO_HOST, failed(asked, NO_HOST), text=text)

        assert (isinstance(found, error), said in str(found)) == (True, True)
        assert error is not DockerfileError or found.remedy == "write build there"


class TestDockerfile:
    """The Dockerfile is wrong."""

    def test_a_backslash_that_takes_the_next_line(self) -> None:
        """It is named and shown, whatever comes of it."""
        message = "executor failed running [x]: exit code: 1"
        text = "FROM a\nRUN pip install \\\n    flask \\\n\nCOPY app app\n".replace("\n\n", "\n")
        error = error_of(message, failed("[2/2] RUN pip install     flask COPY app app", message), text=text)

        assert isinstance(error, StepFailed)
        assert (error.line, "delete the backslash at the end of line 3" in error.remedy) == (3, True)
        assert "→ 3 │     flask \\\n  4 │ COPY app app" in error.__notes__[0]

        error = error_of("circular dependency detected on stage: build", text="FROM a AS build\nRUN x \\\nFROM b\n")
        assert isinstance(error, DockerfileError)
        assert (error.line, "makes line 3 (FROM b) a part" in error.remedy) == (2, True)

    @pytest.mark.parametrize(
        "message",
        [
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "
            "dockerfile parse error line 4: Unknown flag: nope",
            "dockerfile parse error on line 4: unknown flag: --nope",
        ],
    )
    def test_parse_error(self, message: str) -> None:
        """A line that BuildKit refuses is named and shown."""
        error = error_of(message)

        assert isinstance(error, DockerfileError)
        assert str(error).startswith("line 4 of the Dockerfile: ")
        assert (error.line, "→ 4 │ COPY x y" in error.__notes__[0]) == (4, True)
        assert "old engine" in error.remedy

    def test_heredoc(self) -> None:
        """An engine that takes a heredoc's lines for instructions knows no heredocs; the error says so."""
        error = error_of("dockerfile parse error line 7: unknown instruction: ECHO")

        assert "knows no heredocs" in str(error)

    @pytest.mark.parametrize(
        ("text", "word", "why"),
        [
            ("ARG B=a-1\nFROM ${B%-1} AS x", "${B%-1}", "missing ':'"),
            ("ARG B=a-1\nFROM ${B##*-}:1", "${B##*-}:1", "unsupported modifier (#)"),
            ("FROM a\nENV X=${Y//a/b}", "${Y//a/b}", "missing ':'"),
            ("FROM a\nCOPY ${Y-b} /", "${Y-b}", "missing ':'"),
        ],
    )
    def test_operator(self, text: str, word: str, why: str) -> None:
        """An operator that newer builders know is the engine's fault."""
        error = error_of(f'failed to process "{word}": {why} in substitution', text=text)

        assert isinstance(error, DockerfileError)
        assert (error.line, "this engine's builder does not know ${" in str(error)) == (2, True)

    def test_no_operator(self) -> None:
        """One that no builder knows is the Dockerfile's."""
        error = error_of("failed to process \"${B^^}\": missing ':' in substitution", text="ARG B\nFROM ${B^^}")

        assert isinstance(error, DockerfileError)
        assert (error.line, "engine" in str(error)) == (2, False)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "FROM a AS x\nARG V=x\nFROM a\nCOPY --from=$V /b /c",
                'failed to parse stage name "$V": invalid reference format: repository name must be lowercase',
            ),
            (
                "FROM a AS x\nARG V=x\nFROM a\nRUN --mount=from=${v},target=/m ls",
                'failed to parse stage name "${v}": invalid reference format',
            ),
            (
                "FROM a\n\nFROM a\nCOPY --from=a$V /b /c",
                "variable expansion is not supported for --from, define a new stage with FROM using ARG",
            ),
            (
                "FROM a\n\nFROM a\nRUN --mount=from=$V ls",
                "dockerfile parse error on line 4: 'from' doesn't support variable expansion, define alias stage",
            ),
            (
                "FROM a\n\nFROM a AS x\nONBUILD COPY --from=$V /b /c\nFROM x",
                'cannot copy from stage "$V", it needs to be defined before current stage "stage-2"',
            ),
        ],
    )
    def test_variable_in_from(self, text: str, message: str) -> None:
        """That --from takes no variables is said, and what takes them."""
        error = error_of(message, text=text)

        assert isinstance(error, DockerfileError)
        assert (error.line, "from takes no variables" in str(error)) == (4, True)
        assert "FROM" in error.remedy

    @pytest.mark.parametrize(
        "prefix", ["failed to solve with frontend dockerfile.v0: failed to create LLB definition: ", ""]
    )
    def test_as_a_whole(self, prefix: str) -> None:
        """What has no line is told without one."""
        error = error_of(f"{prefix}circular", Vertex("a", (), "copy /context /", False, 1.0, 2.0, ""))

        assert isinstance(error, DockerfileError)
        assert str(error) == "the Dockerfile cannot be built: circular"
        named = error_of(f"{prefix}circular dependency detected on stage: build", text="FROM a\nFROM build AS build")
        assert isinstance(named, DockerfileError)
        assert named.line == 2


class TestOther:
    """Neither a step nor the Dockerfile."""

    def test_cancelled(self) -> None:
        """A build that somebody else stopped is told so."""
        assert "cancelled on the engine" in str(
            error_of("context canceled", failed("[2/5] RUN make", "context canceled"))
        )

    def test_unknown(self) -> None:
        """Whatever else the engine says is passed on, without escape codes."""
        error = error_of("no space \x1b[31mleft on device", Vertex("a", (), "[2/5] RUN make", False, 1.0, 2.0, ""))

        assert (type(error), str(error)) == (BuildError, "the image cannot be built: no space left on device")
