"""How long the multi-stage image takes to build, beside the single-stage image: cold, and after a change.

Both Dockerfiles are built from copies, with a mark of this run at the end of each RUN (``&& : mark``, which does
nothing): so a cold build finds no step of an earlier build in the cache, and a later ``./lab`` finds none of these.
What they leave in the cache is removed with the images.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import docker.errors

from benchmarks.rows import Row, Setting
from layerlab import demo, dockerfile
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.paths import ROOT

CONTEXT: Final = ("app", "requirements.txt", ".dockerignore")
NAMES: Final = ("optimized", "single")
INSTEAD: Final = "the single-stage image"


def rows(setting: Setting) -> Iterator[Row]:
    """A cold build, and rebuilds after changes of the app and of the requirements."""
    mark = f"benchmark-{uuid.uuid4().hex}"
    folder = copy_context(setting.folder / "context", mark)
    with removed_afterwards(setting) as made:

        def seconds(name: str, what: str) -> float:
            return setting.once(f"{name}: {what}", lambda: _build(setting.engine, folder, name, made))

        cold = [seconds(name, "a cold build") for name in NAMES]
        yield Row("a cold build of the multi-stage image", cold[0], "s", INSTEAD, cold[1])
        after_app = []
        for name in NAMES:
            changed = setting.median(
                f"{name}: a rebuild after a change of the app",
                lambda name=name: _build(setting.engine, _changed(folder, "app/data.py"), name, made),  # type: ignore[misc]
            )
            after_app.append(changed)
        yield Row("a rebuild after a change of the app", after_app[0], "s", INSTEAD, after_app[1])
        _changed(folder, "requirements.txt")
        after_pins = [seconds(name, "a rebuild after a change of requirements.txt") for name in NAMES]
        yield Row("a rebuild after a change of requirements.txt", after_pins[0], "s", INSTEAD, after_pins[1])


def copy_context(folder: Path, mark: str) -> Path:
    """A copy of the build context, in which each RUN of each Dockerfile ends in this mark."""
    folder.mkdir()
    for item in CONTEXT:
        if (ROOT / item).is_dir():
            shutil.copytree(ROOT / item, folder / item, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / item, folder / item)
    for name in NAMES:
        recipe = demo.recipe(name)
        (folder / recipe.dockerfile).write_text(marked(recipe.path.read_text(encoding="utf-8"), mark))
    return folder


def marked(text: str, mark: str) -> str:
    r"""A Dockerfile's text with a command that does nothing at the end of each RUN.

    >>> print(marked("FROM base\nRUN one && \\\n    two\nCOPY a b", "mark"))
    FROM base
    RUN one && \
        two && : mark
    COPY a b
    """
    lines = text.splitlines()
    for instruction in dockerfile.parse(text).instructions:
        if instruction.keyword == "RUN":
            lines[instruction.end_line - 1] += f" && : {mark}"
    return "\n".join(lines)


def _changed(folder: Path, name: str) -> Path:
    """Append a comment that no build has seen before."""
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(f"# {uuid.uuid4().hex}\n")
    return folder


def _build(engine: Engine, folder: Path, name: str, made: list[str]) -> None:
    built = build(engine, folder, dockerfile=demo.recipe(name).dockerfile)
    made.append(built.image_id)


@contextmanager
def removed_afterwards(setting: Setting) -> Iterator[list[str]]:
    """Takes the ids of images that are to be removed after this block."""
    made: list[str] = []
    try:
        yield made
    finally:
        with setting.step("remove what was built"):
            for image_id in made:
                with suppress(docker.errors.ImageNotFound):
                    setting.engine.client.images.remove(image_id, force=True)
