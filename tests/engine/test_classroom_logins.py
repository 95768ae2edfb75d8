"""The hub itself, without containers: who may log in, by which accounts, and what an instructor sees of whom."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from layerlab.classroom import hub
from layerlab.exercise import earlier_checks
from layerlab.exercise.verdict import Result, Verdict
from layerlab.paths import ROOT
from tests.engine.test_classroom_cluster import class_packages

__all__ = ["class_packages"]

GUIDE = (ROOT / "docs" / "class.md").read_text(encoding="utf-8")
PASSWORD, ADMIN_PASSWORD = "many-stages", "one stage after the other, and no more"
START = 60.0  # seconds
FORBIDDEN, OK = 403, 200

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as line:
        port: int = line.getsockname()[1]
        return port


@contextmanager
def running_hub(class_packages: Path, folder: Path, changes: str = "") -> Iterator[str]:
    """The hub with the configuration as it is shipped, an instructor in it, and these changes; gives its address."""
    programs = class_packages.parents[2] / "bin"
    port, overview = free_port(), free_port()
    shipped = hub.CONFIG.read_text().replace("instructors = set[str]()", 'instructors = {"carla"}')
    config = folder / "class.py"
    config.write_text(
        f"{shipped.replace(':8082', f':{overview}')}\nc.JupyterHub.bind_url = 'http://127.0.0.1:{port}'\n"
        f"c.JupyterHub.hub_port = {free_port()}\nc.TraefikProxy.traefik_api_url = 'http://127.0.0.1:{free_port()}'\n"
        f"c.Authenticator.auto_login = False\n{changes.replace('http://class.test', f'http://127.0.0.1:{port}')}\n"
    )
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        **{f"LAB_CLASS_{name}": name.lower() for name in ("BASES", "IMAGE", "NAME")},
        "LAB_CLASS_FILES": str(hub.CONFIG.parent),
        "LAB_CLASS_GATEWAY": "127.0.0.1",
        "LAB_CLASS_PASSWORD": PASSWORD,
        "LAB_CLASS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "LAB_RUN_ID": "1",
    }
    with (folder / "hub.log").open("wb") as log:
        command = [programs / "python", "-m", "jupyterhub", "-f", config]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START
        while "JupyterHub is now running" not in (folder / "hub.log").read_text():
            assert process.poll() is None, (folder / "hub.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "hub.log").read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log_in(session: requests.Session, address: str, name: str, password: str = PASSWORD) -> int:
    """Log in by a password; returns the status of what is shown then, a page on which a server would be started."""
    session.get(f"{address}/hub/login", timeout=30)
    fields = {"username": name, "password": password, "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
    return session.post(f"{address}/hub/login?next=/hub/home", data=fields, timeout=30).status_code


def token_of(session: requests.Session, address: str, name: str) -> str:
    """A token of a learner's own, as their server has one."""
    xsrf = {"X-XSRFToken": str(session.cookies.get("_xsrf", path="/hub/")), "Referer": f"{address}/hub/token"}
    made = session.post(f"{address}/hub/api/users/{name}/tokens", json={}, headers=xsrf, timeout=30)
    return str(made.json()["token"])


def passed_until(number: int) -> Verdict:
    """A verdict with so many tasks passed, and the others not."""
    return Verdict(None, tuple(Result(task, "pass" if task <= number else "fail") for task in range(1, 8)))


def test_the_overview(class_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check tells how its learner's tasks stand, and nobody else's; the instructor alone sees it."""
    with running_hub(class_packages, tmp_path) as address:
        page = f"{address}/services/overview/"
        with requests.Session() as anna, requests.Session() as carla, requests.Session() as ben:
            assert log_in(anna, address, "anna") == OK
            assert log_in(ben, address, "ben") == OK
            assert log_in(carla, address, "carla") == FORBIDDEN  # with the password that all learners know
            assert log_in(carla, address, "carla", ADMIN_PASSWORD) == OK
            login = requests.get(f"{address}/hub/login", timeout=30).text
            assert "Your instructors see which of the seven tasks you have passed" in login

            assert earlier_checks.tell_class(passed_until(3)) == ()  # where there is no class
            monkeypatch.setenv("LAB_CLASS_OVERVIEW", page)
            monkeypatch.setenv("JUPYTERHUB_API_TOKEN", token_of(anna, address, "anna"))
            (told,) = earlier_checks.tell_class(passed_until(3))
            assert "Your instructor sees" in told
            monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "made up")
            assert "cannot be reached" in earlier_checks.tell_class(passed_until(7))[0]

            assert anna.get(page, timeout=30).status_code == FORBIDDEN
            assert ben.get(page, timeout=30).status_code == FORBIDDEN
            shown = carla.get(page, timeout=30)
            assert shown.status_code == OK
            rows = re.findall(r"<tr>(<td.*?)</tr>", shown.text, re.DOTALL)
            assert [re.findall(r'class="name">(.*?)<', row) for row in rows] == [["anna"], ["ben"]]
            assert [row.count('aria-label="pass"') for row in rows] == [3, 0]
            assert [row.count("not checked") for row in rows] == [0, 7]


@contextmanager
def provider(class_packages: Path) -> Iterator[str]:
    """A school's accounts; gives their address."""
    python = class_packages.parents[2] / "bin" / "python"
    with subprocess.Popen(
        [python, Path(__file__).with_name("identity_provider.py")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def from_the_guide(setting: str, provider: str) -> str:
    """The block of the guide that has this setting, with the addresses of this test."""
    block = next(one for one in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if setting in one)
    secret = 'os.environ["CLASS_SECRET"]'
    ours = block.replace(secret, repr("a secret of the school and the class"))
    return re.sub(
        r"https://\w+\.example\.org", lambda one: "http://class.test" if "//class." in one[0] else provider, ours
    )


def test_oauth(class_packages: Path, tmp_path: Path) -> None:
    """The guide's lines for OpenID Connect let in whom the school knows and the class lists, and nobody else."""
    with provider(class_packages) as school:
        lines = from_the_guide("GenericOAuthenticator", school)
        with running_hub(class_packages, tmp_path, lines) as address:
            for name, expected in (("anna", OK), ("mallory", FORBIDDEN)):
                with requests.Session() as session:
                    session.get(f"{school}/as/{name}", timeout=30)
                    home = session.get(f"{address}/hub/oauth_login?next=/hub/home", timeout=30)
                    assert (home.status_code, f'"{name}"' in home.text) == (expected, expected == OK), home.text


def test_lti(class_packages: Path, tmp_path: Path) -> None:
    """The guide's lines for LTI 1.3 let in whom the platform names and the class lists, by its key alone."""
    with provider(class_packages) as school:
        lines = from_the_guide("LTI13Authenticator", school)
        with running_hub(class_packages, tmp_path, lines) as address:
            for name, expected in (("anna", OK), ("mallory", FORBIDDEN), ("forger-anna", 400)):
                with requests.Session() as session:
                    session.get(f"{school}/as/{name}", timeout=30)
                    fields = {
                        "iss": school,
                        "login_hint": "17",
                        "client_id": "the-class",
                        "target_link_uri": f"{address}/hub/home",
                    }
                    begun = session.post(f"{address}/hub/lti13/oauth_login", data=fields, timeout=30)
                    form = begun.json()  # a platform would send it to the browser as a page that posts itself
                    home = session.post(form.pop("action"), data=form, timeout=30)
                    assert home.status_code == expected, home.text
                    assert ("anna@example.org" in home.text) == (expected == OK)
