"""The lab's own images: built, tagged, marked, and found again whatever becomes of their tags."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest

from layerlab import demo
from layerlab.demo import Recipe
from layerlab.engine import Engine
from layerlab.engine.ownership import is_own_image, marker_tag, own_images
from layerlab.errors import ImageNotFound


@pytest.fixture
def recipe(engine: Engine, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recipe]:
    """A recipe as small as can be, in a repository of its own."""
    name = f"tiny-{uuid.uuid4().hex[:8]}"
    tiny = Recipe(name, "Dockerfile", f"layerlab-test-{name}:latest")
    monkeypatch.setattr(demo, "RECIPES", {name: tiny})
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, busybox_image, name)
    yield tiny
    for image in engine.client.images.list(filters={"label": f"layerlab.image={name}"}):
        for tag in image.tags:
            engine.client.images.remove(tag)
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.client.images.remove(tiny.tag)


def write(folder: Path, base: str, text: str) -> None:
    (folder / "Dockerfile").write_text(f"FROM {base}\nRUN echo {text} > /text\n")


class TestBuildImage:
    def test_tagged_marked_and_found(self, engine: Engine, recipe: Recipe) -> None:
        """The image has its readable tag and its marker, and is found by its name."""
        built = demo.build_image(engine, recipe.name)

        image = demo.find(engine, recipe.name)
        assert image.id == built.image_id
        assert set(image.tags) == {recipe.tag, marker_tag(built.image_id)}
        assert is_own_image(image)

    def test_the_same_again_is_the_same_image(self, engine: Engine, recipe: Recipe) -> None:
        """A build that changes nothing makes no second image."""
        first = demo.build_image(engine, recipe.name)
        second = demo.build_image(engine, recipe.name)

        assert first.image_id == second.image_id

    def test_the_earlier_image_goes(self, engine: Engine, recipe: Recipe, busybox_image: str, tmp_path: Path) -> None:
        """What a new build has replaced does not pile up."""
        first = demo.build_image(engine, recipe.name)
        write(tmp_path, busybox_image, "changed")
        second = demo.build_image(engine, recipe.name)

        assert [image.id for image in own_images(engine, recipe.name)] == [second.image_id]
        with pytest.raises(docker.errors.ImageNotFound):
            engine.client.images.get(first.image_id)

    def test_a_tag_that_was_taken_over_stays_where_it_is(
        self, engine: Engine, recipe: Recipe, busybox_image: str
    ) -> None:
        """After a learner's plain build under that tag the lab still finds its own, and takes nothing back."""
        own = demo.build_image(engine, recipe.name)
        learners = engine.client.images.get(busybox_image)
        learners.tag(*recipe.tag.split(":"))

        assert demo.find(engine, recipe.name).id == own.image_id
        assert demo.build_image(engine, recipe.name).image_id == own.image_id
        assert engine.client.images.get(recipe.tag).id == learners.id


class TestFind:
    def test_what_was_not_built_is_said_to_be_missing(self, engine: Engine, recipe: Recipe) -> None:
        """The remedy is the command that builds it."""
        with pytest.raises(ImageNotFound) as caught:
            demo.find(engine, recipe.name)
        assert f"./lab build {recipe.name}" in caught.value.remedy
