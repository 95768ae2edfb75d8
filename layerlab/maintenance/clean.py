"""Removes what the lab made, and nothing else; see ``layerlab.engine.ownership`` for how it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import docker.errors
from docker.models.containers import Container
from docker.models.images import Image
from docker.models.networks import Network
from docker.models.volumes import Volume

from layerlab import bases
from layerlab.demo import images as workshop
from layerlab.engine import Engine, answering
from layerlab.engine.ownership import BASE_PURPOSE, CONTAINER_LABEL, IMAGE_LABEL, is_own_container, marker_tag

OWN_TAGS: Final = frozenset({*(recipe.tag for recipe in workshop.RECIPES.values()), *bases.TAGS})
"""Every readable tag that the lab gives."""


@dataclass(frozen=True)
class Owned:
    """One thing that the lab made.

    Attributes:
        kind: ``container``, ``volume``, ``network``, ``image`` or ``base image``.
        name: Its name, or its tags.
        thing: The SDK's object for it.
    """

    kind: str
    name: str
    thing: Container | Volume | Network | Image = field(repr=False)


@dataclass(frozen=True)
class Removal:
    """What became of one thing.

    Attributes:
        kind: See `Owned`.
        name: See `Owned`.
        why_not: Why it is still there; empty when it is gone.
    """

    kind: str
    name: str
    why_not: str = ""


def inventory(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[Owned]:
    """What the lab made, in the order in which it can be removed.

    Args:
        engine: Where to look.
        run: Only containers, volumes and networks of this run, and no images; None for everything.
        base_images: Base images, too.

    Raises:
        EngineGone: the engine stopped answering.
    """
    client = engine.client
    only: dict[str, str | list[str] | bool] = {
        "label": CONTAINER_LABEL if run is None else f"{CONTAINER_LABEL}={run}"
    }
    with answering(engine):
        own: list[Owned] = [
            Owned("container", str(container.name), container)
            for container in client.containers.list(all=True, filters=only, ignore_removed=True)
            if is_own_container(container, _labels_of_image(container))
        ]
        own += [Owned("volume", str(volume.name), volume) for volume in client.volumes.list(filters=only)]
        own += [Owned("network", str(network.name), network) for network in client.networks.list(filters=only)]
        if run is None:
            images = workshop.own_images(engine)
            own += [Owned("image", _name(i), i) for i in images if i.labels[IMAGE_LABEL] != BASE_PURPOSE]
        if base_images:
            own += [Owned("base image", _name(image), image) for image in bases.own_bases(engine)]
    return own


def clean(engine: Engine, *, run: str | None = None, base_images: bool = False) -> list[Removal]:
    """Remove what `inventory` lists. What the user's own containers or tags hold on to stays, and says so.

    Raises:
        EngineGone: the engine stopped answering.
    """
    with answering(engine):
        return [remove(engine, owned) for owned in inventory(engine, run=run, base_images=base_images)]


def remove(engine: Engine, owned: Owned) -> Removal:
    """Remove one thing of the lab's; what the user's own containers or tags hold on to stays."""
    try:
        if isinstance(owned.thing, Image):
            return Removal(owned.kind, owned.name, why_not=_remove_image(engine, owned.thing))
        if isinstance(owned.thing, Container):
            owned.thing.remove(force=True, v=True)
        else:
            owned.thing.remove()
    except docker.errors.NotFound:
        return Removal(owned.kind, owned.name)
    except docker.errors.APIError as error:
        return Removal(owned.kind, owned.name, why_not=str(error.explanation))
    return Removal(owned.kind, owned.name)


def _remove_image(engine: Engine, image: Image) -> str:
    """Remove the tags that the lab gave to its image, the marker last: as long as it is there, it is known as ours.

    Returns why the image is still there, or nothing. A tag that the user added, or a container of it, keeps it.
    """
    containers = engine.client.containers.list(all=True, sparse=True)
    users = [str(c.attrs["Names"][0]).lstrip("/") for c in containers if c.attrs["ImageID"] == image.id]
    if users:
        return f"your container {', '.join(users)} uses it"
    marker = marker_tag(str(image.id))
    given = [tag for tag in image.tags if tag in OWN_TAGS]
    for tag in [*given, marker]:
        engine.client.images.remove(tag)
    others = sorted(set(image.tags) - {*given, marker})
    return f"your tag {', '.join(others)} keeps it" if others else ""


def _name(image: Image) -> str:
    """An image's tags as far as they are readable, else its marker."""
    marker = marker_tag(str(image.id))
    return ", ".join(tag for tag in image.tags if tag != marker) or marker


def _labels_of_image(container: Container) -> dict[str, str]:
    try:
        return dict(container.image.labels or {}) if container.image else {}
    except docker.errors.APIError:
        return {}  # its image is gone; the label that it has, it then has by itself
