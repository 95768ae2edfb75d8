"""Task 5: the final image takes the artifacts from a build stage, and nothing else."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from layerlab.dockerfile import shell_words
from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Distribution, Evidence, File, Snapshot
from layerlab.exercise.tasks import judging, python_packages, runtime_stage
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.units import first_few, how_large

TASK: Final = 5
MOST_COPIED: Final = 10_000_000
"""Bytes that the layers may store a second time."""

_BUILD_STAGE: Final = "a build stage"
_INSTALLERS: Final = frozenset({"pip", "setuptools", "uv", "wheel"})
_DEBIANS: Final = "/usr/lib/python3/dist-packages/"
_LATER: Final = (".pyc", ".pyo", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")
_LARGEST: Final = 1_000_000  # bytes: evidence holds that much of a file
_LARGEST_SCRIPT: Final = 100_000
_NEVER: Final = re.compile(r"(?:.*/)?(?:Dockerfile.*|README.*|\.dockerignore|\.gitignore|\.git/.*)")
_CONFIGURATION: Final = re.compile(
    r"gunicorn[\w.-]*\.py|u?wsgi\.(?:ini|ya?ml|xml|json)|hypercorn\.(?:toml|py)|supervisord?\.conf|circus\.ini|granian\.\w+"
    r"|nginx\.conf|Caddyfile|haproxy\.cfg"
)
_ACCOUNTS: Final = frozenset({"/etc/passwd", "/etc/group", "/etc/nsswitch.conf"})  # what a user needs, from scratch
_SERVER_VARIABLES: Final = ("GUNICORN", "UWSGI", "FLASK", "WSGI", "HYPERCORN", "UVICORN", "GRANIAN", "WAITRESS")
_FOLDER: Final = re.compile(r"(?:^|[\s'\"=])(/[\w./-]*\w)(?=/\*|/?(?:[\s'\";]|$))")
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
    f"Virtual environment, one folder: “The build stage” in {judging.MULTI_STAGE}.",
)
_EVERYTHING_HINTS: Final = (
    "Which folders of the build stage does the service open while it runs?",
    "Name these folders one by one; a copy of the whole filesystem ships everything that the build needed.",
    f"COPY --from: “The stage that ships” in {judging.MULTI_STAGE}.",
)
_CONTEXT_HINTS: Final = (
    "Which files of your folder does the service need while it runs?",
    "Copy only these, or keep the others out of the build context, best by naming what may come in.",
    f"Allow-list: “The build context, and `.dockerignore`” in {judging.CACHE}.",
)
_LEFTOVER_HINTS: Final = (
    "Does the running service ever open these files?",
    "Leave them in a stage that does not ship, or let a mount lend them to the one command that needs them.",
    f"Copied, left behind: “What is copied, and what is left behind” in {judging.MULTI_STAGE}.",
)
_COPY_HINTS: Final = (
    "Which files does this layer store that an earlier layer, or the base, had already?",
    "A layer stores whole files: whatever owner or mode a file is to have, give it that when it is first stored.",
    f"COPY --chown, stored again: “Permissions: habit (8)” in {judging.SINGLE_STAGE}.",
)


@dataclass(frozen=True)
class _Source:
    """Where a distribution comes from."""

    kind: str  # `_BUILD_STAGE`, `final` (installed in the final stage), `base`, `context` or `unknown`
    line: int | None = None  # of the instruction that made it, in the final stage


def judge(evidence: Evidence) -> Result:
    """Judge task 5."""
    sources = _sources(evidence)
    findings = [
        *_packages(evidence, sources),
        *_everything(evidence),
        *_context(evidence),
        *_leftovers(evidence.image),
        *_copies(evidence),
    ]
    failed = any(each.level == "error" for each in findings)
    message = judging.untried(evidence)
    if not failed and (message or {source.kind for source in sources} == {"unknown"}):
        message = message or "Where the installed packages come from could not be found out."
        return judging.unknown(TASK, message, findings)
    return verdict.judge(TASK, findings)


def _packages(evidence: Evidence, sources: Mapping[_Source, list[str]]) -> Iterator[Finding]:
    """Packages that the service uses and that no build stage made."""
    if not sources:
        message = "None of the packages of requirements.txt is in the image,"
        message += " so nothing that a build stage made is used."
        yield judging.finding("error", message, _STAGE_HINTS, evidence.final.line)
    for source, names in sources.items():
        if source.kind not in {_BUILD_STAGE, "unknown"}:
            message = f"{first_few(names)} {_from(source)}, not from a build stage."
            if ignored := _ignored(evidence, names):
                line = evidence.image.line_of(list(ignored.values())[-1])
                where = f"line {line} brings" if line else "the image also holds"
                message += f" Those of {first_few(ignored)} that {where} from a build stage are not used."
            message += " What installs packages, and what it leaves behind, then belongs to the image that ships."
            yield judging.finding("error", message, _STAGE_HINTS, source.line or evidence.final.line)


def _from(source: _Source) -> str:
    if source.kind == "final":
        return f"were installed by line {source.line} in the final stage itself" if source.line else "were installed"
    if source.kind == "context":
        return "come from the build context"
    return "come from an image that the Dockerfile takes as it is"


def _everything(evidence: Evidence) -> Iterator[Finding]:
    """COPY of a whole filesystem, of a stage that began with more than nothing."""
    for stage in evidence.chain:
        for each in stage.instructions:
            reference = each.flag("from")
            source = evidence.dockerfile.find_stage(reference) if reference else None
            paths = {posixpath.normpath(f"/{shell_words.unquote(path)}").lstrip("/") for path in each.arguments[:-1]}
            if each.keyword not in {"COPY", "ADD"} or not reference or not paths & {"", "*"}:
                continue
            snapshot = evidence.stages.get(source.label) if source else None
            if snapshot is None or any(layer.is_base for layer in snapshot.layers):
                message = f"Line {each.line} copies the whole filesystem of {reference}: its base,"
                message += " its tools and all that the build left there are shipped, not the artifacts alone."
                yield judging.finding("error", message, _EVERYTHING_HINTS, each.line)


def _context(evidence: Evidence) -> Iterator[Finding]:
    snapshot = evidence.image
    by_line: dict[int | None, list[tuple[File, str]]] = defaultdict(list)
    came = (each for each in snapshot.files if each.kind == "file" and each.bytes)
    brought = [(each, _paths_of(evidence, each)) for each in came if snapshot.origins(each).kind == "context"]
    allowed = _Allowed(evidence, brought)
    for file, paths in brought:
        if not allowed.contains(file, paths):
            by_line[snapshot.line_of(file)].append((file, paths[0] if paths else posixpath.basename(file.path)))
    for line, found in by_line.items():
        names = sorted({path for _, path in found})
        files = [file for file, _ in found]
        size = how_large(sum(file.bytes for file in files))
        where = f"line {line}" if line else "an instruction"
        folder = posixpath.commonpath([posixpath.dirname(file.path) for file in files])
        message = f"{first_few(names, 4)} of the build context came with {where} to {folder} ({size})."
        message += judging.gone_but_stored(snapshot, files)
        message += " The service needs the app and what starts it;"
        message += " other files may tell what was not meant to be told."
        yield judging.finding("error", message, _CONTEXT_HINTS, line)


def _leftovers(snapshot: Snapshot) -> Iterator[Finding]:
    yield from python_packages.caches(snapshot)
    tools = runtime_stage.tools(snapshot)
    with_compiler = {tool.layer for tool in tools if tool.kind == "compiler"}
    yield from runtime_stage.brought(snapshot, (tool for tool in tools if tool.layer in with_compiler))
    owned = {(tool.layer, file.path) for tool in tools for file in tool.files}
    found: dict[tuple[str, int], list[File]] = defaultdict(list)
    packages = judging.package_folders(snapshot)
    for file in snapshot.files:
        kind = _kind(file, packages) if file.kind == "file" and (file.layer, file.path) not in owned else None
        if kind and snapshot.origins(file).kind != "context":
            found[kind, file.layer].append(file)
        if file.visible and file.kind == "file" and _INSTALLER.search(file.path):
            what = f"{file.path} ({how_large(file.bytes)}) came with line {snapshot.line_of(file)}"
            message = f"{what}; a running service installs nothing."
            yield judging.finding("advice", message, _LEFTOVER_HINTS, snapshot.line_of(file))
    for (kind, number), files in found.items():
        line = snapshot.layers[number].line
        largest = max(files, key=lambda file: file.bytes)
        size = how_large(sum(file.bytes for file in files))
        what = f"{len(files)} files of the build" if len(files) > 1 else "A file of the build"
        message = f"{what} ({kind}, {size}), such as {largest.path}, came with line {line}."
        message += judging.gone_but_stored(snapshot, files) + " A build needs them, the service does not."
        yield judging.finding("error", message, _LEFTOVER_HINTS, line)


def _kind(file: File, packages: tuple[str, ...]) -> str | None:
    """What of a build it is, in the plural; the caches of pip and uv are told by findings of their own."""
    if judging.python_cache(file):
        return None
    rules = [("caches", _CACHE)]
    if not _OWN.search(file.path) and not file.path.startswith(packages):
        rules += [("wheels", _WHEEL), ("object files and static libraries", _OBJECT)]
        if not _SYSTEM.search(file.path):
            rules += [("source archives", _ARCHIVE), ("unpacked sources", _SOURCE)]
            rules += [("archives", _PACKED)] if file.bytes >= _SMALLEST_PACKED else []
    return next((kind for kind, pattern in rules if pattern.search(file.path)), None)


def _copies(evidence: Evidence) -> Iterator[Finding]:
    """Bytes that layers store although the image had them already."""
    snapshot = evidence.image
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
    message = f"{how_large(total)} of what the image stores was there already, byte for byte ({first_few(lines, 4)}):"
    message += f" {how}. At most {how_large(MOST_COPIED)} may be, since everybody who pulls the image pulls it twice."
    yield judging.finding("error", message, _COPY_HINTS, snapshot.layers[order[0]].line or evidence.final.line)


def _sources(evidence: Evidence) -> dict[_Source, list[str]]:
    """The distributions that requirements.txt pins (without it: all), those that the service uses, by their source.

    Further ones are told only where the final stage installs them itself.
    """
    pinned, installed = evidence.requirements, judging.installed_distributions(evidence)
    used = {name: each for name, each in installed.items() if not pinned or name in pinned}
    if not used:
        everywhere = judging.image_distributions(evidence.image)
        used = {each.name: each for each in everywhere if not pinned or each.name in pinned}
    by_source: dict[_Source, list[str]] = defaultdict(list)
    for name, distribution in sorted(used.items()):
        source = _source(evidence, distribution)
        if pinned or source.kind != "base":
            by_source[source].append(name)
    for name, distribution in sorted(installed.items()):
        if pinned and name not in pinned and name not in _INSTALLERS:
            source = _source(evidence, distribution)
            if source.kind == "final" and _asked_an_index(evidence, distribution, source.line):
                by_source[source].append(name)
    return dict(by_source)


def _ignored(evidence: Evidence, names: Iterable[str]) -> dict[str, File]:
    """Those of the used distributions of which a copy that is not used was taken from a build stage: its METADATA."""
    installed, found = judging.installed_distributions(evidence), dict[str, File]()
    for other in judging.image_distributions(evidence.image):
        used = installed.get(other.name)
        notes = evidence.image.visible.get(f"{other.location}/METADATA")
        is_other = other.name in names and used is not None and other.location != used.location
        if is_other and notes and _source(evidence, other).kind == _BUILD_STAGE:
            found[other.name] = notes
    return found


def _source(evidence: Evidence, distribution: Distribution) -> _Source:
    """Where most bytes of a distribution come from; bytecode and notes of the installation left out."""
    weights: Counter[_Source] = Counter()
    for file in judging.package_files(evidence.image, distribution):
        if not file.path.endswith(_LATER):
            weights[_source_of_file(evidence, file, distribution)] += file.bytes
    known = [source for source, _ in weights.most_common() if source.kind != "unknown"]
    return known[0] if known else _source_of_bundle(evidence)


def _source_of_bundle(evidence: Evidence) -> _Source:
    """Where one file that holds packages (a .pex, a zipapp) was made, if the service is started from one."""
    for file in judging.bundles(evidence):
        origin = evidence.image.origins(file)
        if origin.kind == "made" and not posixpath.basename(file.path).startswith(("python", "pypy")):
            is_built = origin.stage != evidence.image.stage
            return _Source(_BUILD_STAGE) if is_built else _Source("final", origin.line)
    return _Source("unknown")


def _source_of_file(evidence: Evidence, file: File, distribution: Distribution) -> _Source:
    image = evidence.image
    if file.path in image.base_files and image.layers[file.layer].is_base:
        return _Source("base")
    origin = image.origins(file)
    if origin.kind != "made":
        return _Source(origin.kind, image.line_of(file))
    if origin.stage != image.stage:
        return _Source(_BUILD_STAGE)
    for tried in evidence.handed_on:  # a RUN of the final stage may have had it from a build stage
        if tried.line == origin.line and distribution.name in tried.names:
            if tried.failure is not None or evidence.is_quick:
                return _Source("unknown")
            if distribution.name in tried.taken:
                return _Source(_BUILD_STAGE)
            break
    return _Source("final", origin.line)


def _asked_an_index(evidence: Evidence, distribution: Distribution, line: int | None) -> bool:
    """Whether a distribution was got by its name, not from what lay there (PEP 610), nor as Debian's."""
    is_local = f"{distribution.location}/direct_url.json" in evidence.image.visible
    is_handed_on = any(tried.line == line and tried.taken for tried in evidence.handed_on)
    return not (is_local or is_handed_on or distribution.location.startswith(_DEBIANS))


def _paths_of(evidence: Evidence, file: File) -> list[str]:
    """The paths in the build context that a file may have come from."""
    source = evidence.image.origins(file).source
    if len(evidence.context.get(source, b"")) == min(file.bytes, _LARGEST):  # else it was in an archive
        return [source]
    return [path for path in evidence.context if posixpath.basename(path) == posixpath.basename(file.path)]


class _Allowed:
    """The files that are the app, or start the service."""

    def __init__(self, evidence: Evidence, brought: Iterable[tuple[File, list[str]]]) -> None:
        self._snapshot = snapshot = evidence.image
        self._words = set(_words(_started(snapshot.config)))
        self._folders = set(_folders(_started(snapshot.config)))
        self._from_heredocs = {each.line for each in evidence.dockerfile.instructions if each.heredocs}
        self._modules: set[str] = set()  # Python files that start the service, by their path in the build context
        rest = list(brought)
        for _ in range(4):  # a script that starts another one
            starting = [(file, paths) for file, paths in rest if self._starts(file, paths)]
            if not starting:
                break
            rest = [each for each in rest if each not in starting]
            for file, paths in starting:
                self._modules |= {path for path in paths if path.endswith(".py")}
                if file.bytes <= _LARGEST_SCRIPT:
                    text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace")
                    self._words |= set(_words([text]))
                    self._folders |= set(_folders([text]))

    def contains(self, file: File, paths: list[str]) -> bool:
        """Whether this file may be shipped."""
        if any(path.startswith("app/") or path == "requirements.txt" for path in paths):
            return True
        if file.path in _ACCOUNTS or self._snapshot.origins(file).line in self._from_heredocs:
            return True
        return self._starts(file, paths) or any(map(self._makes_a_package, paths))

    def _makes_a_package(self, path: str) -> bool:
        """Whether a file is needed to import a module that starts the service."""
        folder, _, name = path.rpartition("/")
        return name == "__init__.py" and any(module.startswith(f"{folder}/") for module in self._modules)

    def _starts(self, file: File, paths: list[str]) -> bool:
        if any(_NEVER.fullmatch(path) for path in paths):
            return False
        if file.path.startswith(tuple(self._folders)):
            return True
        for path in (file.path, *paths):
            name = posixpath.basename(path)
            if name in self._words or _CONFIGURATION.fullmatch(name):
                return True
            stem = name.removesuffix(".py")
            if stem != name and any(word.rpartition(".")[2] == stem for word in self._words):
                return True
        return False


def _started(config: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a config that say what is started."""
    yield from config.get("Entrypoint") or ()
    yield from config.get("Cmd") or ()
    yield from (config.get("Healthcheck") or {}).get("Test") or ()
    for variable in config.get("Env") or ():
        if str(variable).startswith(_SERVER_VARIABLES):
            yield str(variable)


def _folders(texts: Iterable[str]) -> Iterator[str]:
    """Folders whose scripts or settings are read, as ``/etc/service`` or ``/docker-entrypoint.d/*.sh``, with a slash.

    Where else a folder lies says too little: an app's may hold anything.
    """
    for text in texts:
        for found in _FOLDER.finditer(text):
            folder = posixpath.normpath(found[1])
            if folder.startswith("/etc/") or folder.endswith(".d"):
                yield f"{folder}/"


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word in re.split(r"[\s'\"=,;:()\[\]{}<>|&]+", text):
            yield posixpath.basename(word)
