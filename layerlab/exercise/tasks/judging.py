"""What several tasks need: findings with their place, evidence that is missing, and whose files are whose."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from email.parser import HeaderParser
from typing import Final, Literal

from packaging.utils import canonicalize_name

from layerlab.errors import Failure
from layerlab.exercise.evidence.facts import SMALLEST_BUNDLE, Distribution, Evidence, File, Snapshot
from layerlab.exercise.verdict import Finding, Result, judge
from layerlab.image.databases import read_databases
from layerlab.ui.units import how_large

SERVICE: Final = "notebooks/01-the-service.ipynb"
SINGLE_STAGE: Final = "notebooks/02-a-single-stage-image.ipynb"
MULTI_STAGE: Final = "notebooks/03-a-multi-stage-image.ipynb"
BYTES: Final = "notebooks/05-where-the-bytes-are.ipynb"
CACHE: Final = "notebooks/06-the-build-cache.ipynb"
PRODUCTION: Final = "notebooks/07-production.ipynb"

_PACKAGE_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})
_PYTHON_CACHE: Final = re.compile(
    r"(?P<folder>.*/\.cache/(?:pip|uv)"
    r"|.*?(?=/(?:http-v2|selfcheck|archive-v\d+|wheels-v\d+|simple-v\d+|sdists-v\d+|built-wheels-v\d+)/))/.+"
)
_SYSTEM_FOLDERS: Final = frozenset(
    {"/", "/etc", "/lib", "/opt", "/usr", "/usr/bin", "/usr/include", "/usr/lib", "/usr/local", "/usr/share", "/var"}
    | {"/bin", "/include", "/usr/local/bin", "/usr/local/include", "/usr/local/lib", "/usr/libexec", "/root", "/home"}
)
_BLAMED: Final = {
    "dockerfile": "the Dockerfile's",
    "workspace": "that of a file in the workspace",
    "engine": "the engine's, not the Dockerfile's",
    "network": "the network's, not the Dockerfile's",
    "limit": "that of a limit which the checker sets",
}


_BUILD_HINTS: Final = (
    "What does the last line say that `docker build` prints before it stops?",
    "Mend that first, and check again: the tasks are judged by the image and by the container that runs it.",
    f"docker build, steps: “Build it” in {SINGLE_STAGE}.",
)


def finding(
    level: Literal["error", "advice"], message: str, hints: tuple[str, str, str], line: int | None = None
) -> Finding:
    """A finding about a line of the Dockerfile (or about no place, without one)."""
    return Finding(level, message, hints, "Dockerfile" if line else None, line)


def not_built(task: int, failure: Failure) -> Result:
    """The result of a task where there is no image: why, and whose fault that is."""
    message = f"{failure.message} The fault is {_BLAMED[failure.blame]}; without an image nobody can judge this."
    message += f"\n{failure.log}" if failure.log else ""
    return judge(task, [finding("error", message, _BUILD_HINTS, failure.line)], unknown=True)


def unknown(task: int, message: str, findings: Iterable[Finding] = ()) -> Result:
    """The result of a task that cannot be judged for want of something else than the image."""
    return judge(task, [*findings, finding("error", message, _BUILD_HINTS)], unknown=True)


def untried(evidence: Evidence) -> str:
    """Why it is not known whether a RUN takes its packages from a build stage; empty where that was seen."""
    for tried in evidence.handed_on:
        why = "--quick leaves the experiments out." if evidence.is_quick else tried.failure and tried.failure.message
        if why:
            return f"Whether line {tried.line} takes its packages from a build stage could not be seen: {why}"
    return ""


def gone_but_stored(snapshot: Snapshot, files: Iterable[File]) -> str:
    """For files that a later layer hides, the sentence that says so; nothing if a container sees one of them."""
    hidden = list(files)
    if not hidden or any(file.visible for file in hidden):
        return ""
    first, size = hidden[0], how_large(sum(file.bytes for file in hidden))
    remover = None if first.hidden_by is None else snapshot.layers[first.hidden_by].line
    who = f"Line {remover}" if remover else "A later line"
    line = snapshot.line_of(first)
    where = f"the layer of line {line}" if line else "its own layer"
    return f" {who} removes that later, but {where} still stores it: {size}."


def image_distributions(snapshot: Snapshot) -> tuple[Distribution, ...]:
    """Every distribution whose ``.dist-info`` directory a container of an image sees, wherever it lies, by path."""
    found: dict[str, Distribution] = {}
    for path in snapshot.visible:
        folder, _, name = path.rpartition("/")
        if name not in {"METADATA", "RECORD", "WHEEL", "INSTALLER"} or not folder.endswith(".dist-info"):
            continue
        if folder in found or "/_vendor/" in folder or "/_vendored/" in folder:
            continue
        called, _, version = posixpath.basename(folder).removesuffix(".dist-info").partition("-")
        if metadata := snapshot.contents(None, f"{folder}/METADATA"):
            headers = HeaderParser().parsestr(metadata[:100_000].decode(errors="replace"))
            called, version = str(headers.get("Name") or called), str(headers.get("Version") or version)
        found[folder] = Distribution(canonicalize_name(called), version, folder)
    return tuple(found[folder] for folder in sorted(found))


def python_cache(file: File) -> str | None:
    """The cache of pip or uv that a file lies in, wherever that is; None if it lies in none.

    Some indexes forbid that what they send is kept, so what pip notes about itself tells of a cache as well: with
    another index, the same command leaves all that it downloads.
    """
    found = _PYTHON_CACHE.match(file.path) if file.kind == "file" and file.bytes else None
    if found is None or "-packages/" in found["folder"] or file.path.endswith("/CACHEDIR.TAG"):
        return None
    return found["folder"] or "/"


def package_folders(snapshot: Snapshot) -> tuple[str, ...]:
    """The directories of the image, hidden ones included, in which Python packages lie, each with a slash at its end.

    Whatever they are called, they hold ``.dist-info`` directories. One in a directory of the system does not make
    packages of all that is there.
    """
    found = {
        posixpath.dirname(file.path)
        for file in snapshot.files
        if file.path.endswith(".dist-info") and file.kind == "directory"
    }
    return tuple(f"{folder}/" for folder in sorted(found - _SYSTEM_FOLDERS))


def installed_distributions(evidence: Evidence) -> dict[str, Distribution]:
    """The distributions that the service uses, by normalised name.

    They are those that its own interpreter finds; where that could not be asked, those in a ``site-packages`` or
    ``dist-packages`` directory of the image.
    """
    interpreter = evidence.running.interpreter
    if interpreter is not None:
        return dict(interpreter.distributions)
    found: dict[str, Distribution] = {}
    for distribution in image_distributions(evidence.image):
        if posixpath.basename(posixpath.dirname(distribution.location)) in _PACKAGE_FOLDERS:
            found.setdefault(distribution.name, distribution)
    return found


def package_files(snapshot: Snapshot, distribution: Distribution) -> tuple[File, ...]:
    """The regular files of a distribution that a container of an image sees.

    Its RECORD tells which they are; without one: its ``.dist-info`` directory and the package of its name.
    """
    seen, record = snapshot.visible, f"{distribution.location}/RECORD"
    if content := snapshot.contents(None, record):
        paths = [path for claim in read_databases({record: content}) for path in claim.paths]
    else:
        module = f"{posixpath.dirname(distribution.location)}/{distribution.name.replace('-', '_')}"
        below = (f"{module}/", f"{distribution.location}/")
        paths = [path for path in seen if path.startswith(below) or path == f"{module}.py"]
    return tuple(seen[path] for path in paths if path in seen and seen[path].kind == "file")


def bundles(evidence: Evidence) -> tuple[File, ...]:
    """Large files that a process or the image's command names: programs, and packages in one file such as a .pex."""
    image = evidence.image
    words = {word for process in evidence.running.processes for word in process.command.split()[:20]}
    words |= {str(word) for key in ("Entrypoint", "Cmd") for word in image.config.get(key) or ()}
    found = (image.visible.get(word) for word in sorted(words))
    return tuple(file for file in found if file and file.kind == "file" and file.bytes > SMALLEST_BUNDLE)


def app_folders(evidence: Evidence) -> tuple[str, ...]:
    """The folders of the final image that hold the app: most of the modules of the context's ``app/``.

    Modules that were compiled and left without their source count too.
    """
    wanted = {
        posixpath.basename(path).removesuffix(".py")
        for path in evidence.context
        if posixpath.dirname(path) == "app" and path.endswith(".py")
    }
    modules: dict[str, set[str]] = {}
    for path, file in evidence.image.visible.items():
        folder, _, name = path.rpartition("/")
        stem, _, suffix = name.partition(".")
        if file.kind == "file" and stem in wanted and suffix.endswith(("py", "pyc")):
            modules.setdefault(folder.removesuffix("/__pycache__"), set()).add(stem)
    return tuple(sorted(folder for folder, stems in modules.items() if 2 * len(stems) > len(wanted)))
