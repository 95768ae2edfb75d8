"""What images tell whoever runs them: user, command, environment, ports and their like, side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from layerlab.image import Image

_ORDER: Final = (
    *("platform", "user", "working directory", "entry point", "command", "shell", "stop signal"),
    *("health check", "port", "volume", "environment", "label", "on build"),
)  # the settings, in the order in which they are listed; the last ones come once for each name


def all_settings(images: Sequence[Image]) -> dict[str, tuple[str | None, ...]]:
    """All settings that one of these images has, in a fixed order: its value in each image, None where it has none.

    The names and their meaning are those of the OCI image specification (``config.md``) and, for the health check,
    the shell and ``ONBUILD``, of Docker's image specification, version 1.2. Values are as a Dockerfile has them.

    >>> from layerlab import image
    >>> all_settings([image.read(engine, "multi-stage-demo:optimized")])["user"]
    ('10001:10001',)
    """
    found = [of_config(image.config) for image in images]
    names = sorted({name for one in found for name in one})
    names.sort(key=lambda name: next(place for place, kind in enumerate(_ORDER) if f"{name} ".startswith(f"{kind} ")))
    return {name: tuple(one.get(name) for one in found) for name in names}


def differing(images: Sequence[Image]) -> dict[str, tuple[str | None, ...]]:
    """Those on which the images do not agree."""
    return {name: values for name, values in all_settings(images).items() if len(set(values)) > 1}


def of_config(config: Mapping[str, Any]) -> dict[str, str]:
    """An image's settings by their names, without those that it does not have.

    >>> of_config({"os": "linux", "architecture": "amd64", "config": {"User": "app", "Cmd": ["serve"]}})
    {'platform': 'linux/amd64', 'user': 'app', 'command': '["serve"]'}
    """
    run = config.get("config")
    run = run if isinstance(run, Mapping) else {}
    variables = (str(line).partition("=") for line in _list(run.get("Env")))
    platform = "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key))
    found = {
        "platform": platform,
        "user": _text(run.get("User")),
        "working directory": _text(run.get("WorkingDir")),
        "entry point": _command(run.get("Entrypoint")),
        "command": _command(run.get("Cmd")),
        "shell": _command(run.get("Shell")),
        "stop signal": _text(run.get("StopSignal")),
        "health check": _health_check(run.get("Healthcheck")),
        **{f"port {port}": "exposed" for port, _ in _items(run.get("ExposedPorts"))},
        **{f"volume {path}": "declared" for path, _ in _items(run.get("Volumes"))},
        **{f"environment {name}": content for name, _, content in variables},
        **{f"label {name}": _text(value) for name, value in _items(run.get("Labels"))},
        **{f"on build {number}": _text(line) for number, line in enumerate(_list(run.get("OnBuild")), start=1)},
    }
    set_to_nothing = ("environment ", "label ")
    return {name: value for name, value in found.items() if value or name.startswith(set_to_nothing)}


def runs_as_root(config: Mapping[str, Any]) -> bool:
    """Whether a container of an image of this config starts as root, unless whoever runs it says otherwise.

    A user that is given by name is taken for what its name says: whether ``/etc/passwd`` gives it the number 0
    is not looked up.
    """
    user = of_config(config).get("user", "").partition(":")[0].strip()
    return user in {"", "root"} or re.fullmatch(r"[+-]?0+", user) is not None  # as Go reads numbers


def _command(value: object) -> str:
    """A command as a Dockerfile has it: a JSON array, or the plain string of the shell form."""
    words = [str(word) for word in _list(value)]
    if len(words) == 3 and words[:2] == ["/bin/sh", "-c"]:
        return words[2]
    return json.dumps(words, ensure_ascii=False) if words else _text(value if isinstance(value, str) else None)


def _health_check(value: object) -> str:
    test = [str(word) for word in _list(value.get("Test"))] if isinstance(value, Mapping) else []
    if not isinstance(value, Mapping) or not test or test[0] == "NONE":
        return "".join(test[:1])
    command = " ".join(test[1:]) if test[0] == "CMD-SHELL" else json.dumps(test[1:], ensure_ascii=False)
    options = {
        "interval": _seconds(value.get("Interval")),
        "timeout": _seconds(value.get("Timeout")),
        "start-period": _seconds(value.get("StartPeriod")),
        "start-interval": _seconds(value.get("StartInterval")),
        "retries": _text(value.get("Retries") or None),
    }
    return " ".join([*(f"--{name}={said}" for name, said in options.items() if said), f"CMD {command}"])


def _seconds(value: object) -> str:
    return f"{value / 1e9:g}s" if isinstance(value, int) and value > 0 else ""  # a config has nanoseconds


def _items(value: object) -> list[tuple[str, object]]:
    return sorted((str(name), content) for name, content in value.items()) if isinstance(value, Mapping) else []


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value)
