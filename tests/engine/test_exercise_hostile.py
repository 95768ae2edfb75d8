"""Dockerfiles and workspaces that mean harm: a check of them ends in bounded time, and nothing of it goes on."""

from __future__ import annotations

import io
import re
import secrets
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from layerlab.builder import trials
from layerlab.engine import Engine, limits
from layerlab.exercise.evidence import workspace_builds
from layerlab.exercise.evidence.workspace_builds import Outcome
from layerlab.exercise.workspace import open_workspace
from layerlab.ui.progress import Step


def check(
    engine: Engine,
    folder: Path,
    dockerfile: str,
    *,
    timeout: float = 60.0,
    steps: list[Step] | None = None,
    caches: str = "",
) -> tuple[Outcome, dict[str, bytes]]:
    """Build under the limits; what came of it, and the files in the image's ``/x``."""
    (folder / "Dockerfile").write_text(dockerfile)
    listener = steps.append if steps is not None else lambda _: None
    with trials.trial_builds(engine, listener, caches=caches) as place:
        copy = workspace_builds.prepare(place, open_workspace(folder))
        outcome = workspace_builds.build_final(copy, timeout=timeout)
        return outcome, _files(engine, outcome.image_id) if outcome.image_id else {}


def _files(engine: Engine, image: str) -> dict[str, bytes]:
    container = engine.client.containers.create(image, "true")
    try:
        stream, _ = container.get_archive("/x")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            return {name: file.read() for name, file in files.items() if file}
    finally:
        container.remove()


def processes(engine: Engine, image: str) -> str:
    """All that runs on the engine's machine."""
    return str(engine.client.containers.run(image, ["ps"], pid_mode="host", remove=True).decode())


class TestNoEnd:
    def test_sleep(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A step that sleeps for ever is stopped at the limit, told with its line, and its processes are gone."""
        command = f"sleep {secrets.randbelow(90_000) + 10_000}"
        outcome, _ = check(
            engine, tmp_path, f"FROM {busybox_image}\nRUN trap '' TERM INT; ({command} & ); {command}\n", timeout=3
        )

        assert outcome.failure is not None
        assert (outcome.failure.blame, outcome.failure.line) == ("limit", 2)
        assert command not in processes(engine, busybox_image)

    def test_log(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A log without end is neither kept nor waited for."""
        word = secrets.token_hex(8)
        steps: list[Step] = []
        outcome, _ = check(engine, tmp_path, f"FROM {busybox_image}\nRUN yes {word}\n", timeout=3, steps=steps)

        assert outcome.failure is not None
        assert (outcome.failure.blame, outcome.failure.line) == ("limit", 2)
        assert max(len(step.detail) for step in steps) < 5_000
        assert f"yes {word}" not in processes(engine, busybox_image)

    @pytest.mark.long
    def test_memory(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A step that allocates without end is killed by the limit where the builder can be limited."""
        if limits.why_unlimited(engine):  # nothing may be allocated without end where nothing ends it
            assert "not limited" in limits.what_holds(engine)
            return

        dockerfile = f"FROM {busybox_image}\nRUN echo {secrets.token_hex(8)}; tail /dev/zero\n"
        outcome, _ = check(engine, tmp_path, dockerfile, timeout=200)

        assert outcome.failure is not None
        assert (outcome.failure.blame, outcome.failure.line) == ("limit", 2)
        assert "memory" in outcome.failure.message

    @pytest.mark.long
    def test_disk(self, engine: Engine, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step that fills the engine's disk is stopped long before the disk is full, where the disk can be seen."""
        monkeypatch.setattr(trials, "MAX_DISK", 50_000_000)
        command = f"dd if=/dev/zero of=/{secrets.token_hex(8)} bs=1M count=4000"
        outcome, _ = check(engine, tmp_path, f"FROM {busybox_image}\nRUN {command}; sleep 600\n", timeout=10)

        assert outcome.failure is not None
        assert (outcome.failure.blame, outcome.failure.line) == ("limit", 2)
        if engine.is_local and Path(engine.root_directory).is_dir():
            assert "disk" in outcome.failure.message
        assert command not in processes(engine, busybox_image)


class TestLimits:
    def test_they_hold_while_it_builds(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What a build runs is below the cgroup that is limited, as long as the build goes on."""
        if limits.why_unlimited(engine):
            assert limits.what_holds(engine).startswith("not limited")
            return
        command = f"sleep 600.{secrets.randbelow(10**9)}"
        seen: list[str] = []

        def look(step: Step) -> None:
            deadline = time.monotonic() + 20
            while step.line == 2 and not seen and time.monotonic() < deadline:
                found = subprocess.run(["pgrep", "-xf", command], capture_output=True, text=True, check=False)
                seen.extend(Path(f"/proc/{number}/cgroup").read_text() for number in found.stdout.split())
            if seen:
                raise KeyboardInterrupt

        (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nRUN {command}\n")
        with trials.trial_builds(engine, look) as place:
            copy = workspace_builds.prepare(place, open_workspace(tmp_path))
            files = limits._wanted(limits._ROOT, limits.MEMORY, limits.PROCESSES)
            while_it_builds = {name: Path(name).read_text() for name in files}
            with pytest.raises(KeyboardInterrupt):
                workspace_builds.build_final(copy)

        (processes,) = (value for name, value in while_it_builds.items() if name.endswith("pids.max"))
        assert limits.PROCESSES <= int(processes) <= 4 * limits.PROCESSES  # others may check at the same time
        assert all("/docker/buildkit/" in line for line in seen[0].splitlines())


class TestText:
    def test_escape_codes(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Terminal escape codes in a log, a command or a file's name never reach a message."""
        (tmp_path / "a\x1b[31m\x1b]0;title\x07.txt").write_text("")
        steps: list[Step] = []
        outcome, _ = check(
            engine,
            tmp_path,
            f"FROM {busybox_image}\nCOPY . /x/\n"
            "RUN ls /x; printf '\\033]0;owned\\007\\033[2Jhello\\033[31m'; echo \x1b[31mred\x1b[0m; false\n",
            steps=steps,
        )

        assert outcome.failure is not None
        said = [outcome.failure.message, *(part for step in steps for part in (step.title, step.detail))]
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "".join(said))
        assert any("red" in part for part in said)


class TestNeighbours:
    @pytest.mark.long
    def test_a_cache_mount(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What one build leaves in a cache mount, a build of somebody else's never sees."""
        mount = f"--mount=type=cache,id={secrets.token_hex(8)},target=/c"
        base = f"FROM {busybox_image}\nRUN mkdir /x; echo {secrets.token_hex(8)}\n"
        looks = f"{base}RUN {mount} \\\n test ! -e /c/evil\n"

        check(engine, tmp_path, f"{base}RUN {mount} echo > /c/evil\n", caches="mallory")
        of_another, _ = check(engine, tmp_path, looks, caches="anna")
        # Another command: newer engines take two that differ in their cache mounts alone for the same.
        own, _ = check(engine, tmp_path, looks.replace("test !", "true; test !"), caches="mallory")

        assert of_another.image_id is not None
        assert own.image_id is None


class TestWorkspace:
    def test_a_link_out_of_it(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A link to a file or a folder of this machine arrives as a link: the image never holds what it leads to."""
        folder = tmp_path / "w"
        folder.mkdir()
        secret = secrets.token_hex(16)
        (tmp_path / "secret").write_text(secret)
        (folder / "file").symlink_to(tmp_path / "secret")
        (folder / "up").symlink_to("../secret")
        (folder / "folder").symlink_to(tmp_path)

        outcome, files = check(engine, folder, f"FROM {busybox_image}\nCOPY . /x/\n")
        by_name, stolen = check(engine, folder, f"FROM {busybox_image}\nCOPY file up /x/\nCOPY folder/secret /x/\n")

        assert outcome.failure is None
        assert by_name.failure is not None
        assert not any(secret.encode() in content for content in [*files.values(), *stolen.values()])

    def test_very_many_files(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Thousands of files in the context arrive, and do not make a check slow."""
        (tmp_path / "many").mkdir()
        for number in range(1_500):
            (tmp_path / f"many/{number}").touch()

        outcome, files = check(engine, tmp_path, f"FROM {busybox_image}\nCOPY many /x/many\n")

        assert (outcome.failure, len(files)) == (None, 1_500)
