"""What the lab made, and nothing else: how it is marked and how it is recognised.

Labels alone do not tell: whatever is built FROM an image inherits its labels, and so does a container that a
user starts from it. So

* a container, volume or network is the lab's if it has `CONTAINER_LABEL` and its image does not;
* an image is the lab's if it has `IMAGE_LABEL`, given through the API, and also the tag `marker_tag` of its
  own id. An image built FROM it inherits the label but is nobody's marker; a plain ``docker build`` that takes
  over the readable tag (``multi-stage-demo:optimized``) leaves the marker where it is.
"""

from __future__ import annotations

import os
import uuid
from typing import Final

from docker.models.containers import Container
from docker.models.images import Image

IMAGE_LABEL: Final = "layerlab.image"
"""On images; its value is what the image is for: single, optimized, stand-in ..."""

BASE_PURPOSE: Final = "base"
"""The value of `IMAGE_LABEL` on base images, which ``clean`` keeps unless it is told otherwise."""

STAND_IN_LABEL: Final = "layerlab.stand-in"
"""On base images that the lab made itself; what is built FROM them inherits it, and so can be told, too."""

CONTAINER_LABEL: Final = "layerlab.container"
"""On containers, volumes and networks; its value is the run that made it."""

RUN_ID: Final = os.environ.get("LAB_RUN_ID") or uuid.uuid4().hex[:12]
"""Names this run, so that it can remove what it made itself and nothing of another run. JupyterLab's kernels belong
to the run of the ``./lab`` that serves them (``LAB_RUN_ID``)."""

MARKER_REPOSITORY: Final = "layerlab"


def image_labels(purpose: str) -> dict[str, str]:
    """Labels for an image that is about to be built for this purpose."""
    return {IMAGE_LABEL: purpose}


def container_labels() -> dict[str, str]:
    """Labels for a container, volume or network that is about to be made."""
    return {CONTAINER_LABEL: RUN_ID}


def marker_tag(image_id: str) -> str:
    """The tag that marks the image with this id as the lab's own.

    >>> marker_tag("sha256:0123456789abcdef0123")
    'layerlab:0123456789ab'
    """
    return f"{MARKER_REPOSITORY}:{image_id.removeprefix('sha256:')[:12]}"


def mark_image(image: Image) -> None:
    """Mark an image that the lab has just made with `image_labels`."""
    repository, tag = marker_tag(str(image.id)).split(":")
    image.tag(repository, tag)


def is_own_image(image: Image) -> bool:
    """Whether the lab made this very image."""
    return IMAGE_LABEL in (image.labels or {}) and marker_tag(str(image.id)) in image.tags


def is_own_container(container: Container, image_labels: dict[str, str]) -> bool:
    """Whether the lab made this container, whose image has these labels."""
    return CONTAINER_LABEL in container.labels and CONTAINER_LABEL not in image_labels
