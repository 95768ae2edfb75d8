"""Pulls an image, and tells a registry that says no from one that cannot be connected to."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final

import docker.errors
import requests
from docker.utils import parse_repository_tag

from layerlab.engine import Engine, gone
from layerlab.engine.docker_settings import tell_of_logins
from layerlab.engine.ownership import EngineImage, find_image
from layerlab.engine.symptoms import not_pulled, why_not_pulled
from layerlab.errors import EngineError, UsageError
from layerlab.ui.progress import Ongoing, Report, ongoing, silent
from layerlab.ui.units import so_far

MIRROR_VARIABLE: Final = "LAB_REGISTRY"
"""A registry, such as ``mirror.example:5000/docker``, from which official images are pulled instead of Docker Hub."""


def registry_of(name: str) -> str:
    """The registry that an image's name refers to.

    >>> registry_of("python:3.13"), registry_of("ghcr.io/astral-sh/uv:latest")
    ('docker.io', 'ghcr.io')
    """
    first, slash, _ = name.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def source_of(name: str) -> str:
    """The name under which an image is pulled: its own, or where `MIRROR_VARIABLE` says so, the mirror's.

    Raises:
        UsageError: the variable's value cannot be a registry.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "").removesuffix("/")
    if not mirror or registry_of(name) != "docker.io":
        return name
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", mirror):
        raise UsageError(
            f"{MIRROR_VARIABLE}={mirror} cannot be a registry",
            remedy=f"give its host, port and path only, such as {MIRROR_VARIABLE}=mirror.example:5000/docker",
        )
    path = name.removeprefix("docker.io/")
    return f"{mirror}/{path if '/' in path else f'library/{path}'}"


def can_be_had(engine: Engine, name: str, report: Report = silent) -> bool:
    """Whether the engine has an image, or its registry says anything about it: only silence is a no.

    Raises:
        EngineGone: the engine stopped answering.
    """
    with suppress(EngineError):  # it takes no such name
        if find_image(engine, name):
            return True
    try:
        engine.client.api.inspect_distribution(name)  # type: ignore[no-untyped-call]
    except docker.errors.APIError as error:
        return why_not_pulled(str(error.explanation or error)) != "unreachable"
    except requests.RequestException as error:
        raise gone(engine, error) from error
    finally:
        tell_of_logins(engine.client, report)
    return True


def pull(engine: Engine, name: str, *, report: Report = silent) -> EngineImage:
    """Pull an image, through the mirror where one is set.

    Raises:
        BaseImageError: it cannot be had; `NoRegistry` and `RegistryRefused` where that is why.
        UsageError: the mirror that is set cannot be one.
    """
    source = source_of(name)
    was_here = source != name and find_image(engine, source) is not None
    with ongoing(report, f"pull {name}") as step:
        _pull(engine, source, step, report)
    image = engine.client.images.get(source)
    if source != name:
        image.tag(*parse_repository_tag(name))
        if not was_here:
            engine.client.images.remove(source, noprune=True)
        image.reload()
    return image


def _pull(engine: Engine, name: str, step: Ongoing, report: Report) -> None:
    repository, tag = parse_repository_tag(name)
    layers: dict[str, tuple[int, int]] = {}
    try:
        events = engine.client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)
        tell_of_logins(engine.client, report)
        for event in events:
            if "error" in event:
                raise not_pulled(name, str(event["error"]), began=bool(layers))
            layer, detail = str(event.get("id", "")), event.get("progressDetail") or {}
            if event.get("status") == "Pulling fs layer":  # its size is known once its download has begun
                layers.setdefault(layer, (0, 0))
            elif event.get("status") == "Downloading" and "total" in detail:
                layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
            elif event.get("status") in {"Download complete", "Pull complete"} and layer in layers:
                layers[layer] = (layers[layer][1], layers[layer][1])
            total = sum(size for _, size in layers.values())
            done = sum(current for current, _ in layers.values())
            step.say(so_far(done, total) if total else str(event.get("status", "")))
    except docker.errors.APIError as error:
        raise not_pulled(name, str(error.explanation or error)) from error
