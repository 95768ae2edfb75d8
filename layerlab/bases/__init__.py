"""The base images: pulled where a registry answers, else stand-ins made from Debian's packages.

>>> ensure(engine, ["python:3.13-slim-trixie"])
>>> is_on_stand_ins(engine, "python:3.13-slim-trixie") in {True, False}
True
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from layerlab.bases import registry, stand_ins
from layerlab.bases.registry import can_be_had
from layerlab.dockerfile import Dockerfile, copied_from
from layerlab.engine import Engine, answering, daemon, ownership
from layerlab.engine.locks import exclusive
from layerlab.engine.ownership import BASE_PURPOSE, IMAGE_LABEL, STAND_IN_LABEL, EngineImage, find_image
from layerlab.engine.symptoms import NoRegistry
from layerlab.errors import BaseImageError, StandInError
from layerlab.ui.progress import Report, silent

__all__ = ["BASES", "TAGS", "can_be_had", "ensure", "ensure_for", "is_on_stand_ins", "own_bases"]

BASES: Final = ("python:3.13-slim-trixie", "python:3.13-trixie")
"""The images on which the lab's Dockerfiles build."""

TAGS: Final = tuple(tag for tags in stand_ins.TAGS.values() for tag in tags)
"""Every name that the lab may give to a base image."""

ALLOW_VARIABLE: Final = "LAB_STAND_INS"


def ensure(
    engine: Engine,
    names: Iterable[str] = BASES,
    *,
    allow_stand_ins: bool | None = None,
    report: Report = silent,
) -> None:
    """See to it that these base images are on the engine.

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

    >>> ensure(engine, ["python:3.13-slim-trixie"])
    >>> engine.client.images.get("python:3.13-slim-trixie").attrs["Os"]
    'linux'
    """
    names = tuple(names)
    with answering(engine):
        if not all(find_image(engine, name) for name in names):
            with exclusive("bases", doing="gets the base images", report=report):
                _get(engine, names, allow_stand_ins, report)


def ensure_for(engine: Engine, dockerfile: Dockerfile, target: str | None = None, *, report: Report = silent) -> None:
    """Get those of the lab's own base images that a Dockerfile needs for its target and that are missing.

    Raises:
        DockerfileError: there is no such target. See `ensure` for the rest.
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
    return image is not None and STAND_IN_LABEL in (image.labels or {})


def own_bases(engine: Engine) -> list[EngineImage]:
    """The base images that the lab itself made or pulled: with its marker, and not built for another purpose.

    >>> all(any(tag.startswith("layerlab:") for tag in image.tags) for image in own_bases(engine))
    True
    """

    def is_base(labels: Mapping[str, str]) -> bool:
        return IMAGE_LABEL not in labels or (labels[IMAGE_LABEL] == BASE_PURPOSE and STAND_IN_LABEL in labels)

    return ownership.marked_images(engine, is_base)


def _get(engine: Engine, names: Sequence[str], allow: bool | None, report: Report) -> None:
    """Pull these images as far as they are missing, or make stand-ins for them."""
    unreachable: dict[str, NoRegistry] = {}
    missing, has_pulled = [], False
    before = {summary["Id"] for summary in engine.client.api.images()}
    for name in names:
        where = registry.registry_of(registry.source_of(name))
        if find_image(engine, name):  # it was here, or another process was quicker
            continue
        if where not in unreachable:
            try:
                image = registry.pull(engine, name, report=report)
            except NoRegistry as error:
                unreachable[where] = error
            else:
                has_pulled = True
                if image.id not in before:
                    ownership.mark_image(image)
                continue
        missing.append(name)
    if not missing:
        return
    why = next(iter(unreachable.values()))
    if has_pulled:  # half official, half stand-in: their Pythons would differ
        raise BaseImageError(str(why), remedy="its registry answered a moment ago: repeat") from why
    _check_permission(engine, missing, allow, why)
    stand_ins.make(engine, report)


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
