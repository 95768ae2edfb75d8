"""What the hub's configuration gives a learner's container, and what it does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from layerlab.classroom import hub
from layerlab.errors import LabError
from layerlab.paths import ROOT

GUIDE = (ROOT / "docs" / "class.md").read_text(encoding="utf-8")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration as it is shipped."""
    for name in ("ADMIN_PASSWORD", "BASES", "FILES", "GATEWAY", "IMAGE", "NAME", "PASSWORD"):
        monkeypatch.setenv(f"LAB_CLASS_{name}", f"the-{name.lower()}")
    monkeypatch.setenv("LAB_RUN_ID", "this-run")
    return hub.load(hub.CONFIG)


class TestConfiguration:
    def test_only_those_who_are_named_may_log_in(self, settings: Any) -> None:
        """Users are listed, and the password is the one that was made up."""
        assert settings.Authenticator.allowed_users == {"anna", "ben"}
        assert "allow_all" not in settings.Authenticator
        assert settings.SharedPasswordAuthenticator.user_password == "the-password"

    def test_nothing_is_sent_to_an_instructor_who_is_not_named(self, settings: Any, tmp_path: Path) -> None:
        """As shipped, there is no overview; with an instructor, there is, and learners are told."""
        assert settings.Authenticator.admin_users == set()
        assert "environment" not in settings.Spawner
        assert [service["name"] for service in settings.JupyterHub.services] == ["idle"]

        mine = tmp_path / "mine.py"
        mine.write_text(hub.CONFIG.read_text().replace("instructors = set[str]()", 'instructors = {"carla"}'))
        chosen = hub.load(mine)

        assert chosen.Spawner.environment == {"LAB_CLASS_OVERVIEW": "http://the-gateway:8082/services/overview/"}
        assert "see which of the seven tasks" in chosen.JupyterHub.template_vars["announcement"]
        assert [service["name"] for service in chosen.JupyterHub.services] == ["idle", "overview"]

    def test_nobody_else_is_let_in_from_outside(self, settings: Any) -> None:
        """As shipped, the class is for this machine alone."""
        assert settings.JupyterHub.bind_url.startswith("http://127.0.0.1:")
        assert settings.JupyterHub.hub_ip == "the-gateway"

    def test_limits_are_those_that_the_guide_names(self, settings: Any) -> None:
        """Memory, processors and processes."""
        spawner = settings.DockerSpawner
        said = re.search(r"([\d]+) GB of memory, (\d) CPUs and ([\d,]+) processes", GUIDE)

        assert said is not None
        assert spawner.mem_limit == spawner.extra_host_config["memswap_limit"] == f"{said[1]}G"
        assert spawner.cpu_limit == int(said[2])
        assert spawner.extra_host_config["pids_limit"] == int(said[3].replace(",", ""))

    def test_a_container_gets_what_an_engine_without_root_needs_and_no_more(self, settings: Any) -> None:
        """Neither --privileged, nor the machine's socket, nor another device."""
        spawner = settings.DockerSpawner
        host = spawner.extra_host_config

        assert host.keys() == {"pids_limit", "memswap_limit", "cap_drop", "cap_add", "security_opt", "devices"}
        assert (host["cap_drop"], set(host["cap_add"])) == (["ALL"], {"SETUID", "SETGID", "CHOWN"})
        assert host["devices"] == ["/dev/net/tun:/dev/net/tun:rw"]
        assert spawner.extra_create_kwargs["host_config"] == {"MaskedPaths": [], "ReadonlyPaths": []}
        assert {mount["type"] for mount in spawner.mounts} == {"volume"}

    def test_what_is_kept_is_the_learners_own(self, settings: Any) -> None:
        """Each learner has two volumes, labelled; of the one that all share, nobody can change anything."""
        *own, shared = settings.DockerSpawner.mounts

        assert [mount["source"] for mount in own] == ["the-name-{username}-home", "the-name-{username}-engine"]
        assert all(mount["labels"] == {"layerlab.class": "the-name"} for mount in own)
        assert (shared["source"], shared["read_only"]) == ("the-bases", True)

    def test_containers_belong_to_the_run(self, settings: Any) -> None:
        """They end with the hub, and what is left of a hub that was killed is found by the next ./lab."""
        assert settings.DockerSpawner.remove
        assert settings.DockerSpawner.extra_create_kwargs["labels"] == {"layerlab.container": "this-run"}

    def test_one_that_is_wrong_is_told_of(self, tmp_path: Path) -> None:
        """The message has the file and what is wrong with it."""
        wrong = tmp_path / "mine.py"
        wrong.write_text("c.JupyterHub.bind_url = nowhere\n")

        with pytest.raises(LabError, match=r"mine\.py is no configuration \(name 'nowhere' is not defined\)"):
            hub.load(wrong)


def test_no_program_of_the_image_is_set_user_id() -> None:
    """The two that map user ids have a capability each instead."""
    dockerfile = (ROOT / "class" / "hub" / "Dockerfile").read_text(encoding="utf-8")

    assert "find / -xdev -perm /6000 -type f -exec chmod a-s {} +" in dockerfile
    assert re.findall(r"setcap (\S+)", dockerfile) == ["cap_setuid=ep", "cap_setgid=ep"]
