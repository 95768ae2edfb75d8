"""What a notebook imports, as far as it needs an engine."""

from __future__ import annotations

import contextlib
import uuid

import docker.errors
import pytest

from layerlab import notebook as lab
from layerlab.engine import Engine, runs
from layerlab.engine.ownership import IMAGE_LABEL, marker_tag


@pytest.fixture(autouse=True)
def _same_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the notebook's functions use the connection that the tests close."""
    monkeypatch.setattr(lab, "engine", lambda: engine)


def small(base: str) -> str:
    """A Dockerfile whose image nobody else has."""
    return f"FROM {base}\n\nRUN echo {uuid.uuid4().hex} > /new\nRUN rm /new\n"


class TestExperiment:
    def test_its_images_are_the_labs_and_go_with_it(
        self, engine: Engine, busybox_image: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An image is listed as the lab's own as long as the block lasts, and gone after it."""
        with lab.experiment() as trial:
            trial.write("Dockerfile.small", small(busybox_image))
            built = trial.build("Dockerfile.small", what="a trial")
            listed = set(lab.owned()["name"])

        assert capsys.readouterr().out == "a trial: built in 3 steps\n"
        assert marker_tag(built.image_id) in listed
        with pytest.raises(docker.errors.ImageNotFound):
            engine.client.images.get(built.image_id)

    def test_its_images_are_tied_to_its_lines(self, busybox_image: str) -> None:
        """A look tells which line of the copy's Dockerfile stored what, and which one made it waste."""
        with lab.experiment() as trial:
            trial.write("Dockerfile.small", small(busybox_image))
            image = trial.look(trial.build("Dockerfile.small"), "Dockerfile.small")

        assert list(image.layers["line"].dropna()) == [3, 4]
        assert image.waste[["path", "cause", "by_line"]].to_dict("list") == {
            "path": ["/new"],
            "cause": ["deleted"],
            "by_line": [4],
        }


class TestRemove:
    def test_only_what_is_named_and_the_labs_goes(self, engine: Engine, busybox_image: str) -> None:
        """Another container of the lab's stays, and so does one of the user's that is named with it."""
        names = {who: f"layerlab-test-{who}-{uuid.uuid4().hex[:8]}" for who in ("named", "other", "theirs")}
        own = runs.container_labels(engine)
        made = [
            engine.client.containers.create(busybox_image, "true", name=name, labels=labels)
            for name, labels in zip(names.values(), (own, own, {}), strict=True)
        ]
        try:
            removed = lab.remove([names["named"], names["theirs"]])
            left = {str(c.name) for c in engine.client.containers.list(all=True, ignore_removed=True)}
        finally:
            for container in made:
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove()

        assert removed.to_dict("list") == {"kind": ["container"], "name": [names["named"]], "why_not": [""]}
        assert left & set(names.values()) == {names["other"], names["theirs"]}

    def test_an_image_that_is_used_says_by_whom(self, engine: Engine, busybox_image: str) -> None:
        """The user's container of it carries the lab's label, is not the lab's, and keeps the image."""
        with lab.experiment() as trial:
            trial.write("Dockerfile.small", small(busybox_image))
            marker = marker_tag(trial.build("Dockerfile.small").image_id)
            theirs = engine.client.containers.create(marker, "true")
            try:
                kept = lab.remove([marker, str(theirs.name)])
            finally:
                theirs.remove()
            gone = lab.remove([marker])

        assert IMAGE_LABEL in theirs.labels
        assert kept.to_dict("list") == {
            "kind": ["image"],
            "name": [marker],
            "why_not": [f"your container {theirs.name} uses it"],
        }
        assert list(gone["why_not"]) == [""]
