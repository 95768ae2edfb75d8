"""Secrets in an image: in its environment, its history and its files.

A secret is a variable that is named like one and has a value that can be one, a private key, a token in a format of
its issuer's, or a login in an address.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks.judging import final_instructions, line_of, package_folders

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# What a name ends in, it names: PASSWORD_FILE is a file. At its very end, which one of several it is.
_WHICH: Final = frozenset(
    {"ADMIN", "BASE", "DEFAULT", "DEV", "LOCAL", "NEW", "OLD", "PROD", "ROOT", "STAGING", "TEST", "V"}
)
_SECRET: Final = re.compile(
    r".*(?:PASSWORD|PASSWD|PASSPHRASE|PWD|SECRET|TOKEN|CREDENTIAL|CREDS)S?|(?:.*_)?PASS"
    r"|.*(?:ACCESS|API|AUTH|ENCRYPTION|LICENSE|MASTER|PRIVATE|SECRET|SIGNING|SSH)_?KEY|.*ACCESS_KEY_ID"
)
_KEY: Final = re.compile(r"(?:.*_)?KEY")  # of a table, a cache, a store: only a random value makes it a secret
# Whose keys anybody may have, or never sees.
_PUBLIC: Final = frozenset({"APT", "CACHE", "GPG", "HOST", "KMS", "PGP", "PUBLIC", "PUBLISHABLE", "SITE", "VAPID"})
_NO_SECRET: Final = re.compile(
    r"true|false|yes|no|on|off|[yn]|none|null|nil|auto|optional|required|always|never|(?:en|dis)abled?"
    r"|(?:[-+]?\d[\d_.,]*+\s?(?:[num]?s|[kmg]i?b?|[bhdwy%])?)+"  # a number
    r"|(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+ -]*)+"  # a path
    r"|[a-z][a-z0-9+.-]*://\S*|(?:arn|env|file|op|ssm|vault):\S*"  # where it is
    r"|(?-i:[a-z_][a-z\d_-]*(?:[./][a-z\d_-]+)+)"  # the name of a module, a file, or an entry in a store of secrets
    r"|<.*>|\[\w*\]|\{\{.*\}\}|\{[\w.]*\}|%\w+%?|\*+|x{3,}|\.{3,}|your[-_ ].*|replace[-_ ]?me"  # to be filled in
    r"|(?:.*[^a-z])?(?:dummy|fake|placeholder|unused)(?:[^a-z].*)?"
    r"|(?-i:(?:0x)?[0-9A-F]{40})",  # a public key's fingerprint
    re.IGNORECASE | re.DOTALL,
)
_WORD: Final = re.compile(r"[A-Za-z]*\d{0,4}|\d+[A-Za-z]{0,3}")
_REFERENCE: Final = re.compile(r"`|\$[\w{(@*]")
_ASSIGNMENT: Final = re.compile(
    r"""(?:^|\\n|[\s;&|("',-])([A-Za-z_][\w-]{0,100})=("[^"]*"|'[^']*'|[^\s;&|()"',\[\]\\]*+)(?![(\[])"""
)
_GAP: Final = r"(?:\s|\\n|\\t){1,20}"  # echo and printf write line ends as escapes
# How a credential is written, as its issuer documents it; lengths are the least there were.
_CREDENTIAL: Final = re.compile(
    r"(?P<private_key>^-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r"|-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----[\s\\nr\"']{1,20}[A-Za-z0-9+/=:,-]{16})"
    r"|(?P<login_in_an_address>://[^/\s:@\"'<>{}()\[\]]{0,100}:(?![$*%`])[^/\s@\"'<>{}()]{1,300}@(?!sha256:))"
    rf"|(?P<login_of_a_netrc>\bmachine{_GAP}[^\s\\]{{1,200}}{_GAP}login{_GAP}[^\s\\]{{1,200}}{_GAP}"
    rf"password{_GAP}(?![$`])[^\s\"'\\;&|]{{1,500}})"
    r"|(?P<login_of_an_npmrc>:_(?:authToken|auth|password)\s{0,3}=\s{0,3}[\"']?(?!npm_|[$`])[^\s\"'\\;&|]{1,500})"
    r"|(?P<login_of_a_pgpass>(?<![^\s\"'])(?!(?:[\da-f]{2}:){4})[\w.*/-]{1,200}:(?:\d{2,5}|\*):[\w*-]{1,100}:(?!\d+:)"
    r"[\w.*@-]{1,100}:(?![$`])[^\s:\"'\\/<>][^\s:\"'\\<>]{0,200}(?![^\s\"'\\]))"
    r"|(?:(?<![\w.])|(?<=\\n))(?:"
    r"(?P<JSON_Web_Token>eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,})|"
    r"(?P<GitHub_token>gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{22,})"
    r"|(?P<GitLab_token>gl(?:agent|cbt|dt|oas|pat|ptt|rtr?|soat)-[\w.-]{20,})"
    r"|(?P<npm_token>npm_[A-Za-z0-9]{20,})|(?P<PyPI_token>pypi-AgE[\w-]{16,})"
    r"|(?P<AWS_access_key>A[KS]IA[A-Z0-9]{16}(?!\w))|(?P<Slack_token>xox[abeoprs][-.][\w.-]{10,})"
    r"|(?P<Docker_Hub_token>dckr_[op]at_[\w-]{20,})|(?P<Hugging_Face_token>hf_[A-Za-z]{30,})"
    r"|(?P<Stripe_key>[rs]k_(?:live|test)_[A-Za-z0-9]{16,}))",
    re.MULTILINE,
)

_LARGEST: Final = 1_000_000  # bytes of a file
_MOST: Final = 20  # that are told of one command
# What packages own; Python's standard library and its tests among it.
_PACKAGED: Final = re.compile(
    r"/(?:site|dist)-packages/|/node_modules/|/lib/python3[\d.]*t?/"
    r"|^/usr/(?:lib|lib64|libexec|share|include|bin|sbin)/|^/(?:lib|bin|sbin)/|^/var/lib/(?:dpkg|apt)/|^/var/cache/"
)
_PROGRAM: Final = (".pyc", ".so", ".whl", ".gz", ".png")
_LOGINS: Final = frozenset({".netrc", ".pypirc", ".git-credentials", ".pgpass"})
# Files whose lines give values to names.
_SETTINGS: Final = re.compile(r"(?:/[^/]*\.env(?:\.[^/]+)?|/\.npmrc|/\.aws/credentials|/pip\.conf)$")
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


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of this name and value holds a secret.

    >>> is_secret("DB_PASSWORD", "hunter2"), is_secret("DB_PASSWORD", "/run/secrets/db")
    (True, False)
    >>> is_secret("STRIPE_KEY", "0b5c9e2f77aa"), is_secret("PRIMARY_KEY", "id")
    (True, False)
    """
    words = [word.upper() for word in _WORDS.findall(name)]
    while words and (words[-1] in _WHICH or words[-1].isdigit()):
        words.pop()
    value, called = value.strip().strip("\"'"), "_".join(words)
    is_public = called.endswith("KEY") and _PUBLIC.intersection(words)
    if not value or is_public or _NO_SECRET.fullmatch(value):
        return False
    return bool(_SECRET.fullmatch(called) or (_KEY.fullmatch(called) and _looks_random(value)))


def _looks_random(value: str) -> bool:
    """Whether letters and digits are mixed as in no word, number or version."""
    parts = re.split(r"[^A-Za-z0-9]+", value)
    return not re.search(r"\s", value) and any(len(part) >= 8 and not _WORD.fullmatch(part) for part in parts)


def _is_reference(value: str) -> bool:
    """Whether a value is only known when what it stands in is run."""
    return bool(_REFERENCE.search(value.strip("\"'")))


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """The variables and options that a text gives a secret as their value, with it."""
    for name, value in _ASSIGNMENT.findall(text):
        if is_secret(name, value) and not _is_reference(value) and name != value:
            yield name, value


def credentials(text: str) -> Iterator[tuple[str, str]]:
    """Private keys, tokens in well-known formats and logins in addresses: what each is, and how it is written."""
    for match in _CREDENTIAL.finditer(text):
        yield f"the {(match.lastgroup or '').replace('_', ' ')}", match[0]


def secrets(evidence: Evidence, snapshot: Snapshot) -> Iterator[Secret]:
    """All that are found, each once."""
    found: dict[tuple[str, int | None], Secret] = {}
    for secret in (*_environment(evidence, snapshot), *_history(evidence, snapshot), *_files(snapshot)):
        found.setdefault((secret.what, secret.line), secret)
    yield from found.values()


def build_arguments(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Names and lines of ARGs with a secret as their default, in stages that do not ship."""
    final = {each.line for each in final_instructions(evidence)}
    for each in evidence.dockerfile.instructions if evidence.dockerfile else ():
        if each.keyword == "ARG" and each.line not in final:
            for word in each.arguments:
                name, _, value = word.partition("=")
                if _of_variable("build argument", name, value) and not _is_reference(value):
                    yield name, each.line


def _of_variable(kind: str, name: str, value: str) -> str | None:
    """What a variable gives away: itself, a credential within its value, or nothing."""
    if is_secret(name, value):
        return f"the {kind} {name}"
    return next((f"{what} in the {kind} {name}" for what, _ in credentials(value)), None)


def _environment(evidence: Evidence, snapshot: Snapshot) -> Iterator[Secret]:
    inherited = set(_variables(snapshot.base_config).items())
    for name, value in _variables(snapshot.config).items():
        what = _of_variable("variable", name, value)
        if what and (name, value) not in inherited:
            line = _line_with(evidence, f"{name}={value}", value, name)
            yield Secret(what, "in the image's environment, which `docker inspect` prints", line)


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(variable).partition("=")[::2] for variable in config.get("Env") or ())


def _history(evidence: Evidence, snapshot: Snapshot) -> Iterator[Secret]:
    where = "in the image's history, which `docker history` prints"
    known = {*_variables(snapshot.base_config).items(), *_variables(snapshot.config).items()}
    for entry in snapshot.history:
        keyword = entry.partition(" ")[0] if entry[:1].isupper() else "RUN"
        kind = {"ARG": "the build argument {}", "ENV": "the variable {}"}.get(
            keyword, f"the value of {{}} in {keyword}"
        )
        for name, value in islice(assignments(entry), _MOST):
            if (name, value) not in known:  # a RUN's entry tells its build arguments, too
                yield Secret(kind.format(name), where, _line_with(evidence, f"{name}={value}", f"{name}="))
            known.add((name, value))
        for what, text in islice(credentials(entry), _MOST):
            if not any(text in value for _, value in known):
                yield Secret(f"{what} in {keyword}", where, _line_with(evidence, text))


def _line_with(evidence: Evidence, *texts: str) -> int | None:
    """The line of the last instruction of the final image that holds the first of these texts that any holds."""
    instructions = final_instructions(evidence)
    return next((each.line for text in texts for each in reversed(instructions) if text in each.text), None)


def _files(snapshot: Snapshot) -> Iterator[Secret]:
    packages = package_folders(snapshot)
    for file in snapshot.files:
        if file.kind != "file" or not file.bytes:
            continue
        # A package may bring a key for its tests; what the build context brings is nobody's package.
        is_brought = snapshot.origins(file).kind == "context" if file.path.startswith(packages) else True
        what = _kind_of_file(snapshot, file) if is_brought else None
        if what:
            yield Secret(f"{what} {file.path}", "in the image's files", line_of(snapshot, file), (file,))


def _kind_of_file(snapshot: Snapshot, file: File) -> str | None:
    if _PACKAGED.search(file.path):
        return None
    if posixpath.basename(file.path) in _LOGINS:
        return "the file of logins"
    is_read = file.bytes <= _LARGEST and not file.path.endswith(_PROGRAM)
    text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace") if is_read else ""
    if found := next(credentials(text), None):
        return f"{found[0]} in"
    settings = _SETTING.findall(text) if _SETTINGS.search(file.path) else ()
    is_told = any(is_secret(name, value) and not _is_reference(value) for name, value in settings)
    return "the file of variables" if is_told else None
