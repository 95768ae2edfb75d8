"""The lab's own images: which Dockerfile, under which tag, how they are built, and how they are found again.

They are known by their ids, not by their tags: a learner's plain ``docker build -t multi-stage-demo:optimized .``
takes the tag over, and the lab still finds the image that it built itself.

>>> find(engine, "optimized").id == read(engine, "optimized").id
True
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlab import bases, dockerfile, image
from layerlab.builder import Build, build
from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine, ownership
from layerlab.engine.ownership import EngineImage, find_image, is_own_image, own_images
from layerlab.errors import DockerfileError, EngineError, EngineGone, ImageNotFound, UsageError
from layerlab.paths import ROOT
from layerlab.ui.progress import Report, silent


@dataclass(frozen=True)
class Recipe:
    """One of the images that the lab builds."""

    name: str  # what the lab calls it, such as ``optimized``
    dockerfile: str  # its Dockerfile, in the repository's root
    tag: str  # the tag under which it is found in ``docker images``

    @property
    def path(self) -> Path:
        """Where its Dockerfile lies."""
        return ROOT / self.dockerfile


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe("single", "Dockerfile.single", "multi-stage-demo:single"),
        Recipe("optimized", "Dockerfile", "multi-stage-demo:optimized"),
        Recipe("minimal", "Dockerfile.minimal", "multi-stage-demo:minimal"),
    )
}
FIRST: Final = ("single", "optimized")
"""Those with which everybody begins. The others take as long again, and are built when they are asked for."""


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise UsageError(
            f"the lab has no image called {name!r}",
            remedy=f"choose from {', '.join(RECIPES)}, or name an image or a file",
        )
    return RECIPES[name]


def find(engine: Engine, name: str) -> EngineImage:
    """The lab's own image of this name, by its id.

    Raises:
        ImageNotFound: it has not been built on this engine.
    """
    wanted = recipe(name)
    images = own_images(engine, name)
    # The readable tag tells which of several is the newest build, as long as it still is the lab's own.
    tagged = (image for image in images if wanted.tag in image.tags)
    if found := next(tagged, images[0] if images else None):
        return found
    raise ImageNotFound(f"the lab's image {name!r} has not been built yet", remedy=f"run ./lab build {name}")


def of_interest(engine: Engine) -> list[str]:
    """The names of the images with which everybody begins, and of the others that have been built.

    >>> of_interest(engine)[:2]
    ['single', 'optimized']
    """
    return [name for name in RECIPES if name in FIRST or own_images(engine, name)]


def resolve(engine: Engine, name: str) -> str:
    """The id of the lab's image if this is a recipe's name, else the name as it is."""
    return str(find(engine, name).id) if name in RECIPES else name


def recipe_of(engine: Engine, name: str) -> Recipe | None:
    """The recipe of an image that the lab itself has made, by whatever name it is asked for; None for any other."""
    if name in RECIPES:
        return RECIPES[name]
    try:
        found = find_image(engine, name)
    except EngineGone:
        raise
    except EngineError:  # no image can have this name
        return None
    return RECIPES.get(found.labels[ownership.IMAGE_LABEL]) if found and is_own_image(found) else None


def build_image(
    engine: Engine,
    name: str,
    *,
    no_cache: bool = False,
    secrets: Mapping[str, bytes] | None = None,
    allow_stand_ins: bool | None = None,
    report: Report = silent,
) -> Build:
    """Build one of the lab's images, tag it and mark it as the lab's own.

    A readable tag that somebody else's image has by now (a learner's plain ``docker build`` gave it) stays where it
    is: the lab finds its own image without.

    An earlier image of the same name that has lost its tag by this, and that nothing uses, is removed.

    Raises:
        UsageError: there is no such recipe.
        BaseImageError, BuildError, EngineGone: see `layerlab.bases.ensure` and `layerlab.builder.build`.
    """
    wanted = recipe(name)
    bases.ensure(engine, allow_stand_ins=allow_stand_ins, report=report)
    before, tagged = own_images(engine, name), find_image(engine, wanted.tag)
    built = build(
        engine,
        ROOT,
        dockerfile=wanted.dockerfile,
        tag=wanted.tag if tagged is None or is_own_image(tagged) else None,
        labels=ownership.image_labels(name),
        no_cache=no_cache,
        secrets=secrets,
        report=report,
    )
    ownership.mark_image(engine.client.images.get(built.image_id))
    for earlier in before:
        if earlier.id != built.image_id:
            ownership.discard_unnamed(engine, earlier)
    return built


def read_dockerfile(path: Path, platform: str = "") -> Dockerfile:
    """Read a Dockerfile; `platform` as for `layerlab.dockerfile.parse`.

    Raises:
        DockerfileError: there is none, or it cannot be read or does not parse.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DockerfileError(
            f"{path} cannot be read ({error.strerror})", remedy="name the Dockerfile that the image was built from"
        ) from error
    return dockerfile.parse(dockerfile.decoded(content), platform=platform)


def read(
    engine: Engine | None,
    name: str,
    *,
    built_from: Dockerfile | None = None,
    platform: str | None = None,
    report: Report = silent,
) -> image.Image:
    """Read one of the lab's images, or any other: a name, an id, or a file.

    Args:
        engine: The engine that has it; None if `name` is a file.
        name: A recipe's name, or any image.
        built_from: The Dockerfile whose lines its layers are tied to; the lab's own images bring theirs.
        platform: See `layerlab.image.read`.
        report: Told how far it is, if it takes long.

    Raises:
        ImageNotFound, ArchiveError, UsageError, EngineGone: see `layerlab.image.read`.
    """
    if engine is None:
        return image.read(None, name, dockerfile=built_from, platform=platform, report=report)
    known = recipe_of(engine, name) if built_from is None else None
    parsed = read_dockerfile(known.path, engine.platform) if known else built_from
    looked = image.read(engine, resolve(engine, name), dockerfile=parsed, platform=platform, report=report)
    return dataclasses.replace(looked, name=RECIPES[name].tag) if name in RECIPES else looked


def read_built(engine: Engine) -> dict[str, image.Image]:
    """Read those of the lab's images that have been built; by their names."""
    found = {}
    for name in RECIPES:
        with suppress(ImageNotFound):
            found[name] = read(engine, name)
    return found
