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
    """One thing that was looked at."""

    what: str  # what it is
    state: State  # ``ok``; ``note`` for what the lab can do without or gets by itself; ``missing`` for what stops it
    seen: str  # what was found
    remedy: str = ""  # what to do about it; empty where nothing is to be done


def examine() -> list[Condition]:
    """Look at everything; nothing is changed, and no registry is asked."""
    conditions = list(_machine())
    try:
        engine = connect()
    except EngineError as error:
        if isinstance(error, EngineNotFound) and can_start():
            none = Condition("Docker engine", "note", "none runs", "./lab starts one, or installs it first")
        else:
            none = Condition("Docker engine", "missing", str(error), error.remedy)
        return [*conditions, none]
    return [*conditions, *_engine(engine), *_images(engine)]


def _condition(what: str, seen: str, remedy: str = "", *, is_fine: bool) -> Condition:
    """Something that the lab can do without, or gets by itself; the remedy is for where it is not as it should be."""
    return Condition(what, "ok" if is_fine else "note", seen, "" if is_fine else remedy)


def _machine() -> Iterator[Condition]:
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not a Linux
        system = platform.platform(terse=True)
    yield Condition("system", "ok", f"{system}, {platform.machine()}, {os.cpu_count()} cores")
    yield Condition("Python", "ok", f"{platform.python_version()} in {sys.prefix.removeprefix(f'{ROOT}/')}")
    yield Condition("JupyterLab", "ok", version("jupyterlab"))
    client = shutil.which("docker")
    yield _condition(
        "docker client",
        client or "no `docker` command on the PATH",
        "the notebooks do without; for the exercise's plain commands install docker-cli (or docker.io)",
        is_fine=client is not None,
    )
    configured = docker_settings.configuration()
    if configured.trouble:
        seen = f"{configured.path} is passed over where it cannot be read: {configured.trouble}"
        yield Condition("Docker's settings", "note", seen, "mend that file")
    for helper in configured.helpers:
        is_here = shutil.which(helper) is not None
        missing = f"{helper} is not installed, and {configured.path} has it asked for them"
        yield _condition(
            "logins",
            f"{helper} is asked for them" if is_here else missing,
            "public images are pulled without a login; else install it, or take it out of that file",
            is_fine=is_here,
        )
    taken = is_taken(5000, host="")
    yield _condition(
        "port 5000",
        "taken" if taken else "free for `docker run -p 5000:5000`",
        "the lab takes free ports; `docker run -p 5000:5000` needs this one free",
        is_fine=not taken,
    )


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
    is_quick = sources.reads_directories(engine)
    how = "where they lie" if is_quick else "from `docker save`, which takes longer"
    yield Condition("image store", "ok", f"{engine.storage_driver}: layers are read {how}")
    if engine.is_local and Path(engine.root_directory).exists():
        free = shutil.disk_usage(engine.root_directory).free
        yield _condition(
            "disk",
            f"{free / 1e9:.0f} GB free for images",
            f"about {NEEDED_DISK / 1e9:.0f} GB are needed: `docker system df` shows what takes room",
            is_fine=free >= NEEDED_DISK,
        )
    size = build_cache.size(engine)
    yield _condition(
        "build cache",
        "the engine did not say in time what it holds" if size is None else f"holds {size / 1e9:.1f} GB",
        build_cache.EMPTY_IT,
        is_fine=size is not None and size <= build_cache.MUCH,
    )
    yield _condition(
        "builds of checks",
        limits.what_holds(engine),
        "check Dockerfiles of people whom you trust, or run the lab in a virtual machine",
        is_fine=not limits.why_unlimited(engine),
    )


def _images(engine: Engine) -> Iterator[Condition]:
    for name in bases.BASES:
        seen, image = "not here yet", find_image(engine, name)
        if image:
            made = "a stand-in made from Debian packages" if bases.is_on_stand_ins(engine, str(image.id)) else "here"
            seen = f"{made}, {how_large(image.attrs['Size'])} by the engine's count"
        remedy = "./lab pulls it, or makes a stand-in if no registry answers"
        yield _condition(name, seen, remedy, is_fine=image is not None)
    for recipe in (demo.RECIPES[name] for name in demo.of_interest(engine)):
        own = own_images(engine, recipe.name)
        seen = f"built, {str(own[0].id).removeprefix('sha256:')[:12]}" if own else "not built yet"
        yield _condition(recipe.tag, seen, f"./lab build {recipe.name}", is_fine=bool(own))
