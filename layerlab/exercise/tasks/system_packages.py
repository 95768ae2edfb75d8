"""Task 2: system packages in one efficient command, and nothing of it left behind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot, SystemInstall
from layerlab.exercise.tasks import judging
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 2
_MOST_FINDINGS: Final = 5  # of one kind
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
    f"Update, install: “System packages: habits (3), (4), (5) and (6)” in {judging.SINGLE_STAGE}.",
)
_UPDATE_HINTS: Final = (
    "What does this line find next month, when the layer with the index still comes from the cache?",
    "Fetch the index in the same command that installs from it.",
    f"apt-get update, cached: “When the cache lies” in {judging.CACHE}.",
)
_RECOMMENDS_HINTS: Final = (
    "Which of the packages that were installed did you ask for?",
    "The package manager has an option that leaves out what is merely recommended or cached.",
    f"--no-install-recommends: “System packages: habits (3), (4), (5) and (6)” in {judging.SINGLE_STAGE}.",
)
_SHIPPED_HINTS: Final = (
    "Who reads the index of packages once the image is built?",
    "What one layer stores, a later one cannot take away: tidy up in the very command that made it.",
    f"Cleaning up too late: “System packages: habits (3), (4), (5) and (6)” in {judging.SINGLE_STAGE}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 2."""
    by_stage: dict[str, list[SystemInstall]] = defaultdict(list)
    for install in evidence.system_installs:
        by_stage[install.stage].append(install)
    findings = [*_shipped(evidence.image)]
    for installs in by_stage.values():
        findings += _too_many(evidence, installs)
    for install in evidence.system_installs:
        findings += [*_recommends(evidence, install), *_index(install)]
    if not evidence.system_installs and (idle := _never_built(evidence)):
        return judging.unknown(TASK, idle)
    unknown = [each for each in evidence.system_installs if each.index and each.needs_index is None]
    if unknown and not any(finding.level == "error" for finding in findings):
        install = unknown[0]
        why = install.failure.message if install.failure else "A quick check leaves that out."
        where = f"Line {install.line} was not tried without the package index that was there before."
        return judging.unknown(TASK, f"{where} {why}")
    return verdict.judge(TASK, findings)


def _never_built(evidence: Evidence) -> str:
    """What cannot be seen where no stage but the final one is built: that no package came is no merit then."""
    dockerfile = evidence.dockerfile
    if len(dockerfile.needed(dockerfile.target())) > 1 or len(dockerfile.stages) == 1:
        return ""
    idle = next(stage for stage in dockerfile.stages if stage != dockerfile.target())
    return (
        f"What the stage of line {idle.line} installs cannot be seen: it is never built, as nothing uses it (task 1)."
    )


def _too_many(evidence: Evidence, installs: list[SystemInstall]) -> Iterator[Finding]:
    stage = evidence.dockerfile.find_stage(installs[0].stage)
    called = f"“{shorten(stage.name, 60)}”" if stage and stage.name else f"“{installs[0].stage}”"
    for each in installs[1 : 1 + _MOST_FINDINGS]:
        message = (
            f"{len(installs)} RUNs of the stage {called} install system packages; this one "
            f"({first_few(each.packages)}) comes after line {installs[0].line}. Each stores the package database "
            "again, and they may use different indexes."
        )
        yield judging.finding("error", message, _ONE_RUN_HINTS, each.line)


def _recommends(evidence: Evidence, install: SystemInstall) -> Iterator[Finding]:
    """Packages that came without need; and an option that is not said, where nothing came that way."""
    if install.recommended:
        message = (
            f"{len(install.recommended)} of the {counted(len(install.packages), 'package')} that came here "
            f"({first_few(install.recommended)}) are needed by none of the others, which only recommend them. They "
            "cost time, space and security updates."
        )
        yield judging.finding("error", message, _RECOMMENDS_HINTS, install.line)
    # An option or a setting, in the Dockerfile or in a file of the context, may say so already.
    elif install.manager == "dpkg" and not any(
        b"ecommends" in text for text in (evidence.dockerfile.text.encode(), *evidence.context.values())
    ):
        message = f"Nothing came here that is merely recommended ({first_few(install.packages)})."
        message += " Say so all the same: what these packages recommend may change with the next release."
        yield judging.finding("advice", message, _RECOMMENDS_HINTS, install.line)


def _index(install: SystemInstall) -> Iterator[Finding]:
    """An installation that works only with an index which was there before."""
    if not install.needs_index:
        return
    where = f"line {install.index_line} brought" if install.index_line else f"was in {install.index} before"
    message = f"This RUN installs {first_few(install.packages)} with a package index that {where},"
    message += " however old that is: tried without it, it fails."
    yield judging.finding("error", message, _UPDATE_HINTS, install.line)


def _shipped(image: Snapshot) -> Iterator[Finding]:
    """Indexes and archives of packages in the layers above the base."""
    groups: dict[tuple[int, str], list[File]] = defaultdict(list)
    for file in image.files:
        found = _SHIPPED.fullmatch(file.path) if file.kind == "file" and file.bytes else None
        if found and not file.path.endswith(("/lock", "/CACHEDIR.TAG")) and not _is_of_a_base(image, file):
            groups[file.layer, "package indexes" if found["index"] else "package archives"].append(file)
    for (index, what), files in list(groups.items())[:_MOST_FINDINGS]:
        size = how_large(sum(file.bytes for file in files))
        message = f"{size} of {what} ship with the image (such as {shorten(files[0].path, 100)}),"
        message += " and nothing reads them."
        message += judging.gone_but_stored(image, files)
        yield judging.finding("error", message, _SHIPPED_HINTS, image.layers[index].line)


def _is_of_a_base(image: Snapshot, file: File) -> bool:
    """Whether it is a signed index that a base image keeps: this image's, or that of a stage it was copied from."""
    if not file.path.endswith("InRelease"):
        return False
    return file.path in image.base_image_files or image.origins(file).kind == "base"
