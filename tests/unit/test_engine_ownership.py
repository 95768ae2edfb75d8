"""How the lab knows what it made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from layerlab.engine.ownership import IMAGE_LABEL, is_own_image, marker_tag

OWN_ID = "sha256:" + "ab" * 32
DERIVED_ID = "sha256:" + "cd" * 32


def image(image_id: str, labels: dict[str, str], tags: list[str]) -> Any:
    return SimpleNamespace(id=image_id, labels=labels, tags=tags)


class TestIsOwnImage:
    def test_label_and_marker_together_tell(self) -> None:
        """An image with the label and the marker of its own id is the lab's."""
        own = image(OWN_ID, {IMAGE_LABEL: "single"}, ["multi-stage-demo:single", marker_tag(OWN_ID)])

        assert is_own_image(own)

    @pytest.mark.parametrize(
        ("labels", "tags"),
        [
            ({IMAGE_LABEL: "single"}, ["mine:latest"]),  # built FROM the lab's image: the label is inherited
            ({IMAGE_LABEL: "single"}, [marker_tag(OWN_ID)]),  # another image's marker
            ({}, [marker_tag(DERIVED_ID)]),  # a tag alone
            (None, []),
        ],
    )
    def test_either_alone_does_not(self, labels: dict[str, str], tags: list[str]) -> None:
        """What inherits the label, or only bears a tag like a marker, is somebody else's."""
        assert not is_own_image(image(DERIVED_ID, labels, tags))
