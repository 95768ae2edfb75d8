"""Builds the lab's own images, tags them, and marks them as the lab's."""

from __future__ import annotations

import json
from contextlib import suppress

from layerlab import bases
from layerlab.builder import Build, build
from layerlab.demo import images
from layerlab.engine import Engine
from layerlab.engine.ownership import discard_unnamed, find_image, image_labels, is_own_image, mark_image, own_images
from layerlab.paths import ROOT
from layerlab.ui.progress import Report, silent


def build_image(
    engine: Engine,
    name: str,
    *,
    no_cache: bool = False,
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
    wanted = images.recipe(name)
    bases.ensure(engine, allow_stand_ins=allow_stand_ins, report=report)
    before = own_images(engine, name)
    built = build(
        engine,
        ROOT,
        dockerfile=wanted.dockerfile,
        tag=None if _is_taken(engine, wanted.tag) else wanted.tag,
        labels=image_labels(name),
        no_cache=no_cache,
        report=report,
    )
    mark_image(engine.client.images.get(built.image_id))
    _remember_seconds(name, built)
    for earlier in before:
        if earlier.id != built.image_id:
            discard_unnamed(engine, earlier)
    return built


def _is_taken(engine: Engine, tag: str) -> bool:
    """Whether an image that is not the lab's has this tag."""
    found = find_image(engine, tag)
    return found is not None and not is_own_image(found)


def _remember_seconds(name: str, built: Build) -> None:
    """Remember how long an image took when all of it was built; a build from the cache says nothing about that.

    Nor does one of which an engine has not told every step, as it may where all comes from the cache.
    """
    parsed = images.read_dockerfile(ROOT / images.recipe(name).dockerfile)
    written = [
        each for stage in parsed.needed(parsed.target()) for each in stage.instructions if each.keyword == "RUN"
    ]
    runs = built.steps[built.steps["instruction"].str.match("RUN", case=False)]
    if len(runs) == len(written) and not runs["cached"].any():
        with suppress(OSError):  # a cache that cannot be written: the next cold build tells it
            images.seconds_file().write_text(json.dumps({**images.all_seconds(), name: round(built.seconds, 2)}))
