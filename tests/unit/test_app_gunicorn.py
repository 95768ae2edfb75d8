"""The server's configuration, read by the server itself, and the server run with it."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gunicorn.app.wsgiapp import WSGIApplication

import app

ROOT = Path(app.__file__).parent.parent
CONFIGURATION = ROOT / "app" / "gunicorn.conf.py"
DOCKER_STOP = 10  # seconds between the signal and the kill


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Any:
    return read(monkeypatch)


def read(monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    """The settings as gunicorn reads them."""
    monkeypatch.setattr(sys, "argv", ["gunicorn", "--config", str(CONFIGURATION), *options, "app.wsgi:app"])
    try:
        return WSGIApplication("%(prog)s").cfg
    finally:
        gc.enable()  # which the file turns off, for a server's start


def test_the_service_is_reachable_from_outside_its_container(configuration: Any) -> None:
    """It listens on the port that everything relies on, on all interfaces."""
    assert configuration.bind == ["0.0.0.0:5000"]


def test_nothing_is_written_to_the_file_system(configuration: Any) -> None:
    """No control socket in the home directory, heartbeats in memory, logs to stdout: a read-only root is enough."""
    assert configuration.control_socket_disable is True
    assert configuration.worker_tmp_dir == "/dev/shm"
    assert configuration.accesslog == "-"


def test_requests_under_way_end_before_docker_kills(configuration: Any) -> None:
    """The grace that workers get is shorter than that of `docker stop`."""
    assert configuration.graceful_timeout < DOCKER_STOP


def test_the_number_of_workers_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """WEB_CONCURRENCY is honoured, and so is the command line."""
    monkeypatch.setenv("WEB_CONCURRENCY", "3")

    assert read(monkeypatch).workers == 3
    assert read(monkeypatch, "--workers", "5").workers == 5


def test_workers_collect_garbage_but_leave_shared_memory_alone(configuration: Any) -> None:
    """Before workers are forked, the collector is on again, and what was loaded is out of its reach."""
    gc.disable()

    try:
        configuration.when_ready(None)

        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def served(*options: str, workers: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Gunicorn with these options on a free port, from when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", *options, "--bind", address, "app.wsgi:app"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "WEB_CONCURRENCY": str(workers)},
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{address}/status", timeout=10).close()
                break
            except OSError:
                assert process.poll() is None, "gunicorn ended"
                time.sleep(0.05)
        yield process, f"http://{address}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_all_workers_count_together() -> None:
    """Under this configuration the count covers all workers, and SIGTERM ends the server with status 0."""
    with served("--config", str(CONFIGURATION), workers=2) as (process, url):
        workers = {json.load(urllib.request.urlopen(f"{url}/info", timeout=10))["process_id"] for _ in range(40)}
        status = json.load(urllib.request.urlopen(f"{url}/status", timeout=10))
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=DOCKER_STOP) == 0

    assert process.pid not in workers
    assert status["requests_served"] == 41
    assert status["requests_counted_in"] == "all workers"


@pytest.mark.slow
def test_status_does_not_wait_for_plots() -> None:
    """While twelve clients wait for plots, which one worker draws one after the other, /status is answered."""
    with (
        served("--config", str(CONFIGURATION), workers=1) as (_, url),
        ThreadPoolExecutor(12) as pool,
    ):
        plots = [pool.submit(fetch, f"{url}/plot?size=1600&seed={seed}") for seed in range(12)]
        wait(plots, return_when=FIRST_COMPLETED)
        fetch(f"{url}/status")
        waiting = sum(not plot.done() for plot in plots)

        assert all(plot.result().startswith(b"\x89PNG") for plot in plots)
    assert waiting > 2


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        return bytes(response.read())


@pytest.mark.long
def test_the_service_runs_without_the_configuration_too() -> None:
    """With nothing but gunicorn's defaults each worker counts for itself, and says so."""
    with served("--no-control-socket", workers=1) as (_, url):
        status = json.load(urllib.request.urlopen(f"{url}/status", timeout=10))

    assert status["requests_counted_in"] == "this process"
