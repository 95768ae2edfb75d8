"""Task 5: the final image takes the artifacts from a build stage, and nothing else."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from layerlab.dockerfile import shell_words
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import python_packages, runtime_stage, toolchain
from layerlab.exercise.tasks.context_files import strangers
from layerlab.exercise.tasks.judging import (
    CACHE,
    MULTI_STAGE,
    SINGLE_STAGE,
    final_chain,
    final_stage,
    finding,
    from_line,
    gone_but_stored,
    line_of,
    package_folders,
    python_cache,
    unavailable,
    untried,
)
from layerlab.exercise.tasks.package_sources import BUILD_STAGE, Provenance, Source, provenance
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.units import first_few, how_large

TASK: Final = 5
MOST_COPIED: Final = 10_000_000
"""Bytes that the layers may store a second time."""

_PYTHON: Final = r"/(?:site|dist)-packages/|/lib/python3[\d.]*t?/"
_OWN: Final = re.compile(rf"{_PYTHON}|/ensurepip/|^/usr/share/python-wheels/")
_SYSTEM: Final = re.compile(r"^/(?:usr/)?(?:lib|lib64|share)/|^/(?:usr/share|etc|var/lib)/")
_ARCHIVE: Final = re.compile(r"/[A-Za-z][\w.]*(?:-[\w.]+)*-v?\d[\w.]*\.(?:tar\.(?:gz|bz2|xz|zst)|tgz|zip)$")
_PACKED: Final = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|lz4|xz|zst))?|tgz|tbz2?|txz)$")
_SMALLEST_PACKED: Final = 1_000_000  # bytes of an archive that is a leftover whatever its name
_SOURCE: Final = re.compile(r"/(?:setup\.py|pyproject\.toml|PKG-INFO|CMakeLists\.txt|configure|Cargo\.toml|go\.mod)$")
_CACHE: Final = re.compile(
    r"/\.cache/(?:uv|pypoetry|pipenv|pdm|go-build|ccache)/|/pip/(?:http|http-v2|wheels)/"
    r"|/\.(?:cargo|rustup|npm|ccache|mypy_cache|pytest_cache|ruff_cache)/|/go/pkg/|/tmp/(?:pip|uv)-[^/]+/"
)
_WHEEL: Final = re.compile(r"\.whl$")
_OBJECT: Final = re.compile(r"\.(?:o|a|obj)$")
_INSTALLER: Final = re.compile(r"/bin/(?:uv|uvx|poetry|pdm|micromamba)$")

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
        yield finding(evidence, "error", message, _STAGE_HINTS, from_line(evidence))
    for source, names in found.used.items():
        if source.kind not in {BUILD_STAGE, "unknown"}:
            message = f"{first_few(names)} {_from(evidence, source)}, not from a build stage."
            ignored = [name for name in names if name in found.ignored]
            if ignored:
                where = f"line {found.ignored_line} brings" if found.ignored_line else "the image also holds"
                message += f" Those of {first_few(ignored)} that {where} from a build stage are not used."
            message += " What installs packages, and what it leaves behind, then belongs to the image that ships."
            yield finding(evidence, "error", message, _STAGE_HINTS, source.line or from_line(evidence))


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
            paths = {posixpath.normpath(f"/{shell_words.unquote(path)}").lstrip("/") for path in each.arguments[:-1]}
            if each.keyword not in {"COPY", "ADD"} or not reference or not paths & {"", "*"}:
                continue
            if source is None or _has_base(evidence, source.label):
                message = (
                    f"Line {each.line} copies the whole filesystem of {reference}: its base, its tools and all that "
                    "the build left there are shipped, not the artifacts alone."
                )
                yield finding(evidence, "error", message, _EVERYTHING_HINTS, each.line)


def _has_base(evidence: Evidence, label: str) -> bool:
    snapshot = evidence.stages.get(label)
    return snapshot is None or any(layer.is_base for layer in snapshot.layers)


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
        message += gone_but_stored(snapshot, files)
        message += (
            " The service needs the app and what starts it; other files may tell what was not meant to be told."
        )
        yield finding(evidence, "error", message, _CONTEXT_HINTS, line)


def _leftovers(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    yield from python_packages.caches(evidence, snapshot)
    tools = toolchain.tools(snapshot)
    with_compiler = {tool.layer for tool in tools if tool.kind == "compiler"}
    yield from runtime_stage.brought(evidence, snapshot, (tool for tool in tools if tool.layer in with_compiler))
    owned = {(tool.layer, file.path) for tool in tools for file in tool.files}
    found: dict[tuple[str, int], list[File]] = defaultdict(list)
    packages = package_folders(snapshot)
    for file in snapshot.files:
        kind = _kind(file, packages) if file.kind == "file" and (file.layer, file.path) not in owned else None
        if kind and snapshot.origins(file).kind != "context":
            found[kind, file.layer].append(file)
        if file.visible and file.kind == "file" and _INSTALLER.search(file.path):
            what = f"{file.path} ({how_large(file.bytes)}) came with line {line_of(snapshot, file)}"
            message = f"{what}; a running service installs nothing."
            yield finding(evidence, "advice", message, _LEFTOVER_HINTS, line_of(snapshot, file))
    for (kind, number), files in found.items():
        line = snapshot.layers[number].line
        largest = max(files, key=lambda file: file.bytes)
        size = how_large(sum(file.bytes for file in files))
        what = f"{len(files)} files of the build" if len(files) > 1 else "A file of the build"
        message = f"{what} ({kind}, {size}), such as {largest.path}, came with line {line}."
        message += gone_but_stored(snapshot, files) + " A build needs them, the service does not."
        yield finding(evidence, "error", message, _LEFTOVER_HINTS, line)


def _kind(file: File, packages: tuple[str, ...]) -> str | None:
    """What of a build it is, in the plural; the caches of pip and uv are told by findings of their own."""
    if python_cache(file):
        return None
    rules = [("caches", _CACHE)]
    if not _OWN.search(file.path) and not file.path.startswith(packages):
        rules += [("wheels", _WHEEL), ("object files and static libraries", _OBJECT)]
        if not _SYSTEM.search(file.path):
            rules += [("source archives", _ARCHIVE), ("unpacked sources", _SOURCE)]
            rules += [("archives", _PACKED)] if file.bytes >= _SMALLEST_PACKED else []
    return next((kind for kind, pattern in rules if pattern.search(file.path)), None)


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
