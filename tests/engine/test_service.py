"""Services on a real engine: a tiny web server instead of the lab's image, so that each starts at once."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from docker.models.containers import Container

from layerlab.engine import Engine, interrupts, ownership
from layerlab.errors import ImageNotFound, PortInUse, ServiceError, ServiceNotReady, UsageError
from layerlab.service import Service, run, run_foreground, waiting
from layerlab.service import containers as service_containers

SERVE = "busybox httpd -f -p 5000 -h /www"
POLITE = f"trap 'echo goodbye; kill $!; exit 7' TERM; {SERVE} & echo started; wait"
"""A first process that heeds SIGTERM. Alone, httpd would not: the kernel ignores it for a pid 1 without a handler."""

MakeImage = Callable[..., str]


@pytest.fixture(scope="module")
def make_image(engine, busybox_image) -> Iterator[MakeImage]:
    """Makes images of a web server, with these changes to their configuration; they are removed in the end."""
    container = engine.client.containers.create(busybox_image, ["true"])
    container.put_archive("/", _files())
    made = []

    def make(*changes: str) -> str:
        repository = f"layerlab-test-{uuid.uuid4().hex[:12]}"
        container.commit(repository, "service", changes=list(changes))
        made.append(f"{repository}:service")
        return made[-1]

    yield make
    container.remove(v=True)
    for image in made:
        engine.client.images.remove(image, force=True)


@pytest.fixture(scope="module")
def image(make_image) -> str:
    """A service: GET /status answers 200. Its user is root, so that what it may not do is due to hardening."""
    return make_image(f'CMD ["sh", "-c", "exec {SERVE}"]')


@pytest.fixture(scope="module")
def service(engine, image):
    with run(engine, image, memory="64m", cpus=0.5, pids=40) as running:
        yield running


@pytest.fixture(scope="module")
def loaded(engine, image):
    command = ["sh", "-c", f"dd if=/dev/zero of=/tmp/x bs=1000000 count=20; {SERVE} & wait"]
    with run(engine, image, command=command, user="app", memory="128m") as running:
        yield running


@pytest.fixture(scope="module")
def polite(make_image):
    return make_image(f'CMD ["sh", "-c", "{POLITE}"]')


@pytest.fixture
def name(engine) -> Iterator[str]:
    """A name for a container, of which the test must leave nothing."""
    chosen = f"layerlab-test-service-{uuid.uuid4().hex[:12]}"
    yield chosen
    assert not containers(engine, chosen)


def _files() -> bytes:
    files = {
        "etc/passwd": b"root:x:0:0::/:/bin/sh\napp:x:10001:10001::/:/bin/sh\n",
        "www/status": b"fine\n",
        "bin/orphan": b"#!/opt/venv/bin/python\n",
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def containers(engine: Engine, name: str) -> list[str]:
    found = engine.client.containers.list(all=True, filters={"name": f"^/{name}$"}, ignore_removed=True)
    return [str(container.id) for container in found]


def inside(engine: Engine, container_id: str, *command: str) -> tuple[int, str]:
    """What a command inside says, asked by the SDK alone.

    Now and then, an engine loses what a short command prints (moby/moby#27289): it is asked again.
    """
    container = engine.client.containers.get(container_id)
    for _ in range(3):
        code, output = container.exec_run(list(command))
        if output:
            break
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


@pytest.mark.fast
class TestHardened:
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
        assert not settings.get("Init")

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
        assert service.exec(["cat", "/proc/self/status"], user=10001).output.count("\t".join(["10001"] * 4)) == 2
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
        """Command, environment, user and name are as asked."""
        command = ["sh", "-c", 'echo "GREETING is $GREETING"; exec busybox httpd -f -p 5000 -h /www']
        with run(
            engine,
            image,
            command=command,
            environment={"GREETING": "héllo"},
            user=10001,
            name=name,
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
            assert ports["5000/tcp"][0]["HostIp"] == "0.0.0.0"  # noqa: S104
            assert service.url.startswith("http://127.0.0.2:")
            assert service.get("/status").ok

    def test_two_at_once(self, engine, image):
        """Services that start at the same time have an address each, and do not disturb one another."""

        def serve(word: str) -> tuple[str, str]:
            # Not in the image's /www, which both share.
            command = ["sh", "-c", f"echo {word} > /tmp/status; exec busybox httpd -f -p 5000 -h /tmp"]
            with run(engine, image, command=command) as service:
                meet.wait(20)
                return service.url, service.get("/status").text

        meet = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            (url_a, text_a), (url_b, text_b) = pool.map(serve, ["a", "b"])

        assert url_a != url_b
        assert (text_a, text_b) == ("a\n", "b\n")


class TestProcessesAndMemory:
    def test_processes(self, engine, loaded):
        """All its processes are there, with the engine's pids, their user's uid and the image's name for it."""
        first = engine.client.api.inspect_container(loaded.container_id)["State"]["Pid"]
        table = loaded.processes().set_index("pid")

        # httpd has a process for each connection, which may not be gone yet.
        assert set(table["command"]) == {table.loc[first, "command"], SERVE}
        assert table.loc[first, "command"].startswith("sh -c dd if=/dev/zero")
        assert set(table["uid"]) == {10001}
        assert set(table["user"]) == {"app"}

    def test_memory(self, engine, loaded):
        """A file of 20 MB in /tmp is memory in use, and the kernel's own count is not far off."""
        used = loaded.memory_bytes()
        counted = kernel_says(
            engine,
            loaded.container_id,
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "/sys/fs/cgroup/memory.current",
        )

        assert 20_000_000 < used < 40_000_000
        assert used <= int(counted) + 2_000_000

    def test_after_its_end(self, engine, image):
        """What only a running container has is refused once it has ended; its logs are there still."""
        with run(engine, image, command=["sh", "-c", POLITE]) as service:
            service.stop()

            assert service.logs() == "started\ngoodbye\n"
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
            assert service.health() in {"starting", "healthy"}
            while service.health() == "starting":
                time.sleep(0.2)
            assert service.health() == "healthy"


class TestStop:
    @pytest.mark.fast
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

    def test_interrupted_while_waiting(self, engine, image, name, monkeypatch):
        """Ctrl-C while it is waited for leaves nothing behind."""

        def interrupt(*arguments: object, **options: object) -> None:
            assert containers(engine, name)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(waiting, "ask", interrupt)

        with pytest.raises(KeyboardInterrupt), run(engine, image, name=name):
            pass

    def test_interrupted_while_created(self, engine, image, name, monkeypatch):
        """Ctrl-C just before the engine's answer with the container's id arrives leaves nothing behind either."""
        create = service_containers._create

        def interrupt(*arguments: Any) -> Container:
            created = create(*arguments)
            assert containers(engine, name)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # by then the main thread has been interrupted
            return created

        monkeypatch.setattr(service_containers, "_create", interrupt)

        with pytest.raises(KeyboardInterrupt), run(engine, image, name=name):
            pass


class TestNotReady:
    @pytest.fixture(autouse=True)
    def _look_often(self, monkeypatch):
        monkeypatch.setattr(waiting, "LOOK_EVERY", 0.2)

    def refusal(self, engine: Engine, image: str, *command: str, **options: object) -> ServiceNotReady:
        """The error of a service that cannot be ready."""
        with pytest.raises(ServiceNotReady) as caught, run(engine, image, command=command, **options):
            pass
        return caught.value

    def test_ends(self, engine, image, name):
        """A container that ends is told at once, with its exit code and what it printed."""
        error = self.refusal(engine, image, "sh", "-c", "echo '\x1b[31mno module app'; exit 3", name=name, wait=600)

        assert "ended with exit code 3 before it answered" in str(error)
        assert str(error).endswith("no module app")

    def test_ends_well(self, engine, image, name):
        """One that ends with 0 did its work and left: it should stay in the foreground."""
        error = self.refusal(engine, image, "true", name=name, wait=600)

        assert "exit code 0" in str(error)
        assert "having printed nothing" in str(error)
        assert "foreground" in error.remedy

    def test_read_only(self, engine, image, name):
        """Where our own hardening is the reason, the remedy says so."""
        error = self.refusal(engine, image, "sh", "-c", "echo x > /www/x", name=name, wait=600)

        assert "Read-only file system" in str(error)
        assert "hardened=False" in error.remedy

    def test_memory(self, engine, image, name):
        """Where it needed too much memory, that is said, with the limit."""
        error = self.refusal(engine, image, "tail", "/dev/zero", name=name, memory="16m", wait=600)

        assert "more memory than its limit (exit code 137)" in str(error)
        assert "17 MB" in error.remedy

    @pytest.mark.parametrize("command", ["nope", "/bin/nope", "/www/status"])
    def test_no_program(self, engine, image, name, command):
        """A command that is missing, or may not be executed, is named."""
        error = self.refusal(engine, image, command, name=name, wait=600)

        assert command in str(error)
        assert "final stage" in error.one_line

    def test_no_interpreter(self, engine, image, name):
        """A script whose interpreter stayed behind in the build stage is a common case, and is explained."""
        error = self.refusal(engine, image, "orphan", name=name, wait=600)

        assert "virtual environment" in error.remedy

    def test_no_command(self, engine, busybox_image, name):
        """So is an image without a command."""
        with pytest.raises(ServiceNotReady, match="no command"), run(engine, busybox_image, name=name):
            pass

    def test_silent(self, engine, image, name):
        """One that runs but listens nowhere gets its time, and then is told so."""
        error = self.refusal(engine, image, "sleep", "60", name=name, wait=0.5)

        assert "nothing in it listened on any port" in str(error)

    @pytest.mark.variants
    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("127.0.0.1:5000", "127.0.0.1 port 5000, which only the container itself"),
            ("8000", "port 8000, not on 5000"),
        ],
    )
    def test_listens_elsewhere(self, engine, image, name, address, expected):
        """One that listens where nobody can reach it is told long before its time is over."""
        error = self.refusal(engine, image, "busybox", "httpd", "-f", "-p", address, name=name, wait=600)

        assert expected in str(error)
        assert "0.0.0.0:5000" in error.remedy

    @pytest.mark.long
    def test_listens_elsewhere_remote(self, engine, image, name):
        """So it is where the container's own ``cat`` has to tell, as on an engine of another machine."""
        remote = dataclasses.replace(engine, is_local=False)
        error = self.refusal(remote, image, "busybox", "httpd", "-f", "-p", "8000", name=name, wait=600)

        assert "port 8000, not on 5000" in str(error)

    def test_wrong_answer(self, engine, image, name):
        """So is one that answers, but not as the service."""
        error = self.refusal(engine, image, "busybox", "httpd", "-f", "-p", "5000", "-h", "/tmp", name=name, wait=600)

        assert "answers GET /status with 404" in str(error)


class TestRefused:
    def test_no_image(self, engine):
        """An image that does not exist is named."""
        with pytest.raises(ImageNotFound, match="layerlab-test-none"), run(engine, "layerlab-test-none:at-all"):
            pass

    def test_name_taken(self, engine, image, name):
        """A name that another container has is refused, and that container stays."""
        with run(engine, image, name=name) as service:
            with pytest.raises(UsageError, match=name), run(engine, image, name=name):
                pass
            assert containers(engine, name) == [service.container_id]

    @pytest.mark.parametrize("limit", [{"memory": "1k"}, {"cpus": 1e6}])
    def test_limits(self, engine, image, name, limit):
        """Limits that the engine does not take are refused in its own words."""
        with pytest.raises(UsageError, match=r"(?i)memory|cpus"), run(engine, image, name=name, **limit):
            pass

    def test_port_of_a_container(self, engine, image, name):
        """A port that a container has is refused with that container's name; it goes on, and nothing is left."""
        with run(engine, image, name=f"{name}-first") as first:
            port = int(first.url.rpartition(":")[2])
            taken = pytest.raises(PortInUse, match=f"{port} is taken by the container '{name}-first'")
            with taken, run(engine, image, port=port, name=name):
                pass
            assert first.get("/status").ok

    def test_port_of_a_program(self, engine, image, name):
        """So is one that another program has."""
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            taken = pytest.raises(PortInUse, match=f"{port} is taken by another program")
            with taken, run(engine, image, port=port, name=name):
                pass

    def test_port_asked_for(self, engine, image):
        """A free port that is asked for is used."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        with run(engine, image, port=port) as service:
            assert service.url == f"http://127.0.0.1:{port}"


class TestForeground:
    @pytest.fixture(autouse=True)
    def _default_port(self, monkeypatch):
        """Not 5000, which is the user's: one that another program has."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setattr(service_containers, "DEFAULT_PORT", taken.getsockname()[1])
            yield

    @pytest.mark.variants
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stopped(self, engine, polite, number):
        """Ctrl-C, and SIGTERM as the commands take it, end it in peace: its last words are shown, nothing is left."""
        output, seen = io.StringIO(), []
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        interrupts.install()

        def press(service: Service) -> None:
            seen.append(service)
            threading.Timer(0.2, os.kill, (os.getpid(), number)).start()

        try:
            assert run_foreground(engine, polite, on_ready=press, output=output) == 0
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

        assert output.getvalue().splitlines()[1:] == ["started", "stopping it", "goodbye"]
        with pytest.raises(ServiceError, match="not there any more"):
            seen[0].inspect()

    @pytest.mark.long
    def test_deaf(self, engine, image, monkeypatch):
        """A service that ignores the stop signal is killed, and that is said."""
        monkeypatch.setattr(service_containers, "STOP_TIMEOUT", 1)
        output = io.StringIO()

        run_foreground(
            engine,
            image,
            on_ready=lambda service: threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start(),
            output=output,
        )

        assert output.getvalue().splitlines()[-1] == "it did not heed the stop signal: killed after 1 s"

    @pytest.mark.long
    def test_default_port_taken(self, engine, polite):
        """Where the default port is taken a free one is used, and that is said."""
        output = io.StringIO()

        run_foreground(engine, polite, on_ready=lambda service: service.stop(), output=output)

        assert output.getvalue().startswith(
            f"port {service_containers.DEFAULT_PORT} is taken by another program: a free port"
        )

    def test_asked_port_taken(self, engine, polite):
        """Where the port that was asked for is taken, no other is."""
        with pytest.raises(PortInUse):
            run_foreground(
                engine,
                polite,
                port=service_containers.DEFAULT_PORT,
                on_ready=lambda service: None,
                output=io.StringIO(),
            )

    def test_own_end(self, engine, polite):
        """If it ends by itself, its exit code is returned."""
        assert run_foreground(engine, polite, on_ready=lambda service: service.stop(), output=io.StringIO()) == 7

    def test_output_closed(self, engine, polite):
        """When nobody reads on (``./lab run | head -1``) it ends, and its container is gone."""
        seen = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        reading, writing = os.pipe()
        os.close(reading)

        with pytest.raises(BrokenPipeError), os.fdopen(writing, "w", buffering=1) as output:
            run_foreground(engine, polite, port=port, on_ready=seen.append, output=output)

        with pytest.raises(ServiceError, match="not there any more"):
            seen[0].inspect()
