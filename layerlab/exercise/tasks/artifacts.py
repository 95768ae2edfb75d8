"""Task 5: the final image takes the artifacts from a build stage, and nothing else."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from layerlab.dockerfile import shell_words
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import places, python_packages, runtime_stage, toolchain
from layerlab.exercise.tasks.context_files import strangers
from layerlab.exercise.tasks.judging import (
    CACHE,
    MULTI_STAGE,
    SINGLE_STAGE,
    final_chain,
    final_stage,
    finding,
    line_of,
    unavailable,
    untried,
)
from layerlab.exercise.tasks.leftovers import Leftover, leftovers, tools_of_installation
from layerlab.exercise.tasks.package_sources import BUILD_STAGE, Provenance, Source, provenance
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.units import first_few, how_large

TASK: Final = 5
MOST_COPIED: Final = 10_000_000
"""Bytes that the layers may store a second time."""

_STAGE_HINTS: Final = (
    "Which stage runs the command that installs the packages which the service imports?",
    "Install them in the build stage, into one folder, and let the final stage take that folder and use it.",
    f"Virtual environment, one folder: “The build stage” in {MULTI_STAGE}.",
)
_EVERYTHING_HINTS: Final = (
    "Which folders of the build stage does the service open while it runs?",
    "Name these folders one by one; a copy of the whole filesystem ships everything that the build needed.",
    f"COPY --from: “The stage that ships” in {MULTI_STAGE}.",
)
_CONTEXT_HINTS: Final = (
    "Which files of your folder does the service need while it runs?",
    "Copy only these, or keep the others out of the build context, best by naming what may come in.",
    f"Allow-list: “The build context, and `.dockerignore`” in {CACHE}.",
)
_LEFTOVER_HINTS: Final = (
    "Does the running service ever open these files?",
    "Leave them in a stage that does not ship, or let a mount lend them to the one command that needs them.",
    f"Copied, left behind: “What is copied, and what is left behind” in {MULTI_STAGE}.",
)
_COPY_HINTS: Final = (
    "Which files does this layer store that an earlier layer, or the base, had already?",
    "A layer stores whole files: whatever owner or mode a file is to have, give it that when it is first stored.",
    f"COPY --chown, stored again: “Permissions: habit (8)” in {SINGLE_STAGE}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 5."""
    if evidence.image is None:
        return unavailable(TASK, evidence)
    snapshot = evidence.image
    found = provenance(evidence, snapshot, snapshot.visible)
    findings = [
        *_packages(evidence, found),
        *_everything(evidence),
        *_context(evidence, snapshot),
        *_leftovers(evidence, snapshot),
        *_copies(evidence, snapshot),
    ]
    failed = any(each.level == "error" for each in findings)
    message = untried(evidence)
    if not failed and (message or {source.kind for source in found.used} == {"unknown"}):
        message = message or "Where the installed packages come from could not be found out."
        return verdict.judge(TASK, [*findings, *unavailable(TASK, evidence, message).findings], unknown=True)
    return verdict.judge(TASK, findings)


def _packages(evidence: Evidence, found: Provenance) -> Iterator[Finding]:
    """Packages that the service uses and that no build stage made."""
    if not found.used:
        message = (
            "None of the packages of requirements.txt is in the image, so nothing that a build stage made is used."
        )
        yield finding(evidence, "error", message, _STAGE_HINTS, places.from_line(evidence))
    for source, names in found.used.items():
        if source.kind not in {BUILD_STAGE, "unknown"}:
            message = f"{first_few(names)} {_from(evidence, source)}, not from a build stage."
            ignored = [name for name in names if name in found.ignored]
            if ignored:
                where = f"line {found.ignored_line} brings" if found.ignored_line else "the image also holds"
                message += f" Those of {first_few(ignored)} that {where} from a build stage are not used."
            message += " What installs packages, and what it leaves behind, then belongs to the image that ships."
            yield finding(evidence, "error", message, _STAGE_HINTS, source.line or places.from_line(evidence))


def _from(evidence: Evidence, source: Source) -> str:
    if source.kind == "final":
        return f"were installed by line {source.line} in the final stage itself" if source.line else "were installed"
    if source.kind == "context":
        return "come from the build context"
    return "come from an image that the Dockerfile takes as it is"


def _everything(evidence: Evidence) -> Iterator[Finding]:
    """COPY of a whole filesystem, of a stage that began with more than nothing."""
    for stage in final_chain(evidence):
        for each in stage.instructions:
            reference = each.flag("from")
            source = evidence.dockerfile.find_stage(reference) if reference and evidence.dockerfile else None
            paths = [shell_words.unquote(path) for path in each.arguments[:-1]]
            if each.keyword not in {"COPY", "ADD"} or not reference or not any(_is_root(path) for path in paths):
                continue
            if source is None or _has_base(evidence, source.label):
                message = (
                    f"Line {each.line} copies the whole filesystem of {reference}: its base, its tools and all that "
                    "the build left there are shipped, not the artifacts alone."
                )
                yield finding(evidence, "error", message, _EVERYTHING_HINTS, each.line)


def _is_root(path: str) -> bool:
    return posixpath.normpath(f"/{path}").lstrip("/") in {"", "*"}


def _has_base(evidence: Evidence, label: str) -> bool:
    snapshot = evidence.stages.get(label)
    return snapshot is None or bool(snapshot.base_files)


def _context(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    by_line: dict[int | None, list[tuple[File, str]]] = defaultdict(list)
    for file, path in strangers(evidence, snapshot):
        by_line[line_of(snapshot, file)].append((file, path))
    for line, found in by_line.items():
        names = sorted({path for _, path in found})
        files = [file for file, _ in found]
        size = how_large(sum(file.bytes for file in files))
        where = f"line {line}" if line else "an instruction"
        folder = posixpath.commonpath([posixpath.dirname(file.path) for file in files])
        message = f"{first_few(names, 4)} of the build context came with {where} to {folder} ({size})."
        message += places.gone_but_stored(snapshot, files, size)
        message += (
            " The service needs the app and what starts it; other files may tell what was not meant to be told."
        )
        yield finding(evidence, "error", message, _CONTEXT_HINTS, line)


def _leftovers(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    yield from python_packages.caches(evidence, snapshot)
    tools = [tool for tool in toolchain.tools(snapshot) if tool.kind != "builder"]
    with_compiler = {tool.layer for tool in tools if tool.kind == "compiler"}
    yield from runtime_stage.brought(evidence, snapshot, (tool for tool in tools if tool.layer in with_compiler))
    for left in leftovers(snapshot, tools):
        yield _left(evidence, snapshot, left)
    for file in tools_of_installation(snapshot):
        what = f"{file.path} ({how_large(file.bytes)}) came with line {line_of(snapshot, file)}"
        message = f"{what}; a running service installs nothing."
        yield finding(evidence, "advice", message, _LEFTOVER_HINTS, line_of(snapshot, file))


def _left(evidence: Evidence, snapshot: Snapshot, left: Leftover) -> Finding:
    line = snapshot.layers[left.layer].line
    largest = max(left.files, key=lambda file: file.bytes)
    size = how_large(left.bytes)
    what = f"{len(left.files)} files of the build" if len(left.files) > 1 else "A file of the build"
    message = f"{what} ({left.kind}, {size}), such as {largest.path}, came with line {line}."
    message += places.gone_but_stored(snapshot, left.files, size)
    message += " A build needs them, the service does not."
    return finding(evidence, "error", message, _LEFTOVER_HINTS, line)


def _copies(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    """Bytes that layers store although the image had them already."""
    total = sum(copy.bytes for copy in snapshot.copies)
    if total <= MOST_COPIED:
        return
    by_layer: dict[int, int] = defaultdict(int)
    for copy in snapshot.copies:
        by_layer[copy.layer] += copy.bytes
    order = sorted(by_layer, key=lambda number: -by_layer[number])
    lines = [f"line {snapshot.layers[number].line} {how_large(by_layer[number])}" for number in order]
    of_largest = [copy for copy in snapshot.copies if copy.layer == order[0]]
    largest = max(of_largest, key=lambda copy: copy.bytes)
    again = sum(copy.bytes for copy in of_largest if copy.path == copy.of)
    how = (
        "stored again with another owner, mode or date"
        if 2 * again > by_layer[order[0]]
        else f"second copies, such as {largest.path} of {largest.of}"
    )
    message = (
        f"{how_large(total)} of what the image stores was there already, byte for byte ({first_few(lines, 4)}):"
        f" {how}. At most {how_large(MOST_COPIED)} may be, since everybody who pulls the image pulls it twice."
    )
    stage = final_stage(evidence)
    line = snapshot.layers[order[0]].line or (stage.line if stage else None)
    yield finding(evidence, "error", message, _COPY_HINTS, line)
