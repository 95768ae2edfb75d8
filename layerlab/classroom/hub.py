"""A lab for each learner of a class: what JupyterHub needs of the engine, and the hub itself, until Ctrl-C.

`class/hub/` has the rest: the configuration that says who may log in and what each may take, and the image of a
learner's container. The image is labelled as any of the lab's, containers as those of this run. The network and the
learners' volumes, which the hub makes, have `LABEL` with the class's name, the volume of all classes with ``bases``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from layerlab import bases
from layerlab.builder import build
from layerlab.engine import SDK_ERRORS, Engine, answering, ownership, runs
from layerlab.engine.machine import ending_with_us
from layerlab.errors import EngineError, LabError
from layerlab.maintenance import clean
from layerlab.paths import ROOT, state_directory
from layerlab.ui.progress import Report, ongoing, silent

CONFIG: Final = ROOT / "class" / "hub" / "jupyterhub_config.py"
NAME: Final = os.environ.get("LAB_CLASS_NAME") or "layerlab-class"
"""Of the class and its network; the names of its containers and volumes begin with it."""

LABEL: Final = "layerlab.class"
PASSWORD: Final = "LAB_CLASS_PASSWORD"  # noqa: S105  # the variable's name
ADMIN_PASSWORD: Final = "LAB_CLASS_ADMIN_PASSWORD"  # noqa: S105
START_TIMEOUT: Final = 60.0  # seconds for the hub to answer
STOP_TIMEOUT: Final = 60.0  # seconds for the hub to stop all containers


@dataclass(frozen=True)
class Hub:
    """A hub that answers."""

    address: str  # where learners log in
    password: str  # the shared one; empty if there is none
    admin_password: str  # the instructors'; empty if there is none
    _process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Wait for Ctrl-C.

        Raises:
            KeyboardInterrupt: somebody pressed it.
            LabError: the hub ended by itself.
        """
        raise _ended(self._process.wait())


@contextmanager
def up(
    engine: Engine, *, config: Path = CONFIG, allow_stand_ins: bool | None = None, report: Report = silent
) -> Iterator[Hub]:
    """Run a hub. After the block it, the proxy, the network and the learners' containers are gone; their work stays.

    Args:
        engine: This machine's own: the hub talks to the containers by their addresses.
        config: JupyterHub's, like `CONFIG`.
        allow_stand_ins: See `layerlab.bases.ensure`.
        report: Told how far it is until the hub answers.

    Raises:
        LabError: packages are missing, the engine is elsewhere, or the hub does not start.
        BaseImageError, BuildError, EngineError: as for any image of the lab's.
    """
    if find_spec("jupyterhub") is None:
        raise LabError("JupyterHub is not installed", remedy="./lab class up gets it; with uv: uv sync --group class")
    if sys.platform != "linux" or not engine.endpoint.startswith("unix://"):
        raise LabError(
            "the class's containers would be out of the hub's reach", remedy="use the engine of a Linux machine"
        )
    bases.ensure(engine, allow_stand_ins=allow_stand_ins, report=report)
    password = os.environ.get(PASSWORD) or secrets.token_urlsafe(9)
    admin_password = os.environ.get(ADMIN_PASSWORD) or secrets.token_urlsafe(24)  # the shortest that is taken
    with answering(engine), _network(engine) as gateway:
        os.environ |= {
            "DOCKER_HOST": engine.endpoint,
            "LAB_CLASS_FILES": str(CONFIG.parent),
            "LAB_CLASS_BASES": f"layerlab-bases-{_made_of(engine)}",
            "LAB_CLASS_GATEWAY": gateway,
            "LAB_CLASS_IMAGE": _build_image(engine, report),
            "LAB_CLASS_NAME": NAME,
            PASSWORD: password,
            ADMIN_PASSWORD: admin_password,
            "LAB_RUN_ID": runs.container_labels(engine)[ownership.CONTAINER_LABEL],
        }
        settings = load(config)
        if _listens(settings):
            raise LabError(
                f"a class {NAME} runs already", remedy="end it, or give this one a name: LAB_CLASS_NAME=second"
            )
        _fill_bases(engine, settings, report)
        with _hub(engine, config) as process:
            _wait_until_it_runs(process, report)
            shown = (password, admin_password if settings.Authenticator.get("admin_users") else "")
            is_by_password = settings.JupyterHub.authenticator_class == "shared-password"
            yield Hub(str(settings.JupyterHub.bind_url), *(shown if is_by_password else ("", "")), process)


def down(engine: Engine, *, work: bool = False) -> list[str]:
    """Remove what a class has left: a network, the volume of bases and, where it is asked for, the learners' work.

    Args:
        engine: Where the class was.
        work: Whether the learners' volumes go, too. Nothing brings them back.

    Returns:
        The names of what was removed. What a container still uses stays.

    Raises:
        EngineGone: the engine stopped answering.
    """
    removed = []
    with answering(engine):
        list_volumes, ours = engine.client.volumes.list, {"label": f"{LABEL}={NAME}"}
        found: list[Any] = [*engine.client.networks.list(filters=ours), *(list_volumes(filters=ours) if work else ())]
        found += list_volumes(filters={"label": f"{LABEL}=bases"})
        for one in found:
            with suppress(*SDK_ERRORS):
                one.remove()
                removed.append(str(one.name))
    return removed


def load(config: Path) -> Config:
    """What a configuration of the hub says, with the environment's ``LAB_CLASS_...`` variables.

    Raises:
        LabError: it cannot be read, or is wrong.
    """
    try:
        return Config(PyFileConfigLoader(config.name, str(config.parent.resolve())).load_config())
    except Exception as error:
        raise LabError(f"{config} is no configuration ({error})", remedy=f"compare it with {CONFIG}") from error


def create(engine: Engine, settings: Config, **options: Any) -> str:
    """Create a container as the hub does it for a learner, with other volumes or another command; returns its id."""
    spawner, api = settings.DockerSpawner, engine.client.api
    more, limits = dict(spawner.extra_create_kwargs), dict(spawner.extra_host_config)
    mounts = options.pop("mounts")
    host = api.create_host_config(mounts=mounts, network_mode=NAME, mem_limit=spawner.mem_limit, **limits)
    made = api.create_container(spawner.image, **{**more, "host_config": {**host, **more["host_config"]}, **options})
    return str(made["Id"])


def _build_image(engine: Engine, report: Report) -> str:
    """Build the image of a learner's container, as one of the lab's own; returns its id."""
    before = ownership.own_images(engine, "class")
    labels = ownership.image_labels("class")
    built = build(
        engine, ROOT, dockerfile="class/hub/Dockerfile", tag="layerlab-class:latest", labels=labels, report=report
    )
    ownership.mark_image(engine.client.images.get(built.image_id))
    for earlier in before:
        if earlier.id != built.image_id:
            ownership.discard_unnamed(engine, earlier)
    return built.image_id


def _base_images(engine: Engine) -> dict[str, str]:
    """The ids of the base images that are on this engine, by their names."""
    found = {name: ownership.find_image(engine, name) for name in bases.TAGS}
    return {name: str(image.id) for name, image in found.items() if image}


def _made_of(engine: Engine) -> str:
    """A digest of the base images: other images belong into another volume."""
    return hashlib.sha256(repr(sorted(_base_images(engine).items())).encode()).hexdigest()[:12]


def _fill_bases(engine: Engine, settings: Config, report: Report) -> None:
    """Put the base images into a volume, by an engine like a learner's; one that is filled already stays as it is."""
    name, api = os.environ["LAB_CLASS_BASES"], engine.client.api
    for other in engine.client.volumes.list(filters={"label": f"{LABEL}=bases"}):
        if other.name != name:
            with suppress(*SDK_ERRORS):  # a container of another hub's has it
                other.remove()
    engine.client.volumes.create(name, labels={LABEL: "bases"})
    mount = {"Type": "volume", "Source": name, "Target": "/engine"}
    container = create(engine, settings, mounts=[mount], command=["fill-bases"], stdin_open=True)
    try:
        with suppress(*SDK_ERRORS):
            api.get_archive(container, "/engine/made-of")
            return
        with ongoing(report, "share the base images among the learners' engines") as step:
            stdin = api.attach_socket(container, params={"stdin": 1, "stream": 1})
            stdin._sock.settimeout(START_TIMEOUT)
            api.start(container)
            url = api._url("/images/get")  # type: ignore[attr-defined]  # the SDK saves one image at a time
            images = api._get(url, params={"names": list(_base_images(engine))}, stream=True)  # type: ignore[attr-defined]
            for piece in step.reading(images.iter_content(1 << 20)):
                stdin._sock.sendall(piece)
            stdin._sock.shutdown(1)
            if api.wait(container)["StatusCode"]:
                said = api.logs(container, tail=5).decode(errors="replace")
                raise EngineError(f"no engine runs without root here ({said})", remedy="see docs/class.md")
    finally:
        api.remove_container(container, force=True)


@contextmanager
def _network(engine: Engine) -> Iterator[str]:
    """A network whose containers cannot reach each other; the address by which they reach the hub on this machine."""
    networks = engine.client.networks
    found = networks.list(names=[NAME], filters={"label": f"{LABEL}={NAME}"})  # such as of a hub that was killed
    options = {"com.docker.network.bridge.enable_icc": "false"}
    network = found[0] if found else networks.create(NAME, driver="bridge", options=options, labels={LABEL: NAME})
    try:
        yield str(network.attrs["IPAM"]["Config"][0]["Gateway"])
    finally:
        with suppress(*SDK_ERRORS):
            network.remove()


def _folder() -> Path:
    """Where the hub keeps who has logged in, and its log."""
    folder = state_directory() / NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def _hub(engine: Engine, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The hub, which ends with this block, and with it all containers of this run."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # where traefik is
    with (_folder() / "hub.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches the lab alone, which ends the hub in order.
        hub = subprocess.Popen(
            ending_with_us([sys.executable, "-m", "jupyterhub", "--log-level=INFO", "-f", str(config.resolve())]),
            env={**os.environ, "PATH": path},
            cwd=_folder(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield hub
    finally:
        hub.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            hub.wait(STOP_TIMEOUT)
        with suppress(ProcessLookupError):
            os.killpg(hub.pid, signal.SIGKILL)
        hub.wait()
        clean(engine, run=ownership.RUN_ID)


def _wait_until_it_runs(hub: subprocess.Popen[bytes], report: Report) -> None:
    began = time.monotonic()
    with ongoing(report, "start JupyterHub") as step:
        while time.monotonic() - began < START_TIMEOUT:
            if hub.poll() is not None:
                raise _ended(hub.returncode)
            if b"JupyterHub is now running" in (_folder() / "hub.log").read_bytes():
                return  # from then on, it ends in order
            step.say("")
            time.sleep(0.2)
        raise LabError(f"JupyterHub did not start in {START_TIMEOUT:.0f} s", remedy=f"see {_folder() / 'hub.log'}")


def _listens(settings: Config) -> bool:
    """Whether a hub of this class listens."""
    with suppress(OSError), socket.create_connection((str(settings.JupyterHub.hub_ip), 8081), timeout=1):
        return True
    return False


def _ended(status: int) -> LabError:
    return LabError(f"JupyterHub ended by itself with status {status}", remedy=f"see {_folder() / 'hub.log'}")
