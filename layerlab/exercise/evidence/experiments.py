"""The experiments of a check: something in a copy of the workspace is changed, and it is built again.

How a Dockerfile installs its packages can be written in any number of ways; what a change makes it do can be seen.
What is tried of a step is tried after all that is built of it: a step that two builds have in hand at the same time
looks as if it were run again.
"""

from __future__ import annotations

import json
import posixpath
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from layerlab import dockerfile as dockerfiles
from layerlab import image as images
from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.exercise.evidence.facts import (
    AppChange,
    HandedOn,
    PinChange,
    PythonInstall,
    RanStep,
    Snapshot,
    SystemInstall,
)
from layerlab.exercise.evidence.installs import distribution_of, in_layer
from layerlab.exercise.evidence.workspace_builds import Outcome, Prepared
from layerlab.image.stack import LayerStack
from layerlab.image.store import file_reader as files
from layerlab.service import Running, observe
from layerlab.ui.progress import Step
from layerlab.ui.text import shorten

_SURELY_RUNS: Final = 0.3  # seconds
_PATIENCE: Final = 1.0  # seconds: a build that ends by itself soon need not be stopped, which takes as long
_CONTROLS: Final = 2
_REQUIREMENTS: Final = "requirements.txt"
_NOTES: Final = re.compile(r"(?P<folder>[^*?\[\]\\$]+)/(?P<name>\w+)-[^/-]+\.dist-info/METADATA")  # as COPY takes it
_RELEASE: Final = re.compile(r"^Version: *(\S+)", re.MULTILINE)
_BROKEN: Final = ".layerlab-broken"
_WRECKAGE: Final = b"broken, to see what misses it\n"

FITTING: Final[Mapping[str, tuple[str, ...]]] = {"cycler": ("0.12.0", "0.12.1"), "six": ("1.16.0", "1.17.0")}
"""Releases of small distributions in pure Python, any of which fits whatever needs them."""
NO_RELEASE: Final = "99999"
"""What no distribution has been released as: for a requirements.txt that pins none of those."""

_PACKED: Final = re.compile(r"\.(?:whl|zip|pex|pyz|t(?:ar\.)?(?:gz|bz2?|lz4|xz|zst)|tar)$")


class _Known(Exception):
    """What was asked is known, so the build need not go on."""


def change_app(prepared: Prepared, installs: Sequence[PythonInstall]) -> AppChange:
    """Append a comment line to every ``app/**/*.py`` and see whether a RUN that installs Python packages runs again.

    The build is stopped as soon as that is known.
    """
    found = AppChange()
    for number in range(1 + _CONTROLS if installs else 0):
        if number:
            # Other builds on this engine may have had that step in hand just then, or the build cache have lost it.
            # Built as it is once more, it is there again: only what runs right after that runs for the change's sake.
            prepared.experiment("as it is, once more", prepared.context)
        found = _change_app(prepared, installs)
        if not found.again:
            break
    return found


def _change_app(prepared: Prepared, installs: Sequence[PythonInstall]) -> AppChange:
    note = f"# {secrets.token_hex(16)}\n".encode()  # one that was built before would be in the build cache
    app = {
        entry.name: entry.path.read_bytes()
        for entry in prepared.context.entries
        if entry.name.startswith("app/") and entry.name.endswith(".py") and stat.S_ISREG(entry.status.st_mode)
    }
    # Empty lines at its end stay, so that this is a comment more and nothing else.
    changed = {
        name: content + (b"" if content.endswith(b"\n") or not content else b"\n") + note
        for name, content in app.items()
    }
    found, left, known_at = AppChange(), list(installs), 0.0

    def look(step: Step, told: RanStep) -> None:
        """Look at a step as it stands now; raises `_Known` when it is known whether one of the RUNs runs again."""
        nonlocal found, left, known_at
        if told.instruction.upper().startswith("FROM"):
            return
        # What has only just begun may turn out to be in the cache.
        runs = step.state == "running" and (step.seconds or 0.0) > _SURELY_RUNS
        if (runs or step.state in {"done", "failed"}) and not step.from_cache:
            # A step that is not in the cache leaves all later ones of its stage without it, too.
            for each in installs:
                if each.is_step(told) or (each.stage == told.stage and (told.line or each.line) < each.line):
                    copies = told.instruction.split(maxsplit=1)[:1] != ["RUN"]
                    found = AppChange(each, told.line if copies else None)
                    raise _Known
        if step.state == "cached":
            left = [each for each in left if not each.is_step(told)]
        if not left:
            known_at = known_at or time.monotonic()
            if time.monotonic() - known_at > _PATIENCE:
                raise _Known

    try:
        outcome = prepared.experiment("after a change of the app", prepared.changed(changed), look)
    except _Known:
        return found
    return found if found.again else AppChange(failure=outcome.failure)


def choose_pin(pinned: Mapping[str, str]) -> PinChange:
    """Which pin is changed, and to what."""
    for name, releases in FITTING.items():
        if name in pinned:
            return PinChange(name, pinned[name], next(each for each in releases if each != pinned[name]))
    name = min(pinned)
    return PinChange(name, pinned[name], NO_RELEASE)


def change_pin(prepared: Prepared, image_id: str, ran: Future[Running]) -> PinChange:
    """Build with another release pinned in requirements.txt, and see which one the service finds then.

    The change is always the same, so that the builder finds most of it in its cache at the next check. Only what the
    installation tells of that distribution is made an image: the rest would be hundreds of megabytes. In which folder
    the service finds it, the interpreter of the first image's container tells.
    """
    change = choose_pin(prepared.workspace.requirements)
    if all(entry.name != _REQUIREMENTS for entry in prepared.context.entries):
        return replace(change, is_sent=False)
    folders, text = _with_notes_alone(prepared, change.name, images.read(prepared.engine, image_id).stack)
    built = _with_change(prepared, change, text)
    if built.image_id is None:
        return _not_built(change, built)
    reader = files.for_image(prepared.engine, images.read(prepared.engine, built.image_id))
    notes = [reader.read(None, f"/{number}/METADATA") or b"" for number in range(len(folders))]
    found = [_RELEASE.search(note.decode(errors="replace")) for note in notes]
    interpreter = ran.result().interpreter
    used = interpreter.distributions.get(change.name) if interpreter else None
    folder = posixpath.dirname(used.location) if used else None
    if folder is None or folder in folders:
        here = {each[1] for place, each in zip(folders, found, strict=True) if each and folder in {place, None}}
        return replace(change, found=tuple(sorted(here)))
    # It lies in one file, which unpacks itself when it is started.
    built = _with_change(prepared, change)
    if built.image_id is None:
        return _not_built(change, built)
    again = observe(prepared.engine, built.image_id).interpreter
    known = again.distributions if again else {}
    return replace(change, found=(known[change.name].version,) if change.name in known else ())


def _not_built(change: PinChange, built: Outcome) -> PinChange:
    """A changed pin that the build has refused, or could not get."""
    failure = built.failure
    is_refused = failure and (failure.blame == "dockerfile" or f"{change.name}=={NO_RELEASE}" in built.said)
    refused = shorten(failure.message, 300) if failure and is_refused else ""
    return replace(change, refused=refused, failure=None if is_refused else failure)


def _with_change(prepared: Prepared, change: PinChange, dockerfile: str = "") -> Outcome:
    entry = next(entry for entry in prepared.context.entries if entry.name == _REQUIREMENTS)
    changed = with_pin(entry.path.read_bytes(), change.name, change.new)
    called = f"with {change.name} {change.new} in {_REQUIREMENTS}"
    return prepared.experiment(called, prepared.changed({_REQUIREMENTS: changed}, dockerfile))


def _with_notes_alone(prepared: Prepared, name: str, stack: LayerStack) -> tuple[list[str], str]:
    """The folders in which an image has a distribution, and a Dockerfile of nothing but its METADATA there.

    None, and no text, where that cannot be written down.
    """
    every = (each for layer in range(len(stack.layers)) for each in in_layer(stack, layer))
    paths = [stack.merged.paths[each.entry] for each in every if each.name == name]
    found = [_NOTES.fullmatch(path) for path in paths if stack.merged.find(path) is not None]
    places = sorted({(each["folder"], each["name"]) for each in found if each})
    copies = (
        f"COPY --from={prepared.dockerfile.target().index} "
        + json.dumps([f"{folder}/{spelled}-*.dist-info/METADATA", f"/{number}/"])
        for number, (folder, spelled) in enumerate(places)
    )
    text = "\n".join([prepared.context.text, "FROM scratch", *copies])
    is_meant = places and len(dockerfiles.parse(text).stages) == len(prepared.dockerfile.stages) + 1
    return ([folder for folder, _ in places], text) if is_meant else ([], "")


def with_pin(requirements: bytes, name: str, release: str) -> bytes:
    r"""A requirements.txt with another release of one distribution.

    >>> with_pin(b"a==1\nTool_Box [x] == 2.9 ; python_version > '3' \\\n  --hash=sha256:0\n", "tool-box", "3")
    b"a==1\nTool_Box [x] == 3 ; python_version > '3' \\\n  --hash=sha256:0\n"
    """
    called = "[-_.]+".join(map(re.escape, name.split("-")))
    pin = re.compile(rf"^([ \t]*{called}[ \t]*(?:\[[^\]\n]*\][ \t]*)?={{2,3}}[ \t]*)[^\s;,#\\]+", re.MULTILINE | re.I)
    return pin.sub(rf"\g<1>{release}", requirements.decode(errors="surrogateescape")).encode(errors="surrogateescape")


@dataclass(frozen=True)
class _Packed:
    """A wheel or an archive of a build stage that a RUN has at hand."""

    path: str  # where the RUN has it
    stage: str  # the label of the stage that made it
    mount: str = ""  # the mount's option that is this very file; empty otherwise

    def could_give(self, names: Sequence[str]) -> set[str]:
        """Which of these distributions may be in it."""
        known = distribution_of(self.path)
        return {known[0]} & set(names) if known else set(names)


def break_packed(
    prepared: Prepared, image: Snapshot, stages: Mapping[str, Snapshot], *, is_quick: bool = False
) -> tuple[HandedOn, ...]:
    """Break what RUNs of the final stage have from build stages (wheels, archives, packages), and see what they do.

    Only those RUNs are tried that install pinned distributions which such a file may hold. One that now fails, or
    does not install them any more, takes them from there.
    """
    found = []
    for install in image.python_installs:
        run = instruction_of(prepared.dockerfile, install.stage, install.line)
        packed = list(_packed(prepared.dockerfile, run, install, image, stages)) if run else []
        installed = (*install.distributions, *install.moved)
        names = {name for each in packed for name in each.could_give(installed)}
        if install.stage == image.stage and run and names:
            makers = tuple(sorted({each.stage for each in packed if each.could_give(installed)}))
            question = HandedOn(install.line, makers, tuple(sorted(names)))
            found.append(question if is_quick else _break(prepared, run, install.layer, packed, question))
    return tuple(found)


def instruction_of(dockerfile: Dockerfile, label: str, line: int) -> Instruction | None:
    """The RUN of a stage on a line; None for what ONBUILD asks for, which stands in another stage."""
    stage = dockerfile.find_stage(label)
    own = stage.instructions if stage else ()
    return next((each for each in own if each.line == line and each.keyword == "RUN"), None)


def _packed(
    dockerfile: Dockerfile, run: Instruction, install: PythonInstall, image: Snapshot, stages: Mapping[str, Snapshot]
) -> Iterator[_Packed]:
    """What other stages have made of these kinds, and a RUN found in the image or has mounted."""
    for file in image.files:
        if file.layer < install.layer and file.kind == "file" and _may_give(file.path):
            origin = image.origins(file)
            if origin.kind == "made" and origin.stage and origin.stage != image.stage:
                yield _Packed(file.path, origin.stage)
    for mount in run.mounts:
        stage = dockerfile.find_stage(mount.origin)
        snapshot = stages.get(stage.label) if stage else None
        for file in snapshot.files if snapshot else ():
            if not file.visible or file.kind != "file" or not _may_give(file.path):
                continue
            told = snapshot.origins(file) if snapshot else None
            maker = told.stage if told and told.kind == "made" else None
            if maker and file.path == mount.source:
                yield _Packed(mount.target, maker, mount.text)
            elif maker and (inside := posixpath.relpath(file.path, mount.source))[:2] != "..":
                yield _Packed(posixpath.join(mount.target, inside), maker)


def _may_give(path: str) -> bool:
    return _PACKED.search(path) is not None or distribution_of(path) is not None


def _break(
    prepared: Prepared, run: Instruction, layer: int, packed: Sequence[_Packed], question: HandedOn
) -> HandedOn:
    """Build up to a RUN, with these files broken for it."""
    mounts = " ".join(f"--mount=type=bind,source={_BROKEN},target={each.path}" for each in packed)
    text = prepared.up_to(run, mounts, [each.mount for each in packed if each.mount])
    context = prepared.changed({_BROKEN: _WRECKAGE}, text)
    built = prepared.experiment(f"line {run.line} without what a build stage made", context)
    if built.image_id is None:
        failure = built.failure
        is_missed = failure is not None and failure.blame == "dockerfile" and failure.line == run.line
        return replace(question, taken=question.names) if is_missed else replace(question, failure=failure)
    stack = images.read(prepared.engine, built.image_id).stack
    whole = (each for each in in_layer(stack, layer) if stack.merged.sizes[each.entry] != len(_WRECKAGE))
    installed = {each.name for each in whole}
    return replace(question, taken=tuple(name for name in question.names if name not in installed))


def without_index(prepared: Prepared, install: SystemInstall) -> SystemInstall:
    """Try an installation without the index that was there before: it fails if it did not fetch one itself."""
    run = instruction_of(prepared.dockerfile, install.stage, install.line)
    if not install.index or run is None:
        return install
    cached = [mount.text for mount in run.mounts if mount.target == install.index]
    text = prepared.up_to(run, f"--mount=type=tmpfs,target={install.index}", cached)
    failure = prepared.experiment(f"line {run.line} without the package index", prepared.changed({}, text)).failure
    if failure is None or (failure.blame == "dockerfile" and failure.line == run.line):
        return replace(install, needs_index=failure is not None)
    return replace(install, failure=failure)
