"""Serving JupyterLab: it answers with its token only, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from layerlab.engine import Engine
from layerlab.engine.ownership import CONTAINER_LABEL
from layerlab.errors import LabError
from layerlab.jupyter.serve import _environment, free_port, serve
from layerlab.paths import ROOT
from layerlab.service import is_taken

PROGRAM = """
import sys
from layerlab.jupyter import serve
from layerlab.engine import interrupts
from layerlab.engine import connect
interrupts.install()
engine = connect()
status = serve.serve(engine, say=lambda url: print(url, flush=True), open_browser=False)
engine.client.close()
sys.exit(status)
"""


@contextmanager
def server(state: Path, run: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """JupyterLab, served in a process of its own, and the URL that it said."""
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "LAB_RUN_ID": run}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


class TestServe:
    def test_a_session_from_start_to_end(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """The first notebook opens with the token and not without; SIGTERM ends kernels and their containers."""
        run = f"serve-test-{os.getpid()}"
        labels = {CONTAINER_LABEL: run}
        with server(tmp_path, run) as (process, url):
            parts = urlsplit(url)
            address = f"{parts.scheme}://{parts.netloc}"
            token = re.sub("^token=", "", parts.query)
            assert (parts.hostname, parts.path) == ("127.0.0.1", "/lab/tree/notebooks/00-start.ipynb")
            assert requests.get(url, timeout=10).status_code == 200
            assert requests.get(f"{address}/api/contents", timeout=10).status_code == 403

            header = {"Authorization": f"token {token}"}
            kernel = requests.post(f"{address}/api/kernels", json={"name": "python3"}, headers=header, timeout=30)
            assert kernel.status_code == 201
            children = children_of(process.pid)
            assert children
            container = engine.client.containers.run(busybox_image, "sleep 600", detach=True, labels=labels)

        assert process.returncode == 0
        assert container.id not in [c.id for c in engine.client.containers.list(all=True, ignore_removed=True)]
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [child for child in children if Path(f"/proc/{child}").exists()] == []
        assert not is_taken(parts.port or 0)

    def test_a_docker_context_is_passed_on_as_one(self, engine: Engine) -> None:
        """It may hold certificates, which an address alone has not; DOCKER_HOST would win over it."""
        passed = _environment(dataclasses.replace(engine, context="farm"), "token")

        assert passed["DOCKER_CONTEXT"] == "farm"
        assert passed.get("DOCKER_HOST") == os.environ.get("DOCKER_HOST")
        assert _environment(engine, "token")["DOCKER_HOST"] == engine.endpoint

    def test_a_port_that_is_taken_is_refused(self, engine: Engine) -> None:
        """The message says what to do instead."""
        import socket

        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(LabError, match="taken") as caught:
            serve(engine, port=other.getsockname()[1], say=print, open_browser=False)
        assert "--port" in caught.value.remedy

    def test_the_first_free_port_is_found(self) -> None:
        """A port that is taken is passed over."""
        import socket

        first = free_port(20_000)
        with socket.create_server(("127.0.0.1", first)):
            assert free_port(first) > first


def children_of(process: int) -> list[int]:
    """All the descendants of a process, as the kernel lists them."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children_of(child)]
    return found
