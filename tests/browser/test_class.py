"""A class of two, as `./lab class up` serves it: each logs in, and builds with an engine that is theirs alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page

from layerlab.classroom import hub
from layerlab.engine import Engine
from layerlab.engine import connection as engines
from layerlab.paths import ROOT
from tests.browser import accessibility
from tests.engine.test_classroom_cluster import class_packages

__all__ = ["class_packages"]

NAME = "layerlab-test-class"
PASSWORD = "many-stages"
ADMIN_PASSWORD = "one stage after the other, and no more"
START = 540  # seconds: on a new machine, the image and the bases' volume are made
PORT = 8123
KILLED = 128 + signal.SIGKILL  # as `docker exec` says it

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration as it is shipped, with an instructor, and with ports of its own."""
    path = tmp_path / "class.py"
    shipped = hub.CONFIG.read_text().replace("instructors = set[str]()", 'instructors = {"carla"}')
    path.write_text(
        f"{shipped}\nc.JupyterHub.bind_url = 'http://127.0.0.1:{PORT}'\n"
        f"c.TraefikProxy.traefik_api_url = 'http://127.0.0.1:{PORT + 1}'\n"
    )
    return path


def names(*what: str) -> set[str]:
    """Those of the engine's containers, volumes or networks that are this class's."""
    shown = subprocess.run(
        ["docker", *what, "--format", "{{.Name}}" if what[0] != "ps" else "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in shown.stdout.split() if name.startswith(NAME)}


@contextmanager
def class_up(class_packages: Path, config: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``./lab class up``, once it has said where the class is."""
    environment = {
        **os.environ,
        "LAB_CLASS_NAME": NAME,
        "LAB_CLASS_PASSWORD": PASSWORD,
        "LAB_CLASS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "LAB_STAND_INS": "1",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    python = class_packages.parents[2] / "bin" / "python"
    with (
        (folder / "stderr").open("w") as log,
        subprocess.Popen(
            [python, "-m", "layerlab", "class", "up", "--config", config],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        too_late = threading.Timer(START, process.kill)
        too_late.start()
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if "The class is at" in line), "")
            assert f"127.0.0.1:{PORT}" in said, (folder / "stderr").read_text()[-3000:]
            yield process
        finally:
            too_late.cancel()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)


def sign_in(page: Page, name: str, password: str = PASSWORD, then: str = "") -> None:
    """Fill in the form of the hub's first page."""
    page.context.clear_cookies()
    page.goto(f"http://127.0.0.1:{PORT}/hub/login{then}")
    page.get_by_text("Your instructors see").wait_for()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def log_in(page: Page, name: str) -> None:
    """Log in, and wait for the first notebook."""
    sign_in(page, name)
    page.wait_for_url(f"**/user/{name}/lab/**", timeout=180_000)
    page.get_by_role("heading", name="00 Start here").first.wait_for(timeout=180_000)


def type_in_terminal(page: Page, name: str, command: str) -> None:
    """Type a command into a new terminal of JupyterLab's, and wait until it has succeeded."""
    page.locator(".lm-MenuBar-itemLabel").get_by_text("File", exact=True).click()
    for entry in ("New", "Terminal"):
        page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()
    page.locator(".jp-Terminal-body.focus").wait_for()
    page.wait_for_timeout(2000)  # the shell's prompt is drawn, not text of the page
    page.keyboard.type(f"{command} && touch /tmp/typed\n")
    for _ in range(600):
        if inside(name, "test", "-e", "/tmp/typed").returncode == 0:
            return
        page.wait_for_timeout(1000)
    raise AssertionError(f"{command} did not succeed: see the screenshot")


def inside(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a learner's container, as the learner."""
    line = ["docker", "exec", "--user", "learner", f"{NAME}-{name}", *command]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


def reaches(name: str, address: str, port: int) -> bool:
    """Whether a learner's container connects to an address."""
    attempt = f"import socket; socket.create_connection(({address!r}, {port}), 3)"
    return inside(name, "python3", "-c", attempt).returncode == 0


def asks_hub(name: str, path: str) -> int:
    """The status that the hub answers, where a learner asks its API with the token of their own server."""
    attempt = (
        "import os, requests; print(requests.get(os.environ['JUPYTERHUB_API_URL'] + "
        f"{path!r}, headers={{'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}}).status_code)"
    )
    return int(inside(name, "python", "-c", attempt).stdout)


def check_isolation(engine: Engine) -> None:
    """What anna and ben can do to each other and to the machine."""
    network = engine.client.networks.get(NAME)
    at = {one["Name"]: one["IPv4Address"].partition("/")[0] for one in network.attrs["Containers"].values()}
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    assert reaches("anna", at[f"{NAME}-anna"], 8888)
    assert not reaches("anna", at[f"{NAME}-ben"], 8888)
    assert not inside("ben", "docker", "images", "-q", "multi-stage-demo:optimized").stdout

    # Of the machine: the hub and the overview, where the hub decides by the token; neither the proxy nor its API.
    assert [port for port in (8081, 8082, PORT, PORT + 1, 2375, 2376) if reaches("anna", gateway, port)] == [
        8081,
        8082,
    ]
    assert asks_hub("anna", "/user") == 200
    assert {asks_hub("anna", path) for path in ("/users", "/users/ben", "/services", "/proxy")} <= {403, 404}

    forbidden = (
        "touch /bases/new",
        "echo core > /proc/sys/kernel/core_pattern",
        "ls /var/run/docker.sock",
        "su -c id",
    )
    assert [one for one in forbidden if inside("anna", "sh", "-c", one).returncode == 0] == []
    assert not inside("anna", "find", "/", "-xdev", "-perm", "/6000", "-type", "f").stdout

    # All that an engine can give is what its learner has: root with every capability in there is no root out here.
    everything = ("--cap-add=ALL", "--security-opt=seccomp=unconfined", "--pid=host", "--volume=/:/machine")
    root = ("docker", "run", "--rm", *everything, "--user=0", "--entrypoint=sh", "multi-stage-demo:optimized", "-c")
    assert inside("anna", *root, "id -u").stdout.strip() == "0"
    forbidden = (
        "echo core > /machine/proc/sys/kernel/core_pattern",
        "umount /proc/sys; echo core > /proc/sys/kernel/core_pattern",
        "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk",
        "touch /machine/bases/new",
        "touch /machine/usr/bin/new",
        "ls /machine/var/run/docker.sock",
    )
    assert [one for one in forbidden if inside("anna", *root, one).returncode == 0] == []
    privileged = inside("anna", "docker", "run", "--rm", "--privileged", "multi-stage-demo:optimized")
    assert "operation not permitted" in privileged.stderr


def check_overview(page: Page) -> None:
    """What the instructor sees of anna's check, and that nobody else sees it."""
    assert page.goto(f"http://127.0.0.1:{PORT}/services/overview/").status == 403  # anna, who is logged in
    sign_in(page, "carla", ADMIN_PASSWORD, "?next=%2Fservices%2Foverview%2F")
    page.get_by_role("heading", name="Where the class is").wait_for()
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="anna"))
    assert row.get_by_label("fail").count()
    assert (
        page.get_by_role("row").filter(has=page.get_by_role("cell", name="ben")).get_by_label("not checked").count()
        == 7
    )
    assert accessibility.problems(page, ["body"]) == []


def check_limits(engine: Engine) -> None:
    """What ben may take, and that anna's engine answers meanwhile."""
    eats = inside("ben", "python3", "-c", "x = []\nwhile True: x.append(bytearray(1 << 26))")
    assert eats.returncode == KILLED

    forks = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    bomb = ["docker", "exec", "--detach", "--user", "learner", f"{NAME}-ben", "timeout", "30", "python3", "-c", forks]
    subprocess.run(bomb, check=True)
    time.sleep(5)
    processes = engine.client.api.stats(f"{NAME}-ben", stream=False)["pids_stats"]["current"]
    assert 500 < processes <= 1024
    assert inside("anna", "docker", "version").returncode == 0
    subprocess.run(["docker", "kill", f"{NAME}-ben"], check=True, capture_output=True)


def test_a_class_of_two(
    class_packages: Path, config: Path, tmp_path: Path, page: Page, screenshot: Callable[[str], Path]
) -> None:
    """Both log in and build; neither reaches the other, or takes more than they may; their work is what is left."""
    engine = engines.connect()
    try:
        with class_up(class_packages, config, tmp_path):
            log_in(page, "ben")
            log_in(page, "anna")
            screenshot("class-notebook")
            type_in_terminal(
                page,
                "anna",
                "docker build -t multi-stage-demo:optimized . && ./lab new my; ./lab check my > said; test -s said",
            )
            screenshot("class-terminal")
            assert "Your instructor sees how the tasks stand" in inside("anna", "cat", "said").stdout
            check_overview(page)
            screenshot("class-overview")
            check_isolation(engine)
            check_limits(engine)

        assert names("ps", "--all") | names("network", "ls") == set()
        assert names("volume", "ls") == {
            f"{NAME}-{who}-{what}" for who in ("anna", "ben") for what in ("engine", "home")
        }
    finally:
        hub_of_test = [sys.executable, "-m", "layerlab", "class", "down", "--work"]
        subprocess.run(hub_of_test, env={**os.environ, "LAB_CLASS_NAME": NAME}, cwd=ROOT, check=True)
    assert names("volume", "ls") == set()
