"""How long the multi-stage image takes to build, beside the single-stage image: cold, and after a change.

Both Dockerfiles are built from copies, with a mark of this run at the end of each RUN (``&& : mark``, which does
nothing): so a cold build finds no step of an earlier build in the cache, a later ``./lab`` finds none of these, and
what these leave in the cache can be told from what is the user's, and is removed with the images.
"""

from __future__ import annotations

import functools
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import docker.errors

from benchmarks.rows import Row, Setting
from layerlab import dockerfile, workshop
from layerlab.build import build
from layerlab.engine import Engine
from layerlab.paths import ROOT

CONTEXT: Final = ("app", "requirements.txt", ".dockerignore")
NAMES: Final = ("optimized", "single")
INSTEAD: Final = "the single-stage image"


def rows(setting: Setting) -> Iterator[Row]:
    """A cold build, and rebuilds after changes of the app and of the requirements."""
    mark = f"benchmark-{uuid.uuid4().hex}"
    folder = copy_context(setting.folder / "context", mark)
    with removed_afterwards(setting, mark) as images:

        def seconds(name: str, what: str) -> float:
            return setting.once(f"{name}: {what}", lambda: images.append(_build(setting.engine, folder, name)))

        cold = [seconds(name, "a cold build") for name in NAMES]
        yield Row("a cold build of the multi-stage image", cold[0], "s", INSTEAD, cold[1])
        after_app = []
        for name in NAMES:
            changed = setting.median(
                f"{name}: a rebuild after a change of the app",
                lambda name=name: images.append(_build(setting.engine, _changed(folder, "app/data.py"), name)),  # type: ignore[misc]
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
        recipe = workshop.recipe(name)
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


def _build(engine: Engine, folder: Path, name: str) -> str:
    return build(engine, folder, dockerfile=workshop.recipe(name).dockerfile).image_id


@contextmanager
def removed_afterwards(setting: Setting, mark: str) -> Iterator[list[str]]:
    """Images to remove in the end, and with them what this run has left in the build cache."""
    images: list[str] = []
    try:
        yield images
    finally:
        api: Any = setting.engine.client.api  # its type does not know this filter
        with setting.step("remove what was built"):
            for image_id in images:
                with suppress(docker.errors.ImageNotFound):
                    setting.engine.client.images.remove(image_id, force=True)
            for record in cache_records(setting.engine, mark):
                with suppress(docker.errors.APIError):  # an engine that cannot: the record stays, as any build's does
                    api.prune_builds(filters={"id": record}, all=True)


def cache_records(engine: Engine, mark: str) -> list[str]:
    """The ids of the records of the build cache that come of a step with this mark, children before their parents."""
    return family(engine.client.api.df().get("BuildCache") or [], mark)


def family(records: Sequence[Mapping[str, Any]], mark: str) -> list[str]:
    """Those of an engine's records whose description has this mark, and all that stand on them; the youngest first.

    >>> records = [{"ID": "c", "Parent": "b"}, {"ID": "b", "Parent": "a", "Description": "RUN x && : mark"}]
    >>> family([*records, {"ID": "a"}, {"ID": "d", "Parent": "c"}, {"ID": "e", "Parent": "a"}], "mark")
    ['d', 'c', 'b']
    """
    # Engines from 23 on name several parents, earlier ones one.
    parents = {record["ID"]: record.get("Parents") or [record.get("Parent")] for record in records}

    @functools.cache
    def line(one: str) -> tuple[int, bool]:
        """How many ancestors are in the longest line above it, and whether it or one of them has the mark."""
        above = [line(parent) for parent in parents[one] if parent in parents]
        return 1 + max((depth for depth, _ in above), default=0), one in marked_ones or any(own for _, own in above)

    marked_ones = {record["ID"] for record in records if mark in (record.get("Description") or "")}
    return sorted((one for one in parents if line(one)[1]), key=lambda one: -line(one)[0])
