"""What configs say, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerlab import image
from layerlab.compare import settings
from layerlab.compare.image_settings import of_config, runs_as_root
from tests.unit.image_truth import file, image_config, saved, tar

FULL = {
    "User": "10001:10001",
    "WorkingDir": "/srv",
    "Entrypoint": ["/bin/sh", "-c", "exec serve"],
    "Cmd": ["serve", "--port", "é"],
    "Shell": ["/bin/bash", "-c"],
    "StopSignal": "SIGQUIT",
    "Healthcheck": {
        "Test": ["CMD-SHELL", "curl localhost"],
        "Interval": 10_000_000_000,
        "Timeout": 1_500_000_000,
        "Retries": 3,
    },
    "ExposedPorts": {"5000/tcp": {}, "53/udp": {}},
    "Volumes": {"/data": {}},
    "Env": ["PATH=/bin", "EMPTY=", "EQUATION=a=b"],
    "Labels": {"maintainer": "me", "empty": ""},
    "OnBuild": ["RUN true"],
}


class TestOfConfig:
    def test_every_setting(self) -> None:
        """Each setting has a name and a value as a Dockerfile has it."""
        assert of_config({"os": "linux", "architecture": "arm64", "variant": "v8", "config": FULL}) == {
            "platform": "linux/arm64/v8",
            "user": "10001:10001",
            "working directory": "/srv",
            "entry point": "exec serve",
            "command": '["serve", "--port", "é"]',
            "shell": '["/bin/bash", "-c"]',
            "stop signal": "SIGQUIT",
            "health check": "--interval=10s --timeout=1.5s --retries=3 CMD curl localhost",
            "port 5000/tcp": "exposed",
            "port 53/udp": "exposed",
            "volume /data": "declared",
            "environment PATH": "/bin",
            "environment EMPTY": "",
            "environment EQUATION": "a=b",
            "label maintainer": "me",
            "label empty": "",
            "on build 1": "RUN true",
        }

    @pytest.mark.parametrize("config", [{}, {"config": None}, {"config": "?"}, {"config": dict.fromkeys(FULL)}])
    def test_without_any(self, config: dict[str, Any]) -> None:
        """A config that says nothing has no settings."""
        assert of_config(config) == {}

    @pytest.mark.parametrize("key", FULL)
    def test_of_the_wrong_kind(self, key: str) -> None:
        """Whatever a hostile config has in a field, it is read without an error."""
        for value in (0, 1, True, "x", [], [[]], {}, {"Test": 3}, {"Test": []}, [None]):
            of_config({"config": {key: value}})

    def test_a_health_check_that_is_turned_off(self) -> None:
        """NONE is what a Dockerfile says, too."""
        assert of_config({"config": {"Healthcheck": {"Test": ["NONE"]}}}) == {"health check": "NONE"}


class TestRunsAsRoot:
    @pytest.mark.parametrize(
        ("user", "is_root"),
        [
            ("", True), ("root", True), ("0", True), ("0:1000", True), ("root:app", True), ("00", True),
            ("+0", True), ("-0", True),
            ("app", False), ("1000", False), ("1000:0", False), ("10", False),
        ],
    )  # fmt: skip
    def test_by_user(self, user: str, is_root: bool) -> None:
        """No user, root and 0 are root, whatever the group."""
        assert runs_as_root({"config": {"User": user}}) is is_root

    def test_without_a_config(self) -> None:
        """What says nothing runs as root."""
        assert runs_as_root({})


class TestSettings:
    def read(self, name: str, **config: Any) -> image.Image:
        layers = [tar([file("x")])]
        Path(name).write_bytes(saved(layers, image_config(layers, **config)))
        return image.read(None, name)

    def test_where_images_differ(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A row per setting that is not the same in all, in a fixed order, a column per image; missing is missing."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        images = [
            self.read("a.tar", User="app", Env=["A=1", "B=2"]),
            self.read("b.tar", Env=["A=1", "B=3"], ExposedPorts={"80/tcp": {}}),
        ]

        table = settings([*images, images[1]])

        assert list(table.columns) == ["setting", "a.tar", "b.tar", "b.tar (2)"]
        assert table.fillna("–").to_numpy().tolist() == [
            ["user", "app", "–", "–"],
            ["port 80/tcp", "–", "exposed", "exposed"],
            ["environment B", "2", "3", "3"],
        ]
