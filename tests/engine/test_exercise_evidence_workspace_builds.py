"""The builds of a check: what they find out, whose fault a failure is, and what they leave behind."""

from __future__ import annotations

import io
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerlab import bases
from layerlab.builder import trial_builds
from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine
from layerlab.engine.runs import TEMPORARY_LABEL
from layerlab.exercise.evidence import workspace_builds
from layerlab.exercise.evidence.workspace_builds import Prepared
from layerlab.exercise.workspace import Workspace, open_workspace
from layerlab.paths import ROOT, state_directory
from layerlab.ui.progress import Report, Step, silent

DESKTOP = '{"credsStore": "desktop"}'


def write(folder: Path, dockerfile: str, files: dict[str, str] | None = None) -> Path:
    """Write a Dockerfile and other files."""
    for name, content in {"Dockerfile": dockerfile, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@contextmanager
def prepared(engine: Engine, folder: Path, report: Report = silent) -> Iterator[tuple[Prepared, Dockerfile]]:
    """A workspace ready to be built; its images are removed afterwards."""
    workspace = open_workspace(folder)
    assert isinstance(workspace, Workspace)
    with trial_builds(engine, report) as trials:
        yield workspace_builds.prepare(trials, workspace), workspace.dockerfile


def files_in(engine: Engine, image: str, folder: str) -> dict[str, bytes]:
    """The files below a folder of an image, with their contents."""
    container = engine.client.containers.create(image, "true")
    try:
        stream, _ = container.get_archive(folder)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            files = {member.name.partition("/")[2]: tar.extractfile(member) for member in tar if member.isfile()}
            return {name: file.read() for name, file in files.items() if file}
    finally:
        container.remove()


def images_of(engine: Engine, labels: Mapping[str, str]) -> list[str]:
    """The images of one check."""
    found = engine.client.api.images(all=True, filters={"label": f"{TEMPORARY_LABEL}={labels[TEMPORARY_LABEL]}"})
    return [str(image["Id"]) for image in found]


class TestBuild:
    def test_steps_and_stages(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What ran is told under the learner's own labels and lines, and each stage can be had by itself."""
        write(
            tmp_path,
            f"ARG B={busybox_image}\nFROM $B\nRUN echo {secrets.token_hex(8)} > /made\n\n"
            "FROM $B AS unused\nRUN false\nFROM $B AS last\nRUN true\nCOPY --from=0 /made /made\n",
        )
        with prepared(engine, tmp_path) as (copy, dockerfile):
            outcome = workspace_builds.build_final(copy)
            stage = workspace_builds.build_stage(copy, dockerfile.stages[0])

            assert outcome.failure is None
            assert outcome.image_id is not None
            # Both stages begin with the same FROM, which BuildKit runs once, under the name of one of them.
            own = [step for step in outcome.ran if not step.instruction.startswith("FROM")]
            assert [(step.stage, step.line) for step in own] == [("0", 3), ("last", 8), ("last", 9)]
            assert (own[0].cached, own[1].instruction) == (False, "RUN true")
            assert files_in(engine, stage, "/made") == files_in(engine, outcome.image_id, "/made")

    def test_no_registry(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A line for Docker's own frontend changes nothing, not even the escape directive after it."""
        write(tmp_path, f"# syntax=docker/dockerfile:1\n# escape=`\n\nFROM {busybox_image}\nRUN echo `\n && true\n")

        with prepared(engine, tmp_path) as (copy, _):
            outcome = workspace_builds.build_final(copy)

            assert [step.line for step in outcome.ran] == [4, 5]

    def test_a_credential_helper_that_is_missing_is_done_without(
        self, engine: Engine, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Docker's own frontend needs no login; Docker Desktop leaves such settings behind."""
        write(tmp_path, f"# syntax=docker/dockerfile:1\nFROM {busybox_image}\n", {"x/config.json": DESKTOP})
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "x"))
        steps: list[Step] = []

        with prepared(engine, tmp_path, steps.append) as (copy, _):
            assert workspace_builds.build_final(copy).failure is None

        assert steps[0].title.startswith("going on without a login: docker-credential-desktop not ")

    def test_an_ignored_dockerfile(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What .dockerignore names stays out of the image; a Dockerfile that is not named goes in as it is."""
        write(tmp_path, f"FROM {busybox_image}\nCOPY . /x/\n", {"a": "a", ".dockerignore": "Dockerfile\n"})
        with prepared(engine, tmp_path) as (copy, _):
            image_id = workspace_builds.build_final(copy).image_id
            assert image_id
            ignored = files_in(engine, image_id, "/x")
        (tmp_path / ".dockerignore").write_text("a\n")
        with prepared(engine, tmp_path) as (copy, _):
            image_id = workspace_builds.build_final(copy).image_id
            assert image_id
            shipped = files_in(engine, image_id, "/x")

        assert set(ignored) - {workspace_builds.SENT_NAME} == {"a", ".dockerignore"}
        assert set(shipped) == {"Dockerfile", ".dockerignore"}

    def test_changes_meanwhile(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What is saved while a check goes on belongs to the next one: all builds of a check see the same."""
        write(tmp_path, f"FROM {busybox_image}\nCOPY a /x/\n", {"a": "before"})
        with prepared(engine, tmp_path) as (copy, _):
            write(tmp_path, "FROM nothing\n", {"a": "after, and longer"})
            image_id = workspace_builds.build_final(copy).image_id

            assert image_id
            assert files_in(engine, image_id, "/x") == {"a": b"before"}


class TestFailure:
    @pytest.mark.parametrize(
        ("lines", "blame", "line", "words"),
        [
            ("RUN nosuchcommand", "dockerfile", 2, "127"),
            ("RUN --nosuchflag=1 true", "dockerfile", 2, "nosuchflag"),
            (
                "RUN true\nRUN echo \"E: Temporary failure resolving 'mirror.example'\"; false",
                "network",
                3,
                "network",
            ),
            ("RUN echo 'No space left on device'; false", "engine", 2, "disk is full"),
            ("RUN exit 137", "limit", 2, "137"),
            ("RUN printf '\\033[31mred\\033[0m \\033]0;title\\007'; false", "dockerfile", 2, "red"),
            ("FROM layerlab-test-nothing:1", "network", 2, "layerlab-test-nothing:1"),
            ("RUN true\nCOPY --from=layerlab-test.invalid/x/y:2 /a /a", "network", 3, "layerlab-test.invalid/x/y:2"),
            ("FROM a:b:c", "dockerfile", 2, "invalid reference"),
        ],
    )
    def test_whose_fault(  # noqa: PLR0917
        self, engine: Engine, busybox_image: str, tmp_path: Path, lines: str, blame: str, line: int, words: str
    ) -> None:
        """A failure is told with whose fault it is, on its line, in plain text."""
        if "nothing:1" in lines and not _is_offline(engine):
            blame = "dockerfile"  # the registry says that there is no such image
        write(tmp_path, f"FROM {busybox_image}\n{lines}\n")

        with prepared(engine, tmp_path) as (copy, _):
            outcome = workspace_builds.build_final(copy)

        assert outcome.failure is not None
        assert outcome.image_id is None
        assert (outcome.failure.blame, outcome.failure.line) == (blame, line)
        assert words in outcome.failure.message
        assert "\x1b" not in outcome.failure.message

    @pytest.mark.parametrize(
        ("lines", "line"), [("COPY --link Dockerfile /", 2), ("RUN true\nRUN <<EOF\necho a\nEOF", 3)]
    )
    def test_an_old_builder(self, engine: Engine, busybox_image: str, tmp_path: Path, lines: str, line: int) -> None:
        """What only newer builders know is built, or is the engine's fault and on its line."""
        write(tmp_path, f"FROM {busybox_image}\n{lines}\n")

        with prepared(engine, tmp_path) as (copy, _):
            outcome = workspace_builds.build_final(copy)

        if outcome.failure:
            assert (outcome.failure.blame, outcome.failure.line) == ("engine", line)
        else:
            assert outcome.image_id

    def test_another_frontend(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A frontend that cannot be had is the network's fault, on the line that names it."""
        write(tmp_path, f"# escape=\\\n# syntax=layerlab-test.invalid/front/end:1\nFROM {busybox_image}\n")

        with prepared(engine, tmp_path) as (copy, _):
            failure = workspace_builds.build_final(copy).failure

        assert failure is not None
        assert (failure.blame, failure.line, "layerlab-test.invalid/front/end:1" in failure.message) == (
            "network", 2, True,
        )  # fmt: skip


class TestNothingIsLeft:
    def test_images(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """All images of a check are gone after it, and the next one still finds its steps in the builder's cache."""
        write(tmp_path, f"FROM {busybox_image} AS a\nRUN echo {secrets.token_hex(8)} > /a\nFROM a\nRUN true\n")
        workspace = open_workspace(tmp_path)
        cached = []
        for _ in range(2):
            with trial_builds(engine) as trials:
                copy = workspace_builds.prepare(trials, workspace)
                outcome = workspace_builds.build_final(copy)
                workspace_builds.build_stage(copy, copy.dockerfile.stages[0])
                while_building = images_of(engine, trials.labels)
            runs = [step for step in outcome.ran if step.instruction.startswith("RUN")]
            cached.append([step.cached for step in runs])

            assert (len(while_building), images_of(engine, trials.labels)) == (2, [])
            assert not trials.scratch.exists()
        assert cached == [[False, False], [True, True]]

    def test_a_tag_of_the_users(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """An image that somebody has given a tag meanwhile stays."""
        name = f"layerlab-test-{secrets.token_hex(6)}"
        write(tmp_path, f"FROM {busybox_image}\nRUN echo {name}\n")
        with prepared(engine, tmp_path) as (copy, _):
            image_id = workspace_builds.build_final(copy).image_id
            assert image_id
            engine.client.images.get(image_id).tag(name, "mine")

        assert engine.client.images.get(f"{name}:mine").id == image_id
        engine.client.images.remove(f"{name}:mine")

    @pytest.mark.long
    def test_after_a_kill(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What a killed check has left, the next one removes; that of one that goes on stays."""
        write(tmp_path, f"FROM {busybox_image}\nRUN echo {secrets.token_hex(8)}\n")
        script = (
            "import sys, time; from pathlib import Path; from layerlab import engine\n"
            "from layerlab.builder import trial_builds\n"
            "from layerlab.exercise.evidence import workspace_builds\n"
            "from layerlab.exercise.workspace import open_workspace\n"
            "found = engine.connect()\n"
            "with trial_builds(found) as trials:\n"
            "    workspace = open_workspace(Path(sys.argv[1]))\n"
            "    workspace_builds.build_final(workspace_builds.prepare(trials, workspace))\n"
            "    print(trials.labels[sys.argv[2]], trials.scratch, flush=True)\n"
            "    time.sleep(600)\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path), TEMPORARY_LABEL]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            check, _, scratch = process.stdout.readline().strip().partition(" ")
            labels = {TEMPORARY_LABEL: check}
            with trial_builds(engine):
                while_it_runs = images_of(engine, labels)
            process.send_signal(signal.SIGKILL)
        with trial_builds(engine):
            after_the_kill = images_of(engine, labels)

        assert (len(while_it_runs), after_the_kill) == (1, [])
        assert not any(check in path.read_text() for path in state_directory().glob("run-*.lock"))
        assert not Path(scratch).exists()

    @pytest.mark.long
    def test_ctrl_c(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Whatever a listener raises ends the build on the engine, and leaves no image and no lock."""
        command = f"sleep {secrets.randbelow(90_000) + 10_000}"
        write(tmp_path, f"FROM {busybox_image}\nRUN {command}\n")

        def interrupt(step: Step) -> None:
            if step.line == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), prepared(engine, tmp_path, interrupt) as (copy, _):
            workspace_builds.build_final(copy)

        assert is_gone(engine, busybox_image, command)
        assert images_of(engine, copy.trials.labels) == []
        assert not copy.trials.scratch.exists()


def is_gone(engine: Engine, image: str, command: str, patience: float = 30.0) -> bool:
    """Whether no process of the engine's machine runs this command, or does so no longer after a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        processes = engine.client.containers.run(image, ["ps"], pid_mode="host", remove=True).decode()
        if command not in processes:
            return True
        time.sleep(0.2)
    return False


def _is_offline(engine: Engine) -> bool:
    """Whether no registry answers."""
    return not bases.can_be_had(engine, "docker/dockerfile:1")
