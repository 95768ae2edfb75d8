"""The base images: pulled where a registry answers, else stand-ins made from Debian's packages.

>>> {base.name: base.origin in {"here", "stand-in"} for base in ensure(engine).values()}
{'python:3.13-slim-trixie': True, 'python:3.13-trixie': True}
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.bases import registry, stand_ins
from layerlab.bases.registry import NoRegistry, can_be_had
from layerlab.dockerfile import Dockerfile, copied_from
from layerlab.engine import Engine, answering, daemon
from layerlab.engine.locks import exclusive
from layerlab.engine.ownership import (
    BASE_PURPOSE,
    IMAGE_LABEL,
    STAND_IN_LABEL,
    EngineImage,
    find_image,
    mark_image,
    marked_images,
)
from layerlab.errors import BaseImageError, StandInError
from layerlab.ui.progress import Report, silent

__all__ = ["BASES", "TAGS", "Base", "can_be_had", "ensure", "ensure_for", "is_on_stand_ins", "own_bases"]

BASES: Final = ("python:3.13-slim-trixie", "python:3.13-trixie")
"""The images on which the lab's Dockerfiles build."""

TAGS: Final = tuple(tag for tags in stand_ins.TAGS.values() for tag in tags)
"""Every name that the lab may give to a base image."""

ALLOW_VARIABLE: Final = "LAB_STAND_INS"

Origin = Literal["registry", "here", "stand-in"]


@dataclass(frozen=True)
class Base:
    """A base image that is on the engine.

    Attributes:
        name: Its name, such as ``python:3.13-trixie``.
        image_id: Its id, such as ``sha256:0123...``.
        origin: ``registry`` if it was pulled just now, ``here`` if it was there already, ``stand-in`` if the lab
            made it, now or earlier.
    """

    name: str
    image_id: str
    origin: Origin


def ensure(
    engine: Engine,
    names: Iterable[str] = BASES,
    *,
    allow_stand_ins: bool | None = None,
    report: Report = silent,
) -> dict[str, Base]:
    """See to it that these base images are on the engine, and return them by name.

    One that is there is used as it is, and never replaced. Others are pulled. Where no registry can be connected to,
    stand-ins are made, if that is allowed: they carry official names, so on an engine that the lab did not start the
    user has to say so.

    Args:
        engine: Where they are needed.
        names: Which.
        allow_stand_ins: Whether stand-ins may be made; None leaves it to ``LAB_STAND_INS`` in the environment, and
            else to whether the lab started this engine.
        report: Is told of each step.

    Raises:
        RegistryRefused: a registry answered, and said no. No stand-in is made then.
        StandInError: no registry can be reached, and stand-ins may not or cannot be made.
        BaseImageError: an image cannot be had for another reason.
        EngineGone: the engine stopped answering.

    >>> sorted(ensure(engine))
    ['python:3.13-slim-trixie', 'python:3.13-trixie']
    """
    names = tuple(names)
    with answering(engine):
        found = {name: base for name in names if (base := _here(engine, name))}
        if missing := [name for name in names if name not in found]:
            with exclusive("bases", doing="gets the base images", report=report):
                found |= _get(engine, missing, allow_stand_ins, report)
    return {name: found[name] for name in names}


def ensure_for(engine: Engine, dockerfile: Dockerfile, target: str | None = None, *, report: Report = silent) -> None:
    """Get those of the lab's own base images that a Dockerfile needs for its target and that are missing.

    Raises:
        DockerfileError: there is no such target.
        RegistryRefused, StandInError, BaseImageError, EngineGone: see `ensure`.
    """
    stages = dockerfile.needed(dockerfile.target(target))
    named = [stage.base for stage in stages]
    named += [name for stage in stages for each in stage.executed for name in copied_from(each)]
    short = {name.removeprefix("docker.io/").removeprefix("library/") for name in named}
    ensure(engine, sorted(short.intersection(TAGS)), report=report)


def is_on_stand_ins(engine: Engine, image_id: str) -> bool:
    """Whether an image of the engine is a stand-in, or was built FROM one; a mere ``COPY --from`` leaves no trace.

    False for an image that the engine does not have.

    Raises:
        EngineGone: the engine stopped answering.

    >>> is_on_stand_ins(engine, "no-such-image:at-all")
    False
    """
    image = find_image(engine, image_id)
    return image is not None and _is_stand_in(image)


def own_bases(engine: Engine) -> list[EngineImage]:
    """The base images that the lab itself made or pulled: with its marker, and not built for another purpose.

    Raises:
        EngineGone: the engine stopped answering.

    >>> all(any(tag.startswith("layerlab:") for tag in image.tags) for image in own_bases(engine))
    True
    """

    def is_base(labels: Mapping[str, str]) -> bool:
        return IMAGE_LABEL not in labels or (labels[IMAGE_LABEL] == BASE_PURPOSE and STAND_IN_LABEL in labels)

    return marked_images(engine, is_base)


def _here(engine: Engine, name: str) -> Base | None:
    image = find_image(engine, name)
    return Base(name, str(image.id), "stand-in" if _is_stand_in(image) else "here") if image else None


def _is_stand_in(image: EngineImage) -> bool:
    return STAND_IN_LABEL in (image.labels or {})


def _get(engine: Engine, names: list[str], allow: bool | None, report: Report) -> dict[str, Base]:
    """Pull these images, or make stand-ins for them."""
    found: dict[str, Base] = {}
    unreachable: dict[str, NoRegistry] = {}
    for name in names:
        where = registry.registry_of(registry.source_of(name))
        if base := _here(engine, name):  # another process was quicker
            found[name] = base
        elif where not in unreachable:
            try:
                found[name] = _pull(engine, name, report)
            except NoRegistry as error:
                unreachable[where] = error
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    why = next(iter(unreachable.values()))
    if any(base.origin == "registry" for base in found.values()):
        # Half official, half stand-in: their Pythons would differ.
        raise BaseImageError(str(why), remedy="its registry answered a moment ago: repeat") from why
    _check_permission(engine, missing, allow, why)
    stand_ins.make(engine, report)
    return found | {name: base for name in missing if (base := _here(engine, name))}


def _pull(engine: Engine, name: str, report: Report) -> Base:
    before = {summary["Id"] for summary in engine.client.api.images()}
    image = registry.pull(engine, name, report=report)
    if image.id not in before:
        mark_image(image)
    return Base(name, str(image.id), "registry")


def _check_permission(engine: Engine, names: list[str], allow: bool | None, why: NoRegistry) -> None:
    unknown = [name for name in names if name not in TAGS]
    if unknown:
        raise StandInError(f"{why}, and there is no stand-in for {', '.join(unknown)}", remedy=why.remedy) from why
    if allow is None:
        asked = os.environ.get(ALLOW_VARIABLE, "").lower()
        allow = asked in {"1", "true", "yes"} or (not asked and daemon.started_by_lab(engine))
    if not allow:
        raise StandInError(
            f"{why}, and the lab makes stand-ins from Debian's packages only if you say so: they would carry the"
            f" official names ({', '.join(names)}) on an engine that is not the lab's",
            remedy=f"go online, or repeat with --stand-ins or {ALLOW_VARIABLE}=1",
        ) from why
