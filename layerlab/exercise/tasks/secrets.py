"""Secrets in an image: in its environment, its history and its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.credentials import (
    PRIVATE_KEY,
    assignments,
    credentials,
    is_reference,
    is_secret,
    written,
)
from layerlab.exercise.tasks.judging import package_folders

_BUILD_ARGUMENTS: Final = re.compile(r"^(?:RUN )?\|(\d+) (.*)", re.DOTALL)
_LARGEST: Final = 1_000_000  # bytes of a file
_MOST: Final = 20  # that are told of one command
# What packages own; Python's standard library and its tests among it.
_PACKAGED: Final = re.compile(
    r"/(?:site|dist)-packages/|/node_modules/|/lib/python3[\d.]*t?/"
    r"|^/usr/(?:lib|lib64|libexec|share|include|bin|sbin)/|^/(?:lib|bin|sbin)/|^/var/lib/(?:dpkg|apt)/|^/var/cache/"
)
_PROGRAM: Final = (".pyc", ".so", ".whl", ".gz", ".png")
_EXAMPLES: Final = ("example", "sample", "template", "dist", "md")
_LOGINS: Final = frozenset({".netrc", ".pypirc", ".git-credentials", ".pgpass"})
# Files whose lines give values to names.
_SETTINGS: Final = re.compile(r"(?:\.env|/\.(?:boto|my\.cnf|npmrc|s3cfg)|/\.aws/credentials|/pip\.conf)$")
_SETTING: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Secret:
    """A secret that whoever has the image can read.

    Attributes:
        what: Such as ``the variable API_TOKEN``.
        where: Where it can be read, as the end of a sentence.
        line: Of the instruction that put it there.
        files: The files that hold it, if any do.
    """

    what: str
    where: str
    line: int | None
    files: tuple[File, ...] = ()


def secrets(evidence: Evidence) -> Iterator[Secret]:
    """All that are found, each once."""
    seen: set[tuple[str, int | None]] = set()
    for secret in (*_environment(evidence), *_history(evidence), *_files(evidence.image)):
        key = (secret.what, secret.line)
        if key not in seen:
            yield secret
        seen.add(key)


def build_arguments(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Names and lines of ARGs with a secret as their default, in stages that do not ship."""
    final = {each.line for each in evidence.instructions}
    for each in evidence.dockerfile.instructions:
        if each.keyword == "ARG" and each.line not in final:
            for word in each.arguments:
                name, _, value = word.partition("=")
                if _of_variable("build argument", name, value) and not is_reference(value):
                    yield name, each.line


def _of_variable(kind: str, name: str, value: str) -> str | None:
    """What a variable gives away: itself, a credential within its value, or nothing."""
    if is_secret(name, value):
        return f"the {kind} {name}"
    return next((f"{found.what} in the {kind} {name}" for found in credentials(value)), None)


def _environment(evidence: Evidence) -> Iterator[Secret]:
    inherited = set(_variables(evidence.image.base_config).items())
    for name, value in _variables(evidence.image.config).items():
        what = _of_variable("variable", name, value)
        if what and (name, value) not in inherited:
            line = _setting(evidence, name, value, "ENV")
            yield Secret(what, "in the image's environment, which `docker inspect` prints", line)


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(variable).partition("=")[::2] for variable in config.get("Env") or ())


def _setting(evidence: Evidence, name: str, value: str, keyword: str) -> int | None:
    """The line of the last instruction of the final image that sets a variable, to this value if one does."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    found = [each for each in reversed(evidence.instructions) if each.keyword == keyword]
    found = [each for each in found if word.search(each.text)]
    found.sort(key=lambda each: value.strip("\"'") not in each.text)
    return found[0].line if found else None


def _history(evidence: Evidence) -> Iterator[Secret]:
    where = "in the image's history, which `docker history` prints"
    inherited = set(_variables(evidence.image.base_config).items())
    for entry in evidence.image.history:
        arguments = _BUILD_ARGUMENTS.match(entry)
        keyword, _, rest = entry.partition(" ")
        if arguments or keyword in {"ARG", "ENV"}:
            setter = "ENV" if keyword == "ENV" else "ARG"
            for name, value in _pairs(arguments[2] if arguments else rest):
                what = _of_variable("variable" if setter == "ENV" else "build argument", name, value)
                if what and (name, value) not in inherited:
                    yield Secret(what, where, _setting(evidence, name, value, setter))
        if arguments or keyword not in {"ARG", "ENV"}:
            text = _command(arguments[2], int(arguments[1])) if arguments else entry
            yield from _credentials_in(evidence, text, f"in {keyword if keyword.isupper() else 'RUN'}", where)


def _credentials_in(evidence: Evidence, command: str, instruction: str, where: str) -> Iterator[Secret]:
    values = []
    for name, value in islice(assignments(command), _MOST):
        values.append(value)
        yield Secret(f"the value of {name} {instruction}", where, _line_with(evidence, f"{name}="))
    for found in islice(credentials(written(command)), _MOST):
        if not any(found.value in value for value in values):
            yield Secret(f"{found.what} {instruction}", where, _line_with(evidence, found.text, found.value))


def _line_with(evidence: Evidence, *texts: str) -> int | None:
    """The line of the last instruction of the final image that holds the first of these texts that any holds."""
    instructions = evidence.instructions
    return next((each.line for text in texts for each in reversed(instructions) if text in each.text), None)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    before_shell = re.split(r" /bin/\w+ -", text, maxsplit=1)[0]
    for found in re.finditer(r"""(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)""", before_shell):
        yield found[1], found[2]
    old = re.fullmatch(r"([A-Za-z_]\w*) +([^=]+)", text)  # ENV name value
    if old:
        yield old[1], old[2]


def _command(text: str, arguments: int) -> str:
    """What a RUN ran, without its build arguments, and without the shell if there is one."""
    command = re.sub(r"^.*? /bin/\w+ (?:-\w+ )+", "", text, flags=re.DOTALL)
    return command if command != text else text.split(" ", arguments)[-1]


def _files(snapshot: Snapshot) -> Iterator[Secret]:
    packages = package_folders(snapshot)
    for file in snapshot.files:
        if file.kind != "file" or not file.bytes:
            continue
        # A package may bring a key for its tests; what the build context brings is nobody's package.
        is_brought = snapshot.origins(file).kind == "context" if file.path.startswith(packages) else True
        what = _kind_of_file(snapshot, file) if is_brought else None
        if what:
            yield Secret(f"{what} {file.path}", "in the image's files", snapshot.line_of(file), (file,))


def _kind_of_file(snapshot: Snapshot, file: File) -> str | None:
    name = posixpath.basename(file.path)
    if _PACKAGED.search(file.path):
        return None
    if name in _LOGINS:
        return "the file of logins"
    is_read = file.bytes <= _LARGEST and not name.endswith(_PROGRAM)
    text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace") if is_read else ""
    if found := next(credentials(text), None):
        return found.what if found.what == PRIVATE_KEY else f"{found.what} in"
    is_settings = _SETTINGS.search(file.path) or (name.startswith(".env.") and not name.endswith(_EXAMPLES))
    settings = _SETTING.findall(text) if is_settings else []
    has_secrets = any(is_secret(key, value) and not is_reference(value) for key, value in settings)
    return "the file of variables" if has_secrets else None
