"""Task 3: the packages of requirements.txt, installed by that file, in a layer that an app change leaves alone."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.dockerfile.shell.commands import PythonInstall, python_install
from layerlab.exercise import verdict
from layerlab.exercise.evidence.model import Distribution, Evidence, File, RanStep, Snapshot
from layerlab.exercise.tasks import common, near_misses
from layerlab.exercise.tasks.requirements_file import REQUIREMENTS, Reader
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 3
_FILE_HINTS: Final = (
    "Where does it say which versions the service was tested with?",
    "Hand the file with the pins to the installer instead of naming packages in the Dockerfile.",
    f"Installing from {REQUIREMENTS} is shown in {common.MULTI_STAGE}, “The build stage”.",
)
_THERE_HINTS: Final = (
    "Which interpreter starts the service, and in which folders does it look for packages?",
    "Compare those folders (sys.path) with those that hold the packages in the final image.",
    f"A virtual environment that is copied whole is shown in {common.MULTI_STAGE}.",
)
_ORDER_HINTS: Final = (
    "Which of the files that this step depends on changed?",
    "Bring in what changes seldom before what changes often, and install in between.",
    f"“The order of the lines” in {common.CACHE}.",
)
_CACHE_HINTS: Final = (
    "Will anything be installed once the image is built?",
    "Tell the installer to keep no cache, or let it keep the cache somewhere that is not part of the image.",
    f"“Python packages: habit (7)” in {common.SINGLE_STAGE}; cache mounts are in {common.CACHE}.",
)
_LIBRARY_HINTS: Final = (
    "What does a compiled package need beside its own files when it is loaded?",
    "The library that it was linked against has to be in the runtime stage; its headers have not.",
    f"What ships and what stays behind is shown in {common.MULTI_STAGE}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 3."""
    dockerfile = evidence.dockerfile
    if not evidence.requirements:
        return verdict.judge(TASK, [_no_requirements(evidence)])
    if dockerfile is None:
        return common.unavailable(TASK, evidence)
    reader = Reader(evidence, dockerfile)
    runs = [
        (stage, run)
        for stage in _stages(evidence, dockerfile)
        for run in (*stage.triggered, *stage.instructions)
        if run.keyword == "RUN"
    ]
    installing = [(stage, run) for stage, run in runs if _installs(reader, run)]
    using = [(stage, run) for stage, run in runs if reader.uses_requirements(stage, run)]
    image = evidence.image
    if image is None:
        if installing and not using and not any(reader.names_requirements(run) for _, run in installing):
            return verdict.judge(TASK, [_by_hand(evidence, reader, installing[0][1], [])])
        return common.unavailable(TASK, evidence)
    visible = image.visible
    place = (using or installing)[0][1].line if using or installing else dockerfile.target().line
    made = _made(evidence, image, visible)
    findings = [
        *_missing(evidence, image, visible, place),
        *_not_from_the_file(evidence, reader, installing, using, made),
        *_caches(evidence, image),
        *_library(evidence, place),
    ]
    again, unknown = _again(evidence, reader, made)
    return verdict.judge(TASK, [*findings, *again], unknown=unknown and not findings)


def _no_requirements(evidence: Evidence) -> Finding:
    is_there = REQUIREMENTS in evidence.workspace
    message = (
        f"{REQUIREMENTS} pins nothing (name==version, a line each), so nothing says what belongs in the image."
        if is_there
        else f"There is no {REQUIREMENTS} beside the Dockerfile, which says what belongs in the image."
    )
    return Finding("error", message, _FILE_HINTS, REQUIREMENTS if is_there else None, 1 if is_there else None)


def _stages(evidence: Evidence, dockerfile: Dockerfile) -> list[Stage]:
    needed = dockerfile.needed(dockerfile.target())
    return [stage for stage in needed if not evidence.ran_stages or stage.label in evidence.ran_stages]


def _installs(reader: Reader, run: Instruction) -> list[PythonInstall]:
    """What a RUN installs, tools that install and a project of the learner's own left out."""
    found = [install for command in reader.commands(run) if (install := python_install(command))]
    return [install for install in found if not install.is_tool_or_project]


def _made(evidence: Evidence, image: Snapshot, visible: Mapping[str, File]) -> dict[str, tuple[str, int]]:
    """The stage and the line that made each pinned distribution which the service uses, as far as that is known."""
    found: dict[str, tuple[str, int]] = {}
    for name, distribution in common.installed_distributions(evidence).items():
        if name not in evidence.requirements:
            continue
        files = [
            file for file in common.package_files(evidence, distribution, visible) if not file.path.endswith(".pyc")
        ]
        origins = [image.origins(file) for file in files[:20]]
        places = Counter(
            (each.stage, each.line) for each in origins if each.kind == "made" and each.stage and each.line
        )
        for (stage, line), _ in places.most_common(1):
            found[name] = (stage or "", line or 0)
    return found


def _missing(evidence: Evidence, image: Snapshot, visible: Mapping[str, File], line: int | None) -> Iterator[Finding]:
    """Pinned distributions that the service does not find, or not at that version."""
    installed = common.installed_distributions(evidence)
    missing = sorted(name for name in evidence.requirements if name not in installed)
    hollow = sorted(
        name
        for name in evidence.requirements
        if name in installed and _is_hollow(evidence, image, installed[name], visible)
    )
    other = sorted(
        f"{name} {installed[name].version} instead of {version}"
        for name, version in evidence.requirements.items()
        if name in installed and not _is_version(installed[name], version)
    )
    if other:
        message = (
            f"{counted(len(other), 'package')} with another version than {REQUIREMENTS} pins: "
            f"{first_few(other)}. "
            "What was tested is not what runs."
        )
        yield common.finding(evidence, "error", message, _FILE_HINTS, line)
    if hollow:
        message = (
            f"Of {first_few(hollow)}, which {REQUIREMENTS} pins, only the installer's notes (.dist-info) are in "
            "the image; the modules are gone, so nothing can import them."
        )
        yield common.finding(evidence, "error", message, _THERE_HINTS, line)
    if missing:
        why, where = near_misses.why_missing(evidence, image, visible, missing)
        message = (
            f"The service does not find {len(missing)} of {len(evidence.requirements)} packages that {REQUIREMENTS} "
            f"pins: {first_few(missing)}.{why}"
        )
        yield common.finding(evidence, "error", message, _THERE_HINTS, where or line)


def _is_hollow(evidence: Evidence, image: Snapshot, distribution: Distribution, visible: Mapping[str, File]) -> bool:
    """Whether all that a distribution brought is gone, its ``.dist-info`` directory left."""
    files = common.package_files(evidence, distribution, visible)
    own = f"{distribution.location}/"
    if any(not file.path.startswith(own) for file in files):
        return False
    record = image.contents(None, f"{own}RECORD") or b""
    names = (line.partition(",")[0].partition("/")[0] for line in record.decode(errors="replace").splitlines())
    modules = {
        name for name in names if name and not name.endswith(".dist-info") and name not in {"..", "__pycache__"}
    }
    folder = posixpath.dirname(distribution.location)
    # Bytecode in the place of its source is in no RECORD.
    left = tuple(f"{folder}/{name.removesuffix('.py')}{end}" for name in modules for end in ("/", ".pyc"))
    return bool(modules) and not any(file.kind == "file" and path.startswith(left) for path, file in visible.items())


def _is_version(distribution: Distribution, pinned: str) -> bool:
    try:
        return SpecifierSet(f"=={pinned}").contains(distribution.version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return distribution.version == pinned


def _not_from_the_file(
    evidence: Evidence,
    reader: Reader,
    installing: list[tuple[Stage, Instruction]],
    using: list[tuple[Stage, Instruction]],
    made: Mapping[str, tuple[str, int]],
) -> Iterator[Finding]:
    """RUNs that installed pinned distributions without that file."""
    if not using:
        run = installing[0][1] if installing else None
        yield _by_hand(evidence, reader, run, sorted(made))
        return
    typed = [(stage, run) for stage, run in installing if _types_pins(evidence, reader, stage, run)]
    for _, run in typed:
        yield _by_hand(evidence, reader, run, [])
    by_file = {(stage.label, run.line) for stage, run in (*using, *typed)}
    runs = {run.line: run for _, run in installing}
    # A later RUN that installs by the file into the same place found them there, and went on.
    going_on = {place for place in by_file if place in made.values()}
    strangers: dict[int, list[str]] = {}
    for name, (label, line) in sorted(made.items()):
        later = any(stage == label and other > line for stage, other in going_on)
        if (label, line) in by_file or later or line not in runs or _uses_wheels(reader, runs[line]):
            continue
        strangers.setdefault(line, []).append(name)
    for line, names in strangers.items():
        yield _by_hand(evidence, reader, runs[line], names)


def _types_pins(evidence: Evidence, reader: Reader, stage: Stage, run: Instruction) -> bool:
    """Whether a RUN also names most of the pinned distributions by hand.

    Then they decide what is installed, whatever the file is handed to before, after, or in another branch.
    """
    for install in _installs(reader, run):
        named = {common.normalised(re.split(r"[=<>!~\[; @]", word)[0]) for word in install.packages}
        most = 2 * len(named & evidence.requirements.keys()) > len(evidence.requirements) > 2
        if most and install.verb == "install" and not reader.is_by_requirements(stage, run, install):
            return True
    return False


def _uses_wheels(reader: Reader, run: Instruction) -> bool:
    """Whether a RUN installs wheels that another made: that one had to use the file."""
    return any(
        install.offline or install.find_links or any(".whl" in word or "/" in word for word in install.packages)
        for install in _installs(reader, run)
    )


def _by_hand(evidence: Evidence, reader: Reader, run: Instruction | None, names: list[str]) -> Finding:
    typed = [word for install in (_installs(reader, run) if run else []) for word in install.packages]
    what = f" ({first_few(names or typed)})" if names or typed else ""
    message = (
        f"Packages{what} are installed here without {REQUIREMENTS}, so its pins decide nothing: a change of them "
        "changes nothing in the image."
        if run
        else f"No command was seen that installs packages by {REQUIREMENTS}, so its pins decide nothing."
    )
    stage = common.final_stage(evidence)
    line = run.line if run else stage.line if stage else None
    return common.finding(evidence, "error", message, _FILE_HINTS, line)


def _again(evidence: Evidence, reader: Reader, made: Mapping[str, tuple[str, int]]) -> tuple[list[Finding], bool]:
    """The installing steps that ran again after a change of the app; and whether that could not be found out."""
    rebuild = evidence.rebuild
    if rebuild is None:
        return [common.finding(evidence, "error", "It was not tried what a rebuild does.", _ORDER_HINTS)], True
    lines = {line for _, line in made.values()}
    findings = []
    for step in rebuild.steps:
        run = None if step.cached else _instruction(reader.dockerfile, step)
        if run is None or run.keyword != "RUN":
            continue
        # What only moves them (cp, tar) has made these files, too, but downloads nothing.
        if _installs(reader, run) or (run.line in lines and not _installed_before(reader, run)):
            findings.append(_ran_again(evidence, run))
    if findings or rebuild.failure is None:
        return findings, False
    message = f"What a rebuild does after a change of the app could not be seen: {rebuild.failure.message}"
    return [common.finding(evidence, "error", message, _ORDER_HINTS, rebuild.failure.line)], True


def _installed_before(reader: Reader, run: Instruction) -> bool:
    """Whether an earlier RUN of the same stage, or of one that it is FROM, installs packages."""
    stage: Stage | None = reader.dockerfile.stages[run.stage] if run.stage is not None else None
    while stage is not None:
        if any(
            each.keyword == "RUN" and each.line < run.line and _installs(reader, each) for each in stage.instructions
        ):
            return True
        stage = reader.dockerfile.base_stage(stage)
    return False


def _instruction(dockerfile: Dockerfile, step: RanStep) -> Instruction | None:
    """What a step ran; a step without a line is what an ONBUILD of the Dockerfile asked for, or a base image."""
    if step.line:
        return next((each for each in dockerfile.instructions if each.line == step.line), None)
    stage = dockerfile.find_stage(step.stage)
    return next((each for each in (stage.triggered if stage else ()) if each.value in step.instruction), None)


def _ran_again(evidence: Evidence, run: Instruction) -> Finding:
    before = [
        step.line
        for step in (evidence.rebuild.steps if evidence.rebuild else ())
        if step.line
        and step.line < run.line
        and not step.cached
        and step.instruction.split(maxsplit=1)[:1] != ["RUN"]
    ]
    if before:
        why = f": line {before[0]} brings the app in before it"
    elif any(name == "mount" and "bind" in value for name, value in run.flags):
        why = ": it has the app mounted, so the app is part of what its result depends on"
    else:
        why = ""
    message = (
        f"After a change of a comment in the app, this step installs all packages again{why}. "
        "Each small change then costs a whole installation."
    )
    return common.finding(evidence, "error", message, _ORDER_HINTS, run.line)


def _caches(evidence: Evidence, image: Snapshot) -> Iterator[Finding]:
    """Caches of pip and uv in the layers above the base."""
    groups: dict[tuple[int, str], list[File]] = {}
    for file in image.files:
        folder = common.python_cache(file)
        if folder:
            groups.setdefault((file.layer, folder), []).append(file)
    for (index, folder), files in groups.items():
        size = sum(file.bytes for file in files)
        layer = image.layers[index]
        tool = "uv" if re.search(r"/uv(/|$)|-v\d+/", files[0].path) and "http-v2" not in files[0].path else "pip"
        gone = (
            "" if any(file.visible for file in files) else " A later line removes it, but this layer still stores it."
        )
        message = (
            f"{tool}'s cache ships in {folder} ({how_large(size)}; files: {len(files)}), for installations "
            f"that never come.{gone}"
        )
        yield common.finding(evidence, "error", message, _CACHE_HINTS, layer.line)


def _library(evidence: Evidence, line: int | None) -> Iterator[Finding]:
    """Level 2: whether psycopg2 can load the library that it is linked against."""
    running = evidence.running
    if evidence.level != 2 or running is None:
        return
    logs = re.search(r"[^\n]*libpq[^\n]*(?:cannot open|No such file)[^\n]*", running.logs)
    document = running.info.document
    if document is None and not logs:
        return  # the service did not answer, for whatever reason: task 7 says so
    if document is not None and document.get("libpq"):
        return
    said = str(document.get("libpq_error") or "") if document else logs[0] if logs else ""
    quoted = f" ({posixpath.basename(said)[:150] if said.startswith('/') else said[:150]})" if said else ""
    message = (
        f"psycopg2 is installed, but the service cannot load it{quoted}: /info does not tell libpq's version. It was "
        "linked against a shared library that the final image lacks."
    )
    stage = common.final_stage(evidence)
    yield common.finding(evidence, "error", message, _LIBRARY_HINTS, stage.line if stage else line)
