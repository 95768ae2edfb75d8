"""The lab's own images: which Dockerfile, under which tag, and how they are found again.

They are known by their ids, not by their tags: a learner's plain ``docker build -t multi-stage-demo:optimized .``
takes the tag over, and the lab still finds the image that it built itself.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlab import dockerfile, image
from layerlab.dockerfile import Dockerfile
from layerlab.engine import Engine, ownership
from layerlab.engine.ownership import EngineImage
from layerlab.errors import DockerfileError, EngineError, EngineGone, ImageNotFound, UsageError
from layerlab.paths import ROOT, cache_directory
from layerlab.ui.progress import Report, silent


@dataclass(frozen=True)
class Recipe:
    """One of the images that the lab builds.

    Attributes:
        name: What the lab calls it, such as ``optimized``.
        dockerfile: Its Dockerfile, in the repository's root.
        tag: The tag under which it is found in ``docker images``.
    """

    name: str
    dockerfile: str
    tag: str

    @property
    def path(self) -> Path:
        """Where its Dockerfile lies."""
        return ROOT / self.dockerfile


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe("single", "Dockerfile.single", "multi-stage-demo:single"),
        Recipe("optimized", "Dockerfile", "multi-stage-demo:optimized"),
    )
}


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
    images = ownership.own_images(engine, name)
    # The readable tag tells which of several is the newest build, as long as it still is the lab's own.
    tagged = (image for image in images if wanted.tag in image.tags)
    if found := next(tagged, images[0] if images else None):
        return found
    raise ImageNotFound(f"the lab's image {name!r} has not been built yet", remedy=f"run ./lab build {name}")


def resolve(engine: Engine, name: str) -> str:
    """The id of the lab's image if this is a recipe's name, else the name as it is."""
    return str(find(engine, name).id) if name in RECIPES else name


def recipe_of(engine: Engine, name: str) -> Recipe | None:
    """The recipe of an image that the lab itself has made, by whatever name it is asked for; None for any other."""
    if name in RECIPES:
        return RECIPES[name]
    try:
        found = ownership.find_image(engine, name)
    except EngineGone:
        raise
    except EngineError:  # no image can have this name
        return None
    is_own = found is not None and ownership.is_own_image(found)
    return RECIPES.get(found.labels[ownership.IMAGE_LABEL]) if found and is_own else None


def seconds_file() -> Path:
    """Where it is remembered how long builds took."""
    return cache_directory() / "cold-build-seconds.json"


def all_seconds() -> dict[str, float]:
    """How long each recipe took when last all of it was built here, seconds, by its name."""
    try:
        known = json.loads(seconds_file().read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    known = known if isinstance(known, dict) else {}
    return {name: float(seconds) for name, seconds in known.items() if isinstance(seconds, int | float)}


def cold_build_seconds(name: str) -> float | None:
    """How long this recipe took when last all of it was built here, seconds; None where that was not seen."""
    return all_seconds().get(name)


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


def look(
    engine: Engine | None,
    name: str,
    *,
    built_from: Dockerfile | None = None,
    platform: str | None = None,
    report: Report = silent,
) -> image.Image:
    """Look at one of the lab's images, or at any other: a name, an id, or a file.

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


def look_at_built(engine: Engine) -> dict[str, image.Image]:
    """Look at those of the lab's images that have been built; by their names."""
    found = {}
    for name in RECIPES:
        with suppress(ImageNotFound):
            found[name] = look(engine, name)
    return found
