"""Secrets in an image: in its environment, its history and its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from layerlab.checker.evidence import Evidence, File, Picture
from layerlab.checker.tasks import places
from layerlab.checker.tasks.common import line_of, package_folders
from layerlab.dockerfile import Instruction

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_INSIDE: Final = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|SECRET(?!AR)|APIKEY|CREDENTIAL")
_ENDS: Final = re.compile(r".*TOKENS?|KEY|(?:ACCESS|AUTH|ENCRYPTION|PRIVATE|SIGNING|SSH)KEY")
_SHORT: Final = re.compile(r"PASS|.*_(?:PASS|PWD)")  # of a whole name: PWD alone is the shell's own
# What the last part of a name says that the value is, instead of the secret itself.
_ABOUT: Final = frozenset(
    {"FILE", "PATH", "DIR", "DIRECTORY", "URL", "URI", "HEADER", "LENGTH", "SIZE", "TTL", "EXPIRY", "EXPIRES"}
    | {"TIMEOUT", "SECONDS", "MINUTES", "HOURS", "DAYS", "ALGORITHM", "TYPE", "NAME", "PREFIX", "SUFFIX", "FORMAT"}
    | {"POLICY", "ENABLED", "DISABLED", "REQUIRED", "BACKEND", "PROVIDER", "HASHER", "HASHERS", "COUNT", "LIMIT"}
)
_PUBLIC: Final = frozenset({"GPG", "PGP", "PUBLIC", "PUBLISHABLE"})
_ASSIGNMENT: Final = re.compile(
    r"""(?:(?:^|[\s;&|(])(?:export|env|declare|readonly|local)\s+(?:[A-Za-z_]\w*=\S*\s+)*([A-Za-z_]\w*)
        |(?:^|[\s;&|("'])([A-Z_][A-Z0-9_]*))
        =("[^"]*"|'[^']*'|[^\s;&|)]*)""",
    re.VERBOSE,
)
_BUILD_ARGUMENTS: Final = re.compile(r"^(?:RUN )?\|(\d+) (.*)", re.DOTALL)
_CREDENTIALS: Final = re.compile(r"://[^/\s:@$]+:[^/\s:@$]+@")
# At the beginning of a line, or within a program with something of the key behind it.
_PRIVATE_KEY: Final = re.compile(
    rb"(?:^-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    rb"|-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----[\s\\nr\"']{1,20}[A-Za-z0-9+/=:,-]{16})",
    re.MULTILINE,
)
_LARGEST: Final = 1_000_000
# What packages own; Python's standard library and its tests among it.
_PACKAGED: Final = re.compile(
    r"/(?:site|dist)-packages/|/lib/python3[\d.]*t?/|^/usr/(?:lib|lib64|libexec|share|include|bin|sbin)/|^/(?:lib|bin|sbin)/"
    r"|^/var/lib/(?:dpkg|apt)/|^/var/cache/"
)
_PROGRAM: Final = (".pyc", ".so", ".whl", ".gz", ".png")
_EXAMPLES: Final = ("example", "sample", "template", "dist", "md")
_LOGINS: Final = frozenset({".netrc", ".pypirc", ".git-credentials", ".pgpass"})


@dataclass(frozen=True)
class Secret:
    """A secret that whoever has the image can read.

    Attributes:
        what: Such as ``ENV API_TOKEN``.
        where: Where it can be read, as the end of a sentence.
        line: Of the instruction that put it there.
        files: The files that hold it, if any do.
    """

    what: str
    where: str
    line: int | None
    files: tuple[File, ...] = ()


def is_secret(name: str) -> bool:
    """Whether a variable of this name would hold a secret.

    >>> [is_secret(name) for name in ("API_TOKEN", "MYSQL_PWD", "TOKENIZERS_PARALLELISM", "DB_PASSWORD_FILE")]
    [True, True, False, False]
    """
    parts = [part.upper() for part in _WORDS.findall(name)]
    if not parts or parts[-1] in _ABOUT or _PUBLIC.intersection(parts):
        return False
    joined = "_".join(parts)
    if "API_KEY" in joined or _SHORT.fullmatch(joined):
        return True
    return any(_ENDS.fullmatch(part) or _INSIDE.search(part) for part in parts)


def has_value(value: str) -> bool:
    """Whether this is a value, not nothing and not one that is only read when the command runs."""
    value = value.strip().strip("\"'")
    return bool(value) and not value.startswith(("$", "`"))


def _is_something(value: str) -> bool:
    """Whether a value is not empty, where everything has been read already: a dollar is part of it."""
    return bool(value.strip().strip("\"'"))


def secrets(evidence: Evidence, picture: Picture) -> Iterator[Secret]:
    """All that are found, each once."""
    seen: set[tuple[str, int | None]] = set()
    for secret in (*_environment(evidence, picture), *_history(evidence, picture), *_files(picture)):
        key = (secret.what.rpartition(" ")[2], secret.line)
        if key not in seen:
            yield secret
        seen.add(key)


def build_arguments(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Names and lines of ARGs with a secret as their default, in stages that do not ship."""
    final = {each.line for each in places.final_instructions(evidence)}
    for each in evidence.dockerfile.instructions if evidence.dockerfile else ():
        if each.keyword == "ARG" and each.line not in final:
            for word in each.arguments:
                name, _, value = word.partition("=")
                if is_secret(name) and has_value(value):
                    yield name, each.line


def _environment(evidence: Evidence, picture: Picture) -> Iterator[Secret]:
    inherited = set(_variables(picture.base_config).items())
    for name, value in _variables(picture.config).items():
        if (name, value) not in inherited:
            line = _setting(evidence, name, value, "ENV")
            if is_secret(name) and _is_something(value):
                yield Secret(
                    f"the variable {name}", "in the image's environment, which `docker inspect` prints", line
                )
            elif _CREDENTIALS.search(value):
                yield Secret(f"the login in the variable {name}", "in the image's environment", line)


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(variable).partition("=")[::2] for variable in config.get("Env") or ())


def _setting(evidence: Evidence, name: str, value: str, keyword: str) -> int | None:
    """The line of the last instruction of the final image that sets a variable, to this value if one does."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    found = [each for each in reversed(places.final_instructions(evidence)) if each.keyword == keyword]
    found = [each for each in found if word.search(each.text)]
    found.sort(key=lambda each: value.strip("\"'") not in each.text)
    return found[0].line if found else None


def _history(evidence: Evidence, picture: Picture) -> Iterator[Secret]:
    where = "in the image's history, which `docker history` prints"
    inherited = set(_variables(picture.base_config).items())
    for entry in picture.history:
        arguments = _BUILD_ARGUMENTS.match(entry)
        command = re.sub(r"^(?:RUN )?(?:/bin/(?:ba|a)?sh (?:-\w+ )+)?", "", entry)
        keyword, _, rest = entry.partition(" ")
        if arguments:
            command = _after_shell(arguments[2])
            for name, value in _pairs(arguments[2]):
                if is_secret(name) and _is_something(value):
                    yield Secret(f"the build argument {name}", where, _setting(evidence, name, value, "ARG"))
        elif keyword in {"ARG", "ENV"}:
            for name, value in _pairs(rest):
                if is_secret(name) and _is_something(value) and (name, value) not in inherited:
                    kind = "build argument" if keyword == "ARG" else "variable"
                    yield Secret(f"the {kind} {name}", where, _setting(evidence, name, value, keyword))
            continue
        if entry.startswith(("RUN", "/bin/", "|")):
            yield from _commands(evidence, command, where)


def _commands(evidence: Evidence, command: str, where: str) -> Iterator[Secret]:
    for found in _ASSIGNMENT.finditer(command):
        name = found[1] or found[2]
        if is_secret(name) and has_value(found[3]):
            yield Secret(f"the variable {name}", where, _run(evidence, f"{name}="))
    login = _CREDENTIALS.search(command)
    if login:
        yield Secret("the login in an address", where, _run(evidence, login[0]))


def _run(evidence: Evidence, text: str) -> int | None:
    found: list[Instruction] = [each for each in places.final_instructions(evidence) if each.keyword == "RUN"]
    return next((each.line for each in reversed(found) if text in each.text), None)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"""(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)""", _before_shell(text)):
        yield found[1], found[2]
    old = re.fullmatch(r"([A-Za-z_]\w*) +([^=]+)", text)  # ENV name value
    if old:
        yield old[1], old[2]


def _before_shell(text: str) -> str:
    return re.split(r" /bin/\w+ -", text, maxsplit=1)[0]


def _after_shell(text: str) -> str:
    return re.sub(r"^.*? /bin/\w+ (?:-\w+ )+", "", text, flags=re.DOTALL)


def _files(picture: Picture) -> Iterator[Secret]:
    packages = package_folders(picture)
    for file in picture.files:
        if file.kind != "file" or not file.bytes:
            continue
        # A package may bring a key for its tests; what the build context brings is nobody's package.
        is_brought = picture.origins(file).kind == "context" if file.path.startswith(packages) else True
        what = _kind_of_file(picture, file) if is_brought else None
        if what:
            yield Secret(f"{what} {file.path}", "in the image's files", line_of(picture, file), (file,))


def _kind_of_file(picture: Picture, file: File) -> str | None:
    name = posixpath.basename(file.path)
    if _PACKAGED.search(file.path):
        return None
    if name == ".env" or (name.startswith(".env.") and not name.endswith(_EXAMPLES)):
        return "the file of variables"
    if name in _LOGINS:
        return "the file of logins"
    is_read = file.bytes <= _LARGEST and not name.endswith(_PROGRAM)
    content = (picture.contents(file.layer, file.path) or b"") if is_read else b""
    if _PRIVATE_KEY.search(content):
        return "the private key"
    return "the file of variables" if name.endswith(".env") and _sets_secrets(content) else None


def _sets_secrets(content: bytes) -> bool:
    rows = re.findall(r"^(?:export )?(\w+)=(.*)$", content.decode(errors="replace"), re.MULTILINE)
    return any(is_secret(name) and has_value(value) for name, value in rows)
