"""Task 2: system packages in one efficient command, and nothing of it left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from layerlab.dockerfile import Instruction, Stage
from layerlab.dockerfile.shell.commands import Command, SystemCommand, commands, system_install
from layerlab.exercise import verdict
from layerlab.exercise.evidence.model import Evidence, File, Snapshot
from layerlab.exercise.tasks import common
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 2
_MOST_FINDINGS: Final = 5  # of one kind
_RECOMMENDS_OFF: Final = re.compile(
    r"""Install-Recommends\\?["']?[\s=]{1,20}\\?["']?(?:false|no|0|off)\b""", re.IGNORECASE
)
_APT_CONFIGURATION: Final = re.compile(r"/etc/apt/apt\.conf(\.d/[^/]+)?")
_SHIPPED: Final = re.compile(
    r"(?P<index>/var/lib/apt/lists/.+|/var/cache/apt/[^/]+\.bin|.*/APKINDEX\.[^/]+|/var/cache/(?:dnf|yum|libdnf5)/.+"
    # apt's own names of them, wherever its settings put them
    r"|.*/[^/]+_dists_[^/]+_(?:Packages|Sources|Translation-[\w-]+|Contents-[\w-]+)(?:\.[a-z0-9]+)?"
    r"|.*/(?:src)?pkgcache\.bin)"
    r"|(?P<archive>/var/cache/apt/archives/.+|/(?:var/cache|etc)/(?:apk|apk/cache)/.+\.apk|.+\.(?:deb|udeb|rpm|apk))"
)
_ONE_RUN_HINTS: Final = (
    "How many layers does the image need for all the packages of this stage?",
    "Let one RUN do everything that concerns system packages: fetch the index, install, tidy up.",
    f"“System packages: habits (3), (4), (5) and (6)” in {common.SINGLE_STAGE}, and the RUN of {common.MULTI_STAGE}.",
)
_UPDATE_HINTS: Final = (
    "What does this line find next month, when the layer with the index still comes from the cache?",
    "Fetch the index in the same command that installs from it.",
    f"“When the cache lies” in {common.CACHE}.",
)
_RECOMMENDS_HINTS: Final = (
    "Which of the packages that were installed did you ask for?",
    "The package manager has an option that leaves out what is merely recommended or cached.",
    f"--no-install-recommends (for apk: --no-cache) is shown in {common.MULTI_STAGE}, “The build stage”.",
)
_SHIPPED_HINTS: Final = (
    "Who reads the index of packages once the image is built?",
    "What one layer stores, a later one cannot take away: tidy up in the very command that made it.",
    f"“Which bytes are wasted, and by whom” in {common.BYTES}; cache mounts are in {common.CACHE}.",
)


@dataclass(frozen=True)
class _Installing:
    """A RUN that installs system packages.

    Attributes:
        stage: Its stage.
        run: The instruction.
        before: What the package managers are told before the last installation, that included.
        packages: Those that it added; empty where that is not known.
        is_read: Whether the commands that install were found by reading the instruction.
    """

    stage: Stage
    run: Instruction
    before: tuple[SystemCommand, ...]
    packages: tuple[str, ...]
    is_read: bool


def judge(evidence: Evidence) -> Result:
    """Judge task 2."""
    dockerfile = evidence.dockerfile
    if dockerfile is None:
        return common.unavailable(TASK, evidence)
    stages = [stage for stage in dockerfile.needed(dockerfile.target()) if _ran(evidence, stage)]
    findings: list[Finding] = []
    for stage in stages:
        runs = (*stage.triggered, *stage.instructions)
        installing = [found for run in runs if (found := _installing(evidence, stage, run))]
        findings += _too_many(evidence, installing)
        for each in installing:
            findings += _flaws(evidence, each)
    if evidence.image is None:
        if findings:
            return verdict.judge(TASK, findings)
        return common.unavailable(TASK, evidence)
    return verdict.judge(TASK, [*findings, *_shipped(evidence, evidence.image)])


def _ran(evidence: Evidence, stage: Stage) -> bool:
    return evidence.image is None or not evidence.ran_stages or stage.label in evidence.ran_stages


def _installing(evidence: Evidence, stage: Stage, run: Instruction) -> _Installing | None:
    if run.keyword != "RUN" or evidence.dockerfile is None:
        return None
    read = [system_install(command) for command in commands(evidence.dockerfile, run, evidence.context)]
    told = [each for each in read if each]
    last = max((index for index, each in enumerate(told) if each.verb == "install"), default=-1)
    seen = [each for each in evidence.system_installs if each.stage == stage.label and each.line == run.line]
    if last < 0 and (not seen or run in stage.triggered):  # all that ONBUILD asks for has one line, that of FROM
        return None
    packages = tuple(name for each in seen for name in each.packages)
    return _Installing(stage, run, tuple(told[: last + 1]), packages, last >= 0)


def _too_many(evidence: Evidence, installing: list[_Installing]) -> Iterator[Finding]:
    for each in installing[1 : 1 + _MOST_FINDINGS]:
        first = installing[0].run.line
        names = f" ({first_few(each.packages)})" if each.packages else ""
        message = (
            f"{len(installing)} RUNs of the stage {_called(each.stage)} install system packages; this one{names} "
            f"comes after line {first}. Each stores the package database again, and they may use different indexes."
        )
        yield common.finding(evidence, "error", message, _ONE_RUN_HINTS, each.run.line)


def _called(stage: Stage) -> str:
    return f"“{shorten(stage.name, 60)}”" if stage.name else f"on line {stage.line}"


def _flaws(evidence: Evidence, each: _Installing) -> Iterator[Finding]:
    """What is wrong with one installing RUN."""
    if not each.is_read:
        yield from _unread(evidence, each)
        return
    installs = [command for command in each.before if command.verb == "install"]
    managers = {command.manager for command in installs}
    if managers & {"apt", "apk"} and not _updates(each):
        message = (
            "This RUN installs system packages without fetching the package index itself, so it works with an index "
            f"that some other layer holds{_elsewhere(evidence, each)}, however old that is."
        )
        yield common.finding(evidence, "error", message, _UPDATE_HINTS, each.run.line)
    if any(command.manager == "apt" and not command.no_recommends for command in installs) and not _configured(
        evidence, each
    ):
        yield common.finding(evidence, "error", _recommends(each), _RECOMMENDS_HINTS, each.run.line)
    if any(command.manager == "apk" and not command.no_cache for command in installs) and not _caches(
        each.run, "apk"
    ):
        message = "apk installs here without --no-cache, so it keeps a copy of the package index in this layer."
        yield common.finding(evidence, "error", message, _RECOMMENDS_HINTS, each.run.line)


def _updates(each: _Installing) -> bool:
    return any(command.updates for command in each.before) or (
        _caches(each.run, "apk") and any(command.manager == "apk" for command in each.before)
    )


def _elsewhere(evidence: Evidence, each: _Installing) -> str:
    """Where the index is fetched instead."""
    for other in each.stage.instructions:
        if other.keyword == "RUN" and other.line < each.run.line and evidence.dockerfile:
            told = map(system_install, commands(evidence.dockerfile, other, evidence.context))
            if any(command and command.updates for command in told):
                return f" (that of line {other.line})"
    return ""


def _recommends(each: _Installing) -> str:
    asked = {name for command in each.before if command.verb == "install" for name in command.packages}
    more = len(each.packages) - len(asked)
    added = f" {len(each.packages)} packages came for the {len(asked)} that it names." if more > 0 else ""
    installs = [command for command in each.before if command.verb == "install"]
    careless = [command for command in installs if not command.no_recommends]
    # Where others of the same RUN do better, it matters which is meant.
    what = f" {first_few(careless[0].packages)}" if len(careless) < len(installs) else ""
    return (
        f"apt installs{what} here without --no-install-recommends, so packages come along that nothing needs.{added} "
        "They cost time, space and security updates."
    )


def _caches(run: Instruction, manager: str) -> bool:
    """Whether a cache mount holds what the package manager keeps."""
    mounts = (value for name, value in run.flags if name == "mount" and "type=cache" in value)
    return any(f"/{manager}" in value for value in mounts)


def _configured(evidence: Evidence, each: _Installing) -> bool:
    """Whether apt's configuration leaves recommended packages out, by what the RUN finds or writes itself."""
    if evidence.dockerfile is None:
        return False
    if _configures_itself(commands(evidence.dockerfile, each.run, evidence.context)):
        return True
    stages = _chain(evidence, each.stage)
    if evidence.image is None:  # without a snapshot, what the Dockerfile and the context say has to do
        texts = [other.text for stage in stages for other in stage.instructions if other.line < each.run.line]
        texts += [content.decode(errors="replace") for path, content in evidence.context.items() if "apt" in path]
        return any(_RECOMMENDS_OFF.search(text) for text in texts)
    labels = {stage.label for stage in stages}
    named = _named_configurations(stages)
    snapshot = _snapshot(evidence, each.stage)
    for file in (*snapshot.files, *snapshot.base_files.values()) if snapshot else ():
        if file.kind != "file" or not (_APT_CONFIGURATION.fullmatch(file.path) or file.path in named) or not snapshot:
            continue
        is_base = snapshot.base_files.get(file.path) is file
        layer = None if is_base else common.layer_of(snapshot, file)
        if layer and (layer.stage not in labels or (layer.line or 0) > each.run.line):
            continue
        content = snapshot.contents(layer.index if layer else None, file.path) or b""
        if _RECOMMENDS_OFF.search(_without_comments(content.decode(errors="replace"))):
            return True
    return False


def _configures_itself(read: tuple[Command, ...]) -> bool:
    """Whether a RUN writes such a configuration itself."""
    return any(
        _RECOMMENDS_OFF.search(_without_comments("\n".join((" ".join(command.words), *command.heredocs))))
        and any("/apt" in path for path in (*command.writes, *command.extends, *command.words[1:]))
        for command in read
    )


def _named_configurations(stages: list[Stage]) -> set[str]:
    """The files that ENV APT_CONFIG names."""
    settings = (each.value for stage in stages for each in stage.instructions if each.keyword == "ENV")
    return {path for value in settings for path in re.findall(r"APT_CONFIG[= ][\"']?([^\s\"']+)", value)}


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*(?://|#).*$", "", text)


def _chain(evidence: Evidence, stage: Stage) -> list[Stage]:
    chain: list[Stage] = []
    below: Stage | None = stage
    while below and evidence.dockerfile:
        chain.append(below)
        below = evidence.dockerfile.base_stage(below)
    return chain


def _snapshot(evidence: Evidence, stage: Stage) -> Snapshot | None:
    image = evidence.image
    return image if image and image.stage == stage.label else evidence.stages.get(stage.label)


def _unread(evidence: Evidence, each: _Installing) -> Iterator[Finding]:
    """A RUN that installs by means which cannot be read, such as a program of its own: its text has to do."""
    texts = [each.run.text]
    for path, content in evidence.context.items():
        if path.rpartition("/")[2] in each.run.text:
            texts.append(content.decode(errors="replace"))
    text = "\n".join(texts)
    names = first_few(each.packages)
    if (
        each.packages
        and "apk" not in text
        and "no-install-recommends" not in text
        and not _configured(evidence, each)
    ):
        message = (
            f"This RUN brings {counted(len(each.packages), 'system package')} ({names}), and it is not to be "
            "seen that recommended ones are left out; say so in the command."
        )
        yield common.finding(evidence, "error", message, _RECOMMENDS_HINTS, each.run.line)


def _shipped(evidence: Evidence, image: Snapshot) -> Iterator[Finding]:
    """Indexes and archives of packages in the layers above the base."""
    groups: dict[tuple[int, str], list[File]] = {}
    for file in image.files:
        kind = _kind(file)
        if kind and not _is_of_a_base(image, file):
            groups.setdefault((file.layer, kind), []).append(file)
    for (index, kind), files in list(groups.items())[:_MOST_FINDINGS]:
        layer = image.layers[index]
        size = how_large(sum(file.bytes for file in files))
        what = "package indexes" if kind == "index" else "package archives"
        example = shorten(files[0].path, 100)
        if any(file.visible for file in files):
            message = f"{size} of {what} ship with the image (such as {example}), although nothing reads them there."
        else:
            where = _removed_on(image, index)
            message = (
                f"{size} of {what} (such as {example}) were removed later{where}, but the layer of line {layer.line} "
                "still stores them, so they ship with the image all the same."
            )
        yield common.finding(evidence, "error", message, _SHIPPED_HINTS, layer.line)


def _is_of_a_base(image: Snapshot, file: File) -> bool:
    """Whether it is a signed index that a base image keeps: this image's, or that of a stage it was copied from."""
    if not file.path.endswith("InRelease"):
        return False
    return file.path in image.base_image_files or image.origins(file).kind == "base"


def _kind(file: File) -> str | None:
    if file.kind != "file" or not file.bytes:
        return None
    found = _SHIPPED.fullmatch(file.path)
    if not found or file.path.endswith(("/lock", "/CACHEDIR.TAG")):
        return None
    return "index" if found["index"] else "archive"


def _removed_on(image: Snapshot, index: int) -> str:
    for layer in image.layers[index + 1 :]:
        if layer.line and re.search(r"\brm\b|clean|-delete", layer.instruction[:5000]):
            return f" on line {layer.line}"
    return ""
