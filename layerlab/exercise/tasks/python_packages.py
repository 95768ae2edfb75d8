"""Task 3: the packages of requirements.txt, installed by that file, in a layer that an app change leaves alone."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from packaging.utils import canonicalize_version

from layerlab.errors import Failure
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Distribution, Evidence, File, PythonInstall, Snapshot
from layerlab.exercise.tasks import judging
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 3
REQUIREMENTS: Final = "requirements.txt"
_FILE_HINTS: Final = (
    "Where does it say which versions the service was tested with?",
    "Hand the file with the pins to the installer instead of naming packages in the Dockerfile.",
    f"{REQUIREMENTS}, pip: “The build stage” in {judging.MULTI_STAGE}.",
)
_THERE_HINTS: Final = (
    "Which interpreter starts the service, and in which folders does it look for packages?",
    "Compare those folders (sys.path) with those that hold the packages in the final image.",
    f"The same path, the same interpreter: “The stage that ships” in {judging.MULTI_STAGE}.",
)
_ORDER_HINTS: Final = (
    "Which of the files that this step depends on changed?",
    "Bring in what changes seldom before what changes often, and install in between.",
    f"What changes rarely, first: “The order of the lines” in {judging.CACHE}.",
)
_CACHE_HINTS: Final = (
    "Will anything be installed once the image is built?",
    "Tell the installer to keep no cache, or let it keep the cache somewhere that is not part of the image.",
    f"--no-cache-dir: “Python packages: habit (7)” in {judging.SINGLE_STAGE}.",
)
_LIBRARY_HINTS: Final = (
    "What does a compiled package need beside its own files when it is loaded?",
    "The library that it was linked against has to be in the runtime stage; its headers have not.",
    f"The libraries that the result links to, ldd: “The stage that ships” in {judging.MULTI_STAGE}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 3."""
    if not evidence.requirements:
        return without_pins()
    place = min((install.line for install in _installs(evidence)), default=evidence.final.line)
    findings = [
        *_missing(evidence, place),
        *_decided_elsewhere(evidence, place),
        *_again(evidence),
        *caches(evidence.image),
        *_library(evidence),
    ]
    untried = [] if findings else list(_untried(evidence))
    return verdict.judge(TASK, [*findings, *untried], unknown=bool(untried))


def without_pins() -> Result:
    """The result where requirements.txt pins nothing, whatever the image is."""
    message = f"Beside the Dockerfile is no {REQUIREMENTS} that pins anything (name==version, a line each),"
    message += " so nothing says what belongs in the image."
    return verdict.judge(TASK, [Finding("error", message, _FILE_HINTS, REQUIREMENTS)])


def _installs(evidence: Evidence) -> Iterator[PythonInstall]:
    for snapshot in (*evidence.stages.values(), evidence.image):
        yield from (install for install in snapshot.python_installs if install.distributions)


def _missing(evidence: Evidence, line: int) -> Iterator[Finding]:
    """Pinned distributions that the service does not find, or not at that version."""
    installed = judging.installed_distributions(evidence)
    missing = sorted(name for name in evidence.requirements if name not in installed)
    present = sorted(name for name in evidence.requirements if name in installed)
    hollow = [name for name in present if _is_hollow(evidence.image, installed[name])]
    other = [
        f"{name} {installed[name].version} instead of {evidence.requirements[name]}"
        for name in present
        if _release(installed[name].version) != _release(evidence.requirements[name])
    ]
    if other:
        message = f"{counted(len(other), 'package')} with another version than {REQUIREMENTS} pins:"
        message += f" {first_few(other)}. What was tested is not what runs."
        yield judging.finding("error", message, _FILE_HINTS, line)
    if hollow:
        message = f"Of {first_few(hollow)}, which {REQUIREMENTS} pins, only the installer's notes (.dist-info) are in"
        message += " the image; the modules are gone, so nothing can import them."
        yield judging.finding("error", message, _THERE_HINTS, line)
    if missing:
        why, where = _why_missing(evidence, missing)
        message = f"The service does not find {len(missing)} of {len(evidence.requirements)} packages that"
        message += f" {REQUIREMENTS} pins: {first_few(missing)}.{why}"
        hints = _THERE_HINTS if why else _FILE_HINTS  # what was never installed is in no folder at all
        yield judging.finding("error", message, hints, where or line)


def _why_missing(evidence: Evidence, missing: list[str]) -> tuple[str, int | None]:
    """What is known of why these distributions are not found (a sentence, or nothing), and the line it is about."""
    image = evidence.image
    elsewhere: dict[str, list[str]] = {}
    for distribution in judging.image_distributions(image):
        if distribution.name in missing:
            elsewhere.setdefault(posixpath.dirname(distribution.location), []).append(distribution.name)
    if not elsewhere:
        return "", None
    folder, names = max(elsewhere.items(), key=lambda each: len(each[1]))
    file = image.visible.get(folder) or next(
        each for path, each in image.visible.items() if path.startswith(f"{folder}/")
    )
    interpreter = evidence.running.interpreter
    asked = f", and {interpreter.executable} does not look there" if interpreter else ""
    return f" {len(names)} of them lie in {shorten(folder, 100)}{asked}.", image.line_of(file)


def _is_hollow(image: Snapshot, distribution: Distribution) -> bool:
    """Whether all that a distribution brought is gone, its ``.dist-info`` directory left."""
    files = judging.package_files(image, distribution)
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
    return bool(modules) and not any(
        file.kind == "file" and path.startswith(left) for path, file in image.visible.items()
    )


def _release(version: str) -> str:
    return canonicalize_version(version.partition("+")[0])  # a local build of a release is that release


def _decided_elsewhere(evidence: Evidence, line: int) -> Iterator[Finding]:
    """Whether a change of requirements.txt changes nothing in the image."""
    change = evidence.pin_change
    if change is None or change.failure or change.decides:
        return
    nothing = f"{REQUIREMENTS} decides nothing here, so a change of its pins changes nothing in the image."
    if not change.is_sent:
        message = f"{REQUIREMENTS} is not part of the build context (.dockerignore leaves it out):"
        message += " no step can read it."
        yield judging.finding("error", message, _FILE_HINTS, line)
        return
    used = judging.installed_distributions(evidence).get(change.name)
    notes = evidence.image.visible.get(f"{used.location}/METADATA") if used else None
    origin = evidence.image.origins(notes) if notes else None
    made = origin.line if origin and origin.kind == "made" and origin.line else line
    found = f"still found {first_few(change.found)}" if change.found else "found none at all"
    message = f"{change.name} was pinned to {change.new} instead of {change.old}, and the service {found},"
    message += f" which line {made} installed. {nothing}"
    yield judging.finding("error", message, _FILE_HINTS, made)


def _again(evidence: Evidence) -> Iterator[Finding]:
    """The installing step that ran again after a change of the app."""
    change = evidence.app_change
    install = change.again if change else None
    if change is None or install is None:
        return
    run = next((each for each in evidence.dockerfile.instructions if each.line == install.line), None)
    if change.because:
        why = f": line {change.because} brings the app in before it"
    elif run and any(mount.kind == "bind" for mount in run.mounts):
        why = ": it has the app mounted, so the app is part of what its result depends on"
    else:
        why = ""
    seconds = next((step.seconds for step in evidence.ran if install.is_step(step) and not step.cached), None)
    took = f" and {seconds:.0f} s" if seconds and seconds >= 1 else ""
    message = (
        f"A comment was added to each Python file of the app, and line {install.line} installed"
        f" {counted(len(install.distributions), 'package')} again ({how_large(install.bytes)}{took})"
        f"{why}. Each small change then costs a whole installation."
    )
    yield judging.finding("error", message, _ORDER_HINTS, install.line)


def _untried(evidence: Evidence) -> Iterator[Finding]:
    """What could not be tried, or was not on purpose."""
    if evidence.is_quick:
        message = "Not tried, since --quick leaves the experiments out: whether a change of the app installs packages"
        message += f" again, and whether {REQUIREMENTS} decides what is installed."
        yield judging.finding("error", message, _ORDER_HINTS)
        return
    for change, question in (
        (evidence.app_change, "What is installed again after a change of the app"),
        (evidence.pin_change, f"What a change of {REQUIREMENTS} changes in the image"),
    ):
        failure = change.failure if change else Failure("engine", "It was not tried.")
        if failure:
            message = f"{question} could not be seen: {failure.message}"
            yield judging.finding("error", message, _ORDER_HINTS, failure.line)


def caches(image: Snapshot) -> Iterator[Finding]:
    """Caches of pip and uv in the layers above the base; task 5 asks for these findings, too."""
    groups: dict[tuple[int, str], list[File]] = defaultdict(list)
    for file in image.files:
        if folder := judging.python_cache(file):
            groups[file.layer, folder].append(file)
    for (index, folder), files in groups.items():
        size = sum(file.bytes for file in files)
        tool = "uv" if re.search(r"/uv(/|$)|-v\d+/", files[0].path) and "http-v2" not in files[0].path else "pip"
        message = f"{tool}'s cache ships in {folder} ({how_large(size)}; files:"
        message += f" {len(files)}), for installations that never come."
        message += judging.gone_but_stored(image, files)
        yield judging.finding("error", message, _CACHE_HINTS, image.layers[index].line)


def _library(evidence: Evidence) -> Iterator[Finding]:
    """Level 2: whether psycopg2 can load the library that it is linked against."""
    document = evidence.running.info.document
    if evidence.level != 2 or document is None or document.get("libpq"):
        return  # where the service does not answer, for whatever reason, task 7 says so
    said = str(document.get("libpq_error") or "")
    quoted = f" ({posixpath.basename(said)[:150] if said.startswith('/') else said[:150]})" if said else ""
    message = f"psycopg2 is installed, but the service cannot load it{quoted}: /info does not tell libpq's version."
    message += " It was linked against a shared library that the final image lacks."
    yield judging.finding("error", message, _LIBRARY_HINTS, evidence.final.line)
