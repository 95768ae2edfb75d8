"""Task 1: a proper build stage: named, with a pinned base, and the service uses what it made."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from layerlab.dockerfile import Dockerfile, Stage
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import judging, runtime_stage
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 1
_PLACEHOLDERS: Final = """
    aaa abc alias another any anything asdf bar baz bbb bla blah blub ccc changeme default demo dockerfile dummy
    eins example fixme foo foobar four first hello image img ipsum label layer lorem mystage myimage name new
    none nothing number old one other part phase placeholder qux quux qwerty sample second some something stage
    stageone stagetwo step stuff temp temporary test testing tests third thing three tmp todo two unknown
    unnamed untitled whatever world xxx xyz yyy zzz my the and
"""
_LONGEST: Final = 40  # characters of a part of a name that are read: more might be read in very many ways
_MADE_OF_PLACEHOLDERS: Final = re.compile(f"(?:{'|'.join(_PLACEHOLDERS.split())})+")
"""One of them, or several joined, such as ``firststage``."""
_FILES_LOOKED_AT: Final = 60  # of a distribution: all of one come by the same way


_NAME_HINTS: Final = (
    "If you read only its name, would you know what the stage is there for?",
    "Give the stage a name that says what it makes or does; COPY --from then reads like a sentence.",
    f"AS build: “The build stage” in {judging.MULTI_STAGE}.",
)
_BASE_HINTS: Final = (
    "Which version of the base will this build take next month?",
    "Name the version that you tested with, so that the same Dockerfile builds the same image later.",
    f"A tag, digests: “The base image: habit (1)” in {judging.SINGLE_STAGE}.",
)
_USE_HINTS: Final = (
    "If you took that stage away, what would the running service miss?",
    "Let the stage make what the service needs, and let the final stage take exactly that from it.",
    f"COPY --from, the same path: “The stage that ships” in {judging.MULTI_STAGE}.",
)
_ONE_STAGE_HINTS: Final = (
    "What of all that this image holds is needed only while it is made?",
    "Make things in a stage of their own; what ships begins anew, and takes from it only what the service needs.",
    f"Stages, COPY --from: “The idea” in {judging.MULTI_STAGE}.",
)
_ALL_OF_IT_HINTS: Final = (
    "What does the final image lack that the build stage has?",
    "Begin the final stage with a base that has no tools, and copy into it what the service needs.",
    f"Copied, left behind: “What is copied, and what is left behind” in {judging.MULTI_STAGE}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 1."""
    dockerfile, final, image = evidence.dockerfile, evidence.final, evidence.image
    others = [stage for stage in dockerfile.needed(final) if stage.index != final.index]
    if not others:
        return verdict.judge(TASK, [_nothing_but_the_final_stage(dockerfile, final)])
    flaws = {stage.label: list(_flaws(dockerfile, stage)) for stage in others}
    advice = [flaw for stage in others for flaw in flaws[stage.label]]
    makers = _makers(evidence)
    if used := [stage for stage in others if stage.label in makers]:
        good = any(not flaws[stage.label] for stage in used)
        errors = [replace(flaw, level="error") for stage in used for flaw in flaws[stage.label]]
        together = [_not_apart(evidence)] if all(stage in evidence.chain for stage in used) else []
        return verdict.judge(TASK, [*(advice if good else errors), *together])
    if untried := judging.untried(evidence):
        return judging.unknown(TASK, untried)
    idle = next((stage for stage in others if not flaws[stage.label]), others[-1])
    unused = judging.finding("error", _unused(image, idle), _USE_HINTS, idle.line)
    return verdict.judge(TASK, [unused, *advice])


def _nothing_but_the_final_stage(dockerfile: Dockerfile, final: Stage) -> Finding:
    if len(dockerfile.stages) == 1:
        message = "The Dockerfile has one stage only, so whatever is needed to build ships with the image:"
        message += " compilers, caches and leftovers take space and help an attacker."
        return judging.finding("error", message, _ONE_STAGE_HINTS, final.line)
    idle = dockerfile.stages[-2]
    message = f"The final stage (line {final.line}) takes nothing from the stage {_called(idle)},"
    message += " so BuildKit does not even run it, and the image is that of a single stage."
    return judging.finding("error", message, _USE_HINTS, idle.line)


def _not_apart(evidence: Evidence) -> Finding:
    """Of a final stage that only goes on where another one ends: whatever is there ships, the tools above all."""
    tools = sorted(runtime_stage.tools(evidence.image), key=lambda tool: -tool.bytes)
    shipped = [tool.name for tool in tools]
    message = f"The final stage is FROM {_called(evidence.chain[-2])}, so all that is there ships,"
    message += " and nothing is left"
    message += " behind"
    message += f": {first_few(shipped)} among it." if shipped else ", although nothing here seems to be too much."
    return judging.finding("error" if shipped else "advice", message, _ALL_OF_IT_HINTS, evidence.final.line)


def _called(stage: Stage) -> str:
    return f"“{shorten(stage.name, 60)}”" if stage.name else f"number {stage.index}, which has no name"


def _flaws(dockerfile: Dockerfile, stage: Stage) -> Iterator[Finding]:
    """What is wrong with a stage's name and base, as advice."""
    name = ""
    if not stage.name:
        name = (
            f"Stage number {stage.index} has no name: COPY --from={stage.index} says nothing to a reader, and means "
            "another stage as soon as one is put before it."
        )
    elif not is_descriptive(stage.name):
        name = (
            f"The name “{shorten(stage.name, 60)}” does not say what the stage is for; it needs three letters or "
            "more and must not be a placeholder."
        )
    if name:
        yield judging.finding("advice", name, _NAME_HINTS, stage.line)
    root = dockerfile.chain(stage)[0]
    if not is_pinned(root.base):
        where = "" if root is stage else f" (of the stage {_called(root)} on line {root.line}, which it builds on)"
        message = f"Its base {shorten(root.base, 80)}{where} names no version but the latest,"
        message += " so the same Dockerfile may build something else tomorrow."
        yield judging.finding("advice", message, _BASE_HINTS, stage.line)


def is_descriptive(name: str) -> bool:
    """Whether a stage's name has three letters or more and says something."""
    parts = [part for part in re.split(r"[-_.\d]+", name.lower()) if part]
    meaningful = [
        part
        for part in parts
        if len(part) > 1 and not _MADE_OF_PLACEHOLDERS.fullmatch(part[:_LONGEST]) and len(set(part)) > 1
    ]
    return sum(character.isalpha() for character in name) >= 3 and bool(meaningful)


def is_pinned(reference: str) -> bool:
    """Whether an image's reference names a digest, or a tag other than latest; `scratch` never changes."""
    if "@" in reference or reference == "scratch":
        return True
    _, colon, tag = reference.rpartition("/")[2].partition(":")
    return bool(colon and tag) and tag != "latest"


def _makers(evidence: Evidence) -> set[str]:
    """The labels of the stages other than the final one that made something which the service uses."""
    final, makers = evidence.final, set[str]()
    lines: set[int] = set()  # of what made something in the final stage itself
    for file in _used_files(evidence):
        origin = evidence.image.origins(file)
        if origin.kind == "made" and origin.stage != final.label and origin.stage is not None:
            makers.add(origin.stage)
        elif origin.kind == "made" and origin.line is not None:
            lines.add(origin.line)
    for tried in evidence.handed_on:
        if tried.line in lines and tried.taken:
            makers |= set(tried.stages) - {final.label}
    return makers


def _used_files(evidence: Evidence) -> Iterator[File]:
    """Files that the service runs with: its packages, itself, its interpreter and what that loads."""
    visible, installed = evidence.image.visible, judging.installed_distributions(evidence)
    for name in installed:
        if name in evidence.requirements or not evidence.requirements:
            files = judging.package_files(evidence.image, installed[name])
            named = (file for file in files if file.bytes and ".dist-info/" not in file.path)
            yield from [file for file in named if not file.path.endswith((".pyc", "/py.typed"))][:_FILES_LOOKED_AT]
    for folder in judging.app_folders(evidence):
        modules = (path for path in visible if posixpath.dirname(path) == folder and path.endswith((".py", ".pyc")))
        yield from (visible[path] for path in modules)
    if interpreter := evidence.running.interpreter:
        own = [interpreter.executable, *(f"{folder}/os.py" for folder in interpreter.path)]
        for path in (*own, *interpreter.path):
            file = visible.get(path)
            if file and file.kind == "file":
                yield file
    yield from judging.bundles(evidence)
    if evidence.level == 2:
        libraries = (path for path in visible if posixpath.basename(path).startswith("libpq.so"))
        yield from (visible[path] for path in libraries if visible[path].kind == "file")


def _unused(image: Snapshot, stage: Stage) -> str:
    """What to say of a stage that contributes nothing."""
    came = [file for file in image.files if file.visible and stage.label in image.origins(file).through]
    arrived = sum(file.bytes for file in came)
    if came:
        much = f"{how_large(arrived)} in {counted(len(came), 'file')}"
        return (
            f"{much} come from the stage {_called(stage)}, "
            f"such as {shorten(came[0].path, 100)}, but the running service uses nothing that was made there."
        )
    return f"Nothing that was made in the stage {_called(stage)} reaches the running service."
