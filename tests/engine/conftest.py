"""What tests against a real engine share: the engine, a tiny base image, and tags that are removed afterwards."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest

from layerlab.engine import Engine, locks
from layerlab.engine import connection as engines
from tests.engine.solution_report import VERDICT, summary

APPLETS = [
    *("cat", "cp", "dd", "echo", "env", "false", "grep", "head", "id", "kill", "ln", "ls", "mkdir", "mv", "printf"),
    *("ps", "rm", "rmdir", "seq", "sh", "sleep", "stat", "tail", "test", "touch", "tr", "true", "wc", "yes"),
]


FIRST = ("test_fresh_clone", "test_notebook_mistakes", "test_faults", "test_remote", "test_xray")
"""The files that take longest: begun last, one of them would run on alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files, and so the one in which xdist gives them out."""
    items.sort(key=lambda item: item.path.stem not in FIRST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many labelled solutions were judged wrongly, and which; every process's reports arrive here."""
    verdicts = {
        report.nodeid.partition("[")[2].removesuffix("]"): str(said)
        for key in ("passed", "failed")
        for report in terminalreporter.stats.get(key, [])
        for name, said in report.user_properties
        if name == VERDICT
    }
    if verdicts:
        terminalreporter.section("solutions")
        for line in summary(verdicts):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that the user has; `layerlab.engine.daemon` sees to it that there is one."""
    found = engines.connect()
    yield found
    found.client.close()


@pytest.fixture
def _readable_tags() -> Iterator[None]:
    """What ``multi-stage-demo:optimized`` and the like name is this test's: another one that needs that waits."""
    with locks.exclusive("tests-readable-tags"):
        yield


@pytest.fixture(scope="session")
def busybox_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A base image of 2 MB with a shell, made from a static busybox, so that no test needs a registry."""
    name = f"layerlab-test-{uuid.uuid4().hex[:12]}:busybox"
    import_busybox(engine, name, tmp_path_factory.mktemp("busybox"))
    yield name
    engine.client.images.remove(name, force=True)


def import_busybox(engine: Engine, name: str, folder: Path) -> None:
    """Give an engine an image of busybox under this name; the folder is for what has to be downloaded."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(static_busybox(folder), arcname="bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    repository, tag = name.split(":")
    engine.client.api.import_image_from_data(
        archive.getvalue(), repository=repository, tag=tag, changes=["ENV PATH=/bin"]
    )


@pytest.fixture
def new_tag(engine: Engine) -> Iterator[Callable[[], str]]:
    """Makes tags that nobody else has; the images that have them are removed after the test."""
    tags: list[str] = []

    def make() -> str:
        tags.append(f"layerlab-test-{uuid.uuid4().hex[:12]}:latest")
        return tags[-1]

    yield make
    for tag in tags:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(tag, force=True)


def static_busybox(folder: Path) -> Path:
    """A busybox that needs no library: the machine's own, or Debian's package unpacked in this folder."""
    if (path := shutil.which("busybox")) and is_static(Path(path)):
        return Path(path)
    subprocess.run(["apt-get", "download", "busybox-static"], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("busybox-static*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return next(path for path in folder.rglob("busybox") if path.is_file() and is_static(path))


def is_static(program: Path) -> bool:
    """Whether a 64-bit ELF program names no interpreter (PT_INTERP, elf(5)), and so needs no library."""
    content = program.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":
        return False
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return all(struct.unpack_from("<I", content, headers + n * size)[0] != 3 for n in range(count))
