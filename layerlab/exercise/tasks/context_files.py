"""Files of the build context that an image ships although they are neither the app nor what starts it."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import places

_SMALLEST: Final = 16  # bytes of a content that says whose it is
_LARGEST: Final = 1_000_000  # evidence holds that much of a file
_LARGEST_SCRIPT: Final = 100_000
_NEVER: Final = re.compile(r"(?:.*/)?(?:Dockerfile.*|README.*|\.dockerignore|\.gitignore|\.git/.*)")
_CONFIGURATION: Final = re.compile(
    r"gunicorn[\w.-]*\.py|u?wsgi\.(?:ini|ya?ml|xml|json)|hypercorn\.(?:toml|py)|supervisord?\.conf|circus\.ini|granian\.\w+"
    r"|nginx\.conf|Caddyfile|haproxy\.cfg"
)
_ACCOUNTS: Final = frozenset({"/etc/passwd", "/etc/group", "/etc/nsswitch.conf"})  # what a user needs, from scratch
_SERVER_VARIABLES: Final = ("GUNICORN", "UWSGI", "FLASK", "WSGI", "HYPERCORN", "UVICORN", "GRANIAN", "WAITRESS")
_FOLDER: Final = re.compile(r"(?:^|[\s'\"=])(/[\w./-]*\w)(?=/\*|/?(?:[\s'\";]|$))")
_PACKAGES: Final = re.compile(r"/(?:site|dist)-packages/|^/usr/(?:share|lib)/|/lib/python3[\d.]*/")


def strangers(evidence: Evidence, snapshot: Snapshot) -> tuple[tuple[File, str], ...]:
    """The shipped files that should have stayed behind, each with its path in the build context."""
    known = {**evidence.workspace, **evidence.context}
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for path, content in known.items():
        by_content[content].append(path)
    brought: list[tuple[File, list[str]]] = []
    for file in snapshot.files:
        if file.kind == "file" and file.bytes and snapshot.origins(file).kind == "context":
            paths = _paths_of(snapshot, file, known, by_content)
            if paths is not None:
                brought.append((file, paths))
    allowed = _Allowed(evidence, snapshot, brought)
    found = [(file, paths) for file, paths in brought if not allowed.contains(file, paths)]
    seen = {(file.layer, file.path) for file, _ in brought}
    found += [each for each in _equals(snapshot, known, allowed) if (each[0].layer, each[0].path) not in seen]
    return tuple((file, paths[0] if paths else posixpath.basename(file.path)) for file, paths in found)


def _paths_of(
    snapshot: Snapshot, file: File, known: Mapping[str, bytes], by_content: Mapping[bytes, list[str]]
) -> list[str] | None:
    """The paths in the build context that a file may have come from; None if it did not come from there at all."""
    content = snapshot.contents(file.layer, file.path) if file.bytes < _LARGEST else None
    name = posixpath.basename(file.path)
    same = by_content.get(content, []) if content is not None else []
    named = [path for path in known if posixpath.basename(path) == name]
    if same:
        return sorted(same, key=lambda path: path not in named)
    return named


class _Allowed:
    """The files that are the app, or start the service."""

    def __init__(self, evidence: Evidence, snapshot: Snapshot, brought: Iterable[tuple[File, list[str]]]) -> None:
        self._snapshot = snapshot
        self._words = set(_words(_started(snapshot.config)))
        self._folders = set(_folders(_started(snapshot.config)))
        self._from_heredocs = {each.line for each in places.final_instructions(evidence) if each.heredocs}
        stages = evidence.dockerfile.stages if evidence.dockerfile else ()
        self._from_heredocs |= {each.line for stage in stages for each in stage.instructions if each.heredocs}
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

    def is_app(self, path: str) -> bool:
        """Whether this path of the build context belongs to the app."""
        return path.startswith("app/") or path == "requirements.txt"

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


def _equals(snapshot: Snapshot, known: Mapping[str, bytes], allowed: _Allowed) -> Iterator[tuple[File, list[str]]]:
    """Files of whatever origin with the content of one that should have stayed behind."""
    kept = {content for path, content in known.items() if allowed.is_app(path)}
    # Whoever makes a virtual environment gets the same files, here and in the image.
    environments = tuple(path.removesuffix("pyvenv.cfg") for path in known if path.endswith("/pyvenv.cfg"))
    wanted: dict[bytes, list[str]] = defaultdict(list)
    for path, content in known.items():
        if _SMALLEST <= len(content) < _LARGEST and content not in kept and not path.startswith(environments):
            wanted[content].append(path)
    sizes = {len(content) for content in wanted}
    for file in snapshot.files:
        if file.kind == "file" and file.bytes in sizes and not _PACKAGES.search(file.path):
            paths = wanted.get(snapshot.contents(file.layer, file.path) or b"", [])
            if paths and not allowed.contains(file, paths):
                yield file, paths


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
