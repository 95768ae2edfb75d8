"""Services on a real engine: a tiny web server instead of the lab's image, so that each starts at once."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import signal
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerlab import ownership
from layerlab.engine import Engine, connect
from layerlab.errors import ImageNotFound, PortInUse, ServiceError, ServiceNotReady, UsageError
from layerlab.service import foreground, run, run_foreground

SERVE = "httpd -f -p 5000 -h /www"
POLITE = f"trap 'echo stopping; kill $!; exit 7' TERM; {SERVE} & echo started; wait"
"""A first process that heeds SIGTERM. Alone, httpd would not: the kernel ignores it for a pid 1 without a handler."""

MakeImage = Callable[..., str]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = connect()
    yield found
    found.client.close()


@pytest.fixture(scope="module")
def make_image(engine) -> Iterator[MakeImage]:
    """Makes images of busybox alone, with these changes to their configuration; they go in the end."""
    made = []

    def make(*changes: str) -> str:
        tag = f"layerlab-test-service-{uuid.uuid4().hex[:12]}:latest"
        engine.client.api.import_image_from_data(_root(), repository=tag.split(":")[0], changes=list(changes))
        made.append(tag)
        return tag

    yield make
    for tag in made:
        engine.client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def image(make_image) -> str:
    """A service: GET /status answers 200. Its user is root, so that what it may not do is due to hardening."""
    return make_image(f'CMD ["sh", "-c", "exec {SERVE}"]')


@pytest.fixture
def name(engine) -> Iterator[str]:
    """A name for a container, of which the test must leave nothing."""
    chosen = f"layerlab-test-service-{uuid.uuid4().hex[:12]}"
    yield chosen
    assert not containers(engine, chosen)


def _root() -> bytes:
    busybox = shutil.which("busybox")
    assert busybox, "these tests need a static busybox: apt-get install busybox-static"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:

        def add(path: str, content: bytes = b"", mode: int = 0o644, **attributes: object) -> None:
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            archive.addfile(member, io.BytesIO(content))

        for folder, mode in {"bin": 0o755, "etc": 0o755, "www": 0o755, "tmp": 0o1777}.items():
            add(folder, mode=mode, type=tarfile.DIRTYPE)
        with open(busybox, "rb") as program:  # noqa: PTH123
            add("bin/busybox", program.read(), 0o755)
        for applet in ("sh", "cat", "dd", "httpd", "sleep", "tail"):
            add(f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
        add("bin/orphan", b"#!/opt/venv/bin/python\n", 0o755)
        add("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:10001:10001::/:/bin/sh\n")
        add("www/status", b"fine\n")
    return stream.getvalue()


def containers(engine: Engine, name: str) -> list[str]:
    found = engine.client.containers.list(all=True, filters={"name": f"^/{name}$"}, ignore_removed=True)
    return [str(container.id) for container in found]


def inside(engine: Engine, container_id: str, *command: str) -> tuple[int, str]:
    """What a command inside says, asked by the SDK alone."""
    code, output = engine.client.containers.get(container_id).exec_run(list(command))
    return code, output.decode()


def kernel_says(engine: Engine, container_id: str, *paths: str) -> str:
    """The first of these files of the kernel that exists: cgroups have two versions."""
    for path in paths:
        code, text = inside(engine, container_id, "cat", path)
        if code == 0:
            return text.strip()
    raise AssertionError(f"none of {paths} exists")


def process_status(engine: Engine, container_id: str) -> dict[str, str]:
    """What the kernel says of the first process."""
    text = kernel_says(engine, container_id, "/proc/1/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


class TestHardened:
    @pytest.fixture(scope="class")
    def service(self, engine, image):
        with run(engine, image, memory="64m", cpus=0.5, pids=40) as running:
            yield running

    def test_capabilities(self, engine, service):
        """The kernel knows of no capability of the process, though it is root's, and lets it gain none."""
        status = process_status(engine, service.container_id)

        assert status["Uid"].split() == ["0"] * 4
        assert {int(status[sets], 16) for sets in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"

    def test_filesystem(self, engine, service):
        """Only /tmp can be written to, and nothing in it can be executed or gets another user's rights."""
        root, text = inside(engine, service.container_id, "sh", "-c", "echo x > /www/x")
        tmp, _ = inside(engine, service.container_id, "sh", "-c", "echo x > /tmp/x")
        mounts = kernel_says(engine, service.container_id, "/proc/mounts").splitlines()
        options = next(line.split() for line in mounts if line.split()[1] == "/tmp")

        assert (root, tmp) == (1, 0)
        assert "Read-only file system" in text
        assert options[2] == "tmpfs"
        assert {"noexec", "nosuid", "nodev", "size=65536k"} <= set(options[3].split(","))

    def test_limits(self, engine, service):
        """Memory, processes and processors are limited as asked, by what the kernel's control groups say."""
        group = "/sys/fs/cgroup"
        memory = kernel_says(
            engine, service.container_id, f"{group}/memory/memory.limit_in_bytes", f"{group}/memory.max"
        )
        pids = kernel_says(engine, service.container_id, f"{group}/pids/pids.max", f"{group}/pids.max")
        quota = kernel_says(engine, service.container_id, f"{group}/cpu/cpu.cfs_quota_us", f"{group}/cpu.max")

        assert int(memory) == 64 * 2**20
        assert int(pids) == 40
        assert int(quota.split()[0]) == 50_000  # of each period of 100,000 µs

    def test_host_config(self, engine, service):
        """No swap beside the memory, a log that cannot fill the disk, and no init forced upon it."""
        settings = engine.client.api.inspect_container(service.container_id)["HostConfig"]

        assert settings["MemorySwap"] == settings["Memory"]
        assert settings["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
        assert not settings["Init"]

    def test_published_here_only(self, engine, service):
        """Its port is one that the engine chose, on 127.0.0.1 alone."""
        ports = engine.client.api.inspect_container(service.container_id)["NetworkSettings"]["Ports"]

        assert ports == {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": service.url.rpartition(":")[2]}]}
        assert not service.url.endswith(":5000")

    def test_label(self, engine, service):
        """The container is marked as this run's."""
        labels = engine.client.api.inspect_container(service.container_id)["Config"]["Labels"]

        assert labels[ownership.CONTAINER_LABEL] == ownership.RUN_ID

    def test_get(self, service):
        """It answers at its address, and says so where it has no answer."""
        assert service.get("/status").text == "fine\n"
        assert service.get("/nothing").status_code == 404
        assert 0 < service.seconds_to_first_answer < 30

    def test_exec(self, service):
        """A command beside the service gives its exit code and what it printed; 127 if there is no such program."""
        done = service.exec(["sh", "-c", "echo one; echo two >&2; exit 4"])

        assert (done.exit_code, sorted(done.output.split())) == (4, ["one", "two"])
        assert service.exec(["cat", "/proc/self/status"], user=10001).output.count("\t10001\t10001") == 2
        assert service.exec(["nope"]).exit_code == 127
        assert service.exec(["/www/status"]).exit_code == 126

    def test_no_health_check(self, service):
        """An image without a HEALTHCHECK has no health."""
        assert service.health() is None


class TestPlain:
    def test_as_docker_run(self, engine, image):
        """Without hardening it has the engine's usual capabilities and may write; the limits stay."""
        with run(engine, image, hardened=False, memory="64m") as service:
            status = process_status(engine, service.container_id)
            wrote, _ = inside(engine, service.container_id, "sh", "-c", "echo x > /www/x")
            memory = kernel_says(
                engine,
                service.container_id,
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory.max",
            )

        assert int(status["CapEff"], 16) != 0
        assert status["NoNewPrivs"] == "0"
        assert wrote == 0
        assert int(memory) == 64 * 2**20

    def test_options(self, engine, image, name):
        """Command, environment, user, name and the container's port are as asked."""
        command = ["sh", "-c", 'echo "GREETING is $GREETING"; exec httpd -f -p 8080 -h /www']
        with run(
            engine, image, command=command, environment={"GREETING": "héllo"}, user=10001, container_port=8080, name=name
        ) as service:
            assert containers(engine, name) == [service.container_id]
            assert service.get("/status").ok
            assert service.logs() == "GREETING is héllo\n"
            assert process_status(engine, service.container_id)["Uid"].split() == ["10001"] * 4

    def test_remote(self, engine, image):
        """On an engine of another machine the port is open to the network, and that machine's name is used."""
        remote = dataclasses.replace(engine, is_local=False, host="127.0.0.2")

        with run(remote, image) as service:
            ports = engine.client.api.inspect_container(service.container_id)["NetworkSettings"]["Ports"]
            assert ports["5000/tcp"][0]["HostIp"] == "0.0.0.0"
            assert service.url.startswith("http://127.0.0.2:")
            assert service.get("/status").ok

    def test_two_at_once(self, engine, image):
        """Services that start at the same time have an address each, and do not disturb one another."""

        def serve(word: str) -> tuple[str, str]:
            # Not in the image's /www, which both share.
            command = ["sh", "-c", f"echo {word} > /tmp/status; exec httpd -f -p 5000 -h /tmp"]
            with run(engine, image, command=command) as service:
                meet.wait(20)
                return service.url, service.get("/status").text

        meet = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            (url_a, text_a), (url_b, text_b) = pool.map(serve, ["a", "b"])

        assert url_a != url_b
        assert (text_a, text_b) == ("a\n", "b\n")


class TestProcessesAndMemory:
    @pytest.fixture(scope="class")
    def service(self, engine, image):
        command = ["sh", "-c", f"dd if=/dev/zero of=/tmp/x bs=1000000 count=20; {SERVE} & wait"]
        with run(engine, image, command=command, user="app", memory="128m") as running:
            yield running

    def test_processes(self, engine, service):
        """All its processes are listed, with the engine's pid of the first, its user's uid and the image's name for it."""
        first = engine.client.api.inspect_container(service.container_id)["State"]["Pid"]
        table = service.processes().set_index("pid")

        assert len(table) == 2
        assert set(table["uid"]) == {10001}
        assert set(table["user"]) == {"app"}
        assert table.loc[first, "command"].startswith("sh -c dd if=/dev/zero")
        assert SERVE in set(table["command"])

    def test_memory(self, engine, service):
        """A file of 20 MB in /tmp is memory in use, and the kernel's own count is not far off."""
        used = service.memory_bytes()
        counted = kernel_says(
            engine,
            service.container_id,
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "/sys/fs/cgroup/memory.current",
        )

        assert 20_000_000 < used < 40_000_000
        assert used <= int(counted) + 2_000_000

    def test_after_its_end(self, engine, image):
        """What only a running container has is refused once it has ended; its logs are there still."""
        with run(engine, image, command=["sh", "-c", POLITE]) as service:
            service.stop()

            assert service.logs() == "started\nstopping\n"
            with pytest.raises(ServiceError):
                service.memory_bytes()
            with pytest.raises(ServiceError):
                service.processes()
            with pytest.raises(ServiceError, match=r"ended with exit code 7"):
                service.get("/status")

    def test_health(self, engine, make_image):
        """A HEALTHCHECK's state is told."""
        image = make_image(f"CMD {SERVE}", "HEALTHCHECK --interval=1s CMD cat /www/status")

        with run(engine, image) as service:
            deadline = time.monotonic() + 20
            while service.health() == "starting" and time.monotonic() < deadline:
                time.sleep(0.1)
            assert service.health() == "healthy"


class TestStop:
    def test_by_signal(self, engine, image):
        """A process that heeds SIGTERM ends by itself, with its own exit code."""
        with run(engine, image, command=["sh", "-c", POLITE]) as service:
            stopped = service.stop()

        assert (stopped.exit_code, stopped.by_signal) == (7, True)

    def test_killed(self, engine, image):
        """One that ignores it is killed when the time is over."""
        with run(engine, image) as service:
            stopped = service.stop(timeout=1)

        assert (stopped.exit_code, stopped.by_signal) == (137, False)
        assert stopped.seconds >= 1

    def test_twice(self, engine, image):
        """A second stop does nothing, and says that no signal did it."""
        with run(engine, image, command=["sh", "-c", POLITE]) as service:
            service.stop()
            again = service.stop()

        assert (again.exit_code, again.by_signal) == (7, False)


class TestRemoved:
    def test_after_use(self, engine, image, name):
        """It is gone in the end, and so are its anonymous volumes."""
        with run(engine, image, name=name) as service:
            assert containers(engine, name) == [service.container_id]

    def test_volumes(self, engine, make_image):
        """The anonymous volumes of the image's VOLUME go with the container."""
        with run(engine, make_image(f"CMD {SERVE}", "VOLUME /data")) as service:
            (volume,) = (mount["Name"] for mount in service.inspect()["Mounts"] if mount["Type"] == "volume")
            assert engine.client.volumes.list(filters={"name": volume})

        assert not engine.client.volumes.list(filters={"name": volume})

    def test_exception(self, engine, image, name):
        """It is gone after an exception, which comes through."""
        with pytest.raises(ZeroDivisionError), run(engine, image, name=name):
            raise ZeroDivisionError

    def test_removed_by_another(self, engine, image, name):
        """That somebody else has removed it already is no error."""
        with run(engine, image, name=name) as service:
            engine.client.api.remove_container(service.container_id, force=True)

    def test_interrupted_while_waiting(self, engine, image, name):
        """Ctrl-C while it is waited for leaves nothing behind."""

        def interrupt() -> None:
            deadline = time.monotonic() + 20
            while not containers(engine, name) and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        with (
            ThreadPoolExecutor(1) as pool,
            pytest.raises(KeyboardInterrupt),
            run(engine, image, command=["sleep", "60"], name=name),
        ):
            pytest.fail("it cannot be ready")  # pragma: no cover
        del pool
