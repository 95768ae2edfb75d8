"""Makes stand-ins for the official images, from Debian's packages and nothing else.

Two roots (`layerlab.bases.roots`) become ``debian:trixie`` and its slim form; ``images/Dockerfile`` builds the others
on them. The official tags are given at the very end, and only where there is none: whoever stops this half-way
finds no half-made image under an official name, and what BuildKit has done by then is in its cache.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import docker.errors
import requests
from docker.utils import parse_repository_tag

from layerlab.bases import host, roots
from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine.ownership import BASE_PURPOSE, STAND_IN_LABEL, image_labels, mark_image, marker_tag
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
_FOLDERS: Final = "layerlab-bases-"
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
    host.check(str(engine.client.info().get("Architecture", "")))
    host.install(report)
    try:
        with _folder() as folder, ExitStack() as undo:
            made = _make_roots(engine, folder, undo, report)
            made |= _make_others(engine, folder, made, undo, report=report)
            for stage, image_id in made.items():
                _tag(engine, image_id, TAGS[stage])
            undo.pop_all()
    except docker.errors.APIError as error:
        raise host.failure("the engine refused", [str(error.explanation or error)]) from error


def _make_roots(engine: Engine, folder: Path, undo: ExitStack, report: Report) -> dict[str, str]:
    """The images of Debian itself: ids by stage, marked."""
    archive = roots.make(folder, report)
    made = {}
    for stage, slim in (("debian", False), ("debian-slim", True)):
        name = TAGS[stage][0]
        context = folder / stage
        context.mkdir()
        (context / "Dockerfile").write_text(_ROOT_DOCKERFILE)
        with ongoing(report, stage, f"write {name}") as step:
            try:
                roots.finish(archive, context / "rootfs.tar", slim=slim, extra=roots.machine_files())
            except (OSError, tarfile.TarError, KeyError) as error:
                raise host.failure(f"the root of {name} could not be written", [str(error)]) from error
            made[stage] = _build(engine, context, step, name=name)
        shutil.rmtree(context)
        _mark(engine, made[stage], undo)
    archive.unlink()
    return made


def _make_others(
    engine: Engine, folder: Path, made: Mapping[str, str], undo: ExitStack, *, report: Report
) -> dict[str, str]:
    """The images on top of Debian: ids by stage, marked."""
    context = folder / "images"
    context.mkdir()
    text = _DOCKERFILE.read_text()
    arguments = {"DEBIAN": marker_tag(made["debian"]), "DEBIAN_SLIM": marker_tag(made["debian-slim"])}

    def stage(name: str, title: str) -> str:
        (context / "Dockerfile").write_text(text)
        with ongoing(report, name, title) as step:
            return _build(engine, context, step, name=TAGS.get(name, (name,))[0], target=name, arguments=arguments)

    others = {}
    with ExitStack() as temporary:
        source = stage("source", "fetch CPython's source")
        temporary.callback(_remove, engine, source)
        version, digest = _about(engine, source)
        text = text.replace("@PYTHON_VERSION@", version).replace("@PYTHON_SHA256@", digest)
        everything = stage("everything", f"compile CPython {version} and install the images' packages")
        temporary.callback(_remove, engine, everything)
        for name in (name for name in TAGS if name not in made):
            others[name] = stage(name, f"write {TAGS[name][0]}")
            _mark(engine, others[name], undo)
    return others


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, on the disk rather than in memory; apt works in it as a user of its own.

    It is locked as long as this process lives. What a killed one has left, gigabytes at worst, is removed first.
    """
    disk = Path("/var/tmp")  # noqa: S108  # mkdtemp makes a folder there that nobody else can write to
    parent = disk if disk.is_dir() else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_FOLDERS}*"):
        with suppress(OSError), _locked(left):  # one that is in use, or another user's, stays
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_FOLDERS, dir=parent) as name, _locked(Path(name)):
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the kernel lets go of it however the process ends.

    Raises:
        OSError: another process holds it, or it cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _build(
    engine: Engine,
    context: Path,
    step: Ongoing,
    *,
    name: str,
    target: str | None = None,
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Build one image, and tell the step what goes on."""
    try:
        return build(
            engine,
            context,
            target=target,
            build_args=arguments,
            labels={STAND_IN_LABEL: name, **image_labels(BASE_PURPOSE)},
            report=lambda shown: step.say(_doing(shown)) if shown.state == "running" else None,
            max_context_bytes=_MAX_CONTEXT,
        ).image_id
    except StepFailed as error:
        what = f"the build of {name} failed in line {error.line} of its Dockerfile"
        raise host.failure(what, error.log.splitlines()) from error
    except BuildError as error:
        raise host.failure(f"the build of {name} failed", [str(error)]) from error


def _doing(step: Step) -> str:
    """What a step of a build does, in a few words."""
    found = re.match(r"\[(\S+) ", step.title)
    work = _WORK.get(found[1], found[1]) if found else step.title
    compiled = _COMPILED.search(step.detail)
    return f"{work}: {compiled[1] if compiled else step.detail}".removesuffix(": ")


def _about(engine: Engine, image_id: str) -> tuple[str, str]:
    """The version and the SHA-256 of the source that this image holds."""
    container = engine.client.containers.create(image_id, ["never-started"], labels=runs.labels(engine))
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
        undo.callback(_remove, engine, marker_tag(image_id))


def _tag(engine: Engine, image_id: str, names: tuple[str, ...]) -> None:
    """Give an image its names where they are free; one that gets none is of no use, and goes."""
    image = engine.client.images.get(image_id)
    for name in names:
        try:
            engine.client.images.get(name)
        except docker.errors.ImageNotFound:
            image.tag(*parse_repository_tag(name))
    image.reload()
    if image.tags == [marker_tag(image_id)]:
        _remove(engine, image.tags[0])


def _remove(engine: Engine, image: str) -> None:
    with suppress(requests.RequestException):  # something else needs it by now, or the engine is gone
        engine.client.images.remove(image)
