"""What the lab made, and nothing else: how it is marked, recognised, found and removed.

Labels alone do not tell: whatever is built FROM an image inherits its labels, and so does a container that a
user starts from it. So

* a container is the lab's if it has `CONTAINER_LABEL` and its image does not;
* an image is the lab's if it has `IMAGE_LABEL`, given through the API, and also the tag `marker_tag` of its
  own id. An image built FROM it inherits the label but is nobody's marker; a plain ``docker build`` that takes
  over the readable tag (``multi-stage-demo:optimized``) leaves the marker where it is.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image

from layerlab.engine.connection import Engine, answering

EngineImage = Image
"""The SDK's object for an image of the engine."""

IMAGE_LABEL: Final = "layerlab.image"
"""On images; its value is what the image is for: single, optimized, stand-in ..."""

BASE_PURPOSE: Final = "base"
"""The value of `IMAGE_LABEL` on base images, which ``clean`` keeps unless it is told otherwise."""

STAND_IN_LABEL: Final = "layerlab.stand-in"
"""On base images that the lab made itself; what is built FROM them inherits it, and so can be told, too."""

CONTAINER_LABEL: Final = "layerlab.container"
"""On containers; its value is the run that made it."""

RUN_ID: Final = os.environ.get("LAB_RUN_ID") or uuid.uuid4().hex[:12]
"""Names this run, so that it can remove what it made itself and nothing of another run. JupyterLab's kernels belong
to the run of the ``./lab`` that serves them (``LAB_RUN_ID``)."""

MARKER_REPOSITORY: Final = "layerlab"


def image_labels(purpose: str) -> dict[str, str]:
    """Labels for an image that is about to be built for this purpose."""
    return {IMAGE_LABEL: purpose}


def marker_tag(image_id: str) -> str:
    """The tag that marks the image with this id as the lab's own.

    >>> marker_tag("sha256:0123456789abcdef0123")
    'layerlab:0123456789ab'
    """
    return f"{MARKER_REPOSITORY}:{image_id.removeprefix('sha256:')[:12]}"


def mark_image(image: EngineImage) -> None:
    """Mark an image that the lab has just made with `image_labels`."""
    repository, tag = marker_tag(str(image.id)).split(":")
    image.tag(repository, tag)


def is_own_image(image: EngineImage) -> bool:
    """Whether the lab made this very image."""
    return IMAGE_LABEL in (image.labels or {}) and marker_tag(str(image.id)) in image.tags


@dataclass(frozen=True)
class Owned:
    """One thing that the lab made."""

    kind: str  # ``container``, ``image`` or ``base image``
    name: str  # its name, or its tags
    thing: Container | EngineImage = field(repr=False)


def find_image(engine: Engine, name: str) -> EngineImage | None:
    """The engine's image of this name or id; None if it has none.

    Raises:
        EngineError: the engine takes no such name, or stopped answering.
    """
    with answering(engine), suppress(ImageNotFound):
        return engine.client.images.get(name)
    return None


def marked_images(engine: Engine, wanted: Callable[[Mapping[str, str]], bool]) -> list[EngineImage]:
    """The images that have the marker of their own id, and wanted labels; the newest first.

    Raises:
        EngineGone: the engine stopped answering.
    """
    found = []
    with answering(engine):
        # One request for all of them: images.list() asks for each by itself, and fails if one goes away meanwhile.
        for summary in engine.client.api.images():
            if marker_tag(summary["Id"]) in (summary.get("RepoTags") or ()) and wanted(summary.get("Labels") or {}):
                with suppress(ImageNotFound):
                    found.append(engine.client.images.get(summary["Id"]))
    return sorted(found, key=lambda one: str(one.attrs.get("Created", "")), reverse=True)


def own_images(engine: Engine, purpose: str | None = None) -> list[EngineImage]:
    """The images that the lab itself made (for this purpose, or all), the newest first."""
    return marked_images(
        engine, lambda labels: IMAGE_LABEL in labels and (purpose is None or labels[IMAGE_LABEL] == purpose)
    )


def own_containers(engine: Engine, run: str | None = None) -> list[Container]:
    """The containers that the lab itself made (in this run, or all).

    Raises:
        APIError, RequestException: the engine does not say.
    """
    label = CONTAINER_LABEL if run is None else f"{CONTAINER_LABEL}={run}"
    found = engine.client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    return [container for container in found if not _inherits(container)]


def _inherits(container: Container) -> bool:
    """Whether a container has the lab's label from its image; where that is gone, it has it by itself."""
    with suppress(APIError):
        return container.image is not None and CONTAINER_LABEL in (container.image.labels or {})
    return False


def name_of(image: EngineImage) -> str:
    """An image's tags as far as they are readable, else its marker."""
    marker = marker_tag(str(image.id))
    return ", ".join(tag for tag in image.tags if tag != marker) or marker


def remove(engine: Engine, owned: Owned, given: Collection[str]) -> str:
    """Remove one thing of the lab's, which gives these tags; says why where the user's own hold on to it."""
    try:
        if isinstance(owned.thing, EngineImage):
            return _remove_image(engine, owned.thing, given)
        owned.thing.remove(force=True, v=True)
    except NotFound:
        return ""
    except APIError as error:
        return str(error.explanation)
    return ""


def _remove_image(engine: Engine, image: EngineImage, given: Collection[str]) -> str:
    """Remove the tags that the lab gave to its image, and last the marker, by which it is known."""
    containers = engine.client.containers.list(all=True, sparse=True)
    users = [str(c.attrs["Names"][0]).lstrip("/") for c in containers if c.attrs["ImageID"] == image.id]
    if users:
        return f"your container {', '.join(users)} uses it"
    marker = marker_tag(str(image.id))
    ours = [tag for tag in image.tags if tag in given]
    for tag in [*ours, marker]:
        engine.client.images.remove(tag)
    others = sorted(set(image.tags) - {*ours, marker})
    return f"your tag {', '.join(others)} keeps it" if others else ""


def discard(engine: Engine, name: str) -> None:
    """Remove an image, or one tag of it, unless something needs it by now or the engine is gone."""
    with suppress(requests.RequestException):
        engine.client.images.remove(name)


def discard_unnamed(engine: Engine, image: EngineImage) -> None:
    """Remove an image of the lab's that only its marker still names; one that a container uses stays."""
    with suppress(requests.RequestException):
        image.reload()
        if image.tags == [marker_tag(str(image.id))]:
            discard(engine, image.tags[0])
