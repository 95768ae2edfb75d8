"""A class on several machines: each learner's container is on the engine that had least to do when they first came.

There it stays, since their volumes are there. docs/class.md says what a machine has to have, and what goes into the
configuration.
"""

import asyncio
from typing import Any, ClassVar

import docker
import requests
from dockerspawner import DockerSpawner
from traitlets import Dict, Unicode


class MachinesSpawner(DockerSpawner):
    """DockerSpawner with several engines in place of one."""

    machines = Dict(
        Unicode(),
        help="The machines' addresses, as the hub and its proxy reach them, by their engines': "
        '{"tcp://192.0.2.2:2376": "192.0.2.2"}. Engines are reached with `tls_config` and `client_kwargs`.',
    ).tag(config=True)
    machine = Unicode(help="The learner's engine; none before they first come.")
    placing = asyncio.Lock()
    connections: ClassVar[dict[str, docker.APIClient]] = {}

    @property
    def client(self) -> docker.APIClient:
        """The engine of this learner."""
        return self.connect(self.machine or next(iter(self.machines)))

    def connect(self, engine: str) -> docker.APIClient:
        """A connection to an engine, which is kept."""
        if engine not in self.connections:
            tls = {"tls": docker.tls.TLSConfig(**self.tls_config)} if self.tls_config else {}
            self.connections[engine] = docker.APIClient(engine, version="auto", **tls, **self.client_kwargs)
        return self.connections[engine]

    def load(self, engine: str) -> float:
        """How many containers run there for each processor; endless where nobody answers."""
        try:
            client = self.connect(engine)
            return len(client.containers()) / client.info()["NCPU"]
        except (docker.errors.DockerException, requests.RequestException):
            self.log.exception("%s does not answer", engine)
            return float("inf")

    async def start(self) -> tuple[str, int]:
        """Start the learner's container, one after the other, so that those who come at once are spread."""
        async with self.placing:
            if self.machine not in self.machines:
                run = asyncio.get_running_loop().run_in_executor
                loads = [(await run(None, self.load, engine), engine) for engine in self.machines]
                self.machine = min(loads)[1]
            self.host_ip = self.machines[self.machine]
            started: tuple[str, int] = await super().start()
            return started

    def get_state(self) -> dict[str, Any]:
        """What the hub remembers of a learner's server, even when it does not run."""
        return {**super().get_state(), "machine": self.machine}

    def load_state(self, state: dict[str, Any]) -> None:
        """The other way round."""
        self.machine = state.get("machine", "")
        super().load_state(state)
