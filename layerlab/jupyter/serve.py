"""Serves JupyterLab on this machine only, with a token, until it is told to stop."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import requests

from layerlab.engine import Engine
from layerlab.engine.locks import exclusive
from layerlab.engine.machine import ending_with_us
from layerlab.engine.ownership import RUN_ID
from layerlab.errors import LabError
from layerlab.maintenance import clean
from layerlab.paths import ROOT, state_directory
from layerlab.service import is_taken

FIRST_PORT: Final = 8888
START_TIMEOUT: Final = 60  # seconds
FIRST_NOTEBOOK: Final = "notebooks/00-start.ipynb"
EXTENSIONS: Final = Path(__file__).parent / "labextensions"
"""What the lab adds to JupyterLab itself: pictures have alternative texts, and follow its theme."""


def serve(engine: Engine, *, port: int | None = None, say: Callable[[str], None], open_browser: bool = True) -> int:
    """Serve JupyterLab until Ctrl-C; its kernels, their containers and itself end with it.

    Args:
        engine: Passed on to the kernels and terminals as ``DOCKER_HOST`` or ``DOCKER_CONTEXT``.
        port: The port to listen on; None takes the first free one from 8888.
        say: Told the URL, once the server answers.
        open_browser: Whether to open the URL where there is a screen.

    Returns:
        The exit status, which is 0: it was told to stop.

    Raises:
        LabError: the port is taken, or the server does not start, or ends by itself.
    """
    if port is not None and is_taken(port):
        raise LabError(
            f"port {port} is taken by another program", remedy="leave --port out, and the first free one is taken"
        )
    token = secrets.token_urlsafe(24)
    quieten()
    port, server = _start(engine, port, token)
    has_screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    try:
        url = f"http://127.0.0.1:{port}/lab/tree/{FIRST_NOTEBOOK}?token={token}"
        say(url)
        if open_browser and has_screen:
            webbrowser.open(url)
        if status := server.wait():
            raise LabError(
                f"JupyterLab ended by itself with status {status}", remedy=f"see {_log()}, and start it again: ./lab"
            )
    except KeyboardInterrupt:
        pass
    finally:
        _end(server)
        if not server.returncode:
            _log().unlink(missing_ok=True)
        with suppress(LabError):
            clean(engine, run=RUN_ID)
    return 0


def _start(engine: Engine, wanted: int | None, token: str) -> tuple[int, subprocess.Popen[bytes]]:
    """Start the server, and wait until it answers; returns its port and its process."""
    with exclusive("jupyterlab", doing="starts JupyterLab"):  # else two could find the same port free
        port = wanted or free_port()
        command = [
            *(sys.executable, "-m", "jupyterlab"),
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={ROOT}",
            "--LabApp.collaborative=False",
            f"--LabApp.extra_labextensions_path={EXTENSIONS}",
            # As root (in a container, on a fresh machine) Jupyter asks for this; it listens here only, with a token.
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ]
        with _log().open("wb") as output:
            # A session of its own: Ctrl-C reaches the lab alone, which ends the server in order.
            server = subprocess.Popen(
                ending_with_us(command),
                env=_environment(engine, token),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(server, f"http://127.0.0.1:{port}", token)
        except BaseException:
            _end(server)
            raise
        return port, server


def _log() -> Path:
    """Where the server writes what it has to say; several may run at once."""
    return state_directory() / f"jupyterlab-{os.getpid()}.log"


def quieten() -> None:
    """Keep JupyterLab from asking for news from the network, unless the user's own settings say otherwise."""
    overrides = Path(sys.prefix) / "share/jupyter/lab/settings/overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    with suppress(OSError):  # such as another user's .venv; it asks for news, then
        overrides.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": news}, indent=2))


def _environment(engine: Engine, token: str) -> dict[str, str]:
    # The token goes by the environment: a command line can be read by every user of the machine.
    return {
        **os.environ,
        **engine.environment,
        "JUPYTER_TOKEN": token,
        "LAB_RUN_ID": RUN_ID,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # The user's own layouts know other folders' files; the user's settings (theme, shortcuts) hold here too.
        "JUPYTERLAB_WORKSPACES_DIR": str(state_directory() / "workspaces"),
    }


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, token: str) -> None:
    began = time.monotonic()
    log = _log()
    while time.monotonic() - began < START_TIMEOUT:
        if server.poll() is not None:
            last = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
            raise LabError(
                f"JupyterLab ended with status {server.returncode}: {last or 'it said nothing'}",
                remedy=f"see {log}, and whether its disk has room",
            )
        with suppress(requests.RequestException):
            answer = requests.get(f"{address}/api/status", headers={"Authorization": f"token {token}"}, timeout=2)
            if answer.ok:
                return
        time.sleep(0.1)
    raise LabError(f"JupyterLab did not answer within {START_TIMEOUT} s", remedy=f"see {log}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its kernels; what is left of its session after that is killed."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=15)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def free_port(first: int = FIRST_PORT) -> int:
    """The first port from this one on that nobody listens on at 127.0.0.1.

    Raises:
        LabError: a hundred in a row are taken.
    """
    for port in range(first, first + 100):
        if not is_taken(port):
            return port
    raise LabError(f"all ports from {first} to {first + 99} are taken", remedy="name a free one with --port")
