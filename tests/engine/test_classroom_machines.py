"""A class on two machines, which are two engines in network namespaces of their own, each with an address."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.engine.conftest import import_busybox
from tests.engine.spare_engine import SpareEngine, spare_engine
from tests.engine.test_classroom_cluster import class_packages
from tests.engine.test_classroom_logins import ADMIN_PASSWORD, from_the_guide, log_in, running_hub, token_of

__all__ = ["class_packages"]

IMAGE = "layerlab-test-learner:latest"
CHANGES = f"""{from_the_guide("MachinesSpawner", "")}
c.DockerSpawner.tls_config = {{}}
# In place of a learner's container, one that answers. What the hub does with it is the same.
c.DockerSpawner.image, c.DockerSpawner.network_name = "{IMAGE}", "bridge"
c.DockerSpawner.cmd = ["sh", "-c", "httpd -f -p 8888 -h /"]
c.DockerSpawner.mounts, c.DockerSpawner.extra_host_config, c.DockerSpawner.mem_limit = [], {{}}, None
c.Authenticator.allowed_users |= {{"dora", "emil", "fred"}}
"""
PATIENCE = 60.0  # seconds

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def running(machine: SpareEngine) -> set[str]:
    """Whose containers run on a machine."""
    engine = machine.connect()
    try:
        return {one.name.removeprefix("name-") for one in engine.client.containers.list()}
    finally:
        engine.client.close()


class Class:
    """A hub, as an instructor uses its API."""

    def __init__(self, address: str) -> None:
        self.users = f"{address}/hub/api/users"
        with requests.Session() as carla:
            log_in(carla, address, "carla", ADMIN_PASSWORD)
            self.token = {"Authorization": f"token {token_of(carla, address, 'carla')}"}

    def start(self, *names: str) -> None:
        """Learners come, all at once."""
        for name in names:
            requests.post(f"{self.users}/{name}/server", headers=self.token, timeout=60).raise_for_status()
        for name in names:
            self.wait(name, runs=True)

    def stop(self, *names: str) -> None:
        """Learners are gone."""
        for name in names:
            requests.delete(f"{self.users}/{name}/server", headers=self.token, timeout=60).raise_for_status()
            self.wait(name, runs=False)

    def wait(self, name: str, *, runs: bool) -> None:
        """Wait until a learner's server is ready, or is gone."""
        deadline = time.monotonic() + PATIENCE
        while True:
            user = requests.get(f"{self.users}/{name}", headers=self.token, timeout=60).json()
            if not user["pending"] and bool(user["server"]) == runs:
                return
            assert time.monotonic() < deadline, user
            time.sleep(0.1)


def test_learners_are_spread_and_stay_where_their_work_is(class_packages: Path, tmp_path: Path) -> None:
    """Four at once are two on each; who comes again is where they were; a machine that is down gets nobody."""
    with ExitStack() as stack:
        machines = [stack.enter_context(spare_engine(has_address=True)) for _ in range(2)]
        for machine in machines:
            engine = machine.connect()
            import_busybox(engine, IMAGE, tmp_path)
            engine.client.close()
        by_engine = {machine.tcp_endpoint: machine.address for machine in machines}
        lines = f"{CHANGES}c.MachinesSpawner.machines = {by_engine}\n"
        ours = Class(stack.enter_context(running_hub(class_packages, tmp_path, lines)))

        ours.start("anna", "ben", "dora", "emil")
        first = {name: number for number, machine in enumerate(machines) for name in running(machine)}
        assert Counter(first.values()) == {0: 2, 1: 2}

        with_anna = {name for name in first if first[name] == first["anna"]}
        ours.stop("anna", *(first.keys() - with_anna))  # her machine has more to do now than the other
        ours.start("anna")
        assert running(machines[first["anna"]]) == with_anna
        assert running(machines[1 - first["anna"]]) == set()

        machines[1 - first["anna"]].kill()
        ours.start("fred")
        assert running(machines[first["anna"]]) == {*with_anna, "fred"}
