"""Makes stand-ins for the official images, from Debian's packages and nothing else.

``mmdebstrap`` makes a minimal system from the archive's packages, which it verifies by their signatures, and
``images/finish.sh`` makes the roots of ``debian:trixie`` and its slim form out of it; ``images/Dockerfile`` builds
the others on them. The official tags are given at the very end, and only where there is none.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import docker.errors
from docker.utils import parse_repository_tag

from layerlab.builder import build
from layerlab.engine import Engine, machine, ownership, runs
from layerlab.engine.machine import ending_with_us, is_debian, run
from layerlab.engine.symptoms import CLOCK_OFF, OFFLINE, is_disk_full
from layerlab.errors import BuildError, StandInError, StepFailed
from layerlab.service import read_file
from layerlab.ui.progress import Report, Step, ongoing
from layerlab.ui.text import shorten

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
PACKAGES: Final = ("mmdebstrap", "debian-archive-keyring", "mount")
ARCHIVE_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FINISH: Final = Path(__file__).parent / "images" / "finish.sh"
APT_SETTINGS: Final = re.compile(
    r"^Acquire::(?:https?::|Check-Valid-Until |Check-Date |Max-FutureTime |Retries |ForceIPv[46] ).*;$", re.MULTILINE
)
_FETCHING: Final = re.compile(
    r"Failed to (?:fetch|download)|Hash Sum mismatch|No matching distribution|Connection (?:failed|refused|reset)"
    r"|timed out|SSLError|Proxy",
    re.IGNORECASE,
)
"""What apt and pip print besides where it is the network that is at fault."""

SUITE: Final = "trixie"

EPOCH: Final = 1754697600
"""2025-08-09, trixie's release, in seconds since 1970. No file is newer: so the same packages make the same bytes."""


def make(engine: Engine, report: Report) -> None:
    """Make the stand-ins, and tag them where there is no image of that name yet.

    Raises:
        StandInError: one could not be made.
        EngineGone: the engine stopped answering.
    """
    check_machine(str(engine.client.info().get("Architecture", "")))
    install(report)
    try:
        with runs.temporary(engine) as (labels, folder), ExitStack() as undo:
            folder.chmod(0o755)  # apt works in it as a user of its own
            made: dict[str, str] = {}  # ids of the images, by stage
            for stage, context in make_roots(folder, report).items():
                (context / "Dockerfile").write_text(_ROOT_DOCKERFILE)
                made[stage] = _build(engine, context, f"write {TAGS[stage][0]}", report, stage=stage, labels={})
                shutil.rmtree(context)
                _mark(engine, made[stage], undo)
            _make_others(engine, folder / "images", labels, made, undo=undo, report=report)
            for stage, image_id in made.items():
                _tag(engine, image_id, TAGS[stage])
            undo.pop_all()
    except docker.errors.APIError as error:
        raise failure("the engine refused", [str(error.explanation or error)]) from error


def _make_others(
    engine: Engine,
    context: Path,
    temporary: Mapping[str, str],
    made: dict[str, str],
    *,
    undo: ExitStack,
    report: Report,
) -> None:
    """Add the images on top of Debian, marked; what is built on the way has the labels of what goes."""
    context.mkdir()
    text = _DOCKERFILE.read_text()
    debian, slim = (ownership.marker_tag(made[stage]) for stage in ("debian", "debian-slim"))
    options = {"build_args": {"DEBIAN": debian, "DEBIAN_SLIM": slim}}

    def build_stage(target: str, title: str, labels: Mapping[str, str]) -> str:
        (context / "Dockerfile").write_text(text)
        return _build(engine, context, title, report, stage=target, labels=labels, target=target, **options)

    source = build_stage("source", "fetch CPython's source", temporary)
    version, digest = (read_file(engine, source, "/about") or b"").decode().split()
    text = text.replace("@PYTHON_VERSION@", version).replace("@PYTHON_SHA256@", digest)
    build_stage("everything", f"compile CPython {version} and install the images' packages", temporary)
    for target in (target for target in TAGS if target not in made):
        made[target] = build_stage(target, f"write {TAGS[target][0]}", {})
        _mark(engine, made[target], undo)


def _build(
    engine: Engine, folder: Path, title: str, report: Report, *, stage: str, labels: Mapping[str, str], **options: Any
) -> str:
    """Build the image of a stage; what goes on is told as one step."""
    name = TAGS.get(stage, (stage,))[0]
    given = {ownership.STAND_IN_LABEL: name, **ownership.image_labels(ownership.BASE_PURPOSE), **labels}
    try:
        with ongoing(report, title, key=stage) as step:

            def tell(shown: Step) -> None:
                if shown.state == "running":
                    step.say(shown.detail or shown.title)

            return build(engine, folder, labels=given, report=tell, **options).image_id
    except StepFailed as error:
        what = f"the build of {name} failed in line {error.line} of its Dockerfile"
        raise failure(what, error.log.splitlines()) from error
    except BuildError as error:
        raise failure(f"the build of {name} failed", [str(error)]) from error


def _mark(engine: Engine, image_id: str, undo: ExitStack) -> None:
    """Mark an image as the lab's own, until something later fails."""
    image = engine.client.images.get(image_id)
    if ownership.marker_tag(image_id) not in image.tags:
        ownership.mark_image(image)
        undo.callback(ownership.discard, engine, ownership.marker_tag(image_id))


def _tag(engine: Engine, image_id: str, names: tuple[str, ...]) -> None:
    """Give an image its names where they are free; one that gets none is of no use, and goes."""
    image = engine.client.images.get(image_id)
    for name in names:
        if ownership.find_image(engine, name) is None:
            image.tag(*parse_repository_tag(name))
    ownership.discard_unnamed(engine, image)


def check_machine(machine: str) -> None:
    """See to it that roots can be made here for an engine on such a machine, ``x86_64`` or so; empty if not known.

    Raises:
        StandInError: this is no Debian or Ubuntu, the user is not root, or the engine's machine is of another kind.
    """
    elsewhere = "or use an engine that reaches a registry, or get the base images with `docker load`"
    if not is_debian():
        raise StandInError(
            "stand-ins for the base images can be made on Debian and Ubuntu only",
            remedy=f"run ./lab there, {elsewhere}",
        )
    if os.geteuid() != 0:
        raise StandInError(
            "making stand-ins for the base images needs root", remedy=f"run ./lab as root, {elsewhere}"
        )
    if machine not in {"", platform.machine()}:
        raise StandInError(
            f"stand-ins for an engine on {machine} cannot be made on {platform.machine()}",
            remedy=f"run ./lab on a machine like the engine's, {elsewhere}",
        )


def install(report: Report) -> None:
    """Install what making roots needs, where it is missing."""
    if shutil.which("mmdebstrap") and shutil.which("mount") and ARCHIVE_KEYS.is_file():
        return
    machine.install("mmdebstrap", PACKAGES, report, error=StandInError)


def apt_settings() -> str:
    """How apt reaches its servers from this machine (proxies, retries, a clock that is off), as apt.conf lines.

    mmdebstrap does not read the machine's own configuration, and would not get through where apt does.
    """
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return "".join(f"{line}\n" for line in APT_SETTINGS.findall(dump.stdout))


def make_roots(folder: Path, report: Report) -> dict[str, Path]:
    """Make a minimal Debian, and return the folders with a ``rootfs.tar`` for its image and for its slim image."""
    root, settings = folder / "root", folder / "apt.conf"
    settings.touch(mode=0o600)  # a proxy's address may hold a password
    settings.write_text(apt_settings())
    # No mirror is named: mmdebstrap knows Debian's own.
    command = ["mmdebstrap", "--variant=minbase", "--format=directory", "--dpkgopt=force-unsafe-io"]
    command += [f"--aptopt={settings}", SUITE, str(root)]
    started = partial(run, report=report, environment={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)})
    title = f"make a minimal Debian ({SUITE})"
    started(ending_with_us(command), title, failed=partial(failure, "mmdebstrap failed"))
    made = {stage: folder / stage for stage in ("debian", "debian-slim")}
    for context in made.values():
        context.mkdir()
    tars = [str(context / "rootfs.tar") for context in made.values()]
    failed = partial(failure, "the root could not be finished")
    started(["sh", str(FINISH), str(root), *tars], "finish it as Debian's images are", failed=failed)
    shutil.rmtree(root)
    return made


def failure(what: str, lines: list[str]) -> StandInError:
    """The error for something that failed and printed these lines, with whose fault it most likely is."""
    text = "\n".join(lines)
    wrong = [line for line in lines if re.match(r"E: |ERROR|error: |.*: error", line)] or list(filter(None, lines))
    cause = shorten(" ".join(wrong[-2:]), 300) or "it said nothing"
    if is_disk_full(text):
        remedy = "the disk is full: make room (about 4 GB are needed) and repeat"
    elif CLOCK_OFF.search(text):
        remedy = "the clock of this machine is off: set it (see `date`) and repeat"
    elif OFFLINE.search(text) or _FETCHING.search(text):
        remedy = "the network's fault, most likely: see whether Debian's archive and PyPI are reachable, and repeat"
    else:
        remedy = "read what it says, mend it and repeat; what was built is found again"
    return StandInError(f"no stand-in could be made: {what}: {cause}", remedy=remedy)
