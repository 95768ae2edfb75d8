"""Makes stand-ins for the official images, from Debian's packages and nothing else.

Two roots (`layerlab.bases.roots`) become ``debian:trixie`` and its slim form; ``images/Dockerfile`` builds the others
on them. The official tags are given at the very end, and only where there is none: whoever stops this half-way
finds no half-made image under an official name, and what BuildKit has done by then is in its cache.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Final

import docker.errors
from docker.utils import parse_repository_tag

from layerlab.bases import roots
from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine.ownership import (
    BASE_PURPOSE,
    STAND_IN_LABEL,
    discard,
    discard_unnamed,
    find_image,
    image_labels,
    mark_image,
    marker_tag,
)
from layerlab.errors import BuildError, StepFailed
from layerlab.ui.progress import Ongoing, Report, Step, ongoing

TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "debian": ("debian:trixie",),
    "debian-slim": ("debian:trixie-slim",),
    "buildpack-deps": ("buildpack-deps:trixie",),
    "full": ("python:3.13-trixie", "python:3.13"),
    "slim": ("python:3.13-slim-trixie", "python:3.13-slim"),
    "uv": ("ghcr.io/astral-sh/uv:latest",),
}
"""The official names of each stand-in, by the stage that makes it."""

_ROOT_DOCKERFILE: Final = 'FROM scratch\nADD rootfs.tar /\nCMD ["bash"]\n'
_DOCKERFILE: Final = Path(__file__).parent / "images" / "Dockerfile"
_MAX_CONTEXT: Final = 10**9  # bytes; the root of debian:trixie has about 120 MB
_WORK: Final = {
    "buildpack-deps": "compilers and libraries",
    "cpython": "compile CPython",
    "fetch": "CPython's source",
    "fetch-uv": "uv",
    "full": "full image",
    "slim": "slim image",
}
_COMPILED: Final = re.compile(r"\bgcc\b.* (?:\./)?(\S+\.c)\b")


def make(engine: Engine, report: Report) -> None:
    """Make the stand-ins, and tag them where there is no image of that name yet.

    Raises:
        StandInError: one could not be made.
        EngineGone: the engine stopped answering.
    """
    roots.check_machine(str(engine.client.info().get("Architecture", "")))
    roots.install(report)
    try:
        with runs.temporary(engine) as place, ExitStack() as undo:
            place.folder.chmod(0o755)  # apt works in it as a user of its own
            made = _make_roots(engine, place.folder, undo, report)
            made |= _make_others(engine, place, made, undo, report)
            for stage, image_id in made.items():
                _tag(engine, image_id, TAGS[stage])
            undo.pop_all()
    except docker.errors.APIError as error:
        raise roots.failure("the engine refused", [str(error.explanation or error)]) from error


def _make_roots(engine: Engine, folder: Path, undo: ExitStack, report: Report) -> dict[str, str]:
    """The images of Debian itself: ids by stage, marked."""
    archive = roots.make(folder, report)
    made = {}
    for stage, slim in (("debian", False), ("debian-slim", True)):
        name = TAGS[stage][0]
        context = folder / stage
        context.mkdir()
        (context / "Dockerfile").write_text(_ROOT_DOCKERFILE)
        with ongoing(report, f"write {name}", key=stage) as step:
            try:
                roots.finish(archive, context / "rootfs.tar", slim=slim, extra=roots.machine_files())
            except (OSError, tarfile.TarError, KeyError) as error:
                raise roots.failure(f"the root of {name} could not be written", [str(error)]) from error
            made[stage] = _build(engine, context, step, name=name)
        shutil.rmtree(context)
        _mark(engine, made[stage], undo)
    archive.unlink()
    return made


def _make_others(
    engine: Engine, place: runs.Temporary, made: Mapping[str, str], undo: ExitStack, report: Report
) -> dict[str, str]:
    """The images on top of Debian: ids by stage, marked."""
    context = place.folder / "images"
    context.mkdir()
    text = _DOCKERFILE.read_text()
    arguments = {"DEBIAN": marker_tag(made["debian"]), "DEBIAN_SLIM": marker_tag(made["debian-slim"])}

    def build_stage(target: str, title: str, labels: Mapping[str, str]) -> str:
        (context / "Dockerfile").write_text(text)
        name = TAGS.get(target, (target,))[0]
        with ongoing(report, title, key=target) as step:
            return _build(engine, context, step, name=name, target=target, arguments=arguments, labels=labels)

    version, digest = _about(engine, build_stage("source", "fetch CPython's source", place.labels))
    text = text.replace("@PYTHON_VERSION@", version).replace("@PYTHON_SHA256@", digest)
    build_stage("everything", f"compile CPython {version} and install the images' packages", place.labels)
    others = {}
    for target in (target for target in TAGS if target not in made):
        others[target] = build_stage(target, f"write {TAGS[target][0]}", {})
        _mark(engine, others[target], undo)
    return others


def _build(
    engine: Engine,
    context: Path,
    step: Ongoing,
    *,
    name: str,
    target: str | None = None,
    arguments: Mapping[str, str] | None = None,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Build one image, and tell the step what goes on."""
    try:
        return build(
            engine,
            context,
            target=target,
            build_args=arguments,
            labels={STAND_IN_LABEL: name, **image_labels(BASE_PURPOSE), **labels},
            report=lambda shown: step.say(_doing(shown)) if shown.state == "running" else None,
            max_context_bytes=_MAX_CONTEXT,
        ).image_id
    except StepFailed as error:
        what = f"the build of {name} failed in line {error.line} of its Dockerfile"
        raise roots.failure(what, error.log.splitlines()) from error
    except BuildError as error:
        raise roots.failure(f"the build of {name} failed", [str(error)]) from error


def _doing(step: Step) -> str:
    """What a step of a build does, in a few words."""
    found = re.match(r"\[(\S+) ", step.title)
    work = _WORK.get(found[1], found[1]) if found else step.title
    compiled = _COMPILED.search(step.detail)
    return f"{work}: {compiled[1] if compiled else step.detail}".removesuffix(": ")


def _about(engine: Engine, image_id: str) -> tuple[str, str]:
    """The version and the SHA-256 of the source that this image holds."""
    container = engine.client.containers.create(image_id, ["never-started"], labels=runs.container_labels(engine))
    try:
        chunks, _ = container.get_archive("/about")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile("about")
            version, digest = (file.read() if file else b"").decode().split()
    finally:
        container.remove()
    return version, digest


def _mark(engine: Engine, image_id: str, undo: ExitStack) -> None:
    """Mark an image as the lab's own, until something later fails."""
    image = engine.client.images.get(image_id)
    if marker_tag(image_id) not in image.tags:
        mark_image(image)
        undo.callback(discard, engine, marker_tag(image_id))


def _tag(engine: Engine, image_id: str, names: tuple[str, ...]) -> None:
    """Give an image its names where they are free; one that gets none is of no use, and goes."""
    image = engine.client.images.get(image_id)
    for name in names:
        if find_image(engine, name) is None:
            image.tag(*parse_repository_tag(name))
    discard_unnamed(engine, image)
