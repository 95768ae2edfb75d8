"""Looks at what the lab needs, and says what is here, what is missing and what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from layerlab import bases, demo
from layerlab.builder import build_cache
from layerlab.engine import Engine, connect, docker_settings, limits
from layerlab.engine.daemon import can_start, started_by_lab
from layerlab.engine.ownership import find_image, own_images
from layerlab.errors import EngineError, EngineNotFound
from layerlab.image.store import sources
from layerlab.paths import ROOT
from layerlab.service import is_taken
from layerlab.ui.units import how_large

NEEDED_DISK: Final = 8e9  # bytes: bases 2.5 GB, both images 2.2 GB, build cache and room to work
State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Condition:
    """One thing that was looked at.

    Attributes:
        what: What it is.
        state: ``ok``; ``note`` for what the lab can do without or gets by itself; ``missing`` for what stops it.
        seen: What was found.
        remedy: What to do about it; empty where nothing is to be done.
    """

    what: str
    state: State
    seen: str
    remedy: str = ""


def examine() -> list[Condition]:
    """Look at everything; nothing is changed, and no registry is asked."""
    findings = list(_machine())
    try:
        engine = connect()
    except EngineNotFound as error:
        if can_start():
            return [
                *findings,
                Condition("Docker engine", "note", "none runs", "./lab starts one, or installs it first"),
            ]
        return [*findings, Condition("Docker engine", "missing", str(error), error.remedy)]
    except EngineError as error:
        return [*findings, Condition("Docker engine", "missing", str(error), error.remedy)]
    return [*findings, *_engine(engine), *_images(engine)]


def _system() -> str:
    """The operating system's name and version."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not a Linux
        return platform.platform(terse=True)


def _machine() -> Iterator[Condition]:
    yield Condition("system", "ok", f"{_system()}, {platform.machine()}, {os.cpu_count()} cores")
    prefix = Path(sys.prefix)
    shown = prefix.relative_to(ROOT) if prefix.is_relative_to(ROOT) else prefix
    yield Condition("Python", "ok", f"{platform.python_version()} in {shown}")
    yield Condition("JupyterLab", "ok", version("jupyterlab"))
    client = shutil.which("docker")
    if client:
        yield Condition("docker client", "ok", client)
    else:
        yield Condition(
            "docker client",
            "note",
            "no `docker` command on the PATH",
            "the notebooks do without; for the exercise's plain commands install docker-cli (or docker.io)",
        )
    configured = docker_settings.configuration()
    if configured.trouble:
        yield Condition(
            "Docker's settings",
            "note",
            f"{configured.path} is passed over where it cannot be read: {configured.trouble}",
            "mend that file",
        )
    for helper in configured.helpers:
        if shutil.which(helper):
            yield Condition("logins", "ok", f"{helper} is asked for them")
        else:
            yield Condition(
                "logins",
                "note",
                f"{helper} is not installed, and {configured.path} has it asked for them",
                "public images are pulled without a login; else install it, or take it out of that file",
            )
    if is_taken(5000, host=""):
        yield Condition(
            "port 5000", "note", "taken", "the lab takes free ports; `docker run -p 5000:5000` needs this one free"
        )
    else:
        yield Condition("port 5000", "ok", "free for `docker run -p 5000:5000`")


def _engine(engine: Engine) -> Iterator[Condition]:
    by = ", started by the lab" if started_by_lab(engine) else ""
    where = f"{engine.version} at {engine.endpoint} ({engine.source}{by})"
    if engine.is_podman:
        yield Condition(
            "Docker engine",
            "missing",
            f"Podman {where} has no BuildKit, with which the lab builds",
            "point DOCKER_HOST to a Docker engine; `./lab xray` and `compare` work with Podman",
        )
    else:
        yield Condition("Docker engine", "ok", where)
    how = (
        "layers are read where they lie"
        if sources.reads_directories(engine)
        else "layers are read from `docker save`, which takes longer"
    )
    yield Condition("image store", "ok", f"{engine.storage_driver}: {how}")
    if engine.is_local and Path(engine.root_directory).exists():
        free = shutil.disk_usage(engine.root_directory).free
        enough = free >= NEEDED_DISK
        yield Condition(
            "disk",
            "ok" if enough else "note",
            f"{free / 1e9:.0f} GB free for images",
            ""
            if enough
            else f"about {NEEDED_DISK / 1e9:.0f} GB are needed: `docker system df` shows what takes room",
        )
    size = build_cache.size(engine)
    is_much = size is None or size > build_cache.MUCH
    yield Condition(
        "build cache",
        "note" if is_much else "ok",
        "the engine did not say in time what it holds" if size is None else f"holds {size / 1e9:.1f} GB",
        build_cache.EMPTY_IT if is_much else "",
    )

    held = limits.what_holds(engine)
    yield Condition(
        "builds of checks",
        "ok" if held.is_limited else "note",
        held.sentence,
        "" if held.is_limited else "check Dockerfiles of people whom you trust, or run the lab in a virtual machine",
    )


def _images(engine: Engine) -> Iterator[Condition]:
    for name in bases.BASES:
        image = find_image(engine, name)
        if image is None:
            yield Condition(
                name, "note", "not here yet", "./lab pulls it, or makes a stand-in if no registry answers"
            )
            continue
        made = "a stand-in made from Debian packages" if bases.is_on_stand_ins(engine, str(image.id)) else "here"
        yield Condition(name, "ok", f"{made}, {how_large(image.attrs['Size'])} by the engine's count")
    for recipe in demo.RECIPES.values():
        own = own_images(engine, recipe.name)
        seen = f"built, {str(own[0].id).removeprefix('sha256:')[:12]}" if own else "not built yet"
        yield Condition(recipe.tag, "ok" if own else "note", seen, "" if own else f"./lab build {recipe.name}")
