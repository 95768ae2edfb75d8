"""What goes wrong outside of the lab: each fault ends in a clear line, loses nothing, and the next run recovers.

docs/faults.md has the table. The engine of these tests is their own; needs root.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from layerlab import image
from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine import connection as engines
from layerlab.errors import EngineError, EngineGone
from tests.engine.small_lab import PATIENCE, SERVES, SLOW, Ended, SmallLab, give_bases, small_lab
from tests.engine.spare_engine import SpareEngine, spare_engine

REGISTRY = Path(__file__).with_name("slow_registry.py")


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpareEngine]:
    """An engine that may be killed."""
    with spare_engine(has_address=True) as made:
        first = made.connect()
        give_bases(first, tmp_path_factory.mktemp("bases"))
        first.client.close()
        yield made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpareEngine]:
    """An engine with 60 MB for everything."""
    with spare_engine(disk=60_000_000) as made:
        first = made.connect()
        give_bases(first, tmp_path_factory.mktemp("bases"))
        first.client.close()
        yield made


@pytest.fixture
def engine(spare: SpareEngine) -> Iterator[Engine]:
    """A connection to it."""
    found = spare.connect()
    yield found
    found.client.close()


@pytest.fixture
def lab(spare: SpareEngine) -> Iterator[SmallLab]:
    """A small lab on that engine, which sees the same network."""
    with small_lab(spare.endpoint, spare.corner.seen_from) as made:
        yield made


def is_clear(ended: Ended) -> bool:
    """Whether a command that could not do its work has said so as users expect it."""
    assert "Traceback" not in ended.stderr, ended.stderr
    assert re.fullmatch(r"lab: .*: .*\.?", ended.line), ended.stderr
    return ended.status == 2


def containers(engine: Engine) -> list[str]:
    return [str(one.name) for one in engine.client.containers.list(all=True)]


def runs_in(spare: SpareEngine, command: str) -> bool:
    return command in spare.corner.run("ps", "-A", "-ww", "-o", "args")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


class TestTheEngineEnds:
    @pytest.mark.variants
    @pytest.mark.parametrize("how", ["kill", "stop"])
    def test_during_a_build(self, spare: SpareEngine, lab: SmallLab, how: str) -> None:
        """A build whose engine is killed or stopped says so; once it runs again, so does the build."""
        lab.write(SLOW)
        building = lab.start("build", "optimized")
        building.wait_for("started .2/2.*\n")
        getattr(spare, how)()
        ended = building.end()
        while_down = lab.run("build", "optimized")
        spare.start()
        lab.write()

        assert is_clear(ended)
        assert "stopped answering (" in ended.line
        assert is_clear(while_down)
        assert "start" in while_down.line
        assert lab.run("build", "optimized").status == 0

    def test_during_an_analysis(self, spare: SpareEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """An image is read whole or not at all: nothing half-read is remembered."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        far = engines.open_engine(engines.Candidate(spare.tcp_endpoint, "the test's own", chosen=True))
        export = far.client.api.get_image

        def broken(*arguments: Any, **options: Any) -> Iterator[bytes]:
            pieces = export(*arguments, **options)
            yield next(pieces)
            spare.kill()
            yield from pieces

        with monkeypatch.context() as patched:
            patched.setattr(far.client.api, "get_image", broken)
            with pytest.raises(EngineGone, match="broke off"):
                image.read(far, "python:3.13-trixie")
        spare.start()

        assert image.read(far, "python:3.13-trixie").total_bytes > 1_000_000
        far.client.close()

    @pytest.mark.long
    def test_during_a_service_and_the_container_goes_with_the_next_command(
        self, spare: SpareEngine, lab: SmallLab
    ) -> None:
        """What could not be removed, since there was no engine to do it, is removed by the next command."""
        lab.write(SERVES)
        assert lab.run("build", "optimized").status == 0
        running = lab.start("run")
        running.wait_for("answers at")
        spare.kill()
        ended = running.end()
        spare.start()
        again = spare.connect()
        left = containers(again)
        lab.run("compare", "python:3.13-trixie")

        assert is_clear(ended)
        assert "stopped answering" in ended.line
        assert len(left) == 1
        assert containers(again) == []
        again.client.close()

    @pytest.mark.long
    def test_during_a_check(self, spare: SpareEngine, lab: SmallLab) -> None:
        """It is not the learner's fault: what could not be seen is unknown, and says why."""
        workspace = lab.root / "my-image"
        assert lab.run("new", str(workspace)).status == 0
        (workspace / "Dockerfile").write_text(f"FROM python:3.13-trixie\n{SLOW}")
        checking = lab.start("check", str(workspace))
        checking.wait_for("started .2/2.*\n")
        spare.kill()
        ended = checking.end()
        spare.start()

        assert "Traceback" not in ended.stderr
        assert ended.status == 1
        assert "stopped answering" in ended.stdout
        assert "The fault is the engine's, not the Dockerfile's" in ended.stdout
        assert re.search(r"\? 4 .*: could not be judged", ended.stdout)

    @pytest.mark.long
    def test_during_a_pull(self, spare: SpareEngine, lab: SmallLab) -> None:
        """No half image is left under an official name; the next run pulls it."""
        with closing(spare.connect().client) as client:
            for name in ("python:3.13-slim-trixie", "python:3.13-trixie"):
                client.images.get(name).tag("kept", name.partition(":")[2])
                client.images.remove(name)
        command = spare.corner.inside(sys.executable, "-u", REGISTRY)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as registry:
            assert registry.stdin is not None
            assert registry.stdout is not None
            address = registry.stdout.readline().strip()
            building = lab.start("build", "optimized", LAB_REGISTRY=address)
            assert registry.stdout.readline() == "waiting\n"  # a layer is half-way through
            spare.kill()
            ended = building.end()
            spare.start()
            with closing(spare.connect().client) as client:
                tags = [tag for one in client.images.list() for tag in one.tags]
            registry.stdin.write("go on\n")
            registry.stdin.flush()
            again = lab.run("build", "optimized", LAB_REGISTRY=address)
            registry.kill()
        with closing(spare.connect().client) as client:
            for name in ("python:3.13-slim-trixie", "python:3.13-trixie"):
                client.images.get(f"kept:{name.partition(':')[2]}").tag("python", name.partition(":")[2])

        assert is_clear(ended)
        assert "stopped answering" in ended.line
        assert not [tag for tag in tags if tag.startswith("python")]
        assert again.status == 0, again.stderr


class TestTheLabEnds:
    def test_killed_during_a_build(self, spare: SpareEngine, lab: SmallLab) -> None:
        """The engine ends the build of a lab that is gone."""
        lab.write(SLOW)
        building = lab.start("build", "optimized")
        building.wait_for("started .2/2.*\n")
        wait_until(lambda: runs_in(spare, "sleep 300"), "the step has begun")
        building.send(signal.SIGKILL)
        building.end()
        wait_until(lambda: not runs_in(spare, "sleep 300"), "the step has ended")

    @pytest.mark.long
    def test_killed_during_a_service(self, engine: Engine, lab: SmallLab) -> None:
        """The next command removes its container; that of a run that goes on stays, and so does the user's own."""
        lab.write(SERVES)
        assert lab.run("build", "optimized").status == 0
        killed, goes_on = lab.start("run"), lab.start("run")
        killed.wait_for("answers at")
        goes_on.wait_for("answers at")
        mine = engine.client.containers.create("multi-stage-demo:optimized", labels={"layerlab.container": "mine"})
        before = containers(engine)
        killed.send(signal.SIGKILL)
        killed.end()
        lab.run("compare", "python:3.13-trixie")
        after = containers(engine)
        goes_on.send(signal.SIGINT)

        assert goes_on.end().status == 0
        assert (len(before), len(after)) == (3, 2)
        assert mine.name in after
        assert containers(engine) == [mine.name]
        mine.remove()

    @pytest.mark.long
    def test_two_at_once(self, lab: SmallLab) -> None:
        """Two that build the same images at the same time get in nobody's way."""
        lab.write("RUN sleep 1\n", "RUN sleep 1\n")
        both = [lab.start("--no-serve") for _ in range(2)]

        for ended in [one.end() for one in both]:
            assert ended.status == 0, ended.stderr
            assert "multi-stage-demo:optimized" in ended.stdout

    def test_a_third_ctrl_c_ends_what_a_stuck_engine_holds_up(self, spare: SpareEngine, lab: SmallLab) -> None:
        """An engine that is there and says nothing keeps nobody at the terminal."""
        lab.write(SLOW)
        building = lab.start("build", "optimized")
        building.wait_for("started .2/2.*\n")
        spare.freeze()
        try:
            for expected in ("", "still ending", ""):
                building.send(signal.SIGINT)
                if expected:
                    building.wait_for(expected)
                time.sleep(0.2)
            ended = building.end()
        finally:
            spare.thaw()
        lab.write()

        assert (ended.status, ended.line) == (
            130,
            "lab: ended at once; the next ./lab, or ./lab clean, removes what is left",
        )
        assert lab.run("build", "optimized").status == 0


class TestTheEngineIsSilent:
    def test_one_that_is_stuck_is_not_taken_for_a_missing_one(
        self, spare: SpareEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody starts a second engine because the first one is busy."""
        monkeypatch.setattr(engines, "CONNECT_TIMEOUT", 1)
        monkeypatch.setenv("DOCKER_HOST", spare.endpoint)
        spare.freeze()
        try:
            with pytest.raises(EngineError, match="has not answered within 1 s") as caught:
                engines.connect()
        finally:
            spare.thaw()
        assert "wait and repeat" in caught.value.remedy

    @pytest.mark.long
    def test_the_way_to_a_remote_one_is_cut(
        self, spare: SpareEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A cable that is pulled out says nothing; the kernel's own questions find out."""
        monkeypatch.setattr(engines, "_KEEPALIVE", (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2)))
        far = engines.open_engine(engines.Candidate(spare.tcp_endpoint, "the test's own", chosen=True))
        (tmp_path / "Dockerfile").write_text(f"FROM python:3.13-trixie\n{SLOW}")

        def cut(step: object) -> None:
            if "slow" in str(step):
                spare.corner.run("ip", "link", "set", "eth0", "down")

        try:
            with pytest.raises(EngineGone, match=r"no answer in time|nobody can be reached"):
                build(far, tmp_path, report=cut, timeout=PATIENCE)
        finally:
            spare.corner.run("ip", "link", "set", "eth0", "up")
        far.client.close()


@pytest.mark.long
class TestTheDiskIsFull:
    @pytest.fixture
    def lab(self, small: SpareEngine) -> Iterator[SmallLab]:
        with small_lab(small.endpoint, small.corner.seen_from) as made:
            yield made

    def test_during_a_step(self, lab: SmallLab) -> None:
        """The remedy is to make room, not to correct the Dockerfile; the next build finds what was freed."""
        lab.write("RUN dd if=/dev/zero of=/big bs=1M count=100\n")
        ended = lab.run("build", "optimized")
        lab.write()

        assert is_clear(ended)
        assert "line 2 of the Dockerfile failed" in ended.line
        assert "the disk is full: make room" in ended.line
        assert lab.run("build", "optimized").status == 0

    def test_during_everything_else(self, small: SpareEngine, lab: SmallLab) -> None:
        """Builds, looks into images and checks say that the engine's disk is full, and blame nobody."""
        workspace = lab.root / "my-image"
        lab.run("new", str(workspace))
        (workspace / "Dockerfile").write_text("FROM python:3.13-trixie\nCOPY . .\n")
        fill = small.folder / "data/fill"
        subprocess.run(
            small.corner.inside("dd", "if=/dev/zero", f"of={fill}", "bs=64k"), capture_output=True, check=False
        )
        (lab.root / "app" / "big").write_bytes(bytes(2_000_000))
        lab.write("COPY app /app\n")
        building = lab.run("build", "optimized")
        looking = lab.run("xray", "python:3.13-trixie", LAB_STAND_INS="0")
        checking = lab.run("check", str(workspace))
        small.corner.run("rm", fill)

        assert is_clear(building)
        assert "the disk of the Docker engine is full" in building.line
        assert looking.status == 0 or (is_clear(looking) and "disk of the Docker engine is full" in looking.line)
        assert "The fault is the engine's, not the Dockerfile's" in checking.stdout
        assert lab.run("build", "optimized").status == 0


@pytest.mark.long
class TestFoldersOfTheLab:
    @pytest.fixture
    def places(self, spare: SpareEngine, tmp_path: Path) -> dict[str, Path]:
        """A folder that is read-only, and one whose disk is full; only the corner sees them so."""
        made = {}
        for name, option in (("read-only", "ro"), ("full", "size=4k,nr_inodes=3")):
            made[name] = tmp_path / name
            made[name].mkdir()
            spare.corner.run("mount", "-t", "tmpfs", "-o", option, "tmpfs", made[name])
        return made

    @pytest.mark.parametrize("which", ["read-only", "full"])
    def test_a_cache_that_cannot_be_written_is_done_without(
        self, lab: SmallLab, places: dict[str, Path], which: str
    ) -> None:
        """Everything works as if it were the first time."""
        place = str(places[which])

        assert lab.run("--no-serve", XDG_CACHE_HOME=place).status == 0
        assert lab.run("xray", "optimized", XDG_CACHE_HOME=place).status == 0

    @pytest.mark.parametrize("which", ["read-only", "full"])
    def test_where_notes_have_to_be_made_the_folder_is_named(
        self, lab: SmallLab, places: dict[str, Path], which: str
    ) -> None:
        """Looking needs no notes; a service does, and says which folder it is about."""
        place = str(places[which])
        lab.write(SERVES)
        built = lab.run("build", "optimized", XDG_STATE_HOME=place)
        ended = lab.run("run", XDG_STATE_HOME=place)

        assert built.status == 0, built.stderr
        assert is_clear(ended)
        assert place in ended.line
        assert "XDG_STATE_HOME" in ended.line


def test_nothing_of_a_run_is_swept_that_is_not_its_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep removes nothing where every run goes on: this one does, since its process is here."""
    mine = engine.client.containers.create("python:3.13-trixie", "sleep 1", labels=runs.container_labels(engine))

    assert runs.sweep(engine) == []
    assert mine.name in containers(engine)
    mine.remove()
