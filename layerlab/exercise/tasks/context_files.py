"""Files of the build context that an image ships although they are neither the app nor what starts it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import final_instructions

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


def strangers(evidence: Evidence, snapshot: Snapshot) -> tuple[tuple[File, str], ...]:
    """The shipped files that should have stayed behind, each with its path in the build context."""
    brought = [
        (file, _paths_of(evidence, snapshot, file))
        for file in snapshot.files
        if file.kind == "file" and file.bytes and snapshot.origins(file).kind == "context"
    ]
    allowed = _Allowed(evidence, snapshot, brought)
    found = [(file, paths) for file, paths in brought if not allowed.contains(file, paths)]
    return tuple((file, paths[0] if paths else posixpath.basename(file.path)) for file, paths in found)


def _paths_of(evidence: Evidence, snapshot: Snapshot, file: File) -> list[str]:
    """The paths in the build context that a file may have come from."""
    source = snapshot.origins(file).source
    if len(evidence.context.get(source, b"")) == min(file.bytes, _LARGEST):  # else it was in an archive
        return [source]
    return [path for path in evidence.context if posixpath.basename(path) == posixpath.basename(file.path)]


class _Allowed:
    """The files that are the app, or start the service."""

    def __init__(self, evidence: Evidence, snapshot: Snapshot, brought: Iterable[tuple[File, list[str]]]) -> None:
        self._snapshot = snapshot
        self._words = set(_words(_started(snapshot.config)))
        self._folders = set(_folders(_started(snapshot.config)))
        self._from_heredocs = {each.line for each in final_instructions(evidence) if each.heredocs}
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
