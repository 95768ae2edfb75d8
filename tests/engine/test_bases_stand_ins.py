"""How `layerlab.bases.stand_ins` marks, names and gives up images on a real engine, here with tiny ones."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker.errors
import pytest
from docker.models.images import Image

from layerlab import bases
from layerlab.bases import stand_ins
from layerlab.engine import Engine
from layerlab.engine.ownership import STAND_IN_LABEL, marker_tag
from layerlab.errors import StandInError
from layerlab.ui.progress import Step, silent


@pytest.fixture
def new_image(engine: Engine, busybox_image: str, tmp_path: Path) -> Iterator[Callable[[], Image]]:
    """Builds images as stand-ins are built; they are removed after the test."""
    made: list[str] = []

    def make() -> Image:
        (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image}\nENV TEST={uuid.uuid4().hex}\n")
        made.append(stand_ins._build(engine, tmp_path, "build", silent, stage="example:1", labels={}))
        return engine.client.images.get(made[-1])

    yield make
    for image_id in made:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.client.images.remove(image_id, force=True)


def exists(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of this name or id."""
    try:
        engine.client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


class TestBuild:
    @pytest.mark.long
    def test_labels(self, engine: Engine, new_image: Callable[[], Image]) -> None:
        """A stand-in says what it stands in for; without the lab's marker it is not the lab's yet."""
        image = new_image()

        assert image.labels[STAND_IN_LABEL] == "example:1"
        assert bases.is_on_stand_ins(engine, str(image.id))
        assert image.id not in {own.id for own in bases.own_bases(engine)}

    def test_a_failing_step_says_whose_fault_it_is(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A build that fails quotes its last words and draws the conclusion."""
        (tmp_path / "Dockerfile").write_text(
            f"FROM {busybox_image}\nRUN echo 'cp: x: No space left on device' >&2; false\n"
        )
        steps: list[Step] = []

        with pytest.raises(StandInError, match=r"line 2 of its Dockerfile: .*No space left") as caught:
            stand_ins._build(engine, tmp_path, "build", steps.append, stage="example:1", labels={})

        assert "disk is full" in caught.value.remedy
        assert steps[-1].state == "failed"


class TestMark:
    def test_kept_when_all_goes_well(self, engine: Engine, new_image: Callable[[], Image]) -> None:
        """A marked image is one of the lab's base images."""
        image_id = str(new_image().id)

        with ExitStack() as undo:
            stand_ins._mark(engine, image_id, undo)
            undo.pop_all()

        assert image_id in {own.id for own in bases.own_bases(engine)}

    def test_undone_when_interrupted(self, engine: Engine, new_image: Callable[[], Image]) -> None:
        """What was marked when the user pressed Ctrl-C is gone."""
        image_id = str(new_image().id)

        def interrupted() -> None:
            with ExitStack() as undo:
                stand_ins._mark(engine, image_id, undo)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()

        assert not exists(engine, marker_tag(image_id))

    def test_an_earlier_mark_is_not_undone(self, engine: Engine, new_image: Callable[[], Image]) -> None:
        """An image that BuildKit found again, and that had its mark before, keeps it."""
        image_id = str(new_image().id)
        with ExitStack() as undo:
            stand_ins._mark(engine, image_id, undo)
            undo.pop_all()

        with ExitStack() as undo:
            stand_ins._mark(engine, image_id, undo)

        assert exists(engine, marker_tag(image_id))


class TestTag:
    def test_free_names_are_given(
        self, engine: Engine, new_image: Callable[[], Image], new_tag: Callable[[], str]
    ) -> None:
        """An image gets each of its names that nobody has."""
        image, names = new_image(), (new_tag(), new_tag())

        stand_ins._tag(engine, str(image.id), names)

        assert {engine.client.images.get(name).id for name in names} == {image.id}

    def test_taken_names_stay_where_they_are(
        self, engine: Engine, new_image: Callable[[], Image], new_tag: Callable[[], str]
    ) -> None:
        """A name that exists is never taken over."""
        users, ours, taken, free = new_image(), new_image(), new_tag(), new_tag()
        users.tag(*taken.split(":"))

        stand_ins._tag(engine, str(ours.id), (taken, free))

        assert (engine.client.images.get(taken).id, engine.client.images.get(free).id) == (users.id, ours.id)

    def test_an_image_without_a_name_goes(
        self, engine: Engine, new_image: Callable[[], Image], new_tag: Callable[[], str]
    ) -> None:
        """Where all of its names are taken, nothing stays of the image that was made for them."""
        users, ours, taken = new_image(), new_image(), new_tag()
        users.tag(*taken.split(":"))
        with ExitStack() as undo:
            stand_ins._mark(engine, str(ours.id), undo)
            undo.pop_all()

        stand_ins._tag(engine, str(ours.id), (taken,))

        assert not exists(engine, str(ours.id))
        assert engine.client.images.get(taken).id == users.id
