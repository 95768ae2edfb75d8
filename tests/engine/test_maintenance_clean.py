"""What ``clean`` removes, beside look-alikes of the user's own."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest
from docker.models.images import Image

from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine.ownership import (
    CONTAINER_LABEL,
    IMAGE_LABEL,
    Owned,
    image_labels,
    mark_image,
    marker_tag,
)
from layerlab.maintenance import clean, inventory
from layerlab.maintenance import remove as remove_thing

NAME = f"look-alike-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def own_image(engine: Engine, busybox_image: str, tmp_path: Path) -> Iterator[Image]:
    """An image that the lab made for itself, as small as can be."""
    (tmp_path / "Dockerfile").write_text(f'FROM {busybox_image}\nRUN echo {NAME} > /own\nCMD ["sleep", "600"]\n')
    built = build(engine, tmp_path, labels=image_labels(NAME))
    image = engine.client.images.get(built.image_id)
    mark_image(image)
    image.reload()
    yield image
    for tag in (marker_tag(built.image_id), f"{NAME}:theirs"):
        remove(engine, tag)


def remove(engine: Engine, image: str) -> None:
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.client.images.remove(image, force=True)


def remove_own(engine: Engine, image: Image) -> str:
    """Remove one of the lab's; why it is still there."""
    return remove_thing(engine, Owned("image", NAME, image))


def purposes(engine: Engine) -> list[str]:
    """What the inventory lists, as far as this test made it."""
    return [o.thing.labels[IMAGE_LABEL] for o in inventory(engine) if isinstance(o.thing, Image)]


def exists(engine: Engine, image_id: str) -> bool:
    try:
        engine.client.images.get(image_id)
    except docker.errors.ImageNotFound:
        return False
    return True


class TestImages:
    def test_an_own_image_is_listed_and_goes(self, engine: Engine, own_image: Image) -> None:
        """The image is gone afterwards, marker and all."""
        assert NAME in purposes(engine)

        assert remove_own(engine, own_image) == ""
        assert not exists(engine, str(own_image.id))

    def test_an_image_built_from_it_stays(self, engine: Engine, own_image: Image, tmp_path: Path) -> None:
        """It inherits the label, and yet is the user's."""
        (tmp_path / "Dockerfile").write_text(f"FROM {marker_tag(str(own_image.id))}\nRUN echo theirs > /theirs\n")
        theirs = build(engine, tmp_path, tag=f"{NAME}:theirs")

        listed = [str(owned.thing.id) for owned in inventory(engine)]
        assert IMAGE_LABEL in engine.client.images.get(theirs.image_id).labels
        assert theirs.image_id not in listed
        remove_own(engine, own_image)
        assert exists(engine, theirs.image_id)

    def test_a_dockerfile_that_sets_the_label_makes_nothing_ours(
        self, engine: Engine, busybox_image: str, tmp_path: Path
    ) -> None:
        """A label that stands in a Dockerfile is not the lab's, and neither is a tag that looks like its own."""
        (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nLABEL {IMAGE_LABEL}=optimized\n")
        theirs = build(engine, tmp_path, tag=f"{NAME}:theirs")
        try:
            assert theirs.image_id not in [str(owned.thing.id) for owned in inventory(engine)]
        finally:
            remove(engine, theirs.image_id)

    def test_a_tag_of_the_users_keeps_it(self, engine: Engine, own_image: Image) -> None:
        """What the user tagged stays under that tag, and says so."""
        own_image.tag(NAME, "theirs")
        own_image.reload()

        assert f"{NAME}:theirs" in remove_own(engine, own_image)
        assert exists(engine, str(own_image.id))

    def test_a_container_of_the_users_keeps_it(self, engine: Engine, own_image: Image) -> None:
        """A container that somebody else runs from it goes on, and is named."""
        container = engine.client.containers.run(str(own_image.id), detach=True, name=NAME)
        try:
            assert NAME in remove_own(engine, own_image)
            assert exists(engine, str(own_image.id))
            container.reload()
            assert container.status == "running"
        finally:
            container.remove(force=True)


class TestContainers:
    def test_only_containers_that_got_the_label_themselves_go(
        self, engine: Engine, busybox_image: str, tmp_path: Path
    ) -> None:
        """A container of this run goes; one of another run, of an image with the label, or of nobody's stays."""
        (tmp_path / "Dockerfile").write_text(
            f'FROM {busybox_image}\nLABEL {CONTAINER_LABEL}={NAME}\nCMD ["sleep", "600"]\n'
        )
        labelled = build(engine, tmp_path, tag=f"{NAME}:theirs")
        create = engine.client.containers.create
        own = create(busybox_image, "sleep 600", labels={CONTAINER_LABEL: NAME}, name=f"{NAME}-own")
        other_run = create(busybox_image, "sleep 600", labels=runs.container_labels(engine), name=f"{NAME}-other-run")
        theirs = [
            create(labelled.image_id, name=f"{NAME}-inherited"),
            create(busybox_image, "sleep 600", name=f"{NAME}-plain"),
        ]
        try:
            removed = clean(engine, run=NAME)
            left = {str(c.id) for c in engine.client.containers.list(all=True, ignore_removed=True)}

            assert [(owned.kind, owned.name, why_not) for owned, why_not in removed] == [
                ("container", f"{NAME}-own", "")
            ]
            assert {str(c.id) for c in (other_run, *theirs)} <= left
            assert str(own.id) not in left
        finally:
            for container in (other_run, *theirs):
                container.remove(force=True)
            remove(engine, labelled.image_id)
